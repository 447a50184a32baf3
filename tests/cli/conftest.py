"""What the tests of the command stand on."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.live_command import LiveBus


@pytest.fixture
def bus(request: pytest.FixtureRequest) -> LiveBus:
    """A bus of the test's own."""
    # Here: it needs python-can, without which the other tests do.
    from tests.cli.live_command import LiveBus

    return LiveBus(request.node.name.partition("[")[0])


@pytest.fixture(scope="session")
def program() -> str:
    """The console script of the package."""
    path = shutil.which("isotp", path=str(Path(sys.executable).parent))
    assert path is not None, "the console script of the package is not installed"
    return path
