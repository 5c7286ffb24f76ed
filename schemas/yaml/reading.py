"""A bounded YAML reader: every scalar is text, null is None, and anything beyond plain data is refused.

It builds values from parser events without recursion. Deep nesting and nested aliases are refused early, with a line
and a remedy. Scalars stay text, as YAML's type rules would turn prices into floats and `no` into a boolean.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

DEPTH_MAX = 64  # the deepest field of a catalog is at level eight
FAULTS_MAX = 1_000  # reading stops at this number
# The values that aliases may add: twenty times the written ones, plus an allowance for short files.
ALIASED_MAX, ALIASED_TIMES_MAX = 100_000, 20

# libyaml if it is available. Without it, reading ten thousand partners takes twenty seconds.
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_NULLS = {"", "~", "null"}
_QUOTES = {"'", '"'}


class Fault(NamedTuple):
    """An error: its line (from 1), its field ("" if it has none), and a message that says what to do."""

    line: int
    field: str
    message: str


class BadYaml(ValueError):
    """The text cannot be used. `faults` holds all errors, sorted by line."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = sorted(set(faults))
        super().__init__("\n".join(f"line {f.line}: {f.field and f.field + ': '}{f.message}" for f in self.faults))


def read(text: str) -> Any:
    """The value of a text, of mappings, lists, text and None. An empty text is None. Raises BadYaml.

    Aliases of one anchor share one object, so the result must not be modified.
    """
    builder = _ValueBuilder()
    try:
        builder.take(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise BadYaml([_unreadable(line, str(exc.problem))]) from None
    except yaml.YAMLError as exc:
        raise BadYaml(
            [Fault(1, "", f"cannot be read: {' '.join(str(exc).split())}; check that it is a UTF-8 text file")]
        ) from None
    if builder.faults:
        raise BadYaml(builder.faults)
    return builder.root


def composed(text: str) -> yaml.Node | None:
    """The nodes of a text that `read` accepted, for their line numbers."""
    node: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    return node


def _unreadable(line: int, problem: str) -> Fault:
    return Fault(line, "", f"invalid YAML: {problem}; correct the indentation or quoting there")


class _PendingCollection:
    """A collection that is not closed yet. `size` is the number of its values, including those that aliases repeat."""

    __slots__ = ("anchor", "is_key", "key", "line", "size", "value")

    def __init__(self, value: Any, line: int, anchor: str | None, *, is_key: bool) -> None:
        self.value, self.line, self.anchor, self.is_key = value, line, anchor, is_key
        self.key: str | None = None
        self.size = 1


class _ValueBuilder:
    """Builds a value from parser events. It stops when a bound is exceeded, and collects all other errors."""

    def __init__(self) -> None:
        self.root: Any = None
        self.faults: list[Fault] = []
        self._open: list[_PendingCollection] = []
        self._anchors: dict[str, tuple[Any, int] | None] = {}  # value and size; None while the collection is open
        self._written = self._aliased = 0
        self._is_over = False

    def take(self, events: Iterator[Any]) -> None:
        """Consume all events. Stops with an error at a second document or an exceeded bound."""
        steps = {
            yaml.DocumentStartEvent: self._document,
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._begin,
            yaml.SequenceStartEvent: self._begin,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
        }
        for event in events:
            step = steps.get(type(event))
            if step is not None:
                step(event)
            if self._is_over or len(self.faults) >= FAULTS_MAX:
                return

    def _document(self, event: Any) -> None:
        if self._written:
            self.faults.append(_unreadable(event.start_mark.line + 1, "a second document begins"))
            self._is_over = True

    def _scalar(self, event: Any) -> None:
        self._written += 1
        value = event.value
        if value in _NULLS and event.style not in _QUOTES:
            value = None
        if event.anchor is not None:
            self._name(event, (value, 1))
        self._add(value, event.value, 1, event)

    def _begin(self, event: Any) -> None:
        self._written += 1
        if len(self._open) == DEPTH_MAX:
            self._fault(event, "", f"is nested deeper than {DEPTH_MAX} levels; correct the brackets or the indentation")
            self._is_over = True
            return
        above = self._open[-1] if self._open else None
        is_key = above is not None and type(above.value) is dict and above.key is None
        if event.anchor is not None:
            self._name(event, None)
        value: Any = {} if type(event) is yaml.MappingStartEvent else []
        self._open.append(_PendingCollection(value, event.start_mark.line, event.anchor, is_key=is_key))

    def _end(self, event: Any) -> None:
        done = self._open.pop()
        if done.anchor is not None:
            self._anchors[done.anchor] = (done.value, done.size)
        if done.is_key:
            self.faults.append(Fault(done.line + 1, "", "a field's name must be text; correct the brackets"))
            self._open[-1].key = ""
            return
        self._add(done.value, None, done.size, event)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            self._fault(
                event, "", f"invalid YAML: no earlier value has the anchor &{event.anchor}; write the value out"
            )
            self._is_over = True
            return
        found = self._anchors[event.anchor]
        if found is None:
            self._fault(event, "", "this part contains itself; write it out")
            found = None, 1
        value, size = found
        self._aliased += size
        if self._aliased > ALIASED_MAX + ALIASED_TIMES_MAX * self._written:
            self._fault(
                event,
                "",
                f"the aliases up to here expand to {self._aliased:,} values, but the file has only {self._written:,} up to here; write them out",
            )
            self._is_over = True
            return
        self._add(value, value if isinstance(value, str) else None, size, event)

    def _add(self, value: Any, text: str | None, size: int, event: Any) -> None:
        """Add a value to the open collection. `text` is the value as a field's name, None if it cannot be one."""
        if not self._open:
            self.root = value
            return
        above = self._open[-1]
        above.size += size
        into = above.value
        if type(into) is list:
            into.append(value)
        elif above.key is not None:
            into[above.key] = value
            above.key = None
        elif text is None:
            self._fault(event, "", "a field's name must be text; correct the brackets")
            above.key = ""
        else:
            if text in into:
                self._fault(event, text, "is given twice; keep one")
            above.key = text

    def _name(self, event: Any, found: tuple[Any, int] | None) -> None:
        if event.anchor in self._anchors:
            self._fault(event, "", f"invalid YAML: two values have the anchor &{event.anchor}; rename one")
        self._anchors[event.anchor] = found

    def _fault(self, event: Any, field: str, message: str) -> None:
        self.faults.append(Fault(event.start_mark.line + 1, field, message))
