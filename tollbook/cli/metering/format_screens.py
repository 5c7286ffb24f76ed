"""Log formats on a terminal: the list, one format, and the likely formats of a log."""

from collections.abc import Iterator, Sequence

from ingest.decode.detection import FormatMatch as Detected
from ingest.decode.formats import Format
from tollbook.cli.terminal import out, sentence, table


def formats_table(formats: Sequence[Format]) -> None:
    """All formats, a line each."""
    view = table(None, "format", "what it reads")
    for f in formats:
        view.row(f.name, title(f))
    out.print(view)
    sentence("`tollbook formats NAME` shows a format's fields, units and id rule. Try one on a file:")
    sentence("python -m ingest parse --format NAME FILE")


def readings_table(likely: Sequence[Detected], found: Sequence[Detected]) -> None:
    """Which formats read a sample of a log, how much of it and in it, and what to do next."""
    if not found:
        sentence("The file holds no line.")
        return
    if not likely:
        reasons = ", ".join(sorted({r.refused for r in found}))
        sentence(
            f"No format reads any of these lines ({reasons}). `tollbook formats` lists what is read.", style="yellow"
        )
        sentence("A format of your own is one SQL file: docs/formats.md shows how to write it.")
        return
    view = table(None, "format", ">lines read", ">of", ">fields in each", "most refused for")
    for r in likely:
        view.row(r.format, f"{r.accepted:,}", f"{r.entries:,}", f"{r.fields / r.accepted:.1f}", r.refused)
    out.print(view)
    first = [r.format for r in likely if r.rank == likely[0].rank]
    if len(first) == 1:
        sentence((first[0], "bold"), " reads most of it. Look at what it reads:")
    else:
        sentence(
            (" and ".join((", ".join(first[:-1]), first[-1])), "bold"),
            " read it equally well: take the gateway that wrote it.",
        )
    sentence(f"python -m ingest parse --format {first[0]} FILE")


def format_text(found: Format) -> None:
    """The header of a format, a paragraph for each of its topics."""
    for paragraph in _paragraphs(found.header):
        if not paragraph.startswith(("in:", "out:")):
            sentence(paragraph)


def title(found: Format) -> str:
    """The first sentence of a format's header."""
    first = next(_paragraphs(found.header)).removeprefix(f"{found.name}:").strip()
    return first.partition(". ")[0].rstrip(".")


def _paragraphs(header: str) -> Iterator[str]:
    """A header's comment, unwrapped: a line that begins with `Word:` begins a paragraph."""
    text = ""
    for line in header.splitlines():
        label, colon, _ = line.partition(":")
        if text and colon and label.isidentifier() and (label[0].isupper() or label in {"in", "out"}):
            yield text
            text = line
        else:
            text = f"{text} {line.strip()}" if text else line
    yield text
