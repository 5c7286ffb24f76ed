"""Lines read in both ways: by the statement alone, and with templates."""

import sys
from typing import Any

import pyarrow as pa

from ingest.decode.framing import Lines, split_lines
from ingest.decode.pipeline import NO_LIMITS, Attribution, Decoded, Decoder, SourceRules
from tests.ingest.fixtures import OWNERS


class Counting(Decoder):
    """Counts the lines that the statement reads."""

    asked = 0

    def _read(self, framed: Lines, generation: str, layout: str | None, limits: pa.Table) -> Decoded:
        self.asked += framed.lines.num_rows
        return super()._read(framed, generation, layout, limits)


def pair(format_name: str, rules: SourceRules | None = None, owners: Attribution = OWNERS) -> tuple[Decoder, Counting]:
    """A decoder without templates, and one with templates that counts."""
    rules = rules or SourceRules("edge")
    alone = Decoder(format_name, rules, owners, templates_from=sys.maxsize)
    return alone, Counting(format_name, rules, owners, templates_from=0)


def same(decoders: tuple[Decoder, Decoder], raw: bytes, start: int = 0, limits: pa.Table = NO_LIMITS) -> Decoded:
    framed = split_lines(raw, start)
    alone, with_templates = (decoder.decode(framed, "gen", limits) for decoder in decoders)
    assert with_templates.events.schema == alone.events.schema
    assert rows(with_templates.events) == rows(alone.events)
    assert rows(with_templates.refused) == rows(alone.refused)
    return with_templates


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """Times as numbers: a refused line may have a time that Python cannot represent."""
    at = table.schema.get_field_index("occurred_at")
    return table.set_column(at, "occurred_at", table["occurred_at"].cast(pa.int64())).to_pylist()  # type: ignore[no-any-return]
