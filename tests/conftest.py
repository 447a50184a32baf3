"""Fixtures for all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.conformance import paths


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    """What is to be closed at the end of the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def native_driver(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The module made of conformance/native.pyx: frames as C structs, at times that the test sets."""
    for needed in ("Cython", "setuptools"):
        pytest.importorskip(needed, reason=f"{needed} is not installed: it makes the driver of this test")
    return paths.build_native(tmp_path_factory.mktemp("native"))


# Where tests run in the background, SIGINT may be ignored, and would be in all programs that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
