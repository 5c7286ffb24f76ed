"""The action and resource of a cloud API call, as policies name them: one SQL file per format that logs them."""

from importlib import resources

from lake import duck

_NOT_LOGGED = "not_logged"


def statement(format_name: str) -> str:
    """The SQL that reads action and resource from a format's entries. Formats that log neither give unknown ones."""
    is_logged = resources.files(__name__).joinpath(f"{format_name}.sql").is_file()
    return duck.statement(__name__, format_name if is_logged else _NOT_LOGGED)


def macros() -> str:
    """The macros of the statements here and of ingest/decode/sql/outside.sql."""
    return duck.statement(__name__, "macros")
