"""The published JSON Schema of the catalog: for editors and other programs. schemas/catalog.schema.json is made from it.

The records say what is allowed, the table here what each field means; the fields of prices are described where they are
defined. `tollbook catalog check` knows more than a schema can say: references between records, validity without overlap,
tiers that grow.
"""

import json
from typing import Any

from schemas.catalog.records import Catalog
from schemas.money import MINOR_UNITS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ID = "Its name in references: small letters, digits, _ and -. Never changed once it was billed by."
_DESCRIPTION = "What the invoice calls it."
_DATE_FROM = "First day, from midnight in the partner's time zone."

DESCRIPTIONS: dict[str, dict[str, str]] = {
    "Catalog": {
        "legal_entities": "Who issues invoices.",
        "sources": "What sources of logs are allowed. A source needs no entry for its credentials to count.",
        "meters": "What is counted.",
        "rate_cards": "Prices.",
        "plans": "What a partner can agree to: a rate card, quotas, a throttle.",
        "partners": "Who pays, and how each is known in a log.",
    },
    "LegalEntity": {
        "id": _ID,
        "name": "As it stands on the invoice.",
        "address": "Its lines, as they stand on the invoice.",
        "vat_id": "Tax number, as it stands on the invoice.",
        "email": "Where questions about an invoice go.",
        "iban": "The account to pay to.",
        "invoice_prefix": "What its invoice numbers begin with: TW gives TW-2026-000001.",
        "time_zone": "IANA name, such as Europe/Berlin: the date of an invoice, and the year in its number, are the date there.",
        "payment_terms_days": "Days after the date of the invoice until it is due.",
        "tax_note": "The sentence about tax that stands below the total.",
    },
    "Source": {
        "id": "As given to `tollbook run --source`.",
        "partner": "Id of the partner whose own source this is: all of it is the partner's, and what names another is refused.",
        "may_tag": "Whether its lines may name a partner without a credential.",
        "partner_field": "Name of the top-level field of the JSON line that holds a partner's id.",
        "fields": "How its JSON lines call what is read from them, where the format knows other names.",
        "key_is_partner": "Whether the keys of its records in a topic name partners. A line of another partner is then refused.",
        "released": "Ids of events of an unlikely size (10^15 or more bytes) that may be billed after all.",
        "event_types": "Which types of usage events are known. An event of another type is refused; absent: any type is read.",
        "max_age_days": "Refuse what is older than this when it is received; 35 without it. Files have a time of receipt only if --received says it.",
        "max_future_minutes": "Refuse what lies so far, or further, ahead of the time of receipt; 5 without it.",
        "max_refused_percent": "Pause the source when more of a hundred entries are refused for their form, such as by a wrong format; 100: never.",
        "routes": "Other names for the routes of its log, given when a line is read; the first entry that matches counts.",
        "own": "Which of its lines without a credential are the operator's own traffic.",
    },
    "RouteName": {
        "logged": "Pattern of the route as the log names it, such as `GET /v1/export`.",
        "name": "What it is called from then on.",
    },
    "Own": {
        "partner": "Id of a partner of status internal.",
        "routes": "Lines without a credential on these routes (patterns) are its own.",
        "without_credential": "True: all lines without a credential are its own.",
    },
    "Fields": {
        "partner": "Field with the partner's id; used as `partner_field` is.",
        "request_id": "Field with an id of the request that a client cannot choose: resends are known by it.",
        "time": "Field with the time: RFC 3339, CLF, or seconds or milliseconds since 1970.",
        "method": "Field with the HTTP method.",
        "path": "Field with the request's target; its query is dropped.",
        "route": "Field with the route, which meters filter by.",
        "status": "Field with the HTTP status.",
        "request_bytes": "Field with the size of the request.",
        "response_bytes": "Field with the size of the response.",
        "latency_ms": "Field with the duration in milliseconds.",
        "latency_s": "Field with the duration in seconds.",
        "client_ip": "Field with the client's address, of which the network is kept.",
        "api_key": "Field with the id of the API key: never the key itself.",
        "consumer": "Field with the consumer.",
        "iam": "Field with the principal.",
        "service": "Field with the API or service behind the gateway.",
        "host": "Field with the host that was asked.",
    },
    "Meter": {
        "id": _ID,
        "description": _DESCRIPTION,
        "aggregate": "`count` counts requests, `sum` adds up `field`.",
        "field": "What `sum` adds up: request_bytes, response_bytes or latency_us.",
        "unit": "What one of it is called on the invoice, after division by `divide_by`: GB, requests.",
        "divide_by": "From the field's own unit to `unit`: 1000000000 from bytes to GB. Powers of 2 and 5 alone, so that it is exact.",
        "filter": "Which requests it counts; without it all.",
        "billable": "Whether usage of it must have a rate. Other meters are for quotas and analysis.",
    },
    "Filter": {
        "methods": "These HTTP methods alone, in any case.",
        "routes": "These routes alone: names or paths, with * within a segment, {name} for one, ** for any; a method may stand before a path.",
        "status": "These HTTP statuses alone, or classes such as 2xx.",
        "exclude_status": "Not these, taken off last: 429 and 5xx are often not billed.",
    },
    "RateCard": {
        "id": _ID,
        "currency": "ISO 4217 code of all its prices.",
        "versions": "Its prices over time, oldest first.",
    },
    "RateCardVersion": {
        "valid_from": "First day of these prices, from midnight in the partner's time zone, until the next version.",
        "rates": "One line of the invoice each.",
    },
    "Rate": {
        "meter": "Id of the meter that is priced. A flat fee needs none.",
        "description": f"{_DESCRIPTION} Without it the meter's description.",
        "price": "How the quantity becomes an amount.",
        "free_units": "Units that cost nothing, taken off before pricing.",
    },
    "Plan": {
        "id": _ID,
        "rate_card": "Id of the rate card.",
        "quotas": "How much is agreed, and when to alert.",
        "throttle": "The rate that the gateway grants.",
    },
    "Quota": {
        "meter": "Id of the meter.",
        "period": "DAY, WEEK (from Monday) or MONTH, in the partner's time zone.",
        "limit": "How much of the meter's unit; used up at exactly so much.",
        "thresholds": "Percent of the limit at which to alert, ascending.",
    },
    "Throttle": {
        "rate_per_s": "Sustained requests a second.",
        "burst": "Requests above the rate that are let through at once.",
    },
    "Partner": {
        "id": _ID,
        "name": "As it stands on the invoice.",
        "address": "Its lines, as they stand on the invoice.",
        "vat_id": "Tax number, as it stands on the invoice.",
        "reference": "What the partner wants to read on the invoice: an order number.",
        "legal_entity": "Id of the legal entity that invoices it; not for status internal, for every other.",
        "time_zone": "IANA name, such as Europe/Berlin: its months and days begin at midnight there.",
        "status": "Usage of a suspended partner is counted all the same, and flagged; usage of an internal one is never invoiced.",
        "plans": "Which plan holds when; they must not overlap.",
        "credentials": "How its requests are known in a log.",
    },
    "PlanAssignment": {
        "plan": "Id of the plan.",
        "valid_from": _DATE_FROM,
        "valid_to": "The day after the last; without it the plan has no end.",
    },
    "Grant": {
        "actions": "service:Action as IAM names them, such as s3:GetObject; * and ? stand for any characters and for one.",
        "resources": "ARNs, with * and ? as in IAM; without it any resource.",
        "networks": "Networks from which (CIDR); without it from anywhere.",
    },
    "Credential": {
        "kind": "api_key, iam (an ARN), consumer (of a gateway) or oidc (an issuer and its client).",
        "id": "As the log shows it. Never the secret itself. Not for oidc.",
        "issuer": "The token's `iss`; for oidc alone.",
        "client_id": "The token's client; without it every client of the issuer.",
        "networks": "Networks it is agreed to be used from (CIDR). Usage from elsewhere is counted, marked and reported. Without it any.",
        "allow": "What its policy lets it do; for iam alone. Usage outside is counted, marked and reported. Without it anything.",
        "valid_from": "Day or instant from which it belongs to this partner; without it from ever.",
        "valid_to": "Day or instant from which it no longer does; without it for ever.",
    },
}


def catalog_schema() -> dict[str, Any]:
    """The schema of one catalog file, with a description of every field."""
    schema: dict[str, Any] = {"$schema": _DIALECT, **Catalog.model_json_schema()}
    schema["title"] = "A Tollbook catalog"
    schema["description"] = "A file of a catalog: any of its sections. All files of a folder together are the catalog."
    for name, record in (("Catalog", schema), *schema["$defs"].items()):
        for field, found in record["properties"].items():
            found.pop("title", None)  # the name again
            found["description"] = found.pop("description", None) or DESCRIPTIONS[name][field]
    schema["$defs"]["RateCard"]["properties"]["currency"]["enum"] = sorted(MINOR_UNITS)
    for field in ("status", "exclude_status"):
        _as_text_or_number(schema["$defs"]["Filter"]["properties"][field])
    return schema


def catalog_schema_text() -> str:
    """The text of schemas/catalog.schema.json."""
    return json.dumps(catalog_schema(), indent=2, ensure_ascii=False) + "\n"


def _as_text_or_number(lists: dict[str, Any]) -> None:
    """Let a list of codes hold numbers as well: YAML reads 429 as one, and the catalog takes every scalar as text."""
    for found in (lists, *lists.get("anyOf", ())):
        if "items" in found:
            found["items"] = {"anyOf": [found["items"], {"type": "integer", "minimum": 0, "maximum": 599}]}
