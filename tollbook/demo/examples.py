"""The example files: a part of the installed package; in a checkout the folder `examples` beside the package."""

from importlib import resources
from pathlib import Path


def folder() -> Path:
    """Where the examples lie. Read only: what is to be changed is copied first."""
    package = Path(str(resources.files("tollbook")))
    installed = package / "examples"
    return installed if installed.is_dir() else package.parent / "examples"
