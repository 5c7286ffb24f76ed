"""Statements are planned once for each decoder: to plan one takes as long as to read some thousand lines."""

import pyarrow as pa
import pytest

from ingest.decode import formats
from ingest.decode.framing import LINES, UNREADABLE, Lines
from ingest.decode.pipeline import Decoder, SourceRules
from tests.ingest.fixtures import OWNERS


class Asked:
    """Lines that count how often they are asked for."""

    def __init__(self) -> None:
        self._table = LINES.empty_table()
        self.num_rows = 1  # a block without lines is not asked at all
        self.times = 0

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        self.times += 1
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.sampled(keep=5)
@pytest.mark.parametrize("name", formats.names())
def test_a_statement_is_planned_once(name: str) -> None:
    """When it runs its tables are asked for rows; to be planned they are asked as often before, in the first run twice."""
    decoder = Decoder(name, SourceRules("edge", may_tag=True, partner_field="partner"), OWNERS)
    lines = Asked()
    runs = []
    for layout in (None, "#Fields: date time", None):
        before = lines.times
        decoder.decode(Lines(lines, UNREADABLE.empty_table()), f"g{before}", layout=layout)  # type: ignore[arg-type]
        runs.append(lines.times - before)
    assert runs[1] == runs[2] < runs[0] / 2


def test_what_is_given_is_seen_by_the_next_run() -> None:
    """The plan stays, the lines do not."""
    decoder = Decoder("kong", SourceRules("edge"), OWNERS)
    for text in ("{}", "[]", "x"):
        one = pa.table([pa.array([7]), pa.array([text])], schema=LINES)
        (refused,) = decoder.decode(Lines(one, UNREADABLE.empty_table()), text).refused.to_pylist()
        assert (refused["raw"], refused["generation"], refused["position"]) == (text.encode(), text, 7)
