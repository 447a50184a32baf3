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


@pytest.mark.parametrize("count", [2, 10, 100])
def test_started_stacks(open_bus: OpenBus, count: int) -> None:
    stories.started_stacks(open_bus, count)


@pytest.mark.parametrize("which_is_first", ["notifier", "stack"])
def test_beside_a_notifier(open_bus: OpenBus, which_is_first: str) -> None:
    stories.beside_a_notifier(open_bus, which_is_first)


@pytest.mark.parametrize(
    "story",
    [
        stories.beside_a_notifier_on_a_loop,
        stories.beside_a_loop_of_the_users,
        stories.two_polled,
        stories.polled_and_started,
        stories.hub_and_stacks,
        stories.aio_and_stacks,
        stories.stacks_come_and_go,
    ],
    ids=lambda story: story.__name__,
)
def test_mixed(open_bus: OpenBus, story: Callable[[OpenBus], None]) -> None:
    story(open_bus)
