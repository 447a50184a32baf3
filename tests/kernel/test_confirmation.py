"""Layers that wait for the echoes of their frames, on a real kernel: vcan gives them back when they went."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import can
import pytest

import isotp
import isotp.aio
from isotp._socketcan import CanSocket
from tests import confirmation_stories as stories
from tests.confirmation_stories import MakeLayer, gaps_of
from tests.frames import MS, SECOND, SLOW, counted
from tests.hub_stories import PATIENCE, at_ecu, at_tester
from tests.kernel.ends import make_room, run

pytestmark = pytest.mark.kernel


def python_can_bus(interface: str, cleanup: ExitStack, confirming: bool) -> Any:
    bus = cleanup.enter_context(
        can.Bus(interface="socketcan", channel=interface, receive_own_messages=confirming)
    )
    make_room(bus.socket)
    return bus


def raw_stack(interface: str, cleanup: ExitStack, **kwargs: Any) -> isotp.TransportLayer:
    return cleanup.enter_context(isotp.SocketCanStack(interface, **kwargs))


def can_stack(interface: str, cleanup: ExitStack, **kwargs: Any) -> isotp.TransportLayer:
    bus = python_can_bus(interface, cleanup, kwargs.get("tx_confirmation", False))
    return isotp.CanStack(bus, **kwargs)


def can_stack_by_python_can(interface: str, cleanup: ExitStack, **kwargs: Any) -> isotp.TransportLayer:
    return can_stack(interface, cleanup, native=False, **kwargs)


def notifier_stack(interface: str, cleanup: ExitStack, **kwargs: Any) -> isotp.TransportLayer:
    bus = python_can_bus(interface, cleanup, kwargs.get("tx_confirmation", False))
    notifier = can.Notifier(bus, [], timeout=0.1)
    cleanup.callback(notifier.stop)
    return isotp.NotifierBasedCanStack(bus, notifier, **kwargs)


def hub_session(interface: str, cleanup: ExitStack, **kwargs: Any) -> isotp.TransportLayer:
    return cleanup.enter_context(isotp.Hub(interface)).session(**kwargs)


def hub_session_on_python_can(interface: str, cleanup: ExitStack, **kwargs: Any) -> isotp.TransportLayer:
    bus = python_can_bus(interface, cleanup, kwargs.get("tx_confirmation", False))
    return cleanup.enter_context(isotp.Hub(bus)).session(**kwargs)


KINDS: dict[str, Callable[..., isotp.TransportLayer]] = {
    made.__name__: made
    for made in (
        raw_stack,
        can_stack,
        can_stack_by_python_can,
        notifier_stack,
        hub_session,
        hub_session_on_python_can,
    )
}


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, cleanup: ExitStack) -> MakeLayer:
    return lambda **kwargs: KINDS[request.param]("vcan0", cleanup, **kwargs)


@pytest.mark.parametrize("story", stories.ALL.values(), ids=stories.ALL)
def test_stories(make: MakeLayer, story: Callable[[MakeLayer], None]) -> None:
    if story is stories.polled and not isinstance(
        make(address=at_tester(9)), (isotp.SocketCanStack, isotp.CanStack)
    ):
        pytest.skip("such a layer hears nothing unless it is started")
    story(make)


def test_layers_of_asyncio() -> None:
    async def talk() -> None:
        async with (
            isotp.aio.Layer("vcan0", at_tester(0), params=SLOW, tx_confirmation=True) as tester,
            isotp.aio.Layer("vcan0", at_ecu(0), params=SLOW, tx_confirmation=True) as ecu,
        ):
            await tester.send(counted(2000))
            assert await ecu.recv() == counted(2000)
            await ecu.send(b"yes")
            assert await tester.recv() == b"yes"

    asyncio.run(asyncio.wait_for(talk(), PATIENCE))


def test_sessions_of_one_socket_do_not_hear_each_other() -> None:
    """Its echoes are for those who wait for them, and for nobody else."""
    with isotp.Hub("vcan0") as hub:
        tester = hub.session(at_tester(0), params=SLOW | {"blocking_send": True}, tx_confirmation=True)
        ecu = hub.session(at_ecu(0), params=SLOW)
        for session in (tester, ecu):
            session.start()
        tester.send(b"abc", send_timeout=PATIENCE)
        tester.send(b"abc", send_timeout=PATIENCE)
        assert ecu.stats.frames_received == 0


def test_a_python_can_bus_without_echoes_is_refused(cleanup: ExitStack) -> None:
    bus = python_can_bus("vcan0", cleanup, False)
    with pytest.raises(ValueError, match="receive_own_messages=True"):
        isotp.CanStack(bus, address=at_tester(0), tx_confirmation=True)


# --- an interface whose queue is slow ---


@contextmanager
def slow_queue(rate: str) -> Iterator[None]:
    """vcan1 sends so many bits of struct can_frame a second, 16 bytes a frame, and keeps the others waiting."""
    if os.getuid() != 0:
        pytest.skip("only root may change the queue of an interface")
    run(
        "tc", "qdisc", "replace", "dev", "vcan1", "root", "tbf", "rate", rate, "burst", "16", "limit", "16000"
    )
    try:
        yield
    finally:
        run("tc", "qdisc", "del", "dev", "vcan1", "root")


@contextmanager
def others_traffic(stmin_ns: int) -> Iterator[None]:
    """Somebody fills the queue for several times STmin, again and again."""
    stop = threading.Event()

    def send() -> None:
        with can.Bus(interface="socketcan", channel="vcan1") as bus:
            message = can.Message(arbitration_id=0x7FF, is_extended_id=False, data=bytes(8))
            while not stop.wait(4 * stmin_ns / SECOND):
                for _ in range(12):
                    bus.send(message, timeout=PATIENCE)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def times_on_the_wire(seen: CanSocket, count: int) -> list[int]:
    """When the Consecutive Frames of the tester went, by the kernel's time stamps."""
    times: list[int] = []
    end = time.monotonic() + PATIENCE
    while len(times) < count and time.monotonic() < end:
        times += [when for when, _, data, _ in seen.receive_stamped(0.1) if data[0] >> 4 == 2]
    assert len(times) == count
    return times


@pytest.mark.parametrize("kind", ["raw_stack", "can_stack", "can_stack_by_python_can"])
def test_no_gap_behind_a_slow_queue_is_shorter_than_stmin(kind: str, cleanup: ExitStack) -> None:
    stmin_ms, size, frames = 10, 230, 32
    with slow_queue("64kbit"):
        seen = CanSocket("vcan1")
        cleanup.callback(seen.close)
        seen.set_filters([at_tester(0).get_tx_arbitration_id()])
        tester = KINDS[kind](
            "vcan1",
            cleanup,
            address=at_tester(0),
            params=SLOW | {"blocking_send": True},
            tx_confirmation=True,
        )
        requests: list[isotp.TransportLayer.SendRequest] = []
        tester.post_send_callback = requests.append
        ecu = raw_stack("vcan1", cleanup, address=at_ecu(0), params=SLOW | {"stmin": stmin_ms})
        for layer in (tester, ecu):
            layer.start()
            cleanup.callback(layer.stop)
        with others_traffic(stmin_ms * MS):
            tester.send(counted(size), send_timeout=PATIENCE)
        offset = time.time_ns() - time.perf_counter_ns()
        times = times_on_the_wire(seen, frames)
        # The stamp of the last one is that of its echo; python-can's layers take the time when they read it.
        sent_ns = requests[0].sent_ns
        assert sent_ns is not None
        late = sent_ns + offset - times[-1]
        assert late > -5 * MS
        if kind != "can_stack_by_python_can":
            assert late < 5 * MS
        assert (
            min(gaps_of(times)) >= stmin_ms * MS - 100_000
        )  # the two clocks of the kernel are read one by one
        assert ecu.recv(block=True, timeout=PATIENCE) == counted(size)


def impatient_layer(kind: str, cleanup: ExitStack) -> isotp.TransportLayer:
    """A started layer on vcan1 whose N_As is 200 ms."""
    layer = KINDS[kind](
        "vcan1",
        cleanup,
        address=at_tester(0),
        params={"blocking_send": True, "tx_frame_timeout": 200},
        tx_confirmation=True,
    )
    layer.start()
    cleanup.callback(layer.stop)
    return layer


@pytest.mark.parametrize("kind", ["raw_stack", "can_stack", "can_stack_by_python_can"])
def test_a_frame_that_stays_in_the_queue_is_not_sent(kind: str, cleanup: ExitStack) -> None:
    with slow_queue("8bit"):
        layer = impatient_layer(kind, cleanup)
        layer.params.blocking_send = False
        layer.send(b"the burst that the queue lets pass")
        layer.stop_sending()
        layer.params.blocking_send = True
        stories.require_timeout(layer, "did not confirm within 0.2 s")


# --- beside the kernel's ISO-TP ---


def frames_on_the_wire(seen: CanSocket, count: int) -> list[tuple[int, bytes]]:
    """The tester's frames with the times at which they went."""
    frames: list[tuple[int, bytes]] = []
    end = time.monotonic() + PATIENCE
    while len(frames) < count and time.monotonic() < end:
        frames += [(when, data) for when, _, data, _ in seen.receive_stamped(0.1)]
    assert len(frames) == count
    return frames


def send_by_the_kernel(payload: bytes, cleanup: ExitStack) -> None:
    with isotp.socket(PATIENCE) as s:
        s.set_opts(isotp.socket.flags.WAIT_TX_DONE)
        s.bind("vcan1", at_tester(0))
        s.send(payload)


def send_by_a_layer(payload: bytes, cleanup: ExitStack) -> None:
    params = SLOW | {"blocking_send": True}
    with isotp.SocketCanStack("vcan1", address=at_tester(0), params=params, tx_confirmation=True) as tester:
        tester.start()
        tester.send(payload, send_timeout=PATIENCE)


@pytest.mark.parametrize("blocksize", [0, 3])
def test_the_kernel_and_a_layer_send_the_same_and_keep_stmin(blocksize: int, cleanup: ExitStack) -> None:
    stmin_ms, payload = 10, counted(6 + 7 * 16)
    seen = CanSocket("vcan1")
    cleanup.callback(seen.close)
    seen.set_filters([at_tester(0).get_tx_arbitration_id()])
    ecu = raw_stack(
        "vcan1", cleanup, address=at_ecu(0), params=SLOW | {"stmin": stmin_ms, "blocksize": blocksize}
    )
    ecu.start()
    sent = {}
    with slow_queue("64kbit"):
        for send in (send_by_the_kernel, send_by_a_layer):
            with others_traffic(stmin_ms * MS):
                send(payload, cleanup)
            frames = frames_on_the_wire(seen, 17)
            sent[send] = [data for _, data in frames]
            gaps = gaps_of([when for when, _ in frames[1:]])
            if send is send_by_the_kernel and blocksize:
                # It sends the first frame of a block at once, however soon after the last one of the block before.
                gaps = [gap for k, gap in enumerate(gaps, 1) if k % blocksize]
            assert min(gaps) >= stmin_ms * MS - 100_000
            assert ecu.recv(block=True, timeout=PATIENCE) == payload
    assert sent[send_by_the_kernel] == sent[send_by_a_layer]


def test_both_give_up_a_frame_that_stays_in_the_queue(cleanup: ExitStack) -> None:
    """The kernel waits for an echo for two seconds, a layer for N_As."""
    with slow_queue("8bit"):
        with can.Bus(interface="socketcan", channel="vcan1") as bus:
            # The burst that the queue lets pass
            bus.send(can.Message(arbitration_id=0x7FF, is_extended_id=False, data=bytes(8)))
        with pytest.raises((isotp.IsoTpError, OSError)) as failure:
            send_by_the_kernel(b"\x3e\x00", cleanup)
        assert not isinstance(failure.value, TimeoutError)  # that would be the patience of the test
        layer = impatient_layer("raw_stack", cleanup)
        stories.require_timeout(layer, "did not confirm within 0.2 s")
