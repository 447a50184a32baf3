"""Layers that wait for echoes on python-can buses: its virtual one, and an adapter that has a queue."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count
from typing import Any

import can
import pytest

import isotp
import isotp.aio
from tests import confirmation_stories as stories
from tests.confirmation_stories import MakeLayer, gaps_of
from tests.frames import MS, SLOW, US, counted
from tests.hub_stories import PATIENCE, at_ecu, at_tester

_channels = count()


def stack(bus: can.BusABC, cleanup: ExitStack, **kwargs: Any) -> isotp.TransportLayer:
    return isotp.CanStack(bus, **kwargs)


def notifier_stack(bus: can.BusABC, cleanup: ExitStack, **kwargs: Any) -> isotp.TransportLayer:
    notifier = can.Notifier(bus, [], timeout=0.05)
    cleanup.callback(notifier.stop)
    return isotp.NotifierBasedCanStack(bus, notifier, **kwargs)


def hub_session(bus: can.BusABC, cleanup: ExitStack, **kwargs: Any) -> isotp.TransportLayer:
    return cleanup.enter_context(isotp.Hub(bus)).session(**kwargs)


KINDS = {"CanStack": stack, "NotifierBasedCanStack": notifier_stack, "Hub": hub_session}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def make(request: pytest.FixtureRequest) -> Iterator[MakeLayer]:
    channel = f"confirmation {next(_channels)}"
    with ExitStack() as cleanup:

        def make_one(**kwargs: Any) -> isotp.TransportLayer:
            bus = cleanup.enter_context(
                can.Bus(
                    interface="virtual",
                    channel=channel,
                    receive_own_messages=kwargs.get("tx_confirmation", False),
                )
            )
            return request.param(bus, cleanup, **kwargs)  # type: ignore[no-any-return]

        yield make_one


@pytest.mark.parametrize("story", stories.ALL.values(), ids=stories.ALL)
def test_stories(make: MakeLayer, story: Callable[[MakeLayer], None]) -> None:
    if story is stories.polled and not isinstance(make(address=at_tester(9)), isotp.CanStack):
        pytest.skip("such a layer hears nothing unless it is started")
    story(make)


def test_several_on_one_bus() -> None:
    """Each waits for the echoes of its own frames, and hears what the others send to it, as without."""
    with can.Bus(interface="virtual", channel="one for all", receive_own_messages=True) as bus:
        ends = [
            isotp.CanStack(bus, address=address, params=SLOW, tx_confirmation=number != 2)
            for number in range(4)
            for address in (at_tester(number), at_ecu(number))
        ]
        with ExitStack() as cleanup:
            for end in ends:
                end.start()
                cleanup.callback(end.stop)
            for tester, ecu in zip(ends[::2], ends[1::2], strict=True):
                tester.send(counted(300))
                ecu.send(counted(200))
            for tester, ecu in zip(ends[::2], ends[1::2], strict=True):
                assert ecu.recv(block=True, timeout=PATIENCE) == counted(300)
                assert tester.recv(block=True, timeout=PATIENCE) == counted(200)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bus_without_echoes_is_refused_at_once(kind: str) -> None:
    with (
        can.Bus(interface="virtual", channel="silent") as bus,
        ExitStack() as cleanup,
        pytest.raises(ValueError, match="receive_own_messages=True"),
    ):
        KINDS[kind](bus, cleanup, address=at_tester(0), tx_confirmation=True)


def test_another_bus_without_echoes_is_refused() -> None:
    with (
        can.Bus(interface="virtual", channel="silent") as silent,
        can.Bus(interface="virtual", channel="silent", receive_own_messages=True) as bus,
    ):
        layer = isotp.CanStack(bus, address=at_tester(0), tx_confirmation=True)
        with pytest.raises(ValueError, match="receive_own_messages=True"):
            layer.set_bus(silent)
        assert layer.bus is bus


def test_a_driver_that_does_not_mark_echoes_is_refused() -> None:
    class IXXATBus(can.BusABC):
        channel_info = "ixxat"
        _receive_own_messages = True

        def __init__(self) -> None:
            """No hardware."""

        def send(self, msg: can.Message, timeout: float | None = None) -> None: ...
        def shutdown(self) -> None: ...

    IXXATBus.__module__ = "can.interfaces.ixxat.canlib"
    with pytest.raises(ValueError, match="ixxat does not tell frames that were sent from those received"):
        isotp.CanStack(IXXATBus(), address=at_tester(0), tx_confirmation=True)


# --- an adapter with a queue, in real time ---


class QueueingBus(can.BusABC):
    """An adapter that takes frames at once and puts them on the bus one by one; it gives back those that went."""

    def __init__(self, drain_s: float, echoes: bool) -> None:
        super().__init__(channel=0)
        self.channel_info = "an adapter with a queue"
        self.receive_own_messages = echoes
        self._drain_s = drain_s
        self._to_send: queue.SimpleQueue[can.Message | None] = queue.SimpleQueue()
        self._received: queue.SimpleQueue[can.Message] = queue.SimpleQueue()
        self.on_the_wire: list[tuple[int, bytes]] = []
        self.peer: QueueingBus | None = None
        self._thread = threading.Thread(target=self._transmit)
        self._thread.start()

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        self._to_send.put(msg)

    def _transmit(self) -> None:
        while (msg := self._to_send.get()) is not None:
            time.sleep(self._drain_s)
            self.on_the_wire.append((time.perf_counter_ns(), bytes(msg.data)))
            assert self.peer is not None
            self.peer._received.put(msg)
            if self.receive_own_messages:
                echo = can.Message(
                    arbitration_id=msg.arbitration_id,
                    is_extended_id=msg.is_extended_id,
                    data=msg.data,
                    is_rx=False,
                )
                self._received.put(echo)

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        try:
            return self._received.get(timeout=timeout), True
        except queue.Empty:
            return None, True

    def shutdown(self) -> None:
        super().shutdown()
        self._to_send.put(None)
        self._thread.join()


def wire_gaps(drain_s: float, stmin: int, confirming: bool, size: int) -> list[int]:
    """Time between the Consecutive Frames of a message on the bus behind such an adapter."""
    with ExitStack() as cleanup:
        near, far = (QueueingBus(drain_s, confirming) for _ in range(2))
        near.peer, far.peer = far, near
        for bus in (near, far):
            cleanup.callback(bus.shutdown)
        tester = isotp.CanStack(
            near, address=at_tester(0), params=SLOW | {"blocking_send": True}, tx_confirmation=confirming
        )
        ecu = isotp.CanStack(far, address=at_ecu(0), params=SLOW | {"stmin": stmin})
        for layer in (tester, ecu):
            layer.start()
            cleanup.callback(layer.stop)
        tester.send(counted(size), send_timeout=PATIENCE)
        if confirming:
            assert len(near.on_the_wire) == 1 + -(-(size - 6) // 7)
        assert ecu.recv(block=True, timeout=PATIENCE) == counted(size)
    return gaps_of([when for when, data in near.on_the_wire if data[0] >> 4 == 2])


@pytest.mark.parametrize(
    ("drain_s", "stmin", "stmin_ns"),
    [(0.001, 0x02, 2 * MS), (0.003, 0x02, 2 * MS), (0.0001, 0xF5, 500 * US)],
    ids=["faster", "slower", "0.5 ms"],
)
def test_no_gap_behind_an_adapter_is_shorter_than_stmin(drain_s: float, stmin: int, stmin_ns: int) -> None:
    gaps = wire_gaps(drain_s, stmin, True, 700)
    assert len(gaps) == 99
    assert min(gaps) >= stmin_ns


def test_layers_of_asyncio() -> None:
    import asyncio

    async def talk() -> None:
        open_bus = partial(
            can.Bus, interface="virtual", channel="confirmation, aio", receive_own_messages=True
        )
        with open_bus() as here, open_bus() as there:
            async with (
                isotp.aio.Layer(here, at_tester(0), params=SLOW, tx_confirmation=True) as tester,
                isotp.aio.Layer(there, at_ecu(0), params=SLOW, tx_confirmation=True) as ecu,
            ):
                await tester.send(counted(300))
                assert await ecu.recv() == counted(300)
                await ecu.send(b"yes")
                assert await tester.recv() == b"yes"

    asyncio.run(asyncio.wait_for(talk(), PATIENCE))
