"""Cases for every alert rule of deploy/alerts.yml: series for which it fires, and series just short of it.

Series are in promtool's notation, one value a minute: `0+6x120` begins at 0 and grows by 6 for two hours.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Series = Mapping[str, str]
_QUOTA = '{partner="acme",meter="requests",period="MONTH",instance="quota:9464"}'
_ACME = '{partner="acme",instance="quota:9464"}'
_GROWS, _STANDS, _BEFORE = "0+1x120", "7x120", "2h"


class Case(NamedTuple):
    """`at` is when both are evaluated. `labels` and `value` are those of the alert, beside its severity."""

    alert: str
    at: str
    fires: Series
    silent: Sequence[Series]
    labels: Mapping[str, str] = {}
    value: str = ""


def _grows(alert: str, series: str, labels: Mapping[str, str]) -> Case:
    """A counter that grew within the hour, against one that grew before."""
    return Case(alert, _BEFORE, {series: _GROWS}, [{series: _STANDS}], labels, "60")


CASES = (
    Case(
        "TollbookWorkerDown", "5m",
        {'up{job="tollbook",instance="land-1:9464"}': "0x10"},
        [{'up{job="tollbook",instance="land-1:9464"}': "0 0 1 0 0 0"}, {'up{job="node",instance="land-1:9100"}': "0x10"}],
        {"job": "tollbook", "instance": "land-1:9464"},
    ),
    Case(
        "TollbookHalted", "5m",
        {'tollbook_halted_partitions{reason="FORM",instance="a"}': "2x10", 'tollbook_halted_partitions{reason="FORM",instance="b"}': "1x10"},
        [{'tollbook_halted_partitions{reason="FORM",instance="a"}': "2 2 2 2 2 0"}],
        {"reason": "FORM"}, "3",
    ),
    Case(
        "TollbookLag", "20m",
        {'tollbook_land_lag_messages{topic="usage.events",partition="0",instance="a"}': "1001x30"},
        [  # two workers that report the same partition are one lag
            {
                f'tollbook_land_lag_messages{{topic="usage.events",partition="0",instance="{instance}"}}': "1000x30"
                for instance in "ab"
            },
        ],
        {"topic": "usage.events"}, "1001",
    ),
    Case(
        "TollbookNoProgress", "30m",
        {"tollbook_ingest_records_total": "0+9x60", "tollbook_land_commit_seconds_count": "5x60"},
        [
            {"tollbook_ingest_records_total": "0+9x60", "tollbook_land_commit_seconds_count": "0+1x60"},
            {"tollbook_ingest_records_total": "9x60", "tollbook_land_commit_seconds_count": "5x60"},
        ],
    ),
    _grows("TollbookConflicts", "tollbook_land_conflicts_total", {}),
    _grows("TollbookOutside", 'tollbook_land_outside_total{mark="NETWORK"}', {"mark": "NETWORK"}),
    _grows("TollbookUnknownCredential", 'tollbook_land_unknown_credentials_total{credential="3f9a"}', {"credential": "3f9a"}),
    Case(
        "TollbookRefused", "2h",
        {'tollbook_ingest_refused_total{reason="NO_TIME"}': "0+6x120", "tollbook_ingest_entries_total": "0+100x120"},
        [{'tollbook_ingest_refused_total{reason="NO_TIME"}': "0+4x120", "tollbook_ingest_entries_total": "0+100x120"}],
        {"reason": "NO_TIME"}, "360",
    ),
    Case(
        "TollbookHttpFails", "2h",
        {'tollbook_http_requests_total{status="503"}': "0+6x120", 'tollbook_http_requests_total{status="202"}': "0+94x120"},
        [
            {'tollbook_http_requests_total{status="503"}': "0+4x120", 'tollbook_http_requests_total{status="202"}': "0+96x120"},
            {'tollbook_http_requests_total{status="401"}': "0+50x120", 'tollbook_http_requests_total{status="202"}': "0+50x120"},
        ],
    ),
    Case(
        "TollbookHttpRefused", "2h",
        {'tollbook_http_refused_total{reason="NO_ID"}': "0+6x120", 'tollbook_http_accepted_total{producer="crm"}': "0+100x120"},
        [{'tollbook_http_refused_total{reason="NO_ID"}': "0+4x120", 'tollbook_http_accepted_total{producer="crm"}': "0+100x120"}],
        {"reason": "NO_ID"},
    ),
    Case(
        "TollbookFenced", "1h",
        {"tollbook_land_fenced_total": "0 1 2 3 4 5 6 7x60"}, [{"tollbook_land_fenced_total": "0 1 2 3 4 5 6x60"}],
    ),
    Case(
        "TollbookQuotaLag", "10m",
        {'tollbook_quota_lag_messages{instance="a"}': "600x20", 'tollbook_quota_lag_messages{instance="b"}': "401x20"},
        [{'tollbook_quota_lag_messages{instance="a"}': "1000x20"}], {}, "1001",
    ),
    Case(
        "TollbookQuotaReached", "5m",
        {f"tollbook_quota_used_ratio{_QUOTA}": "1 1.25x10"}, [{f"tollbook_quota_used_ratio{_QUOTA}": "0.9999x10"}],
        {"partner": "acme", "meter": "requests", "period": "MONTH"}, "1.25",
    ),
    Case(
        "TollbookQuotaBurn", "40m",
        {f"tollbook_quota_projected_ratio{_QUOTA}": "1.2x60", f"tollbook_quota_used_ratio{_QUOTA}": "0.6x60"},
        [
            {f"tollbook_quota_projected_ratio{_QUOTA}": "1.2x60", f"tollbook_quota_used_ratio{_QUOTA}": "0.5x60"},
            {f"tollbook_quota_projected_ratio{_QUOTA}": "1.1x60", f"tollbook_quota_used_ratio{_QUOTA}": "0.6x60"},
            {f"tollbook_quota_projected_ratio{_QUOTA}": "1.2x60", f"tollbook_quota_used_ratio{_QUOTA}": "1x60"},
        ],
        {"partner": "acme", "meter": "requests", "period": "MONTH"}, "1.2",
    ),
    Case(
        "TollbookThrottled", "15m",
        {f"tollbook_partner_throttled_ratio{_ACME}": "0.2x30", f"tollbook_partner_requests{_ACME}": "100 250x30"},
        [
            {f"tollbook_partner_throttled_ratio{_ACME}": "0.1x30", f"tollbook_partner_requests{_ACME}": "100x30"},
            {f"tollbook_partner_throttled_ratio{_ACME}": "0.2x30", f"tollbook_partner_requests{_ACME}": "99x30"},
        ],
        {"partner": "acme"}, "0.2",
    ),
    Case(
        "TollbookPartnerErrors", "15m",
        {f"tollbook_partner_errors_ratio{_ACME}": "0.06x30", f"tollbook_partner_requests{_ACME}": "100 250x30"},
        [
            {f"tollbook_partner_errors_ratio{_ACME}": "0.05x30", f"tollbook_partner_requests{_ACME}": "100x30"},
            {f"tollbook_partner_errors_ratio{_ACME}": "0.06x30", f"tollbook_partner_requests{_ACME}": "99x30"},
        ],
        {"partner": "acme"}, "0.06",
    ),
    Case(
        "TollbookPartnerMetricsOld", "20m",
        {"tollbook_partner_metrics_timestamp_seconds": "60x30"},
        [
            {"tollbook_partner_metrics_timestamp_seconds": "60+60x30"},
            # a worker that computes none reports 0, and another one's are new
            {
                'tollbook_partner_metrics_timestamp_seconds{instance="land-1:9464"}': "0x30",
                'tollbook_partner_metrics_timestamp_seconds{instance="quota:9464"}': "60+60x30",
            },
            {"tollbook_partner_metrics_timestamp_seconds": "0x30"},
        ],
        {}, "1140",
    ),
    Case(
        "TollbookWebhookFails", "2h",
        {
            'tollbook_quota_webhooks_total{webhook="crm",outcome="again"}': "0+1x120",
            'tollbook_quota_webhooks_total{webhook="crm",outcome="delivered"}': "7x120",
        },
        [
            {
                'tollbook_quota_webhooks_total{webhook="crm",outcome="again"}': "0+1x120",
                'tollbook_quota_webhooks_total{webhook="crm",outcome="delivered"}': "0+1x120",
            },
            {'tollbook_quota_webhooks_total{webhook="crm",outcome="again"}': "7x120"},
        ],
        {"webhook": "crm"}, "30",
    ),
)  # fmt: skip


def suite(rules: Mapping[str, Mapping[str, Any]], file: str, cases: Sequence[Case] = CASES) -> dict[str, Any]:
    """The file of `promtool test rules`. `rules` are those of deploy/alerts.yml by name, `file` is its path."""
    tests = []
    for case in cases:
        tests.append(_test(case, case.fires, [_expected(rules[case.alert], case)]))
        tests += [_test(case, series, []) for series in case.silent]
    return {"rule_files": [file], "evaluation_interval": "1m", "tests": tests}


def _test(case: Case, series: Series, expected: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected}],
    }


def _expected(rule: Mapping[str, Any], case: Case) -> dict[str, Any]:
    shown = {"$value": case.value, **{f"$labels.{name}": value for name, value in case.labels.items()}}

    def filled(text: str) -> str:
        return re.sub(r"\{\{ (\$[\w.]+) \}\}", lambda found: shown[found[1]], text)

    return {
        "exp_labels": {**rule["labels"], **case.labels},
        "exp_annotations": {name: filled(text) for name, text in rule["annotations"].items()},
    }
