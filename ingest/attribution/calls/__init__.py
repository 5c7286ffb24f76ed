"""What a call of a cloud did, as its policies name it: for some formats one SQL file each, asked for judged entries alone."""

from importlib import resources

_UNSAID = "unsaid"


def statement(format_name: str) -> str:
    """The SQL that reads action and resource out of a format's entries; of a format that does not show them: unknown."""
    own = resources.files("ingest.attribution.calls").joinpath(f"{format_name}.sql")
    return own.read_text() if own.is_file() else _text(_UNSAID)


def macros() -> str:
    """What the statements here and ingest/decode/sql/outside.sql call by name."""
    return _text("macros")


def _text(name: str) -> str:
    return resources.files("ingest.attribution.calls").joinpath(f"{name}.sql").read_text()
