"""The command `tollbook`."""

import sys
from importlib.metadata import version

from cyclopts import App, CycloptsError

from tollbook import invoice_commands, run_commands
from tollbook.demo import demo
from tollbook.edge import USAGE, guarded

app = App(
    name="tollbook",
    help="From gateway access log to an invoice a partner cannot dispute. Start with `tollbook demo`.",
    version=version("tollbook"),
)
for command in (run_commands.run, run_commands.usage, run_commands.verify, run_commands.formats, demo):
    app.command(command)
for group in (invoice_commands.app, run_commands.dead, run_commands.catalog):
    app.command(group)


def main(argv: list[str] | None = None) -> None:
    """Run the command and exit with its code."""
    tokens = sys.argv[1:] if argv is None else argv
    try:
        command, bound, _ = app.parse_args(tokens, exit_on_error=False)
    except CycloptsError:
        sys.exit(USAGE)  # cyclopts has said what is wrong
    sys.exit(guarded(lambda: command(*bound.args, **bound.kwargs)))


if __name__ == "__main__":
    main()
