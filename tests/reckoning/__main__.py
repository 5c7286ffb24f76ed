"""One history, and what the reckoning and the product make of it: python -m tests.reckoning SEED."""

import sys

import yaml

from tests.reckoning.balance import issued
from tests.reckoning.histories import history
from tests.reckoning.test_bills import differences


def show(seed: int) -> None:
    made = history(seed)
    previous = None
    for n, (run, outcome) in enumerate(zip(made.runs, issued(made.runs, made.events)[0], strict=True)):
        print(f"--- run {n}: {run.label}")
        if run.catalog != previous:
            print(yaml.safe_dump(run.catalog, sort_keys=False, width=200))
        previous = run.catalog
        for partner, one in outcome.items():
            print(partner, one.settled, *one.problems, *((one.bill.currency, one.bill.total) if one.bill else ()))
            for line in one.lines:
                print("   ", *line[:-1], "" if line.shown else "(not shown)")
    print(f"--- {len(made.events)} events", *made.events, "--- differences", *differences(made), sep="\n")


if __name__ == "__main__":
    show(int(sys.argv[1]))
