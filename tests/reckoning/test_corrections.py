"""The law of corrections, over the stories of many histories.

All documents that are about a month sum up to that month, priced once with all its usage by the catalog that holds for
it, less what a person credited. A credit by quantity is what the month costs less without it.
"""

from fractions import Fraction
from itertools import count
from pathlib import Path

import pytest

from billing.invoicing import issuing, stored
from tests.long import LONG
from tests.reckoning.histories import history
from tests.reckoning.story import Story, alone, is_usable

pytestmark = pytest.mark.integration

EVENTFUL = (10, 48, 55, 91)  # seeds of which each has three kinds of corrections or more
STORIES = range(0, 60 * 50, 50) if LONG else EVENTFUL


@pytest.mark.sampled(keep=1, whole=2)
@pytest.mark.parametrize("first", STORIES)
def test_the_documents_of_a_month_sum_up_to_the_month(first: int, tmp_path: Path) -> None:
    made = next(one for seed in count(first) if is_usable(one := alone(history(seed, small=True))))
    story = Story(tmp_path / "lake", made)
    story.play()
    assert first not in EVENTFUL or len(story.done) > 2, f"{story.done}: choose other seeds, of which more is corrected"
    assert story.wrong == [], made.seed
    assert story.billed() == story.worth(), made.seed
    every = sum((Fraction(row["total"]) for row in stored.rows(story.lake)), Fraction(0))
    assert every == sum(story.worth().values()) - story.by_hand(), made.seed
    assert [problem for checked in issuing.verify(story.lake) for problem in checked.problems] == []
