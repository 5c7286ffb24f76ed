"""The published JSON Schema of the catalog, for editors and other programs.

It is the source of schemas/catalog.schema.json.

The records define what is allowed, and the table below describes each field. The fields of prices are described where
they are defined. `tollbook catalog check` also checks what a schema cannot express: references between records,
overlapping validity periods, ascending tiers.
"""

import json
from typing import Any

from schemas.catalog.records import Catalog
from schemas.money import MINOR_UNITS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ENFORCE = "alert only alerts. block also makes `tollbook decide` deny requests."
_GRACE = "Percentage of the limit by which usage may exceed it before requests are denied."
_ID = "Name that other records refer to: lowercase letters, digits, _ and -. Never change it once it has been used for billing."
_DESCRIPTION = "Text on the invoice."
_COUNTRY = "Country as two letters of ISO 3166, such as DE."
_CURRENCY_OF_PLANS = "ISO 4217 code. Must be the currency of the partner's plans at that time."
_DATE_FROM = "First day, from midnight in the partner's time zone."

DESCRIPTIONS: dict[str, dict[str, str]] = {
    "Catalog": {
        "legal_entities": "The companies that issue invoices.",
        "sources": "Settings of log sources. A source without an entry is attributed by credentials.",
        "meters": "What is counted.",
        "rate_cards": "Prices.",
        "plans": "What a partner can subscribe to: a rate card, quotas, a throttle.",
        "partners": "The customers, and how each is identified in a log.",
    },
    "LegalEntity": {
        "id": _ID,
        "name": "Name on the invoice.",
        "address": "Lines of the address on the invoice.",
        "country": _COUNTRY,
        "vat_id": "Tax number on the invoice.",
        "email": "Contact for questions about an invoice.",
        "iban": "Account to pay to.",
        "invoice_prefix": "Prefix of its invoice numbers: TW gives TW-2026-000001.",
        "time_zone": "IANA name, such as Europe/Berlin. It decides the date of an invoice and the year in its number.",
        "payment_terms_days": "Days from the invoice date to the due date.",
        "tax_note": "Sentence about tax below the total.",
        "approval": "Who proposes and approves invoices before they are issued. Without it, no approval is needed.",
    },
    "Source": {
        "id": "As given to `tollbook run --source`.",
        "partner": "Id of the partner that owns this source. All its usage is the partner's; a line that names another partner is refused.",
        "may_tag": "Whether its lines may name a partner without a credential.",
        "partner_field": "Top-level field of the JSON line that holds the partner's id.",
        "fields": "Names of fields in its JSON lines, where they differ from the names of the format.",
        "key_is_partner": "Whether the keys of its records in a topic name partners. A line that names another partner is then refused.",
        "released": "Ids of implausibly large events (10^15 bytes or more) that have been reviewed and may be billed.",
        "event_types": "Accepted types of usage events. Events of other types are refused. Without it, all types are accepted.",
        "max_age_days": "Refuse entries that are older than this on receipt (default 35). Files have a time of receipt only if --received sets it.",
        "max_future_minutes": "Refuse entries that are this far, or further, ahead of the time of receipt (default 5).",
        "max_refused_percent": "Pause the source when more than this percentage of entries is refused for its form, as with a wrong format. 100: never.",
        "routes": "Names for the routes of its log, applied when a line is read. The first matching entry applies.",
        "own": "Which lines without a credential are the operator's own traffic.",
        "trust_user": "Whether its gateway checks every user name that it logs, where the log cannot show that (NGINX, Apache, Traefik).",
    },
    "RouteName": {
        "logged": "Pattern of the route in the log, such as `GET /v1/export`.",
        "name": "Name that replaces it.",
    },
    "Own": {
        "partner": "Id of a partner of status internal.",
        "routes": "Patterns of routes. Lines without a credential on these routes are own traffic.",
        "without_credential": "If true, all lines without a credential are own traffic.",
    },
    "Fields": {
        "partner": "Field with the partner's id; an alternative to `partner_field`.",
        "request_id": "Field with a request id that clients cannot choose. Duplicates are detected by it.",
        "time": "Field with the time: RFC 3339, CLF, or seconds or milliseconds since 1970.",
        "method": "Field with the HTTP method.",
        "path": "Field with the request target. Its query string is dropped.",
        "route": "Field with the route, which meters can filter by.",
        "status": "Field with the HTTP status.",
        "request_bytes": "Field with the size of the request.",
        "response_bytes": "Field with the size of the response.",
        "latency_ms": "Field with the duration in milliseconds.",
        "latency_s": "Field with the duration in seconds.",
        "client_ip": "Field with the client's address. Only its network is stored.",
        "api_key": "Field with the id of the API key, never the key itself.",
        "consumer": "Field with the gateway's consumer.",
        "iam": "Field with the IAM principal.",
        "service": "Field with the API or service behind the gateway.",
        "host": "Field with the requested host.",
        "quantities": "Names of quantities, each with the field that holds it: {input_tokens: ai/proxy/usage/prompt_tokens}.",
        "attributes": "Names of attributes, each with the field that holds it: {model: ai/proxy/meta/request_model}.",
    },
    "Meter": {
        "id": _ID,
        "description": _DESCRIPTION,
        "aggregate": "count counts, sum adds up `field` or `quantity`; min, max and latest take one `quantity` of a month; unique counts the values of `attribute`.",
        "field": "Field that `sum` adds up: request_bytes, response_bytes or latency_us.",
        "quantity": "Name of the quantity of events that is aggregated, such as tokens.",
        "attribute": "Name of the attribute of events whose different values `unique` counts.",
        "unit": "Unit on the invoice, after division by `divide_by`, such as GB or requests.",
        "divide_by": "Divisor from the field's own unit to `unit`: 1000000000 from bytes to GB. Only factors of 2 and 5, so that division is exact.",
        "filter": "Which requests it counts. Without it, all requests.",
        "billable": "Whether its usage must have a rate. Meters that are not billable serve quotas and analysis.",
        "value_property": "JSON path of the quantity, or of the attribute of `unique`, in the data of events of `filter.types`, such as $.tokens.",
        "group_by": "Attributes that are kept of events of `filter.types`, each with its JSON path in their data.",
        "itemize_by": "Attribute by whose values invoices list the usage at their end. Only for count and sum.",
        "itemize_max": "How many values of `itemize_by` an invoice lists; the others are one row.",
    },
    "Filter": {
        "methods": "Count only these HTTP methods. Case does not matter.",
        "routes": "Count only these routes: names or paths. * matches within a segment, {name} one segment, ** anything; a path may follow a method.",
        "status": "Count only these HTTP statuses, or classes such as 2xx.",
        "types": "Count only events of these types, as CloudEvents name them. Requests have none.",
        "attributes": "Count only events that have one of these values of each attribute that is named here.",
        "exclude_status": "Do not count these statuses. Applied last; 429 and 5xx are often not billed.",
    },
    "RateCard": {
        "id": _ID,
        "currency": "ISO 4217 code of all its prices.",
        "versions": "Its prices over time, oldest first.",
    },
    "RateCardVersion": {
        "valid_from": "First day of these prices, from midnight in the partner's time zone. They apply until the next version.",
        "rates": "The rates. Each is one line of the invoice.",
    },
    "Rate": {
        "meter": "Id of the meter to price. A flat fee needs none.",
        "description": f"{_DESCRIPTION} The default is the meter's description.",
        "price": "How the quantity becomes an amount.",
        "free_units": "Units that cost nothing each month, subtracted before pricing.",
        "unit_conversion": "Conversion of the month's count before the free units.",
        "discounts": "Discounts on the line, in this order, each on what is left.",
        "maximum": "What the rate costs at most in a month, after discounts.",
        "minimum": "What the rate costs at least in a month. What lacks is added to its last line.",
        "prorated": "Whether a part of a month has only its share of free units, maximum and minimum, by time.",
        "rounding": "How the line is rounded.",
    },
    "Plan": {
        "id": _ID,
        "rate_card": "Id of the rate card.",
        "quotas": "Agreed limits, and when to alert.",
        "throttle": "Request rate that the gateway grants.",
        "max_lag_s": "How old usage may be, in seconds, for `tollbook decide` to rest an answer on it.",
        "when_stale": "What `tollbook decide` answers when usage is older: open allows requests, closed denies them.",
    },
    "Quota": {
        "meter": "Id of the meter.",
        "period": "DAY, WEEK (from Monday) or MONTH, in the partner's time zone.",
        "limit": "Limit in the meter's unit. The quota is used up when usage reaches it.",
        "thresholds": "Percentages of the limit at which to alert, ascending.",
        "enforce": _ENFORCE,
        "grace_percent": _GRACE,
    },
    "Budget": {
        "amount": "Amount a month, in the currency of the invoices, without tax.",
        "thresholds": "Percentages of the amount at which to alert, ascending.",
        "enforce": _ENFORCE,
        "grace_percent": _GRACE,
    },
    "Throttle": {
        "rate_per_s": "Sustained requests per second.",
        "burst": "Requests above the rate that are allowed at once.",
    },
    "Partner": {
        "id": _ID,
        "name": "Name on the invoice.",
        "address": "Lines of the address on the invoice.",
        "vat_id": "Tax number on the invoice.",
        "country": _COUNTRY,
        "contact": "Person or department that invoices are addressed to.",
        "payment_terms_days": "Days from the invoice date to the due date. Without it, those of the legal entity.",
        "purchase_orders": "Its orders. An invoice names the order that pays for it.",
        "prices": "Its own prices. They replace those of the rate card; what is not named stays.",
        "discounts": "What is taken off a month, in this order, each off what the ones before left.",
        "minimums": "The least that a month costs.",
        "maximums": "The most that a month costs.",
        "fees": "Its fixed fees, beside those of the rate card.",
        "commitments": "The least that it pays in each month, quarter or year.",
        "credits": "What it paid in advance. It is used up by invoices.",
        "appendices": "What invoices list at their end: the usage of each line by day (`days`) and by route (`routes`).",
        "language": "Language of the partner's documents: English (en) or German (de).",
        "reference": "The partner's own reference on the invoice, such as an order number.",
        "legal_entity": "Id of the legal entity that invoices it. Required, except for status internal, which must not have one.",
        "time_zone": "IANA name, such as Europe/Berlin. Its months and days begin at midnight there.",
        "status": "Usage of a suspended partner is counted and flagged. Usage of an internal partner is never invoiced.",
        "plans": "Its plans over time. They must not overlap.",
        "budget": "What it wants to pay at most in a month.",
        "credentials": "The credentials that identify its requests in a log.",
    },
    "OwnPrices": {
        "plan": "Id of the plan whose prices are replaced. Without it, every plan of the partner.",
        "currency": _CURRENCY_OF_PLANS,
        "rates": "The rates. Each replaces the rates of the same meter, or the fee of the same description; another fee is added.",
    },
    "Discount": {
        "description": _DESCRIPTION,
        "meter": "Id of the meter whose lines are discounted. Without it, the whole month.",
        "percent": "Percentage that is taken off, up to 100.",
        "amount": "Amount that is taken off each month, at most what there is.",
        "currency": f"{_CURRENCY_OF_PLANS} Only with `amount`.",
    },
    "Bound": {
        "amount": "Amount of a month, after discounts.",
        "currency": _CURRENCY_OF_PLANS,
        "prorated": "Whether a month in which the partner has a plan for a part of the time has that share of the amount.",
    },
    "Fee": {
        "id": _ID,
        "description": _DESCRIPTION,
        "amount": "Amount of a month.",
        "currency": _CURRENCY_OF_PLANS,
        "due": "arrears: the bill of a month has the fee of that month. advance: it has the fee of the next month.",
        "proration": "Whether a part of a month pays its share by time, or by days that count the same.",
    },
    "Commitment": {
        "amount": "The least that a term costs, after discounts and limits of its months.",
        "currency": _CURRENCY_OF_PLANS,
        "term": "month, quarter (3 months) or year (12 months), counted from `valid_from`.",
        "overage_factor": "Factor for what exceeds the amount: 1 leaves its price, 0.9 makes it a tenth cheaper, 1.2 a fifth dearer.",
        "billed_elsewhere": "What was billed in the first term before Tollbook issued invoices, and counts towards the amount.",
    },
    "Credit": {
        "id": _ID,
        "description": _DESCRIPTION,
        "amount": "What was paid.",
        "currency": "ISO 4217 code. It pays only for invoices in this currency.",
        "priority": "The credit with the smallest number pays first; of equal ones the one that ends first.",
    },
    "PurchaseOrder": {
        "number": "Its number, as the partner wrote it.",
        "amount": "What it pays for at most. Without it, there is no limit.",
        "currency": "ISO 4217 code of `amount`.",
    },
    "PlanAssignment": {
        "plan": "Id of the plan.",
        "valid_from": _DATE_FROM,
        "valid_to": "Day after the last day. Without it, the plan has no end.",
    },
    "Grant": {
        "actions": "Actions as IAM names them (service:Action), such as s3:GetObject. * matches any characters, ? one.",
        "resources": "ARNs, with * and ? as in IAM. Without it, any resource.",
        "networks": "Networks (CIDR) to allow requests from. Without it, any network.",
    },
    "Credential": {
        "kind": "api_key, iam (an ARN), consumer (of a gateway) or oidc (an issuer and its client).",
        "id": "Id as the log shows it, never the secret itself. Not for oidc.",
        "issuer": "The token's `iss`. Only for oidc.",
        "client_id": "The token's client. Without it, every client of the issuer.",
        "networks": "Networks (CIDR) that it may be used from. Usage from elsewhere is counted, marked and reported. Without it, any network.",
        "allow": "What its policy allows. Only for iam. Usage outside the policy is counted, marked and reported. Without it, anything.",
        "valid_from": "Day or instant from which it belongs to this partner. Without it, there is no beginning.",
        "valid_to": "Day or instant from which it no longer belongs to this partner. Without it, there is no end.",
    },
}


def catalog_schema() -> dict[str, Any]:
    """The JSON Schema of one catalog file, with a description of every field."""
    schema: dict[str, Any] = {"$schema": _DIALECT, **Catalog.model_json_schema()}
    schema["title"] = "A Tollbook catalog"
    schema["description"] = (
        "One file of a catalog, with any of its sections. All files of a folder together form the catalog."
    )
    for name, record in (("Catalog", schema), *schema["$defs"].items()):
        for field, found in record["properties"].items():
            found.pop("title", None)  # it repeats the name
            found["description"] = found.pop("description", None) or DESCRIPTIONS[name][field]
    schema["$defs"]["RateCard"]["properties"]["currency"]["enum"] = sorted(MINOR_UNITS)
    for field in ("status", "exclude_status"):
        _as_text_or_number(schema["$defs"]["Filter"]["properties"][field])
    return schema


def catalog_schema_text() -> str:
    """The text of schemas/catalog.schema.json."""
    return json.dumps(catalog_schema(), indent=2, ensure_ascii=False) + "\n"


def _as_text_or_number(lists: dict[str, Any]) -> None:
    """Allow numbers in a list of status codes: YAML reads 429 as a number, the catalog reads every scalar as text."""
    for found in (lists, *lists.get("anyOf", ())):
        if "items" in found:
            found["items"] = {"anyOf": [found["items"], {"type": "integer", "minimum": 0, "maximum": 599}]}
