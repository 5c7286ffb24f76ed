"""`tollbook decide` over real HTTP, on a real lake that grows, goes away and comes back."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from aggregate.quota import grants
from aggregate.quota.grants import Asked
from lake.lake import Lake
from tests.tollbook.deciding import CATALOG, Reply, Server, decide, use, write_catalog
from tests.tollbook.waiting import eventually

NOW = datetime.now(UTC)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A lake in which acme has used 3 of 10, and its catalog."""
    use(tmp_path / "lake", "acme", 3, NOW, "g1")
    write_catalog(tmp_path / "catalog")
    return tmp_path


@pytest.fixture
def server(place: Path) -> Iterator[Server]:
    with decide(place / "lake", place / "catalog") as running:
        yield running


def test_usage_below_the_limit_is_allowed(shared: Server) -> None:
    reply = shared.decision("api_key:a-1")
    found = json.loads(reply.body)
    assert reply.status == 200
    assert reply.headers["x-tollbook-decision"] == "allow"
    assert "retry-after" not in reply.headers
    assert "x-tollbook-reason" not in reply.headers
    assert (reply.headers["x-ratelimit-limit"], reply.headers["x-ratelimit-remaining"]) == ("10", "7")
    assert reply.headers["ratelimit"].startswith('"requests-month";r=7;t=')
    assert (found["partner"], found["decision"], found["used"], found["limit"]) == ("acme", "allow", "3", "10")


def test_a_limit_that_is_reached_denies_without_a_restart(place: Path, server: Server) -> None:
    """Used up to one below the limit, it is allowed; at the limit it is denied, and another partner never is."""
    use(place / "lake", "acme", 6, NOW, "g2")
    eventually(lambda: json.loads(server.decision("api_key:a-1").body)["used"] == "9")
    assert server.decision("api_key:a-1").status == 200
    use(place / "lake", "acme", 1, NOW + timedelta(microseconds=1), "g3")
    eventually(lambda: server.decision("api_key:a-1").status == 403)
    reply = server.decision("api_key:a-1", deny="429")
    assert reply.status == 429
    assert (reply.headers["x-tollbook-decision"], reply.headers["x-tollbook-reason"]) == ("deny", "QUOTA")
    resets_at = datetime.fromisoformat(json.loads(reply.body)["resets_at"])
    assert abs(int(reply.headers["retry-after"]) - (resets_at - datetime.now(UTC)).total_seconds()) < 60
    assert server.decision("oidc:https%3A%2F%2Fi.example%7Cc").status == 403
    assert server.decision("api_key:b-1").status == 200


def test_a_grant_allows_again_and_a_revoked_one_denies(place: Path, server: Server) -> None:
    """Without new usage: a partner that is denied has none."""
    use(place / "lake", "acme", 7, NOW, "g2")
    eventually(lambda: server.decision("api_key:a-1").status == 403)
    asked = Asked("acme", "requests", "MONTH", Decimal(5), None, NOW + timedelta(days=1), "launch")
    found, _ = grants.record(Lake(place / "lake"), asked, by="ada", now=datetime.now(UTC))
    eventually(lambda: server.decision("api_key:a-1").status == 200)
    assert json.loads(server.decision("api_key:a-1").body)["limit"] == "15"
    grants.revoke(Lake(place / "lake"), found.grant_id, reason="mistake", by="ada", now=datetime.now(UTC))
    eventually(lambda: server.decision("api_key:a-1").status == 403)


@pytest.mark.slow
def test_a_quota_that_only_alerts_denies_nothing(place: Path, server: Server) -> None:
    use(place / "lake", "core", 50, NOW, "g2")
    eventually(lambda: json.loads(server.decision("api_key:c-1").body)["used"] == "50")
    assert server.decision("api_key:c-1").status == 200


@pytest.mark.slow
def test_who_is_suspended_or_unknown(place: Path, shared: Server) -> None:
    reply = shared.decision("api_key:d-1")
    assert (reply.status, reply.headers["x-tollbook-reason"]) == (403, "SUSPENDED")
    assert "retry-after" not in reply.headers
    assert shared.decision("api_key:nobody").status == 200
    with decide(
        place / "lake", place / "catalog", "--unknown", "deny", "--suspended", "allow", "--deny-status", "429"
    ) as other:
        assert other.decision("api_key:d-1").status == 200
        reply = other.decision("api_key:nobody")
        assert (reply.status, reply.headers["x-tollbook-reason"]) == (403, "UNKNOWN")


@pytest.mark.slow
def test_a_catalog_that_changes_is_reloaded_and_a_broken_one_is_not(place: Path, server: Server) -> None:
    use(place / "lake", "acme", 7, NOW, "g2")
    eventually(lambda: server.decision("api_key:a-1").status == 403)
    write_catalog(place / "catalog", CATALOG.replace("limit: 10, enforce: block", "limit: 11, enforce: block", 1))
    eventually(lambda: server.decision("api_key:a-1").status == 200)
    write_catalog(place / "catalog", "nonsense: [")
    eventually(lambda: server.ask("/readyz").status == 503)
    assert json.loads(server.decision("api_key:a-1").body)["limit"] == "11"
    assert server.ask("/healthz").status == 200


@pytest.mark.slow
def test_a_lake_that_goes_away_makes_the_state_stale_until_it_is_back(place: Path, server: Server) -> None:
    """Each plan says what then: acme's is closed, bolt's is open, and both say that the state is stale."""
    (place / "lake").rename(place / "away")
    eventually(lambda: server.decision("api_key:a-1").status == 403)
    closed, is_open = server.decision("api_key:a-1"), server.decision("api_key:b-1")
    assert (closed.headers["x-tollbook-reason"], closed.headers["x-tollbook-stale"]) == ("STALE", "true")
    assert int(closed.headers["retry-after"]) > 0
    assert (is_open.status, is_open.headers["x-tollbook-stale"]) == (200, "true")
    assert json.loads(is_open.body)["stale"] is True
    assert server.ask("/readyz").status == 503
    (place / "away").rename(place / "lake")
    eventually(lambda: server.decision("api_key:a-1").status == 200)
    assert "x-tollbook-stale" not in server.decision("api_key:a-1").headers
    assert server.ask("/readyz").status == 200


@pytest.mark.slow
def test_a_restart_after_a_kill_answers_the_same(place: Path) -> None:
    use(place / "lake", "acme", 7, NOW, "g2")
    replies: list[Reply] = []
    for _ in range(2):
        with decide(place / "lake", place / "catalog") as running:
            replies.append(running.decision("api_key:a-1"))
            running.process.kill()
    assert [r.status for r in replies] == [403, 403]


BAD: list[tuple[str, str, dict[str, str], int]] = [
    ("/v1/decision", "GET", {}, 400),  # no credential
    ("/v1/decision?credential=", "GET", {}, 400),
    ("/v1/decision?credential=password:x", "GET", {}, 400),
    ("/v1/decision?credential=api_key:a-1&deny=200", "GET", {}, 400),
    ("/v1/decision?credential=api_key:a-1&allow=403", "GET", {}, 400),
    ("/v1/decision?credential=api_key:a-1&deny=" + "4" * 5000, "GET", {}, 400),
    ("/v1/decision?credential=api_key:a-1", "BREW", {}, 405),
    ("/v1/decision?credential=api_key:a-1", "TRACE", {}, 405),
    ("/v1/decisions", "GET", {}, 404),
    ("/", "GET", {}, 404),
    ("/v1/decision?credential=api_key:" + "x" * 60_000, "GET", {}, 200),
    # What the client of a gateway chooses makes no error of its own: it is unknown.
    ("/v1/decision?credential=api_key:", "GET", {}, 200),
    ("/v1/decision?credential=api_key:%ff%00%0d%0aX-Tollbook-Decision:deny", "GET", {}, 200),
    ("/v1/decision?credential=api_key:" + "%F0%9F%92%A9" * 500, "GET", {}, 200),
    ("/v1/decision?credential=api_key:x" + "&a=1" * 3000, "GET", {}, 200),
    ("/v1/decision?credential=oidc:%7C%7C%7C", "GET", {}, 200),
    ("/v1/decision", "GET", {"X-Tollbook-Credential": "api_key:\xff\xfe"}, 200),
    ("/v1/decision/any/path?credential=api_key:x", "POST", {}, 200),  # Envoy
]


@pytest.mark.parametrize(("target", "method", "headers", "status"), BAD)
def test_bad_input_has_an_answer(
    shared: Server, target: str, method: str, headers: dict[str, str], status: int
) -> None:
    """And the next question is answered as if nothing had happened."""
    assert shared.ask(target, method, headers).status == status
    assert shared.decision("api_key:a-1").status == 200


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("decide")
    use(place / "lake", "acme", 3, NOW, "g1")
    with decide(place / "lake", write_catalog(place / "catalog")) as running:
        yield running


def test_a_client_cannot_choose_the_credential_or_the_status(shared: Server) -> None:
    """A header wins over the query, and the first of two parameters over the second."""
    header = {"X-Tollbook-Credential": "api_key:d-1"}
    assert shared.ask("/v1/decision/shop?credential=api_key:a-1", headers=header).status == 403
    assert shared.ask("/v1/decision?credential=api_key:d-1&credential=api_key:a-1").status == 403
    assert (
        shared.ask("/v1/decision?deny=429&path=/shop?x=1&deny=401", headers=header).status == 403
    )  # 429 is for limits


def test_head_and_204_have_no_body(shared: Server) -> None:
    for reply in (
        shared.ask("/v1/decision?credential=api_key:a-1", "HEAD"),
        shared.decision("api_key:a-1", allow="204"),
    ):
        assert reply.status in {200, 204}
        assert reply.body == b""
        assert reply.headers["x-tollbook-decision"] == "allow"


def test_no_credential_is_in_the_log(shared: Server) -> None:
    shared.decision("api_key:very-secret-id")
    shared.ask("/v1/decision?credential=nonsense:very-secret-id")
    assert "very-secret-id" not in json.dumps(shared.process.log_lines)


def test_who_is_suspended_is_not_told_to_come_again_later(shared: Server) -> None:
    """Gateways ask for 429, which is right for a limit alone."""
    reply = shared.decision("api_key:d-1", deny="429")
    assert (reply.status, reply.headers["x-tollbook-reason"]) == (403, "SUSPENDED")
    assert "retry-after" not in reply.headers
    assert shared.decision("api_key:d-1", deny="401").status == 401
