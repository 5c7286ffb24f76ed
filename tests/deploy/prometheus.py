"""What Prometheus would refuse of our rules and configuration: the keys we use, in their types, and expressions parsed.

A key that these records do not have is refused even if Prometheus knows it: whoever uses it adds it here, with its
type.
"""

import re
from pathlib import Path
from typing import Annotated

import promql_parser
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from tests.deploy import strict_yaml


def _parsed(expression: str) -> str:
    promql_parser.parse(expression)
    return expression


def _template(text: str) -> str:
    """A template that shows labels and the value, and does nothing else."""
    rest = re.sub(r"\{\{ \$(?:value|labels\.[A-Za-z_]\w*) \}\}", "", text)
    if "{" in rest or "}" in rest:
        raise ValueError(f"{text!r} has a template that is neither {{{{ $value }}}} nor {{{{ $labels.NAME }}}}")
    return text


Expression = Annotated[str, AfterValidator(_parsed)]
Template = Annotated[str, AfterValidator(_template)]
Duration = Annotated[str, StringConstraints(pattern=r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$", min_length=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Target = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]+:\d+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Rule(_Strict):
    alert: str
    expr: Expression
    waits: Duration = Field("0s", alias="for")
    labels: dict[Name, Template]
    annotations: dict[Name, Template]


class Group(_Strict):
    name: str
    rules: list[Rule]


class Rules(_Strict):
    groups: list[Group]


class Static(_Strict):
    targets: list[Target]
    labels: dict[Name, str] = {}


class Job(_Strict):
    job_name: str
    static_configs: list[Static]


class Global(_Strict):
    scrape_interval: Duration
    evaluation_interval: Duration


class Managers(_Strict):
    static_configs: list[Static]


class Alerting(_Strict):
    alertmanagers: list[Managers]


class Config(_Strict):
    everywhere: Global = Field(alias="global")
    rule_files: list[str]
    alerting: Alerting
    scrape_configs: list[Job]


class SubRoute(_Strict):
    matchers: list[str]
    receiver: str
    repeat_interval: Duration


class Route(_Strict):
    receiver: str
    group_by: list[Name]
    group_wait: Duration
    group_interval: Duration
    repeat_interval: Duration
    routes: list[SubRoute]


class Inhibition(_Strict):
    source_matchers: list[str]
    target_matchers: list[str]


class Receiver(_Strict):
    name: str


class Alertmanager(_Strict):
    route: Route
    inhibit_rules: list[Inhibition]
    receivers: list[Receiver]


def alertmanager(file: Path) -> Alertmanager:
    """Alertmanager's configuration. Raises ValueError with what is wrong."""
    return Alertmanager.model_validate(strict_yaml.load(file.read_text()))


def rules(file: Path) -> list[Rule]:
    """The rules of a file. Raises ValueError with what is wrong."""
    groups = Rules.model_validate(strict_yaml.load(file.read_text())).groups
    _once("group", [group.name for group in groups])
    return [rule for group in groups for rule in group.rules]


def config(file: Path) -> Config:
    """A server's configuration, when its files of rules are there and valid. Raises ValueError with what is wrong."""
    parsed = Config.model_validate(strict_yaml.load(file.read_text()))
    _once("job", [job.job_name for job in parsed.scrape_configs])
    for name in parsed.rule_files:
        if not (file.parent / name).is_file():
            raise ValueError(f"{name} is not beside {file.name}")
        rules(file.parent / name)
    return parsed


def _once(kind: str, names: list[str]) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{kind} {', '.join(sorted(twice))} stands twice")
