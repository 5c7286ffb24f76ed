"""The optional extras of Tollbook: the modules that each needs, and the error if one is missing."""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Annotated

from cyclopts import Parameter

from tollbook.cli.errors import WrongUse

_KAFKA = ("confluent_kafka", "cramjam", "faust", "httpx", "prometheus_client", "standardwebhooks")
# The modules of each extra; pyproject.toml names their packages.
MODULES = {"kafka": _KAFKA, "http": (*_KAFKA, "fastapi", "joserfc", "uvicorn"), "aws": ("boto3",)}


def is_installed(extra: str) -> bool:
    """Whether every module of an extra is installed. Imports none of them."""
    return not missing(extra)


def missing(extra: str) -> list[str]:
    """The modules of an extra that are not installed."""
    return [module for module in MODULES[extra] if not _is_there(module)]


def require(extra: str, what: str) -> None:
    """Raise WrongUse unless an extra is installed. `what` is the command or option that needs it."""
    if absent := missing(extra):
        raise WrongUse(
            f"{what} needs Tollbook's extra `{extra}`: pip install 'tollbook[{extra}]' (not found: {', '.join(absent)})"
        )


def refusal(extra: str, name: str) -> Callable[..., None]:
    """What stands for a command whose extra is missing: it takes any arguments, and raises WrongUse."""

    def refuse(*_: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]) -> None:
        require(extra, f"`tollbook {name}`")

    return refuse


def _is_there(module: str) -> bool:
    try:
        return module in sys.modules or find_spec(module) is not None  # Faust, once loaded, has no spec of its own
    except ModuleNotFoundError:  # its parent package is missing
        return False
