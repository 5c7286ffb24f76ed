"""Tollbook's optional parts: which modules each needs, and what is said to whoever lacks one."""

import sys
from importlib.util import find_spec

from tollbook.cli.errors import WrongUse

_KAFKA = ("confluent_kafka", "cramjam", "faust", "httpx", "prometheus_client", "standardwebhooks")
# Extra → what its packages are imported as; pyproject.toml names the packages.
MODULES = {"kafka": _KAFKA, "http": (*_KAFKA, "fastapi", "joserfc", "uvicorn")}


def is_installed(extra: str) -> bool:
    """Whether every module of an extra is there. Imports none of them."""
    return not missing(extra)


def missing(extra: str) -> list[str]:
    """The modules of an extra that are not there."""
    return [module for module in MODULES[extra] if not _is_there(module)]


def require(extra: str, what: str) -> None:
    """Raise WrongUse unless an extra is installed. `what` needs it: a command or an option."""
    if absent := missing(extra):
        raise WrongUse(
            f"{what} needs Tollbook's extra `{extra}`: pip install 'tollbook[{extra}]' (not found: {', '.join(absent)})"
        )


def _is_there(module: str) -> bool:
    try:
        return module in sys.modules or find_spec(module) is not None  # Faust, once loaded, has no spec of its own
    except ModuleNotFoundError:  # the package that the module is in
        return False
