"""A stack comes to a notifier and leaves it by the notifier's own methods, and nobody misses a frame by that."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

import isotp
from tests.frames import HERE

can = pytest.importorskip("can")

PATIENCE = 10.0


@pytest.fixture
def bus(request: pytest.FixtureRequest) -> Iterator[Any]:
    with can.Bus(interface="virtual", channel=request.node.name, receive_own_messages=True) as bus:
        yield bus


def single_frame() -> Any:
    return can.Message(arbitration_id=HERE.get_rx_arbitration_id(), data=b"\x01\x3e", is_extended_id=False)


def test_a_notifier_of_which_only_the_methods_are_known(bus: Any) -> None:
    """As programs have it in their tests."""
    notifier = mock.Mock(spec=can.Notifier)
    stack = isotp.NotifierBasedCanStack(bus, notifier, address=HERE)
    stack.start()
    (listener,) = notifier.add_listener.call_args.args
    listener(single_frame())
    assert stack.recv(block=True, timeout=PATIENCE) == b"\x3e"
    stack.stop()
    notifier.remove_listener.assert_called_once_with(listener)
    stack.stop()
    notifier.remove_listener.assert_called_once_with(listener)


class Counting(can.Notifier):  # type: ignore[misc, name-defined]
    """Has methods of its own: what it adds are not the listeners that it is given."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.wrapped: dict[Any, Any] = {}
        super().__init__(*args, **kwargs)

    def add_listener(self, listener: Any) -> None:
        self.wrapped[listener] = lambda msg: listener(msg)
        super().add_listener(self.wrapped[listener])

    def remove_listener(self, listener: Any) -> None:
        super().remove_listener(self.wrapped.pop(listener))


@pytest.fixture(params=[can.Notifier, Counting])
def notifier(request: pytest.FixtureRequest, bus: Any) -> Iterator[Any]:
    notifier = request.param(bus, [], timeout=0.01)
    yield notifier
    notifier.stop()


def test_a_notifier_with_methods_of_its_own(bus: Any, notifier: Any) -> None:
    stack = isotp.NotifierBasedCanStack(bus, notifier, address=HERE)
    for _ in range(2):
        stack.start()
        bus.send(single_frame())
        assert stack.recv(block=True, timeout=PATIENCE) == b"\x3e"
        stack.stop()
    assert list(notifier.listeners) == []
    assert not getattr(notifier, "wrapped", {})


@pytest.mark.parametrize("by_the_user", [False, True])
def test_who_comes_after_a_listener_that_leaves_gets_the_frame(
    bus: Any, notifier: Any, by_the_user: bool
) -> None:
    heard: queue.Queue[str] = queue.Queue()
    stack = isotp.NotifierBasedCanStack(bus, notifier, address=HERE)

    def leave(msg: Any) -> None:
        heard.put("leaves")
        stack.stop()
        if by_the_user:
            notifier.remove_listener(leave)

    def last(msg: Any) -> None:
        heard.put("last")

    notifier.add_listener(leave)
    stack.start()
    notifier.add_listener(last)
    bus.send(single_frame())
    assert [heard.get(timeout=PATIENCE), heard.get(timeout=PATIENCE)] == ["leaves", "last"]
    assert stack.buffered_reader is None


def test_a_listener_that_is_gone_already(bus: Any) -> None:
    notifier = can.Notifier(bus, [], timeout=0.01)
    stack = isotp.NotifierBasedCanStack(bus, notifier, address=HERE)
    stack.start()
    notifier.remove_listener(stack.buffered_reader)
    stack.stop()
    notifier.stop()


def test_what_else_goes_wrong_is_told(bus: Any) -> None:
    notifier = can.Notifier(bus, [], timeout=0.01)
    stack = isotp.NotifierBasedCanStack(bus, notifier, address=HERE)
    stack.start()
    with (
        mock.patch.object(notifier, "remove_listener", side_effect=ValueError("mine")),
        pytest.raises(ValueError, match="mine"),
    ):
        stack.stop()
    assert not stack.started
    notifier.stop()
