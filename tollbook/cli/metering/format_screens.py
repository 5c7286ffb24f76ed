"""Screens of log formats: the list, one format, and the likely formats of a log."""

from collections.abc import Iterator, Sequence

from ingest.decode.detection import FormatMatch
from ingest.decode.formats import Format
from tollbook.cli.terminal import out, sentence, table


def formats_table(formats: Sequence[Format]) -> None:
    """All formats, one per line."""
    view = table(None, "format", "what it reads")
    for f in formats:
        view.row(f.name, title(f))
    out.print(view)
    sentence("`tollbook formats NAME` shows the fields, units and id rule of a format. To try one on a file:")
    sentence("python -m ingest parse --format NAME FILE")


def readings_table(likely: Sequence[FormatMatch], found: Sequence[FormatMatch]) -> None:
    """The formats that can read a sample of a log, how many lines and fields they read, and the next step."""
    if not found:
        sentence("The file has no lines.")
        return
    if not likely:
        reasons = ", ".join(sorted({r.refused for r in found}))
        sentence(
            f"No format can read these lines ({reasons}). `tollbook formats` lists the known formats.", style="yellow"
        )
        sentence("A custom format is one SQL file; docs/formats.md shows how to write it.")
        return
    view = table(None, "format", ">lines read", ">of", ">fields in each", "most refused for")
    for r in likely:
        view.row(r.format, f"{r.accepted:,}", f"{r.entries:,}", f"{r.fields / r.accepted:.1f}", r.refused)
    out.print(view)
    first = [r.format for r in likely if r.rank == likely[0].rank]
    if len(first) == 1:
        sentence((first[0], "bold"), " reads the most lines. To see what it reads:")
    else:
        sentence(
            (" and ".join((", ".join(first[:-1]), first[-1])), "bold"),
            " read it equally well; choose the gateway that wrote it.",
        )
    sentence(f"python -m ingest parse --format {first[0]} FILE")


def format_text(found: Format) -> None:
    """The header of a format, with one paragraph per topic."""
    for paragraph in _paragraphs(found.header):
        if not paragraph.startswith(("in:", "out:")):
            sentence(paragraph)


def title(found: Format) -> str:
    """The first sentence of a format's header."""
    first = next(_paragraphs(found.header)).removeprefix(f"{found.name}:").strip()
    return first.partition(". ")[0].rstrip(".")


def _paragraphs(header: str) -> Iterator[str]:
    """The unwrapped paragraphs of a header. A line that begins with `Word:` starts a new paragraph."""
    text = ""
    for line in header.splitlines():
        label, colon, _ = line.partition(":")
        if text and colon and label.isidentifier() and (label[0].isupper() or label in {"in", "out"}):
            yield text
            text = line
        else:
            text = f"{text} {line.strip()}" if text else line
    yield text
