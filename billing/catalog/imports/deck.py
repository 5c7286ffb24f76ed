"""Reads Kong's configuration from `deck gateway dump`: consumers, groups, key-auth credentials and rate limits.

Keys are read only into the set of secrets that must not be shown. The access log identifies consumers and credentials
by id, so the import needs ids. A dump contains them with `--with-id`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from billing.catalog.imports.model import BadDocument, ImportedCredential, ImportedPlan, ImportModel, Note, Period
from billing.catalog.imports.reading import number, objects, text, texts, yaml_document

WHAT = "what `deck gateway dump` writes"
_FORMAT = re.compile(r"[1-3]\.\d+")
_LIMITS = ("rate-limiting", "rate-limiting-advanced")
_BY_CONSUMER = (None, "consumer", "credential", "consumer-group")
_PERIODS: Mapping[str, Period] = {"day": "DAY", "month": "MONTH"}
_SECONDS = {"1": "second", "60": "minute", "3600": "hour", "86400": "day"}
_UNSUPPORTED_UNITS = ("minute", "hour", "year")
# Credential types other than key-auth, by their field in a consumer.
_OTHER_CREDENTIALS = {
    "jwt_secrets": "jwt", "oauth2_credentials": "oauth2", "basicauth_credentials": "basic-auth",
    "hmacauth_credentials": "hmac-auth", "mtls_auth_credentials": "mtls-auth",
}  # fmt: skip
_SECRET = ("key", "secret", "password", "client_secret")
_WITH_ID = "create the file with `deck gateway dump --with-id`, then import again"
_KNOWN = {"consumers", "consumer_groups", "keyauth_credentials", "plugins", "services", "routes"}


class _Limits(NamedTuple):
    quotas: Mapping[Period, Decimal]
    rate_per_s: Decimal | None


def read(path: Path, *, tag: str) -> ImportModel:
    """The import model of a dump. Raises BadDocument."""
    document = yaml_document(path, WHAT)
    version = document.get("_format_version")
    if not isinstance(version, str) or not _FORMAT.fullmatch(version):
        raise BadDocument(f"{path} has no supported _format_version (1.1 to 3.x); pass {WHAT}")
    return _KongReader(document, tag).model()


class _KongReader:
    def __init__(self, document: dict[str, Any], tag: str) -> None:
        self._document, self._tag = document, tag
        self._notes: list[Note] = []
        self._plans: dict[str, ImportedPlan] = {}

    def model(self) -> ImportModel:
        groups = {_named(g): self._group(g) for g in objects(self._document.get("consumer_groups"))}
        credentials = [
            c for consumer in objects(self._document.get("consumers")) for c in self._consumer(consumer, groups)
        ]
        for address, owner in self._shared_plugins():
            for plugin in objects(owner.get("plugins")):
                self._note_shared_limit(plugin, address)
        others = {k: len(v) for k, v in self._document.items() if isinstance(v, list) and k not in _KNOWN}
        used = {c.plan for c in credentials}
        for plan in self._plans.values():
            if plan.address not in used:
                self._note(
                    plan.address,
                    "",
                    "no consumer has these limits, so they are not imported",
                    "add a consumer, or leave it as it is",
                )
        return ImportModel(
            plans=tuple(p for p in self._plans.values() if p.address in used), credentials=tuple(credentials),
            notes=tuple(dict.fromkeys(self._notes)), others=others, secrets=frozenset(_secrets(self._document)),
        )  # fmt: skip

    def _shared_plugins(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The objects whose plugins apply to all consumers: the top level, services and routes."""
        yield "plugins", {"plugins": [p for p in objects(self._document.get("plugins")) if _scope(p) is None]}
        for service in objects(self._document.get("services")):
            yield f"service {_named(service)}", service
            for route in objects(service.get("routes")):
                yield f"route {_named(route)}", route
        for route in objects(self._document.get("routes")):
            yield f"route {_named(route)}", route

    def _note_shared_limit(self, plugin: dict[str, Any], address: str) -> None:
        if plugin.get("name") in _LIMITS and plugin.get("enabled") != "false":
            scope = _scope(plugin)
            why = "it applies to a service, a route or all consumers; a plan of the catalog applies to all requests of one partner"
            self._note(
                f"{address}{f' ({scope})' if scope else ''}",
                str(plugin["name"]),
                why,
                "add a quota by hand if it was agreed",
            )

    def _group(self, group: dict[str, Any]) -> str | None:
        """The address of the plan with the group's limits. None if the group has no limit."""
        address = f"consumer group {_named(group)}"
        return self._limited(
            address, _named(group), self._own_plugins(group, "consumer_group", _named(group)), (_named(group),)
        )

    def _consumer(self, consumer: dict[str, Any], groups: Mapping[str, str | None]) -> Iterator[ImportedCredential]:
        name, consumer_id = _named(consumer), text(consumer.get("id"))
        address = f"consumer {name}"
        names = _given((text(consumer.get("username")), text(consumer.get("custom_id")), consumer_id))
        owner = self._tagged(consumer)
        plan = self._limited(
            address, name, self._own_plugins(consumer, "consumer", *names), names
        ) or self._groups_plan(consumer, address, groups)
        if consumer_id is None:
            self._note(address, "id", "the log identifies a consumer by its id, which is not in the file", _WITH_ID)
        yield ImportedCredential("consumer", consumer_id, address, names, owner, plan)
        keys = [*objects(consumer.get("keyauth_credentials")), *self._keys_of(names)]
        for place, key in enumerate(keys):
            key_id, where = text(key.get("id")), f"{address}: keyauth_credentials[{place}]"
            if key_id is None:
                self._note(
                    where,
                    "id",
                    "the log identifies a key by its id, which is not in the file; the key itself is a secret",
                    _WITH_ID,
                )
            yield ImportedCredential(
                "api_key", key_id, where, (*names, *_given((key_id,))), self._tagged(key) or owner, plan
            )
        for field, kind in _OTHER_CREDENTIALS.items():
            if objects(consumer.get(field)):
                self._note(
                    address,
                    field,
                    f"{kind} credentials are not read; the log still identifies the consumer",
                    "nothing to do",
                )

    def _keys_of(self, names: tuple[str, ...]) -> list[dict[str, Any]]:
        """The consumer's keys at the top level of the file, where the Admin API and DB-less Kong put them."""
        return [k for k in objects(self._document.get("keyauth_credentials")) if _reference(k.get("consumer")) in names]

    def _own_plugins(self, owner: dict[str, Any], field: str, *names: str) -> list[dict[str, Any]]:
        elsewhere = [p for p in objects(self._document.get("plugins")) if _reference(p.get(field)) in names]
        return [p for p in [*objects(owner.get("plugins")), *elsewhere] if p.get("name") in _LIMITS]

    def _groups_plan(self, consumer: dict[str, Any], address: str, groups: Mapping[str, str | None]) -> str | None:
        listed = consumer.get("groups")
        names = [*texts(listed), *(str(g.get("name")) for g in objects(listed))]
        names += [
            str(g.get("name"))
            for g in objects(self._document.get("consumer_groups"))
            if any(
                _reference(c) in _given((text(consumer.get("username")), text(consumer.get("id"))))
                for c in _items(g.get("consumers"))
            )
        ]
        limited = list(dict.fromkeys(plan for name in names if (plan := groups.get(name))))
        if len(limited) > 1:
            why = f"it is in several groups with limits ({', '.join(limited)}); a partner has one plan at a time, so none is assigned"
            self._note(address, "groups", why, "assign one by hand; later imports keep it")
        return limited[0] if len(limited) == 1 else None

    def _limited(self, address: str, name: str, plugins: list[dict[str, Any]], names: tuple[str, ...]) -> str | None:
        """Adds a plan with the limits of a consumer or group, and returns its address. None if there is no limit."""
        quotas: dict[Period, Decimal] = {}
        rate: Decimal | None = None
        for plugin in plugins:
            if plugin.get("enabled") == "false":
                self._note(
                    address, str(plugin["name"]), "the plugin is disabled, so it is not imported", "nothing to do"
                )
                continue
            if scope := _scope(plugin, but={"consumer", "consumer_group"}):
                why = f"it applies only to {scope}; a plan of the catalog applies to all requests of a partner"
                self._note(address, str(plugin["name"]), why, "add a quota by hand on a meter with `filter: routes`")
                continue
            limits = self._limits(plugin, address)
            quotas |= {period: min(limit, quotas.get(period, limit)) for period, limit in limits.quotas.items()}
            rates = [r for r in (rate, limits.rate_per_s) if r is not None]
            rate = min(rates) if rates else None
        if not quotas and rate is None:
            return None
        burst = None if rate is None else 0
        self._plans[address] = ImportedPlan(address, name, quotas, rate, burst, names)
        return address

    def _limits(self, plugin: dict[str, Any], address: str) -> _Limits:
        name, config = str(plugin["name"]), plugin.get("config")
        settings = config if isinstance(config, dict) else {}
        quotas: dict[Period, Decimal] = {}
        rate = None
        for unit, written in self._windows(settings, name, address):
            limit, attribute = number(written), f"{name}.{unit}"
            if limit is None or limit <= 0:
                self._note(
                    address,
                    attribute,
                    "a limit must be a number above 0",
                    "correct it at the gateway, or add the limit by hand",
                )
            elif unit == "second":
                rate = limit
            elif unit in _PERIODS:
                quotas[_PERIODS[unit]] = limit
                if settings.get("window_type", "sliding") == "sliding" and name == _LIMITS[1]:
                    why = "the gateway's window slides; the catalog counts whole days in the partner's time zone"
                    self._note(
                        address,
                        f"{name}.window_type",
                        why,
                        "expect the gateway to refuse requests earlier or later than the alert",
                    )
            else:
                why = f"{limit.normalize():f} requests per {unit}: a catalog has quotas per day, week or month, and a rate per second"
                self._note(address, attribute, why, "nothing to do: the gateway throttles")
        if settings.get("limit_by") not in _BY_CONSUMER:
            self._note(
                address,
                f"{name}.limit_by",
                "the gateway does not count by consumer, unlike the catalog",
                "check that the quota is intended",
            )
        return _Limits(quotas, rate)

    def _windows(self, settings: dict[str, Any], name: str, address: str) -> Iterator[tuple[str, Any]]:
        """The unit and the limit of each window."""
        if name == _LIMITS[0]:
            yield from (
                (unit, settings[unit])
                for unit in ("second", *_PERIODS, *_UNSUPPORTED_UNITS)
                if settings.get(unit) is not None
            )
            return
        limits, sizes = _items(settings.get("limit")), _items(settings.get("window_size"))
        if len(limits) != len(sizes):
            self._note(
                address, f"{name}.window_size", "the numbers of windows and limits differ", "correct it at the gateway"
            )
            return
        for limit, size in zip(limits, sizes, strict=True):
            yield _SECONDS.get(str(size), f"window of {size if number(size) is not None else '?'} s"), limit

    def _tagged(self, owner: dict[str, Any]) -> str | None:
        for written in texts(owner.get("tags")):
            name, mark, value = written.partition(":") if ":" in written else written.partition("=")
            if mark and name == self._tag and value:
                return value
        return None

    def _note(self, address: str, attribute: str, why: str, remedy: str) -> None:
        self._notes.append(Note(address, attribute, why, remedy))


def _scope(plugin: dict[str, Any], but: Iterable[str] = ()) -> str | None:
    """The object to which a plugin is scoped, such as `service orders`. Fields in `but` are skipped."""
    for field in ("consumer", "consumer_group", "service", "route"):
        if field not in but and (named := _reference(plugin.get(field))):
            return f"{field.replace('_', ' ')} {named}"
    return None


def _reference(value: Any) -> str | None:
    """The name or id in a reference, which is a string or an object."""
    if isinstance(value, dict):
        return next((found for f in ("username", "name", "id") if (found := text(value.get(f)))), None)
    return text(value)


def _named(thing: dict[str, Any]) -> str:
    return next((found for f in ("username", "name", "custom_id", "id") if (found := text(thing.get(f)))), "?")


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _secrets(document: dict[str, Any]) -> Iterator[str]:
    holders = [*objects(document.get("consumers")), document]
    for holder in holders:
        for field in ("keyauth_credentials", *_OTHER_CREDENTIALS):
            for credential in objects(holder.get(field)):
                yield from (v for name in _SECRET if (v := text(credential.get(name))))


def _given(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(n for n in names if n))
