"""The list of price models.

Code that prices, explains, describes or parses a price uses this list and names no model.
"""

from collections.abc import Mapping
from typing import Annotated, get_args

from pydantic import Field

from schemas.catalog.prices.dynamic import Dynamic
from schemas.catalog.prices.flat import Flat
from schemas.catalog.prices.graduated import Graduated
from schemas.catalog.prices.graduated_percentage import GraduatedPercentage
from schemas.catalog.prices.package import Package
from schemas.catalog.prices.per_unit import PerUnit
from schemas.catalog.prices.percentage import Percentage
from schemas.catalog.prices.price import Price
from schemas.catalog.prices.volume import Volume

PriceModel = Annotated[
    Flat
    | PerUnit
    | Graduated
    | Volume
    | Package
    | Percentage
    | GraduatedPercentage
    | Dynamic,
    Field(discriminator="model"),
]  # fmt: skip


def _models() -> Mapping[str, type[Price]]:
    """The models by their names in a catalog's `model` field."""
    union, _ = get_args(PriceModel)
    return {get_args(kind.model_fields["model"].annotation)[0]: kind for kind in get_args(union)}


MODELS: Mapping[str, type[Price]] = _models()
