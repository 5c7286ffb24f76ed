"""`tollbook aws enforce`: decisions for AWS API Gateway. It needs the extra `aws`."""

import logging
from typing import Annotated

from cyclopts import Parameter

from aggregate.decisions.rule import DecisionPolicy
from lake.lake import Lake
from tollbook.aws import gateway
from tollbook.aws.gateway import Made
from tollbook.aws.plan import CallPlan, plan
from tollbook.aws.wanted import wanted
from tollbook.cli.errors import AGAIN, OK, WrongUse
from tollbook.cli.options import CatalogOption, JsonOption, LakeOption, NowOption, the_clock
from tollbook.cli.terminal import complain, out, sentence, show_json, table
from tollbook.deciding.follower import Follower


def enforce(
    *,
    lake: LakeOption,
    catalog: CatalogOption,
    region: Annotated[
        str | None, Parameter("--region", env_var="AWS_REGION", help="Region of the gateway. By default boto3's.")
    ] = None,
    apply: Annotated[
        bool, Parameter("--apply", negative="", show_default=False, help="Make the calls. By default they are listed.")
    ] = False,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Disable the API keys that are denied, enable them when they are allowed again, and set what is left of quotas.

    It lists the calls, and makes them with --apply. Repeat it every minute: with the same decisions there are no calls.
    Only keys that the catalog has are touched, and only those that Tollbook disabled are enabled. Credentials are those
    that boto3 finds, and none is shown.

    Example: tollbook aws enforce --lake my-lake --catalog examples/catalog --region eu-central-1
    """
    clock = the_clock(now)
    view = Follower(Lake(lake), catalog, clock=clock, log=logging.getLogger(__name__)).view
    decided = wanted(view.accounts, as_of=view.as_of, now=view.as_of, policy=DecisionPolicy())
    try:
        client = gateway.connected(region)
        planned = plan(decided, gateway.keys_of(client, decided, now=view.as_of))
    except gateway.AwsRefused as exc:
        raise WrongUse(str(exc)) from exc
    made = list(gateway.apply(client, planned.calls)) if apply else [Made(call, None) for call in planned.calls]
    if json:
        show_json(_document(planned, made, applied=apply))
    else:
        _show(planned, made, applied=apply)
    refused = [m for m in made if m.error is not None]
    for call, error in refused:
        complain(f"{call.operation} of key {call.key_id}: AWS answered {error}; repeat the command")
    return AGAIN if refused else OK


def _document(planned: CallPlan, made: list[Made], *, applied: bool) -> dict[str, object]:
    return {
        "applied": applied,
        "calls": [
            {
                "operation": call.operation, "key": call.key_id, "partner": call.partner_id, "arguments": call.arguments,
                "why": call.why, "error": error,
            }
            for call, error in made
        ],
        "skipped": [{"key": s.key_id, "partner": s.partner_id, "why": s.why} for s in planned.skipped],
    }  # fmt: skip


def _show(planned: CallPlan, made: list[Made], *, applied: bool) -> None:
    if made:
        view = table("Calls of AWS API Gateway", "key", "partner", "call", "why", "")
        for call, error in made:
            changes = ", ".join(f"{o['path'][1:]}={o['value']}" for o in call.arguments["patchOperations"])
            view.row(call.key_id, call.partner_id, f"{call.operation} {changes}", call.why, error or "")
        out.print(view)
    for skipped in planned.skipped:
        sentence(f"Left as it is: key {skipped.key_id} of {skipped.partner_id}: {skipped.why}.", style="dim")
    if not made:
        sentence("Nothing to call: AWS has what the decisions say.")
    elif applied:
        sentence((f"{sum(m.error is None for m in made):,}", "bold"), f" of {len(made):,} calls were made.")
    else:
        sentence("Nothing was called. --apply makes these calls.")
