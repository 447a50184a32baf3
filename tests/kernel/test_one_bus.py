"""One bus, shared by all, on a real kernel: natively, and by python-can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import can
import pytest

from tests import one_bus_stories as stories
from tests.kernel.ends import make_room
from tests.one_bus_stories import OpenBus

pytestmark = pytest.mark.kernel


@pytest.fixture(params=["native", "python-can"])
def open_bus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenBus]:
    if request.param == "python-can":
        monkeypatch.setenv("ISOTP_NATIVE", "0")
    with ExitStack() as opened:

        def open_one() -> Any:
            bus = opened.enter_context(can.Bus(interface="socketcan", channel="vcan0", fd=True))
            make_room(bus.socket)
            return bus

        yield open_one


@pytest.mark.parametrize("story", stories.ALL.values(), ids=stories.ALL)
def test_stories(open_bus: OpenBus, story: Callable[[OpenBus], None]) -> None:
    story(open_bus)
