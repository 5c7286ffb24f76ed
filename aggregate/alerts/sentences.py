"""Alerts as one line for people, with the figures that matter: for screens, chat, mail and incidents."""

from collections.abc import Callable, Mapping
from typing import Any

from schemas.alerts import Kind

Fields = Mapping[str, Any]  # of the key and the evidence
_PERIODS = {"DAY": "daily", "WEEK": "weekly", "MONTH": "monthly"}


def about(kind: Kind, key: Mapping[str, str], evidence: Mapping[str, Any]) -> str:
    """What an alert is about, without its subject. A figure that a message of another version lacks is left out."""
    try:
        return _LINES[kind]({**key, **evidence})
    except KeyError:
        return _MEANINGS[kind]


def _quota(of: Fields) -> str:
    used = f", used {number(of['used'])} of {number(of['limit'])}" if of.get("limit") else ""
    return f"{of['threshold_percent']} % of the {_PERIODS[of['quota_period']]} quota of {of['meter']} reached{used}"


def _exhaustion(of: Fields) -> str:
    if of["projected_day"] is None:
        return f"the {_PERIODS[of['quota_period']]} quota of {of['meter']} lasts after all"
    return (
        f"the {_PERIODS[of['quota_period']]} quota of {of['meter']} will be used up on {of['projected_day']}, "
        f"used {number(of['used'])} of {number(of['limit'])}"
    )


def _budget(of: Fields) -> str:
    return f"{of['threshold_percent']} % of the budget for {of['period']} reached, {of['amount']} of {of['budget']} {of['currency']}"


def _throttle(of: Fields) -> str:
    return (
        f"{of['peak_per_s']:,} requests in one second, allowed {of['rate_per_s']}/s with a burst of {of['burst']:,}; "
        f"{of['refused_percent']} % of {of['requests']:,} answered with 429"
    )


def _neighbour(of: Fields) -> str:
    return f"its {of['causes']} jumped while others were served worse ({of['effects']})"


def _network(of: Fields) -> str:
    networks = ", ".join(of["networks"]) or "an unknown network"
    what = "outside its networks" if of["outside"] == "NETWORK" else f"against its policy ({of['outside']})"
    return f"{of['requests']:,} requests {what}, from {networks}"


def _credential(of: Fields) -> str:
    sources = ", ".join(of["sources"])
    if "credentials" in of:
        return f"{of['credentials']:,} more unknown credentials with traffic at {sources}"
    return f"an unknown credential has {of['requests']:,} requests at {sources}"


def _conflict(of: Fields) -> str:
    return f"{of['entries']:,} entries contradict events that were counted"


def _silence(of: Fields) -> str:
    return f"sends nothing, usually {number(of['usual_requests_per_hour'])} requests an hour"


def _jump(of: Fields) -> str:
    usual = f"{of['earlier_least']:,} to {of['earlier_most']:,}"
    return f"{of['requests']:,} requests in an hour that had {usual} in the {of['earlier_weeks']} weeks before"


def _lag(of: Fields) -> str:
    return f"the newest entry is {int(of['behind_s']) // 60:,} minutes old, allowed are {int(of['limit_s']) // 60:,}"


def number(text: Any) -> str:
    """A decimal with separators of thousands."""
    whole, point, rest = str(text).partition(".")
    return f"{int(whole):,}{point}{rest}"


_LINES: Mapping[Kind, Callable[[Fields], str]] = {
    Kind.QUOTA: _quota,
    Kind.EXHAUSTION: _exhaustion,
    Kind.BUDGET: _budget,
    Kind.THROTTLE: _throttle,
    Kind.NEIGHBOUR: _neighbour,
    Kind.NETWORK: _network,
    Kind.CREDENTIAL: _credential,
    Kind.CONFLICT: _conflict,
    Kind.SILENCE: _silence,
    Kind.JUMP: _jump,
    Kind.LAG: _lag,
}
_MEANINGS: Mapping[Kind, str] = {
    Kind.QUOTA: "a threshold of a quota was reached",
    Kind.EXHAUSTION: "a quota will be used up early",
    Kind.BUDGET: "a threshold of the budget was reached",
    Kind.THROTTLE: "more requests than the plan's rate and burst allow",
    Kind.NEIGHBOUR: "its load slowed other partners down",
    Kind.NETWORK: "used outside of what was agreed",
    Kind.CREDENTIAL: "an unknown credential has traffic",
    Kind.CONFLICT: "entries contradict events that were counted",
    Kind.SILENCE: "sends nothing, and never was silent before",
    Kind.JUMP: "far from the same hour of earlier weeks",
    Kind.LAG: "Tollbook is behind",
}
