"""Reads the output of `terraform show -json` for a plan (`planned_values`) or a state (`values`), with child modules.

Only the attributes named here are read, because other parts of a plan hold secrets. Where a value is unknown before
`terraform apply`, the reader follows the references in the configuration. Limits and owners are then known even without
ids.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from billing.catalog.imports import iam
from billing.catalog.imports.model import BadDocument, ImportedCredential, ImportedPlan, ImportModel, Note, Period
from billing.catalog.imports.reading import json_document, json_object, number, objects, text, texts
from billing.catalog.imports.terraform_resources import Resource, Resources

WHAT = "the output of `terraform show -json` for a plan or a state"
_FORMAT = re.compile(r"1\.\d+")
_PERIODS: Mapping[str, Period] = {"DAY": "DAY", "WEEK": "WEEK", "MONTH": "MONTH"}
_READ = {
    "aws_api_gateway_api_key", "aws_api_gateway_usage_plan", "aws_api_gateway_usage_plan_key", "aws_iam_policy", "aws_iam_role",
    "aws_iam_user", "aws_iam_role_policy", "aws_iam_user_policy", "aws_iam_role_policy_attachment", "aws_iam_user_policy_attachment",
    "aws_iam_policy_attachment", "aws_iam_policy_document",
}  # fmt: skip
_SECRET = {
    "aws_api_gateway_api_key": ("value",),
    "aws_api_gateway_usage_plan_key": ("value",),
    "aws_iam_access_key": ("secret", "ses_smtp_password_v4"),
}
# Resource types that affect who may call and that are not read: the reason, and what to do.
_GROUPS = "groups are not followed", "import their policies with `tollbook catalog import iam` for each member's ARN"
_BY_RESOURCE = (
    "it is a resource-based policy; only policies of principals are read",
    "add what it grants to a partner by hand; later imports keep it",
)
_NOT_READ = {
    "aws_iam_group_policy": _GROUPS,
    "aws_iam_group_policy_attachment": _GROUPS,
    "aws_iam_group_membership": _GROUPS,
    "aws_iam_user_group_membership": _GROUPS,
    "aws_s3_bucket_policy": _BY_RESOURCE,
    "aws_lambda_permission": _BY_RESOURCE,
    "aws_api_gateway_rest_api_policy": _BY_RESOURCE,
    "aws_cognito_user_pool_client": (
        "OIDC clients are not read",
        "add a credential of kind oidc by hand; later imports keep it",
    ),
}
_AFTER_APPLY = (
    "not known before `terraform apply`",
    "apply, then import the output of `terraform show -json` for the state",
)


def read(path: Path, *, tag: str) -> ImportModel:
    """The import model of a plan or a state. Raises BadDocument."""
    document = json_document(path, WHAT)
    version = document.get("format_version")
    if version is None:
        hint = "this is a raw state file; pass" if "serial" in document else "pass"
        raise BadDocument(f"{path} has no format_version; {hint} {WHAT}")
    if not isinstance(version, str) or not _FORMAT.fullmatch(version):
        raise BadDocument(
            f"{path} has an unsupported format_version; the import reads version 1, of Terraform 1.1 or newer"
        )
    return _TerraformReader(document, tag).model()


class _TerraformReader:
    def __init__(self, document: dict[str, Any], tag: str) -> None:
        self._tag = tag
        self._notes: list[Note] = []
        self._all = Resources(document)
        if document.get("errored") is True:
            self._note("plan", "errored", "the plan is incomplete, because planning failed", "plan again, then import")

    def model(self) -> ImportModel:
        plans, plan_of = self._usage_plans()
        credentials = [*self._api_keys(plan_of), *self._principals()]
        for r in self._all.by_address.values():
            for attribute in r.hidden:
                if (
                    r.type in _READ
                    and attribute in {"id", "name", "policy", "json", "arn"}
                    and r.hidden[attribute] is True
                ):
                    self._note(
                        r, attribute, "marked as sensitive, so it is not read", "remove the mark, or add it by hand"
                    )
            if r.type in _NOT_READ and r.managed:
                self._note(r, "", *_NOT_READ[r.type])
        others = Counter(
            r.type for r in self._all.by_address.values() if r.managed and r.type not in {*_READ, *_NOT_READ}
        )
        secrets = {
            v for r in self._all.by_address.values() for a in _SECRET.get(r.type, ()) if (v := text(r.values.get(a)))
        }
        return ImportModel(
            plans=tuple(plans), credentials=tuple(credentials), notes=tuple(dict.fromkeys(self._notes)), others=others, secrets=frozenset(secrets)
        )  # fmt: skip

    def _usage_plans(self) -> tuple[list[ImportedPlan], dict[str, list[Resource]]]:
        """The usage plans that have a key, and the plans of each key.

        A key is named by its address, or by its id if it has no resource.
        """
        plan_of: dict[str, list[Resource]] = {}
        keys_of: Counter[str] = Counter()
        for link in self._all.of("aws_api_gateway_usage_plan_key", managed=True):
            key = self._all.linked(link, "key_id", "aws_api_gateway_api_key", "id")
            plan = self._all.linked(link, "usage_plan_id", "aws_api_gateway_usage_plan", "id")
            name = key.address if key else text(link.get("key_id"))
            if plan is None:
                self._note(
                    link, "usage_plan_id", "its usage plan is not in the document", "import the document that has it"
                )
            if name is None:
                self._note(link, "key_id", "its key cannot be determined", _AFTER_APPLY[1])
            elif plan is not None:
                plan_of.setdefault(name, []).append(plan)
                keys_of[plan.address] += 1
            else:
                plan_of.setdefault(name, [])
        plans = []
        for r in self._all.of("aws_api_gateway_usage_plan", managed=True):
            if keys_of[r.address]:
                plans.append(self._usage_plan(r))
            else:
                self._note(r, "", "it has no key, so it is not imported", "add a key to it, or leave it as it is")
        return plans, plan_of

    def _usage_plan(self, r: Resource) -> ImportedPlan:
        quotas: dict[Period, Decimal] = {}
        for settings in objects(r.get("quota_settings")):
            period, limit = _PERIODS.get(str(settings.get("period"))), number(settings.get("limit"))
            if period is None or limit is None or limit <= 0:
                self._note(
                    r,
                    "quota_settings",
                    "a quota needs a limit above 0 and a period of DAY, WEEK or MONTH",
                    "add it by hand",
                )
                continue
            quotas[period] = limit
            if offset := number(settings.get("offset")):
                why = (
                    f"the gateway reduces the quota of the first period by {offset.normalize():f}; "
                    f"the catalog's quota applies in full"
                )
                self._note(r, "quota_settings.offset", why, "nothing to do once the first period is over")
        rate = burst = None
        for settings in objects(r.get("throttle_settings")):
            rate, burst = number(settings.get("rate_limit")), number(settings.get("burst_limit")) or Decimal(0)
            if rate is None or rate <= 0 or burst < 0 or burst != burst.to_integral_value():
                self._note(
                    r, "throttle_settings", "a throttle needs a rate above 0 and a whole burst", "add it by hand"
                )
                rate = burst = None
        for stage in objects(r.get("api_stages")):
            named = f"{text(stage.get('api_id')) or '?'}/{text(stage.get('stage')) or '?'}"
            why = f"a plan of the catalog is not bound to a stage ({named}): its quota applies to all requests that the meter counts"
            self._note(
                r, "api_stages", why, "to count stages separately, pass --meter with a meter that has `filter: routes`"
            )
            if objects(stage.get("throttle")):
                self._note(
                    r,
                    "api_stages.throttle",
                    "a catalog has no throttle for single methods",
                    "nothing to do: the gateway throttles",
                )
        names = (text(r.get("id")), text(r.get("name")), text(r.get("arn")))
        name = text(r.get("name")) or r.name
        return ImportedPlan(r.address, name, quotas, rate, None if burst is None else int(burst), _given(names))

    def _api_keys(self, plan_of: dict[str, list[Resource]]) -> Iterator[ImportedCredential]:
        keys = self._all.of("aws_api_gateway_api_key", managed=True)
        for r in keys:
            key_id = text(r.get("id"))
            if key_id is None:
                self._note(r, "id", *_AFTER_APPLY)
            if r.get("enabled") is False:
                why = "the key is disabled; the catalog has no such state, so it is imported as an enabled key"
                self._note(r, "enabled", why, "end the credential with valid_to at the end of its traffic")
            names = _given((key_id, text(r.get("name")), text(r.get("arn"))))
            yield self._key(r.address, key_id, names, self._tagged(r), plan_of.get(r.address, []))
        for name, plans in plan_of.items():
            if name not in self._all.by_address:
                yield self._key(name, name, (), None, plans)

    def _key(
        self, address: str, key_id: str | None, names: tuple[str, ...], tagged: str | None, plans: Sequence[Resource]
    ) -> ImportedCredential:
        if len(plans) > 1:
            listed = ", ".join(p.address for p in plans)
            why = f"the key is in several usage plans ({listed}); a partner has one plan at a time, so none is assigned"
            self._note(address, "usage plans", why, "assign one by hand; later imports keep it")
        plan = plans[0] if len(plans) == 1 else None
        owner = tagged or (self._tagged(plan) if plan else None)
        return ImportedCredential("api_key", key_id, address, names, owner, plan.address if plan else None)

    def _principals(self) -> Iterator[ImportedCredential]:
        policies = self._policies()
        for r in [*self._all.of("aws_iam_role"), *self._all.of("aws_iam_user")]:
            if not r.managed and r.address not in policies:
                continue
            arn = text(r.get("arn"))
            if arn is None and r.managed:
                self._note(r, "arn", *_AFTER_APPLY)
            if text(r.get("permissions_boundary")):
                why = "the boundary restricts the principal further; the check ignores it and allows more than AWS"
                self._note(r, "permissions_boundary", why, "narrow `allow` by hand if that matters")
            known = policies.get(r.address)
            if known is None:
                why = "the document has no policy for it, so its requests are not checked"
                self._note(r, "policy", why, "import its policy with `tollbook catalog import iam`")
            allow = None if known is None else iam.grants(known)
            names = _given((arn, text(r.get("name")), text(r.get("id"))))
            yield ImportedCredential("iam", arn, r.address, names, self._tagged(r), None, allow)

    def _policies(self) -> dict[str, list[iam.Policy]]:
        """The policies of each principal, by its address. An empty list means that its policies could not be read."""
        policies: dict[str, list[iam.Policy]] = {}
        for kind in ("role", "user"):
            for r in self._all.of(f"aws_iam_{kind}_policy", managed=True):
                self._inline(r, kind, policies)
            for r in self._all.of(f"aws_iam_{kind}_policy_attachment", managed=True):
                self._attached(r, self._principal(r, kind, kind), policies)
        for r in self._all.of("aws_iam_policy_attachment", managed=True):
            for kind in ("role", "user"):
                for name in texts(r.get(f"{kind}s")):
                    self._attached(r, self._named(name, kind, r, f"{kind}s"), policies)
            if texts(r.get("groups")):
                self._note(r, "groups", *_GROUPS)
        self._inside_roles(policies)
        return policies

    def _inside_roles(self, policies: dict[str, list[iam.Policy]]) -> None:
        """Adds the policies that are attributes of a role."""
        for r in self._all.of("aws_iam_role", managed=True):
            for block in objects(r.get("inline_policy")):
                if text(block.get("policy")):
                    name = f"{r.address}: inline_policy {text(block.get('name')) or '?'}"
                    policies.setdefault(r.address, []).extend(self._document(block.get("policy"), name))
            for arn in texts(r.get("managed_policy_arns")):
                self._by_arn(r, arn, r, policies)

    def _inline(self, r: Resource, kind: str, policies: dict[str, list[iam.Policy]]) -> None:
        principal = self._principal(r, kind, kind)
        if principal is not None:
            policies.setdefault(principal.address, []).extend(self._policy(r))

    def _attached(self, r: Resource, principal: Resource | None, policies: dict[str, list[iam.Policy]]) -> None:
        if principal is None:
            return
        policy = self._all.linked(r, "policy_arn", "aws_iam_policy", "arn")
        if policy is None:
            self._by_arn(r, text(r.get("policy_arn")), principal, policies)
        else:
            policies.setdefault(principal.address, []).extend(self._policy(policy))

    def _by_arn(self, r: Resource, arn: str | None, principal: Resource, policies: dict[str, list[iam.Policy]]) -> None:
        policy = None if arn is None else self._all.by("aws_iam_policy", "arn", arn)
        policies.setdefault(principal.address, [])
        if policy is not None:
            policies[principal.address] += self._policy(policy)
            return
        why = f"the policy {arn or '(not known before apply)'} is not in the document; the usage that it allows is marked as outside"
        self._note(r, "policy_arn", why, f"import it with `tollbook catalog import iam` for {principal.address}")

    def _principal(self, r: Resource, attribute: str, kind: str) -> Resource | None:
        name = text(r.get(attribute))
        if name is not None:
            return self._named(name, kind, r, attribute)
        principal = self._all.referred(r, attribute, f"aws_iam_{kind}")
        if principal is None:
            self._note(r, attribute, f"its {kind} cannot be determined", _AFTER_APPLY[1])
        return principal

    def _named(self, name: str, kind: str, r: Resource, attribute: str) -> Resource | None:
        principal = self._all.by(f"aws_iam_{kind}", "name", name.rpartition("/")[2])
        if principal is not None:
            return principal
        why = f"the {kind} {name} is not in the document, so its ARN is not known"
        self._note(r, attribute, why, "import the policy with `tollbook catalog import iam` and the ARN")
        return None

    def _policy(self, r: Resource) -> list[iam.Policy]:
        """The policy of a resource: its text, or the policy document that it refers to.

        If both are unknown, adds a note.
        """
        if text(r.get("policy")):
            return self._document(r.get("policy"), r.address)
        data = self._all.referred(r, "policy", "aws_iam_policy_document")
        if data is not None:
            if text(data.get("json")):
                return self._document(data.get("json"), data.address)
            if objects(data.get("statement")):
                return [self._with_notes(iam.policy(self._all.document(data), data.address))]
        self._note(r, "policy", f"{_AFTER_APPLY[0]}; the usage that it allows is marked as outside", _AFTER_APPLY[1])
        return []

    def _document(self, written: Any, address: str) -> list[iam.Policy]:
        return [self._with_notes(iam.policy(json_object(str(written), address, "a policy"), address))]

    def _with_notes(self, policy: iam.Policy) -> iam.Policy:
        self._notes += policy.notes
        return policy

    def _tagged(self, r: Resource) -> str | None:
        for attribute in ("tags", "tags_all"):
            tags = r.get(attribute)
            if isinstance(tags, dict) and text(tags.get(self._tag)):
                return str(tags[self._tag])
        return None

    def _note(self, at: Resource | str, attribute: str, why: str, remedy: str) -> None:
        self._notes.append(Note(at if isinstance(at, str) else at.address, attribute, why, remedy))


def _given(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(n for n in names if n))
