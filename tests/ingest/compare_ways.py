"""Reads mutated lines of all JSON formats in both ways, and reports the first difference.

python -m tests.ingest.compare_ways --lines 10000000 --seed 1 [--page docs/results/mutated-lines.md]
"""

import argparse
import random
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from ingest.decode.framing import split_lines
from ingest.decode.pipeline import SourceRules
from tests.ingest.both_ways import pair
from tests.ingest.mutated_lines import WITH_TEMPLATES, mutated

_BLOCK = 20_000
_ROUNDS = 4  # blocks for a pair of decoders: templates of one block are used in the next


class Compared(NamedTuple):
    """What was compared of one format: lines, those that templates read, and accepted and refused entries."""

    format: str
    lines: int
    by_templates: int
    accepted: int
    refused: int


class Different(Exception):
    """A block is read differently in the two ways. The message names the seed and the first line."""


def compared(format_name: str, seed: int, lines: int) -> Compared:
    """Read `lines` mutated lines, of which each round of blocks has its own seed. Raises Different."""
    total = Compared(format_name, 0, 0, 0, 0)
    for at in range(0, lines, _BLOCK * _ROUNDS):
        chance = random.Random(f"{seed} {format_name} {at}")
        alone, counting = pair(format_name, SourceRules("edge", partner="acme"))
        for block in range(at, min(at + _BLOCK * _ROUNDS, lines), _BLOCK):
            raw = b"".join(mutated(format_name, chance, min(_BLOCK, lines - block)))
            framed = split_lines(raw, block * 1_000_000)
            before = counting.asked
            expected, got = alone.decode(framed, "gen"), counting.decode(framed, "gen")
            for name, one, other in (
                ("events", expected.events, got.events),
                ("refused", expected.refused, got.refused),
            ):
                if (position := _first_difference(one, other)) is not None:
                    raise Different(f"{format_name}, seed {seed}, block {block}: {name} at {position} differ")
            total = Compared(
                format_name,
                total.lines + framed.lines.num_rows,
                total.by_templates + framed.lines.num_rows - (counting.asked - before),
                total.accepted + got.events.num_rows,
                total.refused + got.refused.num_rows,
            )
    return total


def _first_difference(one: pa.Table, other: pa.Table) -> int | None:
    """The position of the first row that differs, or None."""
    one, other = _plain(one), _plain(other)
    if one.equals(other):
        return None
    for n in range(min(one.num_rows, other.num_rows)):
        if not one.slice(n, 1).equals(other.slice(n, 1)):
            return int(one["position"][n].as_py())
    return -1


def _plain(table: pa.Table) -> pa.Table:
    """The table without dictionaries, whose order may differ."""
    types = [field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in table.schema]
    return table.cast(pa.schema(list(zip(table.schema.names, types, strict=True)))).combine_chunks()


def page(found: list[Compared], seed: int) -> str:
    """The figures as a page of docs/results."""
    rows = [f"| {c.format} | {c.lines:,} | {c.by_templates:,} | {c.accepted:,} | {c.refused:,} |" for c in found]
    total = sum(c.lines for c in found)
    return "\n".join(
        [
            "# Mutated lines",
            "",
            f"Seed {seed}: {total:,} lines of all JSON formats, each with other ids, times and numbers, and some with another",
            "value, structure or byte, were read by the statement alone and with templates. No entry differs.",
            "`python -m tests.ingest.compare_ways` repeats it.",
            "",
            "| format | lines | read by templates | accepted | refused |",
            "| --- | ---: | ---: | ---: | ---: |",
            *rows,
            "",
        ]
    )


def main(words: list[str]) -> int:
    """Compare as many lines of each format, and print or write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.ingest.compare_ways", description=__doc__)
    parser.add_argument("--lines", type=int, default=200_000, help="lines of all formats together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page", type=Path, help="where to write the figures")
    given = parser.parse_args(words)
    found = []
    for name in WITH_TEMPLATES:
        began = time.monotonic()
        found.append(compared(name, given.seed, given.lines // len(WITH_TEMPLATES)))
        sys.stderr.write(f"{found[-1]} in {time.monotonic() - began:.0f} s\n")
    text = page(found, given.seed)
    if given.page:
        given.page.write_text(text)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
