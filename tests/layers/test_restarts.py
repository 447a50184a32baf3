"""Layers that one thread stops and another starts, or polls: who reads, and where each frame goes."""

from __future__ import annotations

import queue
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import isotp
from tests.frames import counted, frame, octets

# No time-out is part of what is tested here: this one only ends a test that has failed.
PATIENCE = 60.0

HERE = isotp.Address(txid=0x123, rxid=0x456)
FF_10 = "10 0A 00 01 02 03 04 05"
CF_10 = "21 06 07 08 09"


class Line:
    """What rxfn reads; it tells who is in there."""

    def __init__(self) -> None:
        self.frames: queue.SimpleQueue[isotp.CanMessage | None] = queue.SimpleQueue()
        self.changed = threading.Condition()
        self.inside: list[threading.Thread] = []
        self.most_inside = 0
        self.visits = 0

    def receive(self, timeout: float) -> isotp.CanMessage | None:
        with self.changed:
            self.inside.append(threading.current_thread())
            self.most_inside = max(self.most_inside, len(self.inside))
            self.visits += 1
            self.changed.notify_all()
        try:
            return self.frames.get(timeout=timeout)
        except queue.Empty:
            return None
        finally:
            with self.changed:
                self.inside.remove(threading.current_thread())
                self.changed.notify_all()

    def put(self, *texts: str) -> None:
        for text in texts:
            self.frames.put(frame(text))

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(is_so, PATIENCE)

    def wait_for_reader(self, layer: isotp.TransportLayer) -> None:
        self.wait_for(lambda: layer.main_thread in self.inside)


class Waiting:
    """A layer whose rxfn waits as long as it may."""

    def __init__(self, **kwargs: Any) -> None:
        self.line = Line()
        self.sent: queue.SimpleQueue[isotp.CanMessage] = queue.SimpleQueue()
        self.errors: list[Exception] = []
        self.layer = isotp.TransportLayer(
            self.line.receive, self.sent.put, HERE, self.errors.append, read_timeout=PATIENCE, **kwargs
        )

    def recv(self) -> bytearray | None:
        return self.layer.recv(block=True, timeout=PATIENCE)


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    one = Waiting()
    yield one
    stopping = aside(one.layer.stop)
    while stopping.is_alive():
        one.line.frames.put(None)
        stopping.join(0.01)


def aside(work: Callable[[], object]) -> threading.Thread:
    """A thread that does this."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def join(thread: threading.Thread) -> None:
    thread.join(PATIENCE)
    assert not thread.is_alive()


def stop_aside(layer: isotp.TransportLayer) -> threading.Thread:
    """Another thread stops the layer; it is stopped, and only its reader is not out yet."""
    stopping = aside(layer.stop)
    while layer.started:
        assert stopping.is_alive()
    return stopping


# --- The reader of an earlier start -------------------------------------------------------------------------


def test_what_an_earlier_reader_reads_is_for_the_started_layer(waiting: Waiting) -> None:
    """It was in rxfn when it was stopped, and takes the next frame: of a message for the one who started anew."""
    waiting.layer.start()
    waiting.line.wait_for_reader(waiting.layer)
    stopping = stop_aside(waiting.layer)
    waiting.layer.start()
    waiting.line.put(FF_10, CF_10)
    assert waiting.recv() == counted(10)
    join(stopping)
    assert waiting.line.most_inside == 1
    assert waiting.errors == []


def test_no_two_readers_however_often_it_is_started(waiting: Waiting) -> None:
    waiting.layer.start()
    waiting.line.wait_for_reader(waiting.layer)
    stopping = []
    for _ in range(5):
        stopping.append(stop_aside(waiting.layer))
        waiting.layer.start()
    waiting.line.put(FF_10, CF_10)
    assert waiting.recv() == counted(10)
    for thread in stopping:
        join(thread)
    waiting.line.put("01 AA")
    assert waiting.recv() == b"\xaa"
    assert waiting.line.most_inside == 1


def test_what_an_earlier_reader_reads_is_forgotten_by_a_layer_that_is_stopped(waiting: Waiting) -> None:
    waiting.layer.start()
    waiting.line.wait_for_reader(waiting.layer)
    stopping = stop_aside(waiting.layer)
    waiting.line.put("01 AA")
    join(stopping)
    waiting.layer.start()
    waiting.line.put("01 BB")
    assert waiting.recv() == b"\xbb"


@pytest.mark.parametrize("look", [1, 2], ids=["amid the message", "before a frame is due"])
def test_a_look_for_a_frame_amid_a_message_is_for_the_started_layer(waiting: Waiting, look: int) -> None:
    """The layer is stopped and started while its reader looks whether a frame came, before it sends one."""
    looks: list[float] = []

    def receive(timeout: float) -> isotp.CanMessage | None:
        if timeout > 0 or len(looks) == look:
            return waiting.line.receive(timeout)
        looks.append(timeout)
        if len(looks) < look:
            return None
        waiting.layer.stop()
        waiting.layer.start()
        return frame("01 AA")

    waiting.layer.rxfn = receive
    waiting.layer.start()
    # Many frames: where the system's timers are coarse, the first ones are late, and nobody looks before them.
    waiting.layer.send(counted(200))
    assert waiting.sent.get(timeout=PATIENCE).data[0] == 0x10
    waiting.line.put("30 00 14")
    assert waiting.recv() == b"\xaa"


def test_a_reader_that_overstays_its_time_is_left_behind(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said to be, and the next one reads beside it: rxfn may be another one by then."""
    monkeypatch.setattr("isotp.started.longest_end", lambda timeout: 0.01)
    waiting.layer.start()
    waiting.line.wait_for_reader(waiting.layer)
    waiting.layer.stop()
    assert "left behind" in caplog.text
    other = Line()
    waiting.layer.rxfn = other.receive
    waiting.layer.start()
    other.put("01 AA")
    assert waiting.recv() == b"\xaa"
    # What it reads in the end is not lost either.
    waiting.line.put("01 BB")
    assert waiting.recv() == b"\xbb"
    stopping = stop_aside(waiting.layer)
    other.frames.put(None)
    join(stopping)


def test_a_callback_that_stops_and_starts_many_times(
    waiting: Waiting, caplog: pytest.LogCaptureFixture
) -> None:
    """On the reader itself, which no new reader may be waited for by: each of them waits for it."""

    def restart(payload: bytearray, *_: object) -> None:
        waiting.layer.on_message = None
        for _ in range(5):
            waiting.layer.stop()
            waiting.layer.start()

    waiting.layer.on_message = restart
    waiting.layer.start()
    waiting.line.put("01 AA", "01 BB")
    assert waiting.recv() == b"\xbb"
    assert waiting.line.most_inside == 1
    assert caplog.text == ""


@pytest.mark.parametrize("step", ["_set_driven", "_reset", "_stop_reading"])
def test_stop_that_is_interrupted_leaves_the_layer_stopped(
    waiting: Waiting, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KeyboardInterrupt may come anywhere in the main thread."""
    whole = getattr(waiting.layer, step)

    def interrupted(*arguments: Any) -> Any:
        monkeypatch.setattr(waiting.layer, step, whole)
        raise KeyboardInterrupt

    waiting.layer.start()
    reader = waiting.layer.main_thread
    assert reader is not None
    waiting.layer.send(counted(20))
    monkeypatch.setattr(waiting.layer, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        waiting.layer.stop()
    assert not waiting.layer.started
    assert not waiting.layer.transmitting()
    waiting.line.frames.put(None)
    join(reader)
    waiting.line.put("01 AA")
    assert waiting.layer.process().frame_received == 1
    waiting.layer.start()


# --- Polling ------------------------------------------------------------------------------------------------


def test_nobody_polls_beside_a_reader_that_is_on_its_way_out(waiting: Waiting) -> None:
    waiting.layer.start()
    waiting.line.wait_for_reader(waiting.layer)
    stopping = stop_aside(waiting.layer)
    visits = waiting.line.visits
    assert waiting.layer.process(rx_timeout=PATIENCE).received == 0
    assert waiting.line.visits == visits
    waiting.line.frames.put(None)
    join(stopping)
    waiting.line.put("01 AA")
    assert waiting.layer.process().frame_received == 1


def test_a_reader_begins_after_who_polls(waiting: Waiting) -> None:
    """process() waits in rxfn when the layer is started: it takes one more frame, and the reader takes those behind."""
    polling = aside(lambda: waiting.layer.process(rx_timeout=PATIENCE))
    waiting.line.wait_for(lambda: polling in waiting.line.inside)
    waiting.layer.start()
    waiting.line.put(FF_10, CF_10)
    assert waiting.recv() == counted(10)
    join(polling)
    assert waiting.line.most_inside == 1
    assert waiting.errors == []


def test_who_polls_leaves_once_the_layer_is_started(waiting: Waiting) -> None:
    """A callback starts it: what has come behind its own frame is for the reader."""

    def start(payload: bytearray, *_: object) -> None:
        waiting.layer.on_message = lambda payload, *_: heard.append((bytes(payload), threading.get_ident()))
        waiting.layer.start()

    heard: list[tuple[bytes, int]] = []
    waiting.layer.on_message = start
    waiting.line.put("01 AA", "01 BB")
    assert waiting.layer.process().frame_received == 1
    waiting.line.wait_for_reader(waiting.layer)
    waiting.line.wait_for(lambda: waiting.line.visits >= 3)
    assert [payload for payload, _ in heard] == [b"\xbb"]
    assert threading.get_ident() not in [thread for _, thread in heard]


def test_a_polled_callback_starts_and_stops(waiting: Waiting, caplog: pytest.LogCaptureFixture) -> None:
    """The reader, which waits for the end of the polling, is not waited for in turn."""

    def start_and_stop(payload: bytearray, *_: object) -> None:
        waiting.layer.start()
        waiting.layer.stop()

    waiting.layer.on_message = start_and_stop
    waiting.line.put("01 AA")
    waiting.layer.process()
    assert not waiting.layer.started
    assert waiting.line.most_inside == 1
    assert caplog.text == ""


# --- A frame that somebody is amid --------------------------------------------------------------------------


class Fed(isotp.TransportLayer):
    """A started layer that gets its frames by feed()."""

    def _start_reading(self) -> None:
        pass

    def _stop_reading(self) -> None:
        pass


def test_a_frame_that_is_looked_at_while_the_layer_restarts_begins_no_message() -> None:
    """Frames behind it may have been lost meanwhile: what comes then would be put together with it."""

    class Restarting(isotp.Address):
        def is_for_me(self, msg: isotp.CanMessage) -> bool:
            if msg.data == octets(FF_10):
                layer.stop()
                layer.start()
            return super().is_for_me(msg)

    errors: list[Exception] = []
    layer = Fed(lambda: None, lambda message: None, Restarting(txid=0x123, rxid=0x456), errors.append)
    layer.start()
    layer._feed(frame(FF_10))
    assert not layer.is_rx_active()
    layer._feed(frame(CF_10))
    assert not layer.available()
    assert [type(error) for error in errors] == [isotp.UnexpectedConsecutiveFrameError]
    layer._feed(frame("01 AA"))
    assert layer.recv() == b"\xaa"
    layer.stop()


def test_frames_that_were_fed_before_the_start_are_forgotten() -> None:
    layer = Fed(lambda: None, lambda message: None, HERE)
    layer._feed(frame(FF_10))
    layer.start()
    assert not layer.is_rx_active()
    layer._feed(frame("01 AA"))
    assert layer.recv() == b"\xaa"
    layer.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="raw CAN sockets are Linux's")
def test_a_batch_is_not_read_over_by_the_next_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback keeps the reader amid its frames, while the layer is stopped and started."""
    from isotp._socketcan import CanSocket

    class Wire(CanSocket):
        def set_filters(self, identifiers: Any) -> None:
            pass

    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    monkeypatch.setattr("isotp.socketcan.open_can_socket", lambda interface: Wire(interface, near))
    monkeypatch.setattr("isotp.started.longest_end", lambda timeout: 0.01)
    entered, release = threading.Event(), threading.Event()
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def on_message(payload: bytearray, *_: object) -> None:
        heard.put(bytes(payload))
        if payload == b"\xaa":
            entered.set()
            assert release.wait(PATIENCE)

    def put(*values: int) -> None:
        for value in values:
            far.send(bytes.fromhex("56 04 00 00 02 00 00 00 01") + bytes([value]) + bytes(6))

    with far, isotp.SocketCanStack("wire", address=HERE, on_message=on_message) as layer:
        put(0xAA, 0xBB, 0xCC)
        layer.start()
        assert entered.wait(PATIENCE)
        layer.stop()
        layer.start()
        put(0xDD, 0xEE, 0xFF)
        release.set()
        # What was read before the stop is forgotten; all that came since is heard, once and in order.
        assert [heard.get(timeout=PATIENCE) for _ in range(4)] == [b"\xaa", b"\xdd", b"\xee", b"\xff"]
        assert heard.empty()
    with pytest.raises(OSError, match="wire was closed"):
        layer.start()
    assert not layer.started
