"""`python -m billing rate-cases` prices the cases of docs/pricing.md, to try a price and for conformance tests."""

import argparse
import json
import sys
from collections.abc import Iterable
from decimal import Decimal

from billing.pricing import cases
from billing.pricing.cases import BadCase
from billing.pricing.charge import PricingError


def main(argv: list[str] | None = None) -> int:
    """Exit code 0; 2 when a case cannot be read or priced, named by its line."""
    parser = argparse.ArgumentParser(
        prog="python -m billing",
        description="Price quantities as Tollbook prices invoices.",
        epilog="example: head -3 tests/billing/pricing_cases.jsonl | python -m billing rate-cases -",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    rate = commands.add_parser(
        "rate-cases",
        help='one JSON object per case: {"id", "amount", "lines"} or {"id", "unsupported"}; docs/pricing.md lists the models',
    )
    rate.add_argument("file", metavar="FILE", help="JSON lines, or - for standard input")
    args = parser.parse_args(argv)
    try:
        if args.file == "-":
            return _rate(sys.stdin.buffer)
        with open(args.file, "rb") as file:  # noqa: PTH123  # the name is shown as it was given
            return _rate(file)
    except OSError as exc:
        print(f"error: {args.file}: {exc.strerror}; name a file of JSON lines", file=sys.stderr)
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    return 2


def _rate(lines: Iterable[bytes]) -> int:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            case = json.loads(
                line.decode(), parse_float=Decimal
            )  # a number that is no string is read exactly all the same
            if not isinstance(case, dict):
                raise BadCase("a case is a JSON object")  # noqa: TRY301  # one place words all of a line's errors
            print(json.dumps(cases.answer(case), default=str))
        except (ValueError, RecursionError, BadCase, PricingError) as exc:
            print(f"error: line {number}: {exc}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
