"""The application: the commands of the table, tollbook/cli/commands.py, and how one is run."""

import gc
import sys
from collections.abc import Callable
from importlib.metadata import version

from cyclopts import App, CycloptsError

from tollbook.cli import extras
from tollbook.cli.commands import COMMANDS, Command
from tollbook.cli.errors import EXIT_CODES, USAGE, guarded
from tollbook.cli.signals import loading
from tollbook.cli.terminal import complain

app = App(
    name="tollbook",
    help="From gateway access log to an invoice a partner cannot dispute.\n\nExample: tollbook demo",
    help_epilogue="Exit codes:\n" + "\n".join(f"{code:>5}  {meaning}" for code, meaning in EXIT_CODES.items()),
    help_format="plaintext",
    version=version("tollbook"),
)


def _register(listed: Command) -> None:
    """Add a command by name, not imported. If its extra is missing, it tells how to install that instead."""
    if listed.extra is None or extras.is_installed(listed.extra):
        own = {} if listed.is_group else {"help_epilogue": ""}  # a group sets its own
        app.command(listed.target, name=listed.name, sort_key=listed.place, help=listed.help, **own)
    else:
        text = f"Needs the extra `{listed.extra}`, which is not installed: pip install 'tollbook[{listed.extra}]'"
        refuse = extras.refusal(listed.extra, listed.name)
        app.command(refuse, name=listed.name, sort_key=listed.place, help=text, help_epilogue="")


for _each in COMMANDS:
    _register(_each)
app.register_install_completion_command(help="Install shell completion for bash, zsh or fish.", help_epilogue="")


def run(tokens: list[str], *, loaded: Callable[[], None] = lambda: None) -> int:
    """Run a command, and return its exit code. `loaded` is called when the command is imported and has not begun."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # characters outside the terminal's encoding must not fail
    return guarded(lambda: _run(tokens, loaded))


def close() -> None:
    """Close all databases before the process exits without teardown, which deletes their temporary files."""
    if (duck := sys.modules.get("lake.duck")) is not None:
        duck.close()
    gc.collect()  # a reference cycle may still hold a connection


def _run(tokens: list[str], loaded: Callable[[], None]) -> int | None:
    try:
        with loading():
            command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
            if command == app.help_print:
                _import_listed(bound.arguments["tokens"])
            loaded()
    except CycloptsError as exc:
        place = " ".join(("tollbook", *(exc.command_chain or ())))
        message = str(exc)
        complain(f"{message}{'' if message[-1:] in {'.', '?', '!'} else '.'} See `{place} --help`.")
        return USAGE
    code: int | None = command(*bound.args, **bound.kwargs)
    return code


def _import_listed(words: list[str]) -> None:
    """Import the commands that a help lists, since each is described by the first line of its docstring."""
    group = app.parse_commands(words)[1][-1]
    described = {each.name for each in COMMANDS if each.help} if group is app else set()
    for name in group:
        if name not in described:
            _ = group[name]
