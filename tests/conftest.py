"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    """What is to be closed at the end of the test."""
    with ExitStack() as stack:
        yield stack
