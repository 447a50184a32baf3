"""isotp.aio on python-can's virtual bus, and on sockets that carry CAN frames, under asyncio and uvloop."""

from __future__ import annotations

import asyncio
import errno
import os
import queue
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from typing import Any

import pytest

import isotp
import isotp.aio
from tests.aio_stories import HERE, LOOPS, Cancellation, Errors, Story, Turns, cancel, start, turns
from tests.frames import SLOW, counted

can = pytest.importorskip("can")
virtual = pytest.importorskip("can.interfaces.virtual")
try:
    import uvloop
except ImportError:
    uvloop = None

pytestmark = pytest.mark.anyio

THERE = isotp.Address(txid=0x456, rxid=0x123)
LONG = bytes(range(256)) * 2
# asm-generic/socket.h; Python has no name for it.
SO_TIMESTAMPNS = 35


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Which loop the tests run in."""
    return request.param


# --- Stories on a raw socket --------------------------------------------------------------------------------


@pytest.fixture
def story(cleanup: ExitStack, monkeypatch: pytest.MonkeyPatch) -> Story:
    """A layer on one end of a pair of Unix sockets, which filter nothing."""
    if sys.platform != "linux":
        pytest.skip("raw CAN sockets are Linux's")
    near, far = wire_between(cleanup, monkeypatch)
    return Story(far, lambda **kwargs: isotp.aio.Layer(near, **kwargs))


def wire_between(cleanup: ExitStack, monkeypatch: pytest.MonkeyPatch) -> tuple[str, socket.socket]:
    """An "interface" for one socket, and the far end."""
    from isotp._socketcan import CanSocket

    class Wire(CanSocket):
        def set_filters(self, identifiers: Any) -> None:
            pass

    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    cleanup.enter_context(near)
    cleanup.enter_context(far)
    monkeypatch.setattr("isotp.bus.feeds.open_can_socket", lambda interface: Wire(interface, near))
    return "wire", far


class TestCancellation(Cancellation):
    pass


class TestErrors(Errors):
    pass


class TestTurns(Turns):
    pass


async def test_a_socket_without_room(story: Story) -> None:
    """Frames wait until there is room, while the loop does other things; a cancelled message leaves none behind."""
    async with story.layer() as layer:
        sent = 0
        sending = start(layer.send(bytes([0])))
        await turns()
        while sending.done():
            sent += 1
            sending = start(layer.send(bytes([sent % 256])))
            await turns()
        waiting = start(layer.send(b"\xff\xff"))
        await turns()
        await cancel(sending)
        for k in range(sent):
            assert await story.hears() == f"01 {k % 256:02X}"
        assert await story.hears() == "02 FF FF"
        await waiting
        await story.still_works(layer)
    assert story.complaints() == []


async def test_a_socket_that_has_room_again_and_again(story: Story) -> None:
    """A message of many batches through a socket that takes few frames at a time."""
    size = 2 + 7 * 2000
    async with story.layer() as layer:
        sending = start(layer.send(counted(size)))
        await story.hears()
        story.says("30 00 00")
        payload = b""
        while len(payload) < size - 2:
            if len(payload) % 700 == 0:
                await turns(100)  # time enough to fill it
            heard = bytes.fromhex(await story.hears())
            assert heard[0] == 0x20 | (len(payload) // 7 + 1) % 16
            payload += heard[1:]
        assert payload == counted(size)[2:]
        await sending
        await story.still_works(layer)


# --- The ways to python-can ---------------------------------------------------------------------------------


class Bus(virtual.VirtualBus):
    """A virtual bus that raises `failures` on reading, one by one, and refuses frames if told to."""

    def __init__(self, channel: str) -> None:
        super().__init__(channel=channel, receive_own_messages=False)
        self.failures: list[Exception] = []
        self.refuse = 0

    def recv(self, timeout: float | None = None) -> Any:
        if self.failures:
            raise self.failures.pop(0)
        return super().recv(timeout)

    def send(self, msg: Any, timeout: float | None = None) -> None:
        if self.refuse:
            self.refuse -= 1
            raise can.CanOperationError("Transmit buffer full", errno.ENOBUFS)
        super().send(msg, timeout)


class BusWithDescriptor(Bus):
    """A bus whose descriptor is readable while it has frames, as SocketCAN's is."""

    def __init__(self, channel: str) -> None:
        super().__init__(channel)
        self.readable, self.signal = os.pipe()
        threading.Thread(target=self._pump, daemon=True).start()
        self.arrived: list[Any] = []

    def _pump(self) -> None:
        while not self._is_shutdown:
            received = super(Bus, self).recv(0.05)
            if received is not None:
                os.write(self.signal, b"!")
                self.arrived.append(received)

    def fileno(self) -> int:
        return self.readable

    def recv(self, timeout: float | None = None) -> Any:
        if self.failures:
            raise self.failures.pop(0)
        assert timeout == 0
        if not self.arrived:
            return None
        os.read(self.readable, 1)
        return self.arrived.pop(0)


OpenHub = Callable[..., isotp.aio.Hub]
WAYS = ["bus", "descriptor", "notifier", "notifier_on_the_loop"]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """How frames of a python-can bus come to the loop."""
    if request.param == "descriptor" and sys.platform == "win32":
        pytest.skip(
            "the loop of Windows watches no descriptors: a thread reads there, as for a bus without one"
        )
    return str(request.param)


@pytest.fixture
async def open_hub(way: str, request: pytest.FixtureRequest, cleanup: ExitStack) -> AsyncIterator[OpenHub]:
    """A function that makes a hub on a connection of its own to the bus of this test."""

    def open_hub() -> isotp.aio.Hub:
        bus = cleanup.enter_context((BusWithDescriptor if way == "descriptor" else Bus)(request.node.nodeid))
        if "notifier" not in way:
            return isotp.aio.Hub(bus)
        loop = asyncio.get_running_loop() if way == "notifier_on_the_loop" else None
        notifier = can.Notifier(bus, [], timeout=0.05, loop=loop)
        notifiers.callback(notifier.stop)
        return isotp.aio.Hub(bus, notifier)

    # While there is the loop that they give frames to
    with ExitStack() as notifiers:
        yield open_hub


async def test_both_ways(open_hub: OpenHub) -> None:
    errors: list[Exception] = []
    async with (
        open_hub() as one,
        open_hub() as two,
        one.layer(HERE, error_handler=errors.append) as here,
        two.layer(THERE, error_handler=errors.append) as there,
    ):
        for payload in (b"\x01", LONG, bytes(4095)):
            _, received = await asyncio.gather(here.send(payload), there.recv())
            assert received == payload
            _, received = await asyncio.gather(there.send(payload), here.recv())
            assert received == payload
    assert errors == []


@pytest.mark.parametrize("way", ["bus", "notifier_on_the_loop"], indirect=True)
async def test_a_thousand_exchanges_at_once(open_hub: OpenHub) -> None:
    """All sessions ask and answer in one loop; each gets the answer that is its own."""
    number = 1000
    errors: list[Exception] = []
    options = {"error_handler": errors.append, "params": SLOW}

    def address(k: int, *, asks: bool) -> isotp.Address:
        ids = (0x18DA_0000 + k, 0x18DB_0000 + k)
        txid, rxid = ids if asks else reversed(ids)
        return isotp.Address(isotp.AddressingMode.Normal_29bits, txid=txid, rxid=rxid)

    async def answer(layer: isotp.aio.Layer) -> None:
        async for request in layer:
            await layer.send(bytes(reversed(request)))

    async def ask(layer: isotp.aio.Layer, k: int) -> None:
        question = k.to_bytes(2, "big") + counted(20)
        await layer.send(question)
        assert await layer.recv() == question[::-1]

    async with open_hub() as testers, open_hub() as ecus:
        asking = [testers.layer(address(k, asks=True), **options) for k in range(number)]
        answering = [ecus.layer(address(k, asks=False), **options) for k in range(number)]
        for layer in (*asking, *answering):
            layer.start()
        answers = [start(answer(layer)) for layer in answering]
        await asyncio.gather(*(ask(layer, k) for k, layer in enumerate(asking)))
        assert len(ecus.layers) == number
    await asyncio.gather(*answers)
    assert errors == []
    assert ecus.layers == testers.layers == ()


async def test_cancellation_over_python_can(open_hub: OpenHub) -> None:
    async with open_hub() as one, open_hub() as two, one.layer(HERE) as here:
        for _ in range(3):
            sending = start(here.send(LONG))
            await turns()
            assert here.transmitting()
            await cancel(sending)  # nobody answers its first frame
            assert not here.transmitting()
        async with two.layer(THERE) as there:
            for payload in (LONG, b"\x01"):
                _, received = await asyncio.gather(here.send(payload), there.recv())
                assert received == payload
            assert not there.available()


async def test_threads(open_hub: OpenHub, way: str) -> None:
    """A bus without a descriptor needs one thread, which has ended when the hub is closed."""
    before = set(threading.enumerate())
    hub = open_hub()
    others = set(threading.enumerate()) - before
    async with hub, hub.layer(HERE), hub.layer(THERE):
        own = [thread for thread in threading.enumerate() if thread not in before | others]
        assert [thread.name for thread in own] == (["isotp reader"] if way == "bus" else [])
    assert not any(thread.is_alive() for thread in own)


@pytest.mark.parametrize("way", ["bus"], indirect=True)
async def test_a_bus_that_does_not_return(
    open_hub: OpenHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Closing does not wait for it without end, and says so."""
    monkeypatch.setattr("isotp.bus.feed.longest_end", lambda timeout: 0.01)
    entered, release = threading.Event(), threading.Event()

    def recv(timeout: float | None = None) -> None:
        entered.set()
        assert release.wait(20)

    hub = open_hub()
    monkeypatch.setattr(hub.bus, "recv", recv)
    async with hub, hub.layer(HERE):
        await asyncio.to_thread(entered.wait, 20)
    assert "left behind" in caplog.text
    release.set()
    await asyncio.to_thread(hub._hub.feed.shared._thread.join, 20)


@pytest.mark.parametrize("way", ["bus", "descriptor"], indirect=True)
async def test_a_bus_that_fails_to_be_read(open_hub: OpenHub) -> None:
    """Each layer hears of it on the loop's thread, and the bus is read again."""
    heard: list[tuple[Exception, int]] = []

    def note(error: Exception) -> None:
        heard.append((error, threading.get_ident()))

    async with open_hub() as one, open_hub() as two:
        one.bus.failures = [OSError(errno.ENETDOWN, "down"), OSError(errno.ENETDOWN, "down")]
        async with one.layer(HERE, error_handler=note) as here, two.layer(THERE) as there:
            await there.send(b"\xaa")
            assert await here.recv() == b"\xaa"
            while len(heard) < 2:
                await there.send(b"\xbb")
                await here.recv()
    assert [type(error) for error, _ in heard] == [isotp.CallbackError] * 2
    assert all(isinstance(error.__cause__, OSError) for error, _ in heard)
    assert {thread for _, thread in heard} == {threading.get_ident()}


@pytest.mark.parametrize("way", ["bus", "descriptor"], indirect=True)
@pytest.mark.parametrize("what", [SystemExit, asyncio.CancelledError])
async def test_a_bus_whose_reading_raises_anything(open_hub: OpenHub, what: type[BaseException]) -> None:
    async with open_hub() as one, open_hub() as two:
        one.bus.failures = [what()]
        async with one.layer(HERE) as here, two.layer(THERE) as there:
            await there.send(b"\xaa")
            assert await here.recv() == b"\xaa"


@pytest.mark.parametrize("what", [SystemExit, asyncio.CancelledError])
async def test_a_callback_that_raises_anything(open_hub: OpenHub, what: type[BaseException]) -> None:
    """Neither the loop ends nor the task that runs."""
    reports: list[Exception] = []

    def clumsy(error: Exception) -> None:
        reports.append(error)
        if not isinstance(error, isotp.CallbackError):
            raise what

    async with (
        open_hub() as one,
        open_hub() as two,
        one.layer(HERE, error_handler=clumsy) as here,
        two.layer(THERE) as there,
    ):
        two.bus.send(data_frame(b"\x21"))
        await there.send(b"\xaa")
        assert await here.recv() == b"\xaa"
    assert type(reports[1].__cause__) is what


async def test_two_layers_with_one_address_are_refused(open_hub: OpenHub) -> None:
    async with open_hub() as hub, hub.layer(HERE):
        with pytest.raises(ValueError, match="has a started session"):
            hub.layer(HERE)
        hub.layer(HERE, params={"listen_mode": True})


@pytest.mark.parametrize("way", ["bus"], indirect=True)
async def test_a_bus_whose_queue_is_full(open_hub: OpenHub) -> None:
    """The loop goes on meanwhile; no frame is lost, and none goes twice."""
    async with open_hub() as one, open_hub() as two, one.layer(HERE) as here, two.layer(THERE) as there:
        for payload in (b"\x01", LONG):
            one.bus.refuse = two.bus.refuse = 5
            sending = start(here.send(payload))
            await turns()
            assert not sending.done()
            assert await there.recv() == payload
            await sending
        assert not there.available()


@pytest.mark.parametrize("way", ["bus"], indirect=True)
async def test_a_bus_whose_queue_stays_full(open_hub: OpenHub) -> None:
    async with open_hub() as hub, hub.layer(HERE) as layer:
        hub.bus.refuse = 10**9
        with pytest.raises(isotp.BlockingSendFailure) as failed:
            await layer.send(b"\x01")
        assert isinstance(failed.value.__cause__, isotp.TransmitTimeoutError)
        assert isinstance(failed.value.__cause__.__cause__, can.CanOperationError)
        hub.bus.refuse = 0
        await layer.send(b"\x01")


@pytest.mark.parametrize("way", ["notifier"], indirect=True)
@pytest.mark.parametrize("anyio_backend", LOOPS[:1], indirect=True)
async def test_one_wake_up_for_many_frames(open_hub: OpenHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that another thread brings while the loop is busy come to it together, in order."""
    async with open_hub() as hub, hub.layer(HERE) as layer:
        loop = asyncio.get_running_loop()
        wake_ups = []
        schedule = loop.call_soon_threadsafe
        monkeypatch.setattr(
            loop, "call_soon_threadsafe", lambda *args: (wake_ups.append(args), schedule(*args))[1]
        )
        frames = [
            can.Message(arbitration_id=0x456, data=bytes([1, k]), is_extended_id=False) for k in range(200)
        ]

        def bring() -> None:
            for frame in frames:
                hub._hub.feed._on_message(frame)

        thread = threading.Thread(target=bring)
        thread.start()
        thread.join()
        assert len(wake_ups) == 1
        assert [await layer.recv() for _ in frames] == [bytes([k]) for k in range(200)]


# --- A loop that is closed before its layers ----------------------------------------------------------------


def started_on(loop: asyncio.AbstractEventLoop, hub: isotp.aio.Hub) -> isotp.aio.Layer:
    """A layer that is started on a loop; somebody waits for a message, and for one to be sent."""

    async def begin() -> isotp.aio.Layer:
        layer = hub.layer(HERE)
        layer.start()
        waiting.extend([start(layer.recv()), start(layer.send(LONG))])
        await turns()
        return layer

    waiting: list[asyncio.Task[Any]] = []
    layer = loop.run_until_complete(begin())
    for task in waiting:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    # As long as the layer
    layer.waiting = waiting  # type: ignore[attr-defined]
    return layer


@pytest.fixture(params=[asyncio.new_event_loop, *([uvloop.new_event_loop] if uvloop else [])])
def new_loop(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoop:
    """A loop that the test runs and closes itself."""
    return request.param()  # type: ignore[no-any-return]


def data_frame(data: bytes) -> Any:
    return can.Message(arbitration_id=0x456, data=data, is_extended_id=False)


def test_a_notifier_goes_on_without_the_loop_of_a_layer(
    new_loop: asyncio.AbstractEventLoop,
    request: pytest.FixtureRequest,
    cleanup: ExitStack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The layer leaves it, and its other listeners hear all that comes."""
    bus, other = (cleanup.enter_context(Bus(request.node.nodeid)) for _ in range(2))
    notifier = can.Notifier(bus, [], timeout=0.05)
    cleanup.callback(notifier.stop)
    layer = started_on(new_loop, isotp.aio.Hub(bus, notifier))
    heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
    notifier.add_listener(heard.put)
    new_loop.close()
    for k in range(3):
        other.send(data_frame(bytes([1, k])))
        assert heard.get(timeout=20).data == bytes([1, k])
    assert len(notifier.listeners) == 1
    assert caplog.text.count("event loop was closed") == 1
    asyncio.run(layer._hub.close())
    assert not layer._session.started


def test_a_notifier_of_another_loop_goes_on(
    new_loop: asyncio.AbstractEventLoop, request: pytest.FixtureRequest, cleanup: ExitStack
) -> None:
    """Both loops run on the same thread, one after the other."""
    bus = cleanup.enter_context(Bus(request.node.nodeid))
    notifier = can.Notifier([], [])
    cleanup.callback(notifier.stop)
    hub = isotp.aio.Hub(bus, notifier)
    layer = started_on(new_loop, hub)
    new_loop.close()
    for _ in range(2):
        hub._hub.feed._on_message(data_frame(b"\x10\x0aabcdef"))
    assert list(notifier.listeners) == []
    assert not layer._session.is_rx_active()
    asyncio.run(hub.close())


def test_a_thread_that_reads_for_a_loop_ends_with_it(
    new_loop: asyncio.AbstractEventLoop,
    request: pytest.FixtureRequest,
    cleanup: ExitStack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus, other = (cleanup.enter_context(Bus(request.node.nodeid)) for _ in range(2))
    hub = isotp.aio.Hub(bus)
    layer = started_on(new_loop, hub)
    thread = hub._hub.feed.shared._thread
    new_loop.close()
    # A bus that fails then is told to nobody.
    bus.failures = [OSError(errno.ENETDOWN, "down")]
    other.send(data_frame(b"\x01\xaa"))
    thread.join(20)
    assert not thread.is_alive()
    assert caplog.text.count("event loop was closed") == 1
    asyncio.run(layer.close())
    asyncio.run(hub.close())


@pytest.mark.skipif(sys.platform != "linux", reason="raw CAN sockets are Linux's")
def test_a_layer_is_closed_after_its_loop(
    new_loop: asyncio.AbstractEventLoop, cleanup: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tasks that waited on the loop run no more; the layer is closed all the same, and so is its socket."""
    near, _ = wire_between(cleanup, monkeypatch)
    hub = isotp.aio.Hub(near)
    layer = started_on(new_loop, hub)
    new_loop.close()
    asyncio.run(hub.close())
    assert not layer._session.started
    assert hub.layers == ()
    assert hub._hub.feed._can.fileno() == -1


# --- What cannot be ----------------------------------------------------------------------------------------


@pytest.fixture
def bus(cleanup: ExitStack, request: pytest.FixtureRequest) -> Bus:
    return cleanup.enter_context(Bus(request.node.nodeid))


async def test_a_layer_that_was_not_started(bus: Bus) -> None:
    layer = isotp.aio.Layer(bus, HERE)
    assert "not started" in repr(layer)
    for call in (layer.send(b"\x01"), layer.recv()):
        with pytest.raises(RuntimeError, match="was not started"):
            await call
    async with layer:
        assert "started" in repr(layer)
        with pytest.raises(RuntimeError, match="was started already"):
            layer.start()


async def test_a_layer_of_another_loop(bus: Bus) -> None:
    async with isotp.aio.Layer(bus, HERE) as layer:

        def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="another loop"):
                asyncio.run(layer.send(b"\x01"))

        await asyncio.to_thread(elsewhere)


async def test_wrong_arguments(bus: Bus) -> None:
    for wrong in (3, None):
        with pytest.raises(ValueError, match=str(wrong)):
            isotp.aio.Layer(wrong, HERE)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"notifier.*'can0'"):
        isotp.aio.Hub("can0", notifier=object())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"notifier.*Hub"):
        isotp.aio.Layer(isotp.aio.Hub(bus), HERE, notifier=object())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="address"):
        isotp.aio.Layer(bus, None)  # type: ignore[arg-type]
    async with isotp.aio.Layer(bus, HERE, params={"listen_mode": True}) as layer:
        with pytest.raises(RuntimeError, match="listen mode"):
            await layer.send(b"\x01")
    async with isotp.aio.Layer(bus, HERE) as layer:
        for payload, shown in (("text", "text"), ([256], "256")):
            with pytest.raises(ValueError, match=shown):
                await layer.send(payload)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="8 bytes"):
            await layer.send(bytes(8), isotp.TargetAddressType.Functional)
        await layer.send(bytes(7), isotp.TargetAddressType.Functional)


def test_no_loop_runs(bus: Bus) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        isotp.aio.Layer(bus, HERE).start()


async def test_settings(bus: Bus) -> None:
    async with isotp.aio.Hub(bus) as hub, hub.layer(HERE) as layer:
        assert layer.address is HERE
        layer.set_address(THERE)
        assert layer.address is THERE
        assert layer.params.stmin == 0
        assert hub.layers == (layer,)
        assert layer.last_error is None
        assert repr(hub).startswith("<Hub with 1 layers on ")


async def test_closing_a_hub_closes_its_layers(bus: Bus) -> None:
    hub = isotp.aio.Hub(bus)
    layer = hub.layer(HERE)
    layer.start()
    receiving = start(layer.recv())
    await turns()
    await hub.close()
    with pytest.raises(isotp.LayerClosedError):
        await receiving
    await hub.close()
