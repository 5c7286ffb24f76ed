"""`tollbook formats` and `tollbook formats detect`: the known log formats, and the format of a given log."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ingest.decode import detection
from ingest.decode import formats as known_formats
from ingest.files.block_reader import UnreadableFile, frames
from tollbook.cli.errors import OK, REFUSED, WrongUse
from tollbook.cli.metering import format_screens
from tollbook.cli.options import JsonOption
from tollbook.cli.terminal import show_json

app = App(name="formats", help_epilogue="")


@app.default
def formats(
    name: Annotated[str | None, Parameter(help="Show the details of this format.")] = None,
    /,
    *,
    json: JsonOption = False,
) -> int:
    """List the log formats, or show one: its fields, units and id rule.

    Example: tollbook formats kong
    """
    found = [known_formats.describe(n) for n in ([name] if name else known_formats.names())]
    if json:
        show_json([{**f._asdict(), "title": format_screens.title(f)} for f in found])
    elif name:
        format_screens.format_text(found[0])
    else:
        format_screens.formats_table(found)
    return OK


@app.command(help_epilogue="")
def detect(
    file: Annotated[Path, Parameter(help="Log file, plain or compressed. Its first 200 lines are read.")],
    /,
    *,
    json: JsonOption = False,
) -> int:
    """Propose the format of a log. Every format tries its first lines; the one that reads the most is listed first.

    The exit code is 1 if no format can read any line.

    Example: tollbook formats detect access.log
    """
    try:
        found = detection.matches(detection.sample(frames(file)))
    except UnreadableFile as exc:
        raise WrongUse(str(exc)) from exc
    likely = [r for r in found if r.accepted]
    if json:
        show_json([r._asdict() for r in found])
    else:
        format_screens.readings_table(likely, found)
    return OK if likely else REFUSED
