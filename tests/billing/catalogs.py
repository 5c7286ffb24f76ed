"""Catalogs for the tests of billing, as the YAML that people write."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from schemas.catalog.records import Catalog

SELLER = """\
legal_entities:
  - id: north
    name: Northern Metering GmbH
    address: ["Hafenstraße 1", "20457 Hamburg", "Germany"]
    vat_id: DE123456789
    email: billing@north.example
    iban: DE02 1203 0000 0000 2020 51
    invoice_prefix: NM
    payment_terms_days: 14
"""
PRICES = """\
meters:
  - {id: requests, description: API requests, aggregate: count, unit: requests, filter: {exclude_status: ["429", 5xx]}}
  - {id: egress, description: Data delivered, aggregate: sum, field: response_bytes, unit: GB, divide_by: 1000000000}
rate_cards:
  - id: standard
    currency: EUR
    versions:
      - valid_from: 2026-01-01
        rates:
          - {description: Platform fee, price: {model: flat, amount: 31.00}}
          - meter: requests
            price:
              model: graduated
              tiers:
                - {up_to: 10, unit_price: 0.5}
                - {up_to: null, unit_price: 0.125}
          - {meter: egress, free_units: 0.5, price: {model: per_unit, unit_price: 0.12}}
plans:
  - id: plan-a
    rate_card: standard
    quotas:
      - {meter: requests, period: MONTH, limit: 20}
"""
PARTNERS = """\
partners:
  - id: acme
    name: Acme GmbH
    address: ["Weg 2", "10115 Berlin", "Germany"]
    reference: PO 1
    legal_entity: north
    time_zone: Europe/Berlin
    plans:
      - {plan: plan-a, valid_from: 2026-01-01}
    credentials:
      - {kind: api_key, id: key-a, valid_from: 2026-01-01}
  - id: zeta
    name: Zeta Inc.
    legal_entity: north
    time_zone: America/New_York
    plans:
      - {plan: plan-a, valid_from: 2026-01-01}
    credentials:
      - {kind: iam, id: "arn:aws:sts::1:assumed-role/zeta/x", valid_from: 2026-01-01}
"""
FILES = {"partners.yaml": PARTNERS, "prices.yaml": PRICES, "seller.yaml": SELLER}


def written(folder: Path, **changes: str) -> Path:
    """The files in `folder`; `partners=…` stands in the place of partners.yaml."""
    folder.mkdir(exist_ok=True)
    for name, text in {**FILES, **{f"{stem}.yaml": text for stem, text in changes.items()}}.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def document() -> dict[str, Any]:
    """The catalog as data, every value as text: to be changed by a test and given to `Catalog.model_validate`."""
    return copy.deepcopy(_read())


@cache
def _read() -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for text in FILES.values():
        merged |= yaml.load(text, Loader=yaml.BaseLoader)
    merged["rate_cards"][0]["versions"][0]["rates"][1]["price"]["tiers"][1]["up_to"] = None
    return merged


def book(**changes: Any) -> Catalog:
    """The catalog; `partners=[…]` stands in the place of its partners."""
    return Catalog.model_validate(document() | changes)
