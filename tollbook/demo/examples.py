"""The example files: part of the installed package, or in a checkout the folder `examples` next to the package."""

from importlib import resources
from pathlib import Path


def folder() -> Path:
    """The folder of the examples. It is read-only; copy files before changing them."""
    package = Path(str(resources.files("tollbook")))
    installed = package / "examples"
    return installed if installed.is_dir() else package.parent / "examples"
