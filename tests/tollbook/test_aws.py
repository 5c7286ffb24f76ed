"""`tollbook aws enforce` against an API Gateway that answers boto3 over HTTP (moto), and a real lake."""

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from tests.tollbook.deciding import use
from tests.tollbook.fixtures import METERS, SELLER, Ended, command

NOW = "2026-11-15T12:00:00Z"
USED = datetime(2026, 11, 10, tzinfo=UTC)
NEXT_MONTH = "2026-12-01T00:00:10Z"
SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
_USAGE = re.compile(r"/usageplans/([^/]+)/(?:keys/([^/]+)/)?usage")
_CATALOG = """
rate_cards:
  - id: card
    currency: EUR
    versions: [{valid_from: 2026-01-01, rates: [{meter: requests, price: {model: per_unit, unit_price: 1}}]}]
plans:
  - id: hard
    rate_card: card
    quotas: [{meter: requests, period: MONTH, limit: 10, enforce: block}]
partners:
"""
_PARTNER = """
  - {id: NAME, name: N, legal_entity: seller, time_zone: UTC, status: STATUS,
     plans: [{plan: hard, valid_from: 2026-01-01}], credentials: [{kind: api_key, id: KEY}]}
"""


class Counted:
    """What moto lacks: the usage of a plan, by key. All other requests go on to moto, and changes are recorded."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self.remaining: dict[tuple[str, str], int] = {}
        self.changes: list[str] = []
        self.refuse: set[str] = set()  # keys whose changes AWS throttles

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if method != "GET":
            self.changes.append(f"{method} {path}")
        if any(f"/{key}" in path for key in self.refuse) and method == "PATCH":
            start("400 Bad Request", [("Content-Type", "application/json"), ("x-amzn-ErrorType", "ConflictException")])
            return [json.dumps({"message": f"canary {SECRET}"}).encode()]
        found = _USAGE.fullmatch(path)
        if found is None:
            return self._app(environ, start)
        key = found[2] or dict(p.split("=") for p in environ["QUERY_STRING"].split("&"))["keyId"]
        if method == "PATCH":
            (change,) = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))["patchOperations"]
            assert (change["op"], change["path"]) == ("replace", "/remaining")
            self.remaining[found[1], key] = int(change["value"])
        left = self.remaining.get((found[1], key))
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"values": {} if left is None else {key: [[0, left]]}}).encode()]


class Aws(NamedTuple):
    client: Any
    counted: Counted
    url: str

    def key(self, name: str, description: str = "", *, enabled: bool = True) -> str:
        made = self.client.create_api_key(name=name, description=description, enabled=enabled)
        return str(made["id"])

    def state(self, key: str) -> tuple[bool, str]:
        found = self.client.get_api_key(apiKey=key)
        return found["enabled"], found["description"]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    counted = Counted(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, counted, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    try:
        client = boto3.client("apigateway", region_name="eu-central-1", endpoint_url=url)
        for item in client.get_api_keys()["items"]:  # moto keeps its state as long as the process
            client.delete_api_key(apiKey=item["id"])
        for item in client.get_usage_plans()["items"]:
            client.delete_usage_plan(usagePlanId=item["id"])
        counted.changes.clear()
        yield Aws(client, counted, url)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def catalog(folder: Path, *partners: tuple[str, str, str]) -> None:
    """Partners as name, key and status."""
    rows = [_PARTNER.replace("NAME", n).replace("KEY", k).replace("STATUS", s) for n, k, s in partners]
    (folder / "catalog").mkdir(exist_ok=True)
    (folder / "catalog" / "catalog.yaml").write_text(SELLER + METERS + _CATALOG + "".join(rows))


class Enforce:
    """The command, in the test's folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys

    def ended(self, *options: str, now: str = NOW) -> Ended:
        lake, catalog = self._folder / "lake", self._folder / "catalog"
        return command(
            self._capsys, "aws", "enforce", "--lake", lake, "--catalog", catalog, "--region", "eu-central-1", "--now", now, *options
        )  # fmt: skip

    def __call__(self, *options: str, now: str = NOW, code: int = 0) -> Any:
        done = self.ended("--json", *options, now=now)
        assert done.code == code, done.err
        assert SECRET not in done.out + done.err
        return done.json


@pytest.fixture
def enforce(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Enforce:
    return Enforce(tmp_path, capsys)


def calls(found: Any) -> list[tuple[str, str]]:
    return [(call["operation"], call["partner"]) for call in found["calls"]]


def test_a_key_is_disabled_and_enabled_again_when_the_period_turns(tmp_path: Path, aws: Aws, enforce: Enforce) -> None:
    over, under = aws.key("acme", "Key of Acme"), aws.key("bolt", "Key of Bolt")
    catalog(tmp_path, ("acme", over, "active"), ("bolt", under, "active"))
    use(tmp_path / "lake", "acme", 12, USED, "g1")
    use(tmp_path / "lake", "bolt", 9, USED, "g2")
    aws.counted.changes.clear()

    dry = enforce()
    assert calls(dry) == [("update_api_key", "acme")]
    assert not dry["applied"]
    assert not aws.counted.changes
    assert calls(enforce("--apply")) == [("update_api_key", "acme")]
    assert aws.state(over) == (False, "Key of Acme [disabled by Tollbook: QUOTA until 2026-12-01T00:00:00Z]")
    assert aws.state(under) == (True, "Key of Bolt")
    made = len(aws.counted.changes)
    assert enforce("--apply")["calls"] == []
    assert len(aws.counted.changes) == made == 1

    assert calls(enforce("--apply", now=NEXT_MONTH)) == [("update_api_key", "acme")]
    assert aws.state(over) == (True, "Key of Acme")
    assert enforce("--apply", now=NEXT_MONTH)["calls"] == []


def test_what_is_left_of_a_quota_is_set(tmp_path: Path, aws: Aws, enforce: Enforce) -> None:
    key, other = aws.key("acme"), aws.key("nobody")
    usage_plan = aws.client.create_usage_plan(name="hard", quota={"limit": 10, "period": "MONTH"})["id"]
    daily = aws.client.create_usage_plan(name="daily", quota={"limit": 5, "period": "DAY"})["id"]
    for plan_id in (usage_plan, daily):
        for each in (key, other):
            aws.client.create_usage_plan_key(usagePlanId=plan_id, keyId=each, keyType="API_KEY")
    catalog(tmp_path, ("acme", key, "active"))
    use(tmp_path / "lake", "acme", 4, USED, "g1")
    found = enforce("--apply")
    assert calls(found) == [("update_usage", "acme")]
    assert found["calls"][0]["why"] == "6 requests of the MONTH are left, AWS has 10"
    assert aws.counted.remaining == {(usage_plan, key): 6}
    assert enforce("--apply")["calls"] == []
    aws.counted.remaining[usage_plan, key] = 0  # AWS counted what was not billed
    enforce("--apply")
    assert aws.counted.remaining == {(usage_plan, key): 6}


def test_only_keys_of_the_catalog_and_only_those_that_tollbook_disabled_are_touched(
    tmp_path: Path, aws: Aws, enforce: Enforce
) -> None:
    by_hand = aws.key("acme", "leaked in May", enabled=False)
    unknown = aws.key("nobody", "[disabled by Tollbook: QUOTA]", enabled=False)
    catalog(tmp_path, ("acme", by_hand, "active"), ("core", "key-of-elsewhere", "active"))
    use(tmp_path / "lake", "acme", 1, USED, "g1")
    aws.counted.changes.clear()
    found = enforce("--apply")
    assert found["calls"] == []
    assert {s["partner"]: s["why"] for s in found["skipped"]} == {
        "acme": "allowed, but somebody else has disabled it",
        "core": "AWS has no such key in this region",
    }
    assert not aws.counted.changes
    assert aws.state(unknown) == (False, "[disabled by Tollbook: QUOTA]")


def test_a_suspended_partner_is_disabled_until_the_catalog_says_otherwise(
    tmp_path: Path, aws: Aws, enforce: Enforce
) -> None:
    key = aws.key("acme")
    catalog(tmp_path, ("acme", key, "suspended"))
    use(tmp_path / "lake", "acme", 1, USED, "g1")
    enforce("--apply")
    assert aws.state(key) == (False, "[disabled by Tollbook: SUSPENDED]")
    catalog(tmp_path, ("acme", key, "active"))
    enforce("--apply")
    assert aws.state(key) == (True, "")


def test_a_call_that_aws_refuses_stops_none_of_the_others(tmp_path: Path, aws: Aws, enforce: Enforce) -> None:
    first, second = sorted((aws.key("acme"), aws.key("bolt")))
    catalog(tmp_path, ("acme", first, "suspended"), ("bolt", second, "suspended"))
    use(tmp_path / "lake", "acme", 1, USED, "g1")
    aws.counted.refuse = {first}
    found = enforce("--apply", code=75)
    assert [call["error"] for call in found["calls"]] == ["ConflictException", None]
    aws.counted.refuse = set()
    assert calls(enforce("--apply")) == [("update_api_key", "acme")]


def test_an_unreachable_aws_is_told_in_a_line(
    tmp_path: Path, aws: Aws, enforce: Enforce, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog(tmp_path, ("acme", "k", "active"))
    use(tmp_path / "lake", "acme", 1, USED, "g1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    done = enforce.ended()
    assert done.code == 2
    assert done.err == "error: AWS cannot be asked: EndpointConnectionError\n"
