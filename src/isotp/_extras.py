"""Packages that not everybody has, and what to install where one is missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["extra"]


def extra(package: str, purpose: str, name: str) -> Any:
    """The package, imported; it is one of the extra of this name.

    :raises ImportError: if it is not installed; it says what it is for, and what to install.
    """
    try:
        return import_module(package)
    except ImportError as error:
        if error.name != package:
            raise  # it is there, and broken
        raise type(error)(
            f"{purpose} needs {package}: pip install 'can-isotp-cython[{name}]'", name=package
        ) from None
