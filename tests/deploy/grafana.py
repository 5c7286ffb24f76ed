"""The dashboards of deploy/grafana/dashboards, as code: `python -m tests.deploy.grafana` writes their JSON.

grafana-foundation-sdk has the types of the Grafana that docker-compose.yml starts. `make dashboards` installs it into a
folder of its own and runs this module. Panels name the datasource that deploy/grafana/provisioning defines.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as choices
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from tests.deploy.dockerfile import ROOT

FOLDER = ROOT / "deploy" / "grafana" / "dashboards"
SOURCE = models.DataSourceRef(type_val="prometheus", uid="prometheus")
_WIDTH, _HEIGHT = 24, 8
_KINDS = {"stat": stat.Panel, "bars": bargauge.Panel, "lines": timeseries.Panel}


class Panel(NamedTuple):
    """`queries` are pairs of an expression and the legend of its series. `red` is where a threshold is drawn."""

    title: str
    about: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    draw: str = "lines"  # lines | bars | stat
    width: int = 12
    red: float | None = None
    stacked: bool = False


class Dashboard(NamedTuple):
    """A dashboard. `by` is the metric whose partners can be chosen above the panels; empty: none."""

    uid: str
    title: str
    about: str
    by: str
    since: str
    rows: Sequence[tuple[str, Sequence[Panel]]]


_OF = '{partner=~"$partner"}'
_QUOTA = "{{partner}} {{meter}} {{period}}"


def _quota(metric: str) -> str:
    return f"max by (partner, meter, period) ({metric}{_OF})"


def _partner(metric: str) -> str:
    return f"max by (partner) ({metric}{_OF})"


QUOTA = Dashboard(
    "tollbook-quota", "Tollbook: quota", "How far each quota is, how fast it is used, and where that leads.",
    "tollbook_quota_limit", "now-24h",
    [
        ("Now", [
            Panel("Quotas used up", "Quotas whose usage reached the limit.",
                  [("count(max by (partner, meter, period) (tollbook_quota_used_ratio) >= 1) or vector(0)", "used up")],
                  draw="stat", width=6, red=1),
            Panel("Quotas that will be used up", "Below the limit, and above it at the end of the period at the average rate so far.",
                  [(("count(max by (partner, meter, period) (tollbook_quota_projected_ratio) > 1"
                    " and max by (partner, meter, period) (tollbook_quota_used_ratio) < 1) or vector(0)"), "projected")],
                  draw="stat", width=6, red=1),
            Panel("Age of these figures", "Seconds since the metrics of partners were computed.",
                  [("time() - max(tollbook_partner_metrics_timestamp_seconds > 0)", "age")], "s", "stat", 6, 600),
            Panel("Alerts sent in the last 24 hours", "By kind.",
                  [("sum by (kind) (increase(tollbook_quota_alerts_total[24h]))", "{{kind}}")], draw="stat", width=6),
        ]),
        ("Usage", [
            Panel("Closest to their limit", "Usage by limit, of the twenty quotas that are closest.",
                  [(f"topk(20, {_quota('tollbook_quota_used_ratio')})", _QUOTA)], "percentunit", "bars", red=1),
            Panel("Projected to the end of the period", "Usage by limit at the average rate so far.",
                  [(f"topk(20, {_quota('tollbook_quota_projected_ratio')})", _QUOTA)], "percentunit", "bars", red=1),
            Panel("Usage by limit", "A line that reaches 100 % has used up its quota.",
                  [(_quota("tollbook_quota_used_ratio"), _QUOTA)], "percentunit", red=1),
            Panel("Burn rate", "Usage of the last hour, in the meter's unit.",
                  [(_quota("tollbook_quota_burn_per_hour"), _QUOTA)]),
            Panel("Hours until it is used up", "At the rate of the last hour.",
                  [((f"clamp_min({_quota('tollbook_quota_limit')} - {_quota('tollbook_quota_used')}, 0)"
                    f" / ({_quota('tollbook_quota_burn_per_hour')} > 0)"), _QUOTA)], "h"),
            Panel("Usage", "In the meter's unit.", [(_quota("tollbook_quota_used"), _QUOTA)]),
        ]),
    ],
)  # fmt: skip

NEIGHBOURS = Dashboard(
    "tollbook-neighbours", "Tollbook: neighbours", "Who takes which share of the gateway, and how the others fare.",
    "tollbook_partner_requests", "now-6h",
    [
        ("Shares", [
            Panel("Share of requests", "Of all requests of partners in the hour before.",
                  [(f"{_partner('tollbook_partner_requests')} / scalar(sum(max by (partner) (tollbook_partner_requests)))", "{{partner}}")],
                  "percentunit", stacked=True),
            Panel("Share of bytes", "Of all bytes of responses in the hour before.",
                  [(f"{_partner('tollbook_partner_response_bytes')} / scalar(sum(max by (partner) (tollbook_partner_response_bytes)))", "{{partner}}")],
                  "percentunit", stacked=True),
            Panel("Requests of an hour", "By partner.", [(_partner("tollbook_partner_requests"), "{{partner}}")]),
            Panel("Bytes of an hour", "Of responses, by partner.", [(_partner("tollbook_partner_response_bytes"), "{{partner}}")], "bytes"),
        ]),
        ("How they fare", [
            Panel("p95 of latency", "A partner that floods shows up as a rise of the others' lines.",
                  [(_partner("tollbook_partner_latency_p95_seconds"), "{{partner}}")], "s"),
            Panel("Share of 429", "The gateway throttles.", [(_partner("tollbook_partner_throttled_ratio"), "{{partner}}")], "percentunit", red=0.1),
            Panel("Share of 5xx", "The service fails.", [(_partner("tollbook_partner_errors_ratio"), "{{partner}}")], "percentunit", red=0.05),
            Panel("Slowest now", "p95 of latency of the last hour.",
                  [(f"topk(10, {_partner('tollbook_partner_latency_p95_seconds')})", "{{partner}}")], "s", "bars"),
        ]),
    ],
)  # fmt: skip

PIPELINE = Dashboard(
    "tollbook-pipeline", "Tollbook: pipeline health", "Whether logs become events in time, and nothing is lost or refused.",
    "", "now-6h",
    [
        ("Now", [
            Panel("Workers down", "Workers that do not answer a scrape.",
                  [('count(up{job="tollbook"} == 0) or vector(0)', "down")], draw="stat", width=6, red=1),
            Panel("Halted partitions", "They are not read until the cause is fixed.",
                  [("sum(tollbook_halted_partitions) or vector(0)", "halted")], draw="stat", width=6, red=1),
            Panel("Lag of the lake", "Messages that are not in the lake yet.",
                  [("sum(max by (topic, partition) (tollbook_land_lag_messages))", "lag")], draw="stat", width=6, red=1000),
            Panel("Lag of quota", "Totals that wait for the quota worker.",
                  [("sum(tollbook_quota_lag_messages)", "lag")], draw="stat", width=6, red=1000),
        ]),
        ("Flow", [
            Panel("Entries in a second", "Read by ingest, and what became of them in land.",
                  [("sum(rate(tollbook_ingest_entries_total[5m]))", "read"), ("sum(rate(tollbook_land_events_total[5m]))", "counted"),
                   ("sum(rate(tollbook_land_duplicates_total[5m]))", "duplicates"), ("sum(rate(tollbook_land_redelivered_total[5m]))", "sent again")]),
            Panel("Lag by topic", "Messages that are not in the lake yet.",
                  [("sum by (topic) (max by (topic, partition) (tollbook_land_lag_messages))", "{{topic}}")], red=1000),
            Panel("Commits", "Seconds for reading, dedup and commit of a batch.",
                  [(f"histogram_quantile({q}, sum by (le) (rate(tollbook_land_commit_seconds_bucket[5m])))", f"p{q * 100:.0f}") for q in (0.5, 0.95, 0.99)], "s"),
            Panel("HTTP requests", "From the head of a request to its answer, and how many fail.",
                  [("histogram_quantile(0.95, sum by (le) (rate(tollbook_http_request_seconds_bucket[5m])))", "p95")], "s"),
        ]),
        ("Refused", [
            Panel("Refused entries in a second", "By reason. Some are money: docs/operations.md.",
                  [("sum by (reason) (rate(tollbook_ingest_refused_total[5m]))", "{{reason}}")], stacked=True),
            Panel("Refused events over HTTP in a second", "By reason. Only their senders have them.",
                  [("sum by (reason) (rate(tollbook_http_refused_total[5m]))", "{{reason}}")], stacked=True),
            Panel("Conflicts and usage outside of what was agreed, in an hour", "Each is one for on-call.",
                  [("sum(increase(tollbook_land_conflicts_total[1h]))", "conflicts"), ("sum by (mark) (increase(tollbook_land_outside_total[1h]))", "{{mark}}"),
                   ("sum(increase(tollbook_land_unknown_credentials_total[1h]))", "unknown credentials")]),
            Panel("Webhooks in an hour", "Attempts to deliver alerts, by outcome.",
                  [("sum by (webhook, outcome) (increase(tollbook_quota_webhooks_total[1h]))", "{{webhook}} {{outcome}}")]),
        ]),
    ],
)  # fmt: skip

ALL = {"quota": QUOTA, "neighbours": NEIGHBOURS, "pipeline": PIPELINE}


def rendered(name: str) -> str:
    """The JSON of a dashboard."""
    built = _dashboard(ALL[name]).build()
    return json.dumps(built, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _dashboard(what: Dashboard) -> builders.Dashboard:
    made = (
        builders.Dashboard(what.title)
        .uid(what.uid)
        .description(what.about)
        .tags(["tollbook"])
        .readonly()
        .timezone("utc")
        .refresh("1m")
        .time(what.since, "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
    )
    if what.by:
        chosen = builders.QueryVariable("partner").label("Partner").datasource(SOURCE)
        chosen = chosen.query(f"label_values({what.by}, partner)").refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        made = made.with_variable(chosen.multi(True).include_all(True).all_value(".*"))
    y = number = 0
    for title, panels in what.rows:
        number += 1
        made = made.with_row(builders.Row(title).id(number).grid_pos(models.GridPos(h=1, w=_WIDTH, x=0, y=y)))
        y, x = y + 1, 0
        for panel in panels:
            if x + panel.width > _WIDTH:
                x, y = 0, y + _height(panel)
            number += 1
            place = models.GridPos(h=_height(panel), w=panel.width, x=x, y=y)
            made = made.with_panel(_panel(panel).id(number).grid_pos(place))
            x += panel.width
        y += _height(panels[-1])
    return made


def _height(panel: Panel) -> int:
    return _HEIGHT // 2 if panel.draw == "stat" else _HEIGHT


def _panel(panel: Panel) -> stat.Panel | bargauge.Panel | timeseries.Panel:
    made = _KINDS[panel.draw]().title(panel.title).description(panel.about).datasource(SOURCE)
    made = made.unit(panel.unit).min(0).no_value("none")
    made = made.thresholds(_thresholds(panel.red))
    if isinstance(made, timeseries.Panel):
        legend = common.VizLegendOptions().display_mode(choices.LegendDisplayMode.TABLE).show_legend(True)
        made = made.legend(legend.placement(choices.LegendPlacement.BOTTOM).calcs(["lastNotNull", "max"]))
        made = made.fill_opacity(20 if panel.stacked else 0).line_width(1).show_points(choices.VisibilityMode.NEVER)
        if panel.stacked:
            made = made.stacking(common.StackingConfig().mode(choices.StackingMode.NORMAL))
        if panel.red is not None:
            style = common.GraphThresholdsStyleConfig().mode(choices.GraphThresholdsStyleMode.LINE)
            made = made.thresholds_style(style)
    else:
        made = made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    if isinstance(made, bargauge.Panel):
        made = made.orientation(choices.VizOrientation.HORIZONTAL).display_mode(choices.BarGaugeDisplayMode.BASIC)
    instant = not isinstance(made, timeseries.Panel)
    for i, (expression, legend_text) in enumerate(panel.queries):
        query = prometheus.Dataquery().expr(expression).legend_format(legend_text).ref_id("ABCDEFGH"[i])
        query = query.datasource(SOURCE).format(PromQueryFormat.TIME_SERIES)
        made = made.with_target(query.instant() if instant else query.range())
    return made


def _thresholds(red: float | None) -> builders.ThresholdsConfig:
    steps = [models.Threshold(value=None, color="green")]
    if red is not None:
        steps.append(models.Threshold(value=red, color="red"))
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def write() -> None:
    """Write the files of all dashboards."""
    for name in ALL:
        (FOLDER / f"{name}.json").write_text(rendered(name))


if __name__ == "__main__":
    write()
