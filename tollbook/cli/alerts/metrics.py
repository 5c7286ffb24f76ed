"""`tollbook metrics`: the metrics of quotas and partners, for one machine without workers."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from billing.catalog import loading as catalogs
from lake.lake import Lake
from tollbook.cli import extras
from tollbook.cli.options import AT_LEAST_ONE, CatalogOption, LakeOption, NowOption, the_time
from tollbook.partner_figures import TOP, figures

PartnersOption = Annotated[
    int,
    Parameter(
        "--metrics-partners",
        env_var="TOLLBOOK_METRICS_PARTNERS",
        validator=AT_LEAST_ONE,
        help="Partners with metrics of their own: those closest to a limit. All others share one name.",
    ),
]


def metrics(
    *,
    catalog: CatalogOption,
    lake: LakeOption,
    textfile: Annotated[
        Path | None, Parameter("--textfile", help="Replace this file, for node_exporter, instead of printing.")
    ] = None,
    metrics_partners: PartnersOption = TOP,
    now: NowOption = None,
) -> int:
    """Print the metrics of quotas and partners in the format of Prometheus. On Kafka, `tollbook quota` serves them.

    Example: tollbook metrics --catalog catalog --lake my-lake --textfile /var/lib/node_exporter/tollbook.prom
    """
    extras.require("kafka", "`tollbook metrics`")
    from prometheus_client import generate_latest, write_to_textfile  # noqa: PLC0415  # of an extra

    from tollbook.workers import partner_metrics  # noqa: PLC0415
    from tollbook.workers.metrics import OF_PARTNERS, REGISTRY  # noqa: PLC0415

    instant = the_time(now)
    partner_metrics.show(figures(Lake(lake), catalogs.load(catalog), now=instant, top=metrics_partners), instant)
    chosen = REGISTRY.restricted_registry([family.name for gauge in OF_PARTNERS for family in gauge.describe()])
    if textfile is None:
        print(generate_latest(chosen).decode(), end="")
    else:
        write_to_textfile(str(textfile), chosen)
    return 0
