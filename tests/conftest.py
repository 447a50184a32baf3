"""Fixtures for all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
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


class Skipped(pytest.Module):
    """Tests that need what is not installed."""

    def collect(self) -> Any:
        pytest.skip("the command needs the extra cli")


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> pytest.Module | None:
    """Tests of the command are skipped where what it needs is missing, and import it without a look at that."""
    is_of_command = module_path.parent.name == "cli" or module_path.name == "test_cli.py"
    if is_of_command and not all(map(find_spec, ("numpy", "rich", "typer"))):
        return Skipped.from_parent(parent, path=module_path)
    return None
