"""isotp.aio on SocketCAN: the stories of tests/aio_stories.py, many exchanges at once, and a full queue."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import can
import pytest

import isotp
import isotp.aio
from tests.aio_stories import HERE, LOOPS, Cancellation, Errors, Story, Turns, cancel, start, turns
from tests.frames import SLOW, counted
from tests.kernel.ends import make_room

if TYPE_CHECKING:
    from conftest import FullQueue

pytestmark = [pytest.mark.kernel, pytest.mark.anyio]

THERE = isotp.Address(txid=0x456, rxid=0x123)
LONG = bytes(range(256)) * 2


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Which loop the tests run in."""
    return request.param


@pytest.fixture
def story(cleanup: ExitStack) -> Story:
    """A layer on vcan0, and a raw socket of Python on the far end that hears the layer only."""
    far = cleanup.enter_context(socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW))
    hears_layer = struct.pack("=II", HERE.get_tx_arbitration_id(), 0x7FF)
    far.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, hears_layer)
    make_room(far)
    far.bind(("vcan0",))
    return Story(far, lambda **kwargs: isotp.aio.Layer("vcan0", **kwargs))


class TestCancellation(Cancellation):
    pass


class TestErrors(Errors):
    pass


class TestTurns(Turns):
    pass


# --- Many exchanges -----------------------------------------------------------------------------------------


def open_hub(way: str, cleanup: ExitStack) -> isotp.aio.Hub:
    """A hub on vcan0: on a raw socket, or on a bus of python-can, which has a descriptor."""
    if way == "raw":
        return isotp.aio.Hub("vcan0")
    bus = cleanup.enter_context(can.Bus(interface="socketcan", channel="vcan0", fd=True))
    make_room(bus.socket)
    return isotp.aio.Hub(bus)


def address(k: int, *, asks: bool) -> isotp.Address:
    ids = (0x18DA_0000 + k, 0x18DB_0000 + k)
    txid, rxid = ids if asks else reversed(ids)
    return isotp.Address(isotp.AddressingMode.Normal_29bits, txid=txid, rxid=rxid)


@pytest.mark.parametrize(
    ("way", "params"),
    [("raw", {}), ("python-can", {"can_fd": True, "tx_data_length": 64})],
    ids=["raw-classic", "python-can-fd"],
)
async def test_a_thousand_exchanges_at_once(way: str, params: dict[str, Any], cleanup: ExitStack) -> None:
    number = 1000
    errors: list[Exception] = []
    options: dict[str, Any] = {"error_handler": errors.append, "params": SLOW | params}
    before = threading.active_count()

    async def answer(layer: isotp.aio.Layer) -> None:
        async for request in layer:
            await layer.send(bytes(reversed(request)))

    async def ask(layer: isotp.aio.Layer, k: int) -> None:
        question = k.to_bytes(2, "big") + counted(20)
        await layer.send(question)
        assert await layer.recv() == question[::-1]

    async with open_hub(way, cleanup) as testers, open_hub(way, cleanup) as ecus:
        asking = [testers.layer(address(k, asks=True), **options) for k in range(number)]
        answering = [ecus.layer(address(k, asks=False), **options) for k in range(number)]
        for layer in (*asking, *answering):
            layer.start()
        answers = [start(answer(layer)) for layer in answering]
        await asyncio.gather(*(ask(layer, k) for k, layer in enumerate(asking)))
        assert threading.active_count() == before
    await asyncio.gather(*answers)
    assert errors == []


@pytest.fixture
async def kernel_end() -> AsyncIterator[Any]:
    """The kernel's own ISO-TP at the far end."""
    with isotp.socket(timeout=60) as far:
        far.bind("vcan0", THERE)
        yield far


async def test_with_the_kernels_isotp(kernel_end: Any) -> None:
    async with isotp.aio.Layer("vcan0", HERE, params=SLOW) as layer:
        for payload in (b"\x01", LONG, bytes(4000)):
            received = asyncio.to_thread(kernel_end.recv)
            sent = start(layer.send(payload))
            assert await received == payload
            await sent
            _, answer = await asyncio.gather(asyncio.to_thread(kernel_end.send, payload), layer.recv())
            assert answer == payload


# --- A full queue -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"short", LONG], ids=["single_frame", "multi_frame"])
async def test_frame_waits_for_room(full_queue: FullQueue, payload: bytes) -> None:
    """The loop goes on while the kernel refuses the frame; none is lost and none goes twice."""
    async with isotp.aio.Layer("vcan1", HERE) as here, isotp.aio.Layer("vcan1", THERE) as there:
        sending = start(here.send(payload))
        await turns()
        assert not sending.done()
        full_queue.make_room()
        assert await there.recv() == payload
        await sending
        assert not there.available()


async def test_a_cancelled_message_does_not_go_later(full_queue: FullQueue) -> None:
    async with isotp.aio.Layer("vcan1", HERE) as here, isotp.aio.Layer("vcan1", THERE) as there:
        for payload in (b"short", LONG):
            sending = start(here.send(payload))
            await turns()
            await cancel(sending)
        waiting = start(here.send(b"kept"))
        await turns()
        full_queue.make_room()
        assert await there.recv() == b"kept"
        await waiting
        assert not there.available()


async def test_gives_up_after_n_as(full_queue: FullQueue) -> None:
    async with isotp.aio.Layer("vcan1", HERE) as here, isotp.aio.Layer("vcan1", THERE) as there:
        with pytest.raises(isotp.BlockingSendFailure) as failed:
            await here.send(LONG)
        assert isinstance(failed.value.__cause__, isotp.TransmitTimeoutError)
        full_queue.make_room()
        _, received = await asyncio.gather(here.send(LONG), there.recv())
        assert received == LONG
