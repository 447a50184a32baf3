"""Packages that not everybody has, and what to install where one is missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["needed"]


def needed(package: str, purpose: str, extra: str) -> Any:
    """The package, imported.

    :raises ImportError: if it is not installed; it says what it is for, and what to install.
    """
    try:
        return import_module(package)
    except ImportError as error:
        if error.name != package:
            raise  # it is there, and broken
        raise type(error)(
            f"{purpose} needs {package}: pip install 'can-isotp-cython[{extra}]'", name=package
        ) from None
