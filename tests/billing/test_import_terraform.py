"""Terraform's plans and states: usage plans, keys, policies; what belongs together before and after apply; nothing
left out unsaid.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.catalog.imports import terraform
from billing.catalog.imports.model import BadDocument, ImportedCredential, ImportedPlan, ImportModel
from tests.billing.import_documents import (
    POLICY,
    POLICY_ARN,
    ROLE,
    SECRET,
    USAGE_PLAN,
    VALUES,
    api_key,
    before_apply,
    linked,
    places,
    plan,
    plan_key,
    resource,
    role,
    role_policy,
    spoiled,
    state,
    usage_plan,
    written,
)
from tests.long import amount


def read(folder: Path, document: Any, tag: str = "tollbook_partner") -> ImportModel:
    return terraform.read(written(folder, document), tag=tag)


def noted(found: ImportModel) -> set[tuple[str, str]]:
    return {(n.address, n.attribute) for n in found.notes}


def test_a_usage_plan_tied_to_a_key_is_read_whole(tmp_path: Path) -> None:
    """1,000,000 requests a MONTH, rate 100, burst 50, one key: what issue 5 asks for, exactly, with nothing left
    out.
    """
    found = read(tmp_path, USAGE_PLAN)
    (usage,), (key,) = found.plans, found.credentials
    assert usage == ImportedPlan(
        "aws_api_gateway_usage_plan.wholesale", "Wholesale", {"MONTH": Decimal(1_000_000)}, Decimal(100), 50,
        ("u1p2l3", "Wholesale", "arn:aws:apigateway:eu-central-1::/usageplans/u1p2l3"),
    )  # fmt: skip
    assert (key.kind, key.id, key.partner, key.plan, key.allow) == (
        "api_key",
        "q7w8e9r0t1",
        "northwind",
        usage.address,
        None,
    )
    assert found.notes == ()
    assert SECRET in found.secrets


def test_a_state_and_a_plan_say_the_same(tmp_path: Path) -> None:
    """`planned_values` before apply, `values` after it."""
    resources = api_key(), usage_plan(), linked()
    assert read(tmp_path, state(*resources)) == read(tmp_path, plan(*resources))


def test_before_apply_what_belongs_together_is_told_by_the_references(tmp_path: Path) -> None:
    """No id exists yet: the plan and its partner are known, the key's id is named as what is missing."""
    found = read(tmp_path, before_apply())
    (key,) = found.credentials
    assert (key.id, key.partner, key.plan) == (None, "northwind", "aws_api_gateway_usage_plan.wholesale")
    assert [p.quotas for p in found.plans] == [{"MONTH": Decimal(1_000_000)}]
    assert noted(found) == {("aws_api_gateway_api_key.northwind", "id")}


def test_instances_of_for_each_in_child_modules_are_tied_by_their_index(tmp_path: Path) -> None:
    """One module for every partner, a key for each environment: the most usual shape of all."""
    resources = []
    for index in ('["test"]', '["live"]'):
        resources += [
            api_key(f'module.partner["nw"].aws_api_gateway_api_key.key{index}', key_id=None),
            usage_plan(f'module.partner["nw"].aws_api_gateway_usage_plan.plan{index}', plan_id=None, name=f"p{index}"),
            plan_key(f'module.partner["nw"].aws_api_gateway_usage_plan_key.tie{index}'),
        ]
    expressions = {
        "key_id": {"references": ["aws_api_gateway_api_key.key", "each.key"]},
        "usage_plan_id": {"references": ["aws_api_gateway_usage_plan.plan", "each.key"]},
    }
    tie = {"type": "aws_api_gateway_usage_plan_key", "name": "tie", "expressions": expressions}
    document = plan(configuration={"root_module": {"module_calls": {"partner": {"module": {"resources": [tie]}}}}})
    document["planned_values"]["root_module"]["child_modules"] = [
        {"address": 'module.partner["nw"]', "resources": resources}
    ]
    found = read(tmp_path, document)
    tied = [(k.address.partition(".key")[2], str(k.plan).partition(".plan")[2]) for k in found.credentials]
    assert tied == [('["test"]', '["test"]'), ('["live"]', '["live"]')]
    assert len(found.plans) == 2


def test_a_key_inherits_the_tag_of_its_plan_and_its_own_goes_first(tmp_path: Path) -> None:
    """Keys are often not tagged where plans are."""
    shared = usage_plan(tags={"tollbook_partner": "globex"})
    assert read(tmp_path, state(api_key(tags={}), shared, linked())).credentials[0].partner == "globex"
    assert read(tmp_path, state(api_key(), shared, linked())).credentials[0].partner == "northwind"
    assert (
        read(tmp_path, state(api_key(tags={"who": "initech"}), linked()), tag="who").credentials[0].partner == "initech"
    )


def test_a_key_that_was_made_elsewhere_is_known_by_its_id(tmp_path: Path) -> None:
    """The document ties it to a plan, though it has no resource for it."""
    (key,) = read(tmp_path, state(usage_plan(), linked(key_id="elsewhere1"))).credentials
    assert (key.id, key.plan) == ("elsewhere1", "aws_api_gateway_usage_plan.wholesale")


# What a catalog cannot say of keys and plans: the resources, and the attribute that is named.
NOT_EXPRESSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "an offset": ([usage_plan(quota_settings=[{"limit": 10, "offset": 2, "period": "WEEK"}])], "quota_settings.offset"),
    "a quota of nothing": ([usage_plan(quota_settings=[{"limit": 0, "period": "DAY"}])], "quota_settings"),
    "an unknown period": ([usage_plan(quota_settings=[{"limit": 5, "period": "YEAR"}])], "quota_settings"),
    "a rate of nothing": ([usage_plan(throttle_settings=[{"burst_limit": 50, "rate_limit": 0}])], "throttle_settings"),
    "stages": ([usage_plan(api_stages=[{"api_id": "a1", "stage": "prod", "throttle": []}])], "api_stages"),
    "a method's throttle": ([usage_plan(api_stages=[{"api_id": "a1", "stage": "prod", "throttle": [{"path": "/x/GET"}]}])], "api_stages.throttle"),
    "a disabled key": ([api_key(enabled=False)], "enabled"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_EXPRESSED)
def test_what_a_catalog_cannot_say_of_a_usage_plan_is_named(tmp_path: Path, name: str) -> None:
    """Each with its address, why, and what to do: nothing is left out silently."""
    replaced, attribute = NOT_EXPRESSED[name]
    base = [r for r in (api_key(), usage_plan(), linked()) if r["address"] not in {x["address"] for x in replaced}]
    found = read(tmp_path, state(*base, *replaced))
    assert (replaced[0]["address"], attribute) in noted(found)
    assert all(n.why and n.remedy for n in found.notes)


def test_a_key_in_two_plans_is_assigned_to_none(tmp_path: Path) -> None:
    """A partner has one plan at a time: which one is a person's decision."""
    found = read(
        tmp_path,
        state(api_key(), usage_plan(), usage_plan("aws_api_gateway_usage_plan.b", "u2"), linked(), linked(plan_id="u2", address="aws_api_gateway_usage_plan_key.b")),
    )  # fmt: skip
    assert [k.plan for k in found.credentials] == [None]
    assert ("aws_api_gateway_api_key.northwind", "usage plans") in noted(found)


def test_a_plan_without_keys_and_a_tie_without_a_plan_are_named(tmp_path: Path) -> None:
    """Nobody's limits are no partner's."""
    found = read(tmp_path, state(usage_plan()))
    assert found.plans == ()
    assert noted(found) == {("aws_api_gateway_usage_plan.wholesale", "")}
    found = read(tmp_path, state(api_key(), linked()))
    assert noted(found) == {("aws_api_gateway_usage_plan_key.northwind", "usage_plan_id")}


def policy_resources(how: str) -> list[dict[str, Any]]:
    """A role with the policy of issue 5, in each of the ways in which Terraform can write it."""
    text = json.dumps(POLICY)
    attachment = resource("aws_iam_role_policy_attachment.a", {"role": "GlobexExport", "policy_arn": POLICY_ARN})
    managed = resource("aws_iam_policy.export", {"arn": POLICY_ARN, "name": "globex-export", "policy": text})
    return {
        "role policy": [role(), role_policy()],
        "attached policy": [role(), managed, attachment],
        "policy attachment": [role(), managed, resource("aws_iam_policy_attachment.a", {"roles": ["GlobexExport"], "users": [], "groups": [], "policy_arn": POLICY_ARN})],
        "data of a policy": [role(), {**managed, "mode": "data", "address": "data.aws_iam_policy.export"}, attachment],
        "inline block": [role(inline_policy=[{"name": "export", "policy": text}])],
        "managed_policy_arns": [role(managed_policy_arns=[POLICY_ARN]), managed],
    }[how]  # fmt: skip


GRANTS = ["s3:GetObject s3:ListBucket", "lambda:InvokeFunction"]


def actions(credential: ImportedCredential) -> list[str]:
    return [" ".join(g.actions) for g in credential.allow or ()]


@pytest.mark.parametrize(
    "how",
    ["role policy", "attached policy", "policy attachment", "data of a policy", "inline block", "managed_policy_arns"],
)
def test_the_policy_of_a_role_is_found_wherever_it_is_written(tmp_path: Path, how: str) -> None:
    """Six ways to give a role one policy, one result."""
    found = read(tmp_path, state(*policy_resources(how)))
    (credential,) = found.credentials
    assert (credential.kind, credential.id, credential.partner) == ("iam", ROLE, "globex")
    assert actions(credential) == GRANTS
    assert credential.allow is not None
    assert credential.allow[0].networks == ("203.0.113.0/24",)
    assert found.notes == ()


def test_users_have_policies_too(tmp_path: Path) -> None:
    """A service account may be a user with access keys, whose secret is no business of ours."""
    user = resource(
        "aws_iam_user.export",
        {"arn": "arn:aws:iam::444455556666:user/export", "name": "export", "tags": {"tollbook_partner": "globex"}},
    )
    own = resource("aws_iam_user_policy.export", {"user": "export", "policy": json.dumps(POLICY)})
    key = resource("aws_iam_access_key.export", {"user": "export", "secret": SECRET})
    found = read(tmp_path, state(user, own, key))
    (credential,) = found.credentials
    assert (credential.id, actions(credential)) == ("arn:aws:iam::444455556666:user/export", GRANTS)
    assert SECRET in found.secrets


DATA = "data.aws_iam_policy_document.export"
BLOCKS = [
    {
        "sid": "Read", "effect": "Allow", "actions": ["s3:GetObject", "s3:ListBucket"], "not_actions": [], "not_resources": [], "principals": [],
        "resources": ["arn:aws:s3:::wholesale-exports", "arn:aws:s3:::wholesale-exports/*"],
        "condition": [{"test": "IpAddress", "variable": "aws:SourceIp", "values": ["203.0.113.0/24"]}],
    },
    {"effect": "Allow", "actions": ["lambda:InvokeFunction"], "resources": ["arn:aws:lambda:eu-central-1:111122223333:function:quote"], "condition": []},
]  # fmt: skip


def by_document(values: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """A plan whose policy is made by aws_iam_policy_document and not known before apply."""
    configured = {
        "type": "aws_iam_role_policy",
        "name": "export",
        "expressions": {"policy": {"references": [f"{DATA}.json", DATA]}},
    }
    unknown = resource("aws_iam_role_policy.export", {"name": "export", "role": "GlobexExport"})
    return plan(
        role(),
        unknown,
        resource(DATA, values, mode="data"),
        configuration={"root_module": {"resources": [configured]}},
        **rest,
    )


@pytest.mark.parametrize(
    "values", [{"statement": BLOCKS}, {"json": json.dumps(POLICY)}], ids=["its blocks", "its json"]
)
def test_a_policy_document_is_read_where_the_policy_itself_is_not_known(tmp_path: Path, values: dict[str, Any]) -> None:
    """Actions, resources and conditions stand in the data source before anything is applied."""
    (credential,) = read(tmp_path, by_document(values)).credentials
    assert actions(credential) == GRANTS
    assert credential.allow is not None
    assert credential.allow[0].networks == ("203.0.113.0/24",)


@pytest.mark.parametrize("unknown", [{"condition": True}, True], ids=["its condition", "all of it"])
def test_a_part_of_a_policy_document_that_is_not_known_yet_is_never_taken_for_nothing(
    tmp_path: Path, unknown: Any
) -> None:
    """A condition that comes with apply would be missing, and the grant would hold for the whole world."""
    blocks = [{**BLOCKS[0], "condition": []}, {**BLOCKS[1], "resources": [None]}]
    changes = [{"address": DATA, "change": {"actions": ["read"], "after_unknown": {"statement": [unknown, {}]}}}]
    found = read(tmp_path, by_document({"statement": blocks}, resource_changes=changes))
    assert [c.allow for c in found.credentials] == [()]
    assert {a for _, a in noted(found)} >= {"Statement[1].Resource"}
    assert any("known after apply" in a for _, a in noted(found))


def test_a_policy_that_is_not_in_the_document_is_named_and_makes_the_check_stricter(tmp_path: Path) -> None:
    """What AWS's own policies allow is not known here: it is marked as outside until it was imported."""
    aws = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
    found = read(
        tmp_path,
        state(role(), resource("aws_iam_role_policy_attachment.a", {"role": "GlobexExport", "policy_arn": aws})),
    )
    assert [c.allow for c in found.credentials] == [()]
    assert any(aws in n.why for n in found.notes)


def test_a_role_without_a_policy_is_not_checked_and_has_a_note(tmp_path: Path) -> None:
    """Nothing known is not nothing allowed."""
    found = read(tmp_path, state(role()))
    assert [c.allow for c in found.credentials] == [None]
    assert noted(found) == {("aws_iam_role.export", "policy")}


def test_what_bears_on_access_and_is_not_read_is_named_and_the_rest_is_counted(tmp_path: Path) -> None:
    """A bucket policy is somebody's grant; a subnet is nobody's."""
    found = read(
        tmp_path,
        state(
            resource("aws_s3_bucket_policy.b", {"policy": "{}"}), resource("aws_iam_group_policy.g", {}), resource("aws_subnet.a", {}),
            resource("aws_subnet.b", {}),
        ),
    )  # fmt: skip
    assert noted(found) == {("aws_s3_bucket_policy.b", ""), ("aws_iam_group_policy.g", "")}
    assert found.others == {"aws_subnet": 2}


def test_a_boundary_is_named(tmp_path: Path) -> None:
    """The one place where the check knows less than AWS, so a note must name it."""
    found = read(tmp_path, state(role(permissions_boundary="arn:aws:iam::aws:policy/x"), role_policy()))
    assert noted(found) == {("aws_iam_role.export", "permissions_boundary")}


def test_what_is_marked_as_sensitive_is_not_read(tmp_path: Path) -> None:
    """The document marks it as sensitive, and an import prints what it reads."""
    hidden = {**role_policy(), "sensitive_values": {"policy": True}}
    found = read(tmp_path, state(role(), hidden))
    assert [c.allow for c in found.credentials] == [()]
    assert ("aws_iam_role_policy.export", "policy") in noted(found)


# What is no output of `terraform show -json`, and what the one line says.
BROKEN: dict[str, tuple[Any, str]] = {
    "not JSON": ('resource "aws_iam_role" "x" {}', "is not valid JSON"),
    "cut short": (json.dumps(USAGE_PLAN)[:300], "is not valid JSON"),
    "empty": ("", "is not valid JSON"),
    "a list": ("[]", "is not a JSON object"),
    "no format_version": ({"values": {}}, "has no format_version"),
    "a state file itself": ({"version": 4, "serial": 3, "resources": []}, "this is a raw state file"),
    "a format of tomorrow": ({**USAGE_PLAN, "format_version": "2.0"}, "unsupported format_version"),
    "a format of yesterday": ({**USAGE_PLAN, "format_version": "0.2"}, "unsupported format_version"),
    "a format that is none": ({**USAGE_PLAN, "format_version": 1}, "unsupported format_version"),
    "a field twice": ('{"format_version": "1.0", "format_version": "1.0"}', "has the same field twice"),
    "a number that is none": ('{"format_version": "1.0", "values": NaN}', "holds an invalid number"),
    "half of a character": (plan(api_key(key_id="\ud800")), "holds half of a character"),
    "a hundred thousand brackets": ("[" * 100_000, "nested too deeply"),
    "a policy that is none": (state(role(), role_policy("x")), "is not a JSON object"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_document_is_one_clear_line(tmp_path: Path, name: str) -> None:
    """It says what to name instead, and shows nothing of the document: any part of it could be a key."""
    document, says = BROKEN[name]
    with pytest.raises(BadDocument, match=says) as refused:
        read(tmp_path, document)
    assert "\n" not in str(refused.value)
    assert SECRET not in str(refused.value)


def test_whole_characters_are_read_however_they_are_written(tmp_path: Path) -> None:
    """Terraform writes some characters as a pair of escapes."""
    assert read(tmp_path, plan(api_key(key_id="\U0001f600"))).credentials[0].id == "\U0001f600"


def test_powershell_writes_utf_16_and_that_is_read(tmp_path: Path) -> None:
    """`terraform show -json > plan.json` there gives UTF-16 with a mark at its beginning."""
    file = tmp_path / "plan.json"
    file.write_bytes(json.dumps(USAGE_PLAN).encode("utf-16"))
    assert terraform.read(file, tag="tollbook_partner").plans
    file.write_bytes(json.dumps(USAGE_PLAN).encode("utf-8-sig"))
    assert terraform.read(file, tag="tollbook_partner").plans
    file.write_bytes(b'{"format_version": "\xff\xfe"}')
    with pytest.raises(BadDocument, match="is not UTF-8"):
        terraform.read(file, tag="tollbook_partner")


WHOLE = state(
    api_key(), usage_plan(api_stages=[{"api_id": "a", "stage": "b", "throttle": [{}]}]), linked(), role(inline_policy=[{"name": "n", "policy": json.dumps(POLICY)}]),
    *policy_resources("attached policy")[1:], role_policy(), resource("aws_iam_user.u", {"name": "u"}),
)  # fmt: skip


PLACES = places(WHOLE)[1:]


def test_the_document_that_is_spoiled_is_whole_to_begin_with(tmp_path: Path) -> None:
    """Else the next test would see nothing but refusals."""
    found = read(tmp_path, WHOLE)
    assert (len(found.plans), len(found.credentials)) == (1, 3)


@pytest.mark.integration
@settings(max_examples=amount(50, 200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PLACES), VALUES)
def test_reading_is_total(tmp_path: Path, place: tuple[str | int, ...], value: Any) -> None:
    """Whatever stands anywhere: it is read, or it is a BadDocument. A traceback would show what is in the document."""
    message = ""
    try:
        read(tmp_path, spoiled(WHOLE, place, value))
    except BadDocument as refused:
        message = str(refused)
    assert SECRET not in message
