"""The action and resource of a cloud API call, as policies name them: one SQL file per format that logs them."""

from importlib import resources

_NOT_LOGGED = "not_logged"


def statement(format_name: str) -> str:
    """The SQL that reads action and resource from a format's entries. Formats that log neither give unknown ones."""
    own = resources.files("ingest.attribution.calls").joinpath(f"{format_name}.sql")
    return own.read_text() if own.is_file() else _text(_NOT_LOGGED)


def macros() -> str:
    """The macros of the statements here and of ingest/decode/sql/outside.sql."""
    return _text("macros")


def _text(name: str) -> str:
    return resources.files("ingest.attribution.calls").joinpath(f"{name}.sql").read_text()
