"""`tollbook producers`: the producers that may send over HTTP. A new key is shown once; the file stores its hash."""

import secrets
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from ingest.http import api_keys
from ingest.http.producers import Producers, read
from lake import atomic_file
from tollbook.cli.options import JsonOption, utc
from tollbook.cli.terminal import out, show_json

ProducersOption = Annotated[
    Path,
    Parameter("--producers", env_var="TOLLBOOK_PRODUCERS", help="YAML file of the producers that may send over HTTP."),
]

app = App(
    name="producers",
    help="The producers that may send over HTTP: list them, create keys.\n\nExample: tollbook producers list --producers producers.yaml",
)


@app.command(name="list")
def list_(*, producers: ProducersOption, json: JsonOption = False) -> int:
    """Check the producers file, and show who may send what. Neither the file nor the output contains secrets.

    Example: tollbook producers list --producers producers.yaml
    """
    found = read(producers)
    if json:
        show_json(_rows(found))
    else:
        for row in _rows(found):
            out.print(f"{row['id']}  source {row['source']}  {', '.join(row['formats'])}", markup=False)
            for key in row["keys"]:
                out.print(f"  key {key['prefix']}  valid {_validity(key['valid_from'], key['valid_to'])}")
            for client in row["clients"]:
                out.print(f"  client {client['client']} of {client['issuer']}", markup=False)
    return 0


@app.command
def add_key(
    producer: Annotated[str, Parameter(negative="", help="Id of the producer in the file.")],
    /,
    *,
    producers: ProducersOption,
    valid_from: Annotated[
        datetime | None, Parameter("--valid-from", help="Start of validity. Without a time zone it is UTC.")
    ] = None,
) -> int:
    """Create an API key for a producer, write its hash into the file, and show the key once.

    To rotate a key, create the new one, distribute it, then set `valid_to` of the old one in the file.

    Example: tollbook producers add-key gateway-eu --producers producers.yaml
    """
    key = api_keys.new_key(secrets.token_bytes, None if valid_from is None else utc(valid_from))
    atomic_file.replace(
        producers, api_keys.with_key(producers.read_text(encoding="utf-8"), producer, key.kept).encode()
    )
    out.print(key.text, soft_wrap=True)
    return 0


def _validity(start: str | None, end: str | None) -> str:
    if start is None and end is None:
        return "for all time"
    return " ".join(([f"from {start}"] if start else []) + ([f"until {end}"] if end else []))


def _rows(found: Producers) -> list[dict[str, Any]]:
    return [p.model_dump(mode="json", exclude={"keys": {"__all__": {"sha256"}}}) for p in found.producers]
