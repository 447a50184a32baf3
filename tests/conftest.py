"""Fixtures for all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    """What is to be closed at the end of the test."""
    with ExitStack() as stack:
        yield stack


# Where tests run in the background, SIGINT may be ignored, and would be in all programs that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
