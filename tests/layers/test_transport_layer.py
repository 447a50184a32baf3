"""Layers that were started: threads, deadlines, callbacks that use their own layer, and the end of it all."""

from __future__ import annotations

import gc
import itertools
import math
import queue
import random
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import isotp

# No time-out is part of what is tested here: this one only ends a test that has failed.
PATIENCE = 60.0

HERE = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x456, rxid=0x123)
THERE = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x123, rxid=0x456)

CTS = "30 00 00"
OVERFLOW = "32 00 00"
MS = 1_000_000  # ns


class Line:
    """One direction of a bus: keeps the frames for the other end to read, and notes when they were sent."""

    def __init__(self, arbitration_id: int = 0x123) -> None:
        self.arbitration_id = arbitration_id
        # Not a queue.Queue: docs/threads.md, "Free threading", says what that costs on a busy machine.
        self.frames: queue.SimpleQueue[isotp.CanMessage] = queue.SimpleQueue()
        self.sent: list[tuple[int, bytes]] = []

    def send(self, message: isotp.CanMessage) -> None:
        self.sent.append((time.perf_counter_ns(), bytes(message.data)))
        self.frames.put(message)

    def receive(self, timeout: float) -> isotp.CanMessage | None:
        try:
            return self.frames.get(timeout=timeout)
        except queue.Empty:
            return None

    def put(self, data: str | bytes) -> None:
        """Let the reading end receive this frame."""
        data = bytes.fromhex(data) if isinstance(data, str) else data
        self.frames.put(isotp.CanMessage(self.arbitration_id, 0, data))

    def take(self) -> bytes:
        """Data of the next frame that the sending end sent."""
        return bytes(self.frames.get(timeout=PATIENCE).data)

    def times_of_consecutive_frames(self) -> list[int]:
        return [when for when, data in self.sent if data[0] >> 4 == 2]


class Reports(list[isotp.IsoTpError]):
    """An error handler that keeps what it is told, to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.arrival = threading.Condition()

    def __call__(self, error: isotp.IsoTpError) -> None:
        with self.arrival:
            self.append(error)
            self.arrival.notify_all()

    def wait_for(self, kind: type[Exception]) -> Any:
        """The first report of this kind."""

        def of_kind() -> list[isotp.IsoTpError]:
            return [error for error in self if isinstance(error, kind)]

        with self.arrival:
            assert self.arrival.wait_for(of_kind, PATIENCE), f"no {kind.__name__} among {list(self)}"
            return of_kind()[0]


class Alone:
    """A layer of which the test is the other end."""

    def __init__(self, params: dict[str, Any] | None = None, **kwargs: Any) -> None:
        self.in_ = Line(0x123)
        self.out = Line(0x456)
        self.errors = Reports()
        arguments: dict[str, Any] = {
            "rxfn": self.in_.receive,
            "txfn": self.out.send,
            "address": HERE,
            "error_handler": self.errors,
            "params": params,
            "read_timeout": 0.01,  # how long it takes to stop
        }
        self.layer = isotp.TransportLayer(**{**arguments, **kwargs})


@pytest.fixture
def alone() -> Iterator[Callable[..., Alone]]:
    """A function that makes an Alone, to be stopped with the test."""
    made: list[Alone] = []

    def make(params: dict[str, Any] | None = None, **kwargs: Any) -> Alone:
        made.append(Alone(params, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.layer.stop()


Pair = tuple[isotp.TransportLayer, isotp.TransportLayer, Line, Line]


@pytest.fixture
def pair() -> Iterator[Callable[..., Pair]]:
    """A function that makes two started layers, and the lines from the first to the second and back."""
    with ExitStack() as stack:

        def make(
            here_params: dict[str, Any] | None = None, there_params: dict[str, Any] | None = None
        ) -> Pair:
            to, back = Line(0x456), Line(0x123)
            here = isotp.TransportLayer(back.receive, to.send, HERE, params=here_params)
            there = isotp.TransportLayer(to.receive, back.send, THERE, params=there_params)
            for layer in (here, there):
                stack.callback(layer.stop)
                layer.start()
            return here, there, to, back

        yield make


def receive(layer: isotp.TransportLayer) -> bytes:
    message = layer.recv(block=True, timeout=PATIENCE)
    assert message is not None, f"nothing received by {layer!r}"
    return bytes(message)


def in_thread(function: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def join(thread: threading.Thread) -> None:
    thread.join(PATIENCE)
    assert not thread.is_alive()


# --- Starting and stopping ----------------------------------------------------------------------------------


def test_start_stop_and_again(alone: Callable[..., Alone]) -> None:
    one = alone()
    for turn in range(3):
        one.layer.start()
        assert one.layer.started
        one.in_.put(bytes([2, turn, turn]))
        assert receive(one.layer) == bytes([turn, turn])
        one.layer.send(bytes([turn]))
        assert one.out.take() == bytes([1, turn])
        one.layer.stop()
        assert not one.layer.started
        one.layer.stop()
    assert one.errors == []


def test_start_twice(alone: Callable[..., Alone]) -> None:
    one = alone()
    one.layer.start()
    thread = one.layer.main_thread
    with pytest.raises(RuntimeError, match="started"):
        one.layer.start()
    assert one.layer.started
    assert one.layer.main_thread is thread
    one.in_.put("01 AA")
    assert receive(one.layer) == b"\xaa"


def test_polling_is_refused_while_started(alone: Callable[..., Alone]) -> None:
    one = alone()
    one.layer.start()
    with pytest.raises(RuntimeError, match="process"):
        one.layer.process()
    with pytest.raises(RuntimeError, match="reset"):
        one.layer.reset()
    one.layer.stop()

    one.in_.put("01 AA")
    one.layer.send(b"\xbb")
    stats = one.layer.process()
    assert (stats.received, stats.sent, stats.frame_received) == (1, 1, 1)
    assert one.layer.recv() == b"\xaa"
    assert one.out.take() == b"\x01\xbb"
    one.in_.put("01 AA")
    one.layer.process()
    one.layer.reset()
    assert one.layer.recv() is None


def test_what_was_queued_before_goes_out_with_start(alone: Callable[..., Alone]) -> None:
    one = alone()
    one.layer.send(b"a")
    one.layer.send(b"b")
    assert one.out.sent == []
    one.layer.start()
    assert [one.out.take(), one.out.take()] == [b"\x01a", b"\x01b"]


def test_stop_forgets_everything(alone: Callable[..., Alone]) -> None:
    requests: list[Any] = []
    one = alone(post_send_callback=requests.append)
    one.layer.start()
    one.layer.send(bytes(100))
    one.layer.send(bytes(100))
    assert one.out.take()[0] >> 4 == 1
    one.in_.put("01 AA")
    one.in_.put("10 0A 01 02 03 04 05 06")
    assert one.out.take()[0] >> 4 == 3
    assert one.layer.available()
    assert one.layer.transmitting()
    assert one.layer.is_rx_active()
    one.layer.stop()
    assert not one.layer.available()
    assert not one.layer.transmitting()
    assert not one.layer.is_rx_active()
    assert [request.success for request in requests] == [False, False]
    assert len(one.out.sent) == 2
    assert one.errors == []


def test_stop_by_two_threads_at_once(alone: Callable[..., Alone]) -> None:
    one = alone()
    for _ in range(5):
        one.layer.start()
        together = threading.Barrier(2)

        def stop(together: threading.Barrier = together) -> None:
            together.wait(PATIENCE)
            one.layer.stop()

        other = in_thread(stop)
        stop()
        join(other)
        assert not one.layer.started


def test_stop_amid_a_long_message(alone: Callable[..., Alone], caplog: pytest.LogCaptureFixture) -> None:
    """Not one frame more goes out, and the thread ends by itself, though the message has many frames left."""
    under_way, go_on = threading.Event(), threading.Event()

    def slow(message: isotp.CanMessage) -> None:
        one.out.send(message)
        if len(one.out.sent) == 1:
            one.in_.put(CTS)
        if len(one.out.sent) == 5:
            under_way.set()
            go_on.wait(PATIENCE)

    requests: list[Any] = []
    one = alone(txfn=slow, post_send_callback=requests.append)
    one.layer.start()
    thread = one.layer.main_thread
    assert thread is not None
    one.layer.send(bytes(4095))
    assert under_way.wait(PATIENCE)
    stopping = in_thread(one.layer.stop)
    # The message fails at once, even before the frame that is being sent has left.
    assert requests[0].complete_event.wait(PATIENCE)
    go_on.set()
    join(stopping)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert len(one.out.sent) == 5
    assert requests[0].success is False
    assert caplog.records == []


def test_stop_is_not_held_up_by_frames_that_keep_coming(alone: Callable[..., Alone]) -> None:
    one = alone(rxfn=lambda timeout: isotp.CanMessage(0x123, 0, b"\x01\xaa"))
    one.layer.start()
    assert receive(one.layer) == b"\xaa"
    thread = one.layer.main_thread
    assert thread is not None
    one.layer.stop()
    assert not thread.is_alive()
    assert not one.layer.available()


def test_rxfn_that_does_not_return_is_told(
    alone: Callable[..., Alone], caplog: pytest.LogCaptureFixture
) -> None:
    """Its thread is left behind; after a new start there is another, and the old one takes no part."""
    held, let_go = threading.Event(), threading.Event()
    readers: list[threading.Thread] = []

    def rxfn(timeout: float) -> isotp.CanMessage | None:
        if threading.current_thread() not in readers:
            readers.append(threading.current_thread())
        if len(readers) == 1:
            held.set()
            let_go.wait(PATIENCE)
        return one.in_.receive(timeout)

    one = alone(rxfn=rxfn)
    one.layer.start()
    assert held.wait(PATIENCE)
    one.layer.stop()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "rxfn" in caplog.text

    one.layer.start()
    one.in_.put("01 AA")
    assert receive(one.layer) == b"\xaa"
    let_go.set()
    join(readers[0])
    assert len(readers) == 2
    one.in_.put("01 BB")
    assert receive(one.layer) == b"\xbb"


def test_thread_that_can_not_be_started(alone: Callable[..., Alone], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    one = alone()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            one.layer.start()
    assert not one.layer.started
    one.layer.process()
    one.layer.start()
    one.in_.put("01 AA")
    assert receive(one.layer) == b"\xaa"


def test_one_thread_per_layer(pair: Callable[..., Pair]) -> None:
    before = set(threading.enumerate())
    here, there, _, _ = pair()
    here.send(bytes(200))
    receive(there)
    new = {thread for thread in set(threading.enumerate()) - before if "timekeeper" not in thread.name}
    assert new == {here.main_thread, there.main_thread}
    assert all(thread.daemon for thread in new)
    assert all("isotp" in thread.name for thread in new)
    assert here.relay_thread is here.main_thread
    here.stop()
    there.stop()
    assert not new & set(threading.enumerate())
    assert here.main_thread is None


# --- Messages -----------------------------------------------------------------------------------------------

LINKS = {
    "classic": {},
    "classic_without_blocks": {"blocksize": 0},
    "classic_stmin": {"stmin": 1, "blocksize": 3},
    "classic_stmin_without_blocks": {"stmin": 0xF1, "blocksize": 0},
    "fd": {"tx_data_length": 64, "can_fd": True, "blocksize": 2},
}


@pytest.mark.parametrize("link", LINKS)
def test_both_directions_at_once(pair: Callable[..., Pair], link: str) -> None:
    dice = random.Random(link)
    here, there, _, _ = pair(LINKS[link], LINKS[link])
    to = [dice.randbytes(dice.choice([1, 7, 8, 62, 63, 300])) for _ in range(20)]
    back = [dice.randbytes(dice.choice([1, 7, 8, 62, 63, 300])) for _ in range(20)]
    for one, other in zip(to, back, strict=True):
        here.send(one)
        there.send(other)
    assert [receive(there) for _ in to] == to
    assert [receive(here) for _ in back] == back
    assert not here.available()
    assert not there.available()


def test_reception_goes_on_amid_a_slow_transmission(pair: Callable[..., Pair]) -> None:
    """A message of one second (STmin 10 ms, no blocks) keeps nobody from sending to its sender."""
    errors = Reports()
    here, there, to, _ = pair({}, {"stmin": 10, "blocksize": 0, "rx_flowcontrol_timeout": 400})
    there.error_handler = errors
    request: list[Any] = []
    here.post_send_callback = request.append
    here.send(bytes(700))
    while to.sent == [] or to.sent[-1][1][0] >> 4 != 2:
        threading.Event().wait(0.001)
    there.send(b"single")
    there.send(bytes(50))
    assert receive(here) == b"single"
    assert receive(here) == bytes(50)
    assert request[0].success is None  # still on its way
    assert receive(there) == bytes(700)
    assert errors == []


def test_overflow_amid_a_burst(alone: Callable[..., Alone]) -> None:
    """A receiver that gives up is heard, although STmin and BS of 0 let all frames leave at once."""

    def txfn(message: isotp.CanMessage) -> None:
        one.out.send(message)
        if len(one.out.sent) == 1:
            one.in_.put(CTS)
        if len(one.out.sent) == 100:
            one.in_.put(OVERFLOW)

    one = alone({"tx_data_length": 64, "can_fd": True}, txfn=txfn)
    one.layer.start()
    one.layer.send(bytes(200_000))
    one.errors.wait_for(isotp.OverflowError)
    assert len(one.out.sent) < 1000  # of 3175
    assert not one.layer.transmitting()


def test_many_threads_send_at_once(pair: Callable[..., Pair]) -> None:
    here, there, _, _ = pair()
    senders, turns = 8, 25
    together = threading.Barrier(senders)

    def send(sender: int) -> None:
        together.wait(PATIENCE)
        for turn in range(turns):
            here.send(bytes([sender, turn]) * (1 + (sender * turn) % 40))

    threads = [in_thread(lambda sender=sender: send(sender)) for sender in range(senders)]
    received = [receive(there) for _ in range(senders * turns)]
    for thread in threads:
        join(thread)
    for sender in range(senders):
        own = [message for message in received if message[0] == sender]
        assert own == [bytes([sender, turn]) * (1 + (sender * turn) % 40) for turn in range(turns)]
    assert not there.available()


def test_many_threads_wait_for_their_own_message(pair: Callable[..., Pair]) -> None:
    here, there, _, _ = pair({"blocking_send": True})
    threads = [
        in_thread(lambda k=k: here.send(bytes([k]) * (k + 1), send_timeout=PATIENCE)) for k in range(12)
    ]
    for thread in threads:
        join(thread)
    assert not here.transmitting()
    assert sorted(receive(there) for _ in threads) == [bytes([k]) * (k + 1) for k in range(12)]


def test_many_threads_receive_at_once(pair: Callable[..., Pair]) -> None:
    here, there, _, _ = pair()
    received: list[bytes] = []
    threads = [in_thread(lambda: received.append(receive(there))) for _ in range(10)]
    for k in range(10):
        here.send(bytes([k]) * 10)
    for thread in threads:
        join(thread)
    assert sorted(received) == [bytes([k]) * 10 for k in range(10)]


def test_blocking_recv(alone: Callable[..., Alone]) -> None:
    one = alone()
    one.layer.start()
    assert one.layer.recv(block=True, timeout=0) is None
    assert one.layer.recv(block=True, timeout=0.01) is None
    assert one.layer.recv() is None
    with pytest.raises(ValueError, match="-1"):
        one.layer.recv(block=True, timeout=-1)
    received: list[bytearray | None] = []
    waiting = in_thread(lambda: received.append(one.layer.recv(block=True)))
    one.in_.put("03 01 02 03")
    join(waiting)
    assert received == [bytearray(b"\x01\x02\x03")]
    assert type(received[0]) is bytearray


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ({"blocksize": 0}, 100_000),
        ({}, 20_000),
        ({"tx_data_length": 64, "can_fd": True, "blocksize": 0}, 1 << 20),
        ({"tx_data_length": 64, "can_fd": True, "blocksize": 32}, 1 << 18),
    ],
    ids=["classic", "classic_blocks", "fd", "fd_blocks"],
)
def test_large_messages(pair: Callable[..., Pair], params: dict[str, Any], size: int) -> None:
    params = {**params, "max_frame_size": size, "blocking_send": True}
    here, there, _, _ = pair(params, params)
    payload = random.Random(size).randbytes(size)
    here.send(payload, send_timeout=PATIENCE)
    assert receive(there) == payload
    there.send((iter(payload), size), send_timeout=PATIENCE)
    assert receive(here) == payload


# --- Time ---------------------------------------------------------------------------------------------------


def shortest_gap(times: list[int]) -> int:
    return min(later - earlier for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize(
    ("stmin", "override", "least"),
    [(3, None, 3 * MS), (0xF5, None, 500_000), (0, 0.002, 2 * MS), (50, 0.0015, 1_500_000)],
    ids=["ms", "us", "override", "override_of_more"],
)
@pytest.mark.parametrize("blocksize", [0, 4])
def test_stmin_is_kept(
    pair: Callable[..., Pair], stmin: int, override: float | None, least: int, blocksize: int
) -> None:
    here, there, to, _ = pair({"override_receiver_stmin": override}, {"stmin": stmin, "blocksize": blocksize})
    here.send(bytes(100))
    receive(there)
    times = to.times_of_consecutive_frames()
    assert len(times) == 14
    assert shortest_gap(times) >= least


def test_stmin_is_kept_while_receiving(pair: Callable[..., Pair]) -> None:
    params = {"stmin": 2, "blocksize": 0}
    here, there, to, back = pair(params, params)
    here.send(bytes(150))
    there.send(bytes(150))
    receive(here)
    receive(there)
    assert shortest_gap(to.times_of_consecutive_frames()) >= 2 * MS
    assert shortest_gap(back.times_of_consecutive_frames()) >= 2 * MS


def test_wait_func_waits_for_stmin(pair: Callable[..., Pair]) -> None:
    waits: list[tuple[float, threading.Thread]] = []

    def wait_func(seconds: float) -> None:
        waits.append((seconds, threading.current_thread()))
        time.sleep(seconds)

    here, there, to, _ = pair({"wait_func": wait_func}, {"stmin": 5, "blocksize": 0})
    waits.clear()  # it is tried once when it is set
    here.send(bytes(40))
    receive(there)
    assert waits  # for the last millisecond; a rxfn that slept on beyond STmin leaves nothing to wait for
    assert all(0 < seconds <= 0.005 for seconds, _ in waits)
    assert {thread for _, thread in waits} == {here.main_thread}
    assert shortest_gap(to.times_of_consecutive_frames()) >= 5 * MS


def test_wait_func_that_raises_later(pair: Callable[..., Pair]) -> None:
    """It is reported, and the message arrives nevertheless."""
    broken = False
    errors = Reports()

    def wait_func(seconds: float) -> None:
        if broken:
            raise OSError("no timer")

    here, there, _, _ = pair({"wait_func": wait_func}, {"stmin": 20, "blocksize": 0})
    here.error_handler = errors
    broken = True
    # Many frames: where the system's timers are coarse, the first ones are late, and there is nothing left to wait for.
    here.send(bytes(150))
    assert receive(there) == bytes(150)
    assert isinstance(errors.wait_for(isotp.errors.CallbackError).__cause__, OSError)


RATE = {"rate_limit_enable": True, "rate_limit_max_bitrate": 8000, "rate_limit_window_size": 0.1}


def test_rate_limiter(pair: Callable[..., Pair]) -> None:
    """100 bytes per 100 ms: no stretch of that length has more, but for the 5 ms that make one sample."""
    here, there, to, _ = pair(RATE, {"blocksize": 0})
    for size in (200, 7, 7):
        here.send(bytes(size))
        assert receive(there) == bytes(size)
    assert to.sent[-1][0] - to.sent[0][0] > 90 * MS
    for start, _ in to.sent:
        stretch = sum(len(data) for when, data in to.sent if start <= when < start + 90 * MS)
        assert stretch <= 100 + 8


def test_rate_limiter_waits_without_working(pair: Callable[..., Pair]) -> None:
    reads = 0

    def counted_receive(timeout: float) -> isotp.CanMessage | None:
        nonlocal reads
        reads += 1
        return back.receive(timeout)

    here, there, to, back = pair({}, {"blocksize": 0})
    here.stop()
    here = isotp.TransportLayer(counted_receive, to.send, HERE, params=RATE)
    here.start()
    try:
        here.send(bytes(250))
        assert receive(there) == bytes(250)
    finally:
        here.stop()
    assert 0 < reads < 1000


def test_reset_of_the_rate_limiter_leaves_a_deadline(alone: Callable[..., Alone]) -> None:
    """Who waits for the deadline would wait for ever, though the frame may leave at once."""
    now = 0
    one = alone({**RATE, "rate_limit_max_bitrate": 4000})
    one.layer.clock = lambda: now
    one.layer.send(bytes(100))
    one.layer.process()
    one.in_.put("30 00 0A")
    one.layer.process()
    assert one.layer.is_tx_transmitting_cf()
    one.layer.load_params()
    assert one.layer.deadline_ns() == 10 * MS


def test_time_out_for_flow_control(alone: Callable[..., Alone]) -> None:
    one = alone({"rx_flowcontrol_timeout": 20, "blocking_send": True})
    one.layer.start()
    with pytest.raises(isotp.BlockingSendFailure) as failed:
        one.layer.send(bytes(100), send_timeout=PATIENCE)
    assert isinstance(failed.value.__cause__, isotp.FlowControlTimeoutError)
    one.errors.wait_for(isotp.FlowControlTimeoutError)
    assert one.errors == [failed.value.__cause__]


def test_time_out_for_consecutive_frames(alone: Callable[..., Alone]) -> None:
    one = alone({"rx_consecutive_frame_timeout": 20})
    one.layer.start()
    one.in_.put("10 0A 01 02 03 04 05 06")
    one.errors.wait_for(isotp.ConsecutiveFrameTimeoutError)
    assert not one.layer.is_rx_active()
    one.in_.put("01 AA")
    assert receive(one.layer) == b"\xaa"


def test_blocking_send_time_out(alone: Callable[..., Alone]) -> None:
    one = alone({"blocking_send": True})
    one.layer.start()
    with pytest.raises(isotp.BlockingSendTimeout, match=r"0\.01"):
        one.layer.send(bytes(100), send_timeout=0.01)
    assert one.layer.transmitting()
    assert one.out.take()[0] == 0x10
    one.in_.put(CTS)
    assert [one.out.take()[0] for _ in range(14)] == [0x20 | k % 16 for k in range(1, 15)]
    assert one.errors == []


# --- rxfn of all kinds --------------------------------------------------------------------------------------


def test_time_out_that_rxfn_is_given(alone: Callable[..., Alone]) -> None:
    asked: list[float] = []
    enough = threading.Event()

    def rxfn(timeout: float) -> None:
        asked.append(timeout)
        if len(asked) == 3:
            enough.set()
        enough.wait(timeout)

    one = alone(rxfn=rxfn, read_timeout=0.03)
    assert one.layer.default_read_timeout == 0.03
    one.layer.start()
    assert enough.wait(PATIENCE)
    assert all(0 <= timeout <= 0.03 for timeout in asked)


@pytest.mark.parametrize(
    "read_timeout", [math.inf, math.nan, -1, -0.001, 1e300, pytest.param(10**400, id="10**400")], ids=repr
)
def test_read_timeout_that_nobody_can_wait_for(alone: Callable[..., Alone], read_timeout: float) -> None:
    with pytest.raises(ValueError, match="read_timeout must be a finite number of seconds"):
        alone(read_timeout=read_timeout)


@pytest.mark.parametrize("read_timeout", [None, "1", True])
def test_read_timeout_that_is_no_number(alone: Callable[..., Alone], read_timeout: Any) -> None:
    with pytest.raises(TypeError, match="read_timeout must be a number of seconds"):
        alone(read_timeout=read_timeout)


@pytest.mark.parametrize("longest", [math.inf, math.nan, 1e300, 1e10, 0.5, 0.0, -1.0, -math.inf], ids=repr)
def test_a_plan_for_any_time(alone: Callable[..., Alone], longest: float) -> None:
    """default_read_timeout can be assigned: the plan of the next read is a time all the same."""
    planned = alone().layer._plan_wait(longest)
    if longest <= 0.5:
        assert planned == max(longest, 0.0)
    else:
        assert 1e9 < planned < 1e10


@pytest.mark.parametrize("takes_timeout", [True, False])
def test_rxfn_that_returns_at_once(alone: Callable[..., Alone], takes_timeout: bool) -> None:
    """The layer waits in its place: it neither works at full speed nor misses a frame."""
    calls = 0

    def read() -> isotp.CanMessage | None:
        nonlocal calls
        calls += 1
        return one.in_.receive(0)

    one = alone(rxfn=(lambda timeout: read()) if takes_timeout else read)
    one.layer.start()
    threading.Event().wait(0.1)
    assert 2 <= calls <= 50
    for k in range(100):
        one.in_.put(bytes([1, k]))
    assert [receive(one.layer) for _ in range(100)] == [bytes([k]) for k in range(100)]
    one.layer.params.wait_func = pytest.fail
    one.in_.put("10 08 01 02 03 04 05 06")
    assert one.out.take()[0] == 0x30
    one.in_.put("21 07 08")
    assert receive(one.layer) == bytes(range(1, 9))


def test_rxfn_that_ignores_its_time_out(alone: Callable[..., Alone]) -> None:
    """It waits for a frame as long as that takes. Frames go both ways, and time-outs are kept."""
    one = alone({"rx_flowcontrol_timeout": 50}, rxfn=lambda timeout: one.in_.receive(PATIENCE))
    one.layer.start()
    try:
        one.layer.send(b"\xaa")
        assert one.out.take() == b"\x01\xaa"
        one.in_.put("01 BB")
        assert receive(one.layer) == b"\xbb"
        began = time.monotonic()
        one.layer.send(bytes(20))
        one.errors.wait_for(isotp.FlowControlTimeoutError)
        assert time.monotonic() - began < PATIENCE / 2  # rxfn itself has not returned meanwhile
        assert not one.layer.transmitting()
    finally:
        one.layer.events.stop_requested.set()
        one.in_.put("01 CC")


def test_time_outs_are_kept_on_a_bus_that_can_not_be_read(alone: Callable[..., Alone]) -> None:
    def rxfn(timeout: float) -> None:
        raise OSError("bus is gone")

    one = alone({"rx_flowcontrol_timeout": 50, "blocking_send": True}, rxfn=rxfn)
    one.layer.start()
    with pytest.raises(isotp.BlockingSendFailure) as failed:
        one.layer.send(bytes(20), send_timeout=5)
    assert isinstance(failed.value.__cause__, isotp.FlowControlTimeoutError)


# --- Parameters that were assigned without a check ----------------------------------------------------------


def test_parameter_with_an_impossible_value(alone: Callable[..., Alone]) -> None:
    """Reported, but not at full speed, and the layer works again as soon as the value is possible."""
    one = alone()
    one.layer.start()
    one.layer.params.stmin = 300
    one.in_.put("01 AA")
    report = one.errors.wait_for(isotp.errors.CallbackError)
    assert "stmin=300" in str(report.__cause__)
    threading.Event().wait(0.2)
    assert len(one.errors) < 100
    with pytest.raises(ValueError, match="stmin=300"):
        one.layer.send(b"\xaa")
    one.layer.params.stmin = 30
    one.in_.put("01 BB")
    assert one.layer.recv(block=True, timeout=PATIENCE) in (b"\xaa", b"\xbb")
    one.layer.send(b"\xcc")
    assert one.out.take() == b"\x01\xcc"


# --- Callbacks that use their own layer ---------------------------------------------------------------------


def once(function: Callable[[], Any]) -> Callable[[], bool]:
    """The function, called the first time only, and True when it was."""
    left = [function]

    def call() -> bool:
        if not left:
            return False
        left.pop()()
        return True

    return call


CALLBACKS = ["rxfn", "txfn_of_the_sender", "txfn_of_the_reader", "error_handler", "post_send_callback"]


def with_callback(alone: Callable[..., Alone], callback: str, action: Callable[[], Any]) -> Alone:
    """A started layer of which the callback did the action, when this returns."""
    done = threading.Event()

    def act() -> None:
        try:
            action()
        finally:
            done.set()

    act_once = once(act)

    def rxfn(timeout: float) -> isotp.CanMessage | None:
        # A thread that is no longer wanted must not take a frame from the one that comes after it.
        return None if act_once() else one.in_.receive(timeout)

    def txfn(message: isotp.CanMessage) -> None:
        one.out.send(message)
        act_once()

    def error_handler(error: Exception) -> None:
        one.errors(error)  # type: ignore[arg-type]
        act_once()

    kwargs: dict[str, Any] = {
        "rxfn": {"rxfn": rxfn},
        "txfn_of_the_sender": {"txfn": txfn},
        "txfn_of_the_reader": {"txfn": txfn},
        "error_handler": {"error_handler": error_handler},
        "post_send_callback": {"post_send_callback": lambda request: act_once()},
    }[callback]
    one = alone(**kwargs)
    LAYERS.append(one)
    one.layer.start()
    if callback in ("txfn_of_the_sender", "post_send_callback"):
        one.layer.send(b"\x00")
    elif callback == "txfn_of_the_reader":
        one.in_.put("10 0A 01 02 03 04 05 06")
    elif callback == "error_handler":
        one.in_.put("21 00")
    assert done.wait(PATIENCE)
    return one


LAYERS: list[Alone] = []


@pytest.fixture(autouse=True)
def _forget_layers() -> Iterator[None]:
    yield
    LAYERS.clear()


@pytest.mark.parametrize("callback", CALLBACKS)
def test_callback_sends(alone: Callable[..., Alone], callback: str) -> None:
    one = with_callback(alone, callback, lambda: LAYERS[-1].layer.send(b"\xee"))
    while one.out.take() != b"\x01\xee":
        pass
    assert not any(isinstance(error, isotp.errors.CallbackError) for error in one.errors)


@pytest.mark.parametrize("callback", ["rxfn", "error_handler"])
def test_callback_sends_much(alone: Callable[..., Alone], callback: str) -> None:
    one = with_callback(alone, callback, lambda: LAYERS[-1].layer.send(bytes(20)))
    assert one.out.take()[0] == 0x10
    one.in_.put(CTS)
    assert [one.out.take()[0], one.out.take()[0]] == [0x21, 0x22]


@pytest.mark.parametrize("callback", ["txfn_of_the_reader", "error_handler"])
def test_callback_can_not_wait_for_its_own_layer(alone: Callable[..., Alone], callback: str) -> None:
    """It would wait for itself; so it is told instead."""

    def send() -> None:
        LAYERS[-1].layer.params.blocking_send = True
        LAYERS[-1].layer.send(b"\xee")

    one = with_callback(alone, callback, send)
    report = one.errors.wait_for(isotp.errors.CallbackError)
    assert isinstance(report.__cause__, RuntimeError)
    one.in_.put("01 AA")
    assert receive(one.layer) == b"\xaa"


@pytest.mark.parametrize("callback", CALLBACKS)
def test_callback_stops_its_layer(alone: Callable[..., Alone], callback: str) -> None:
    before = set(threading.enumerate())
    one = with_callback(alone, callback, lambda: LAYERS[-1].layer.stop())
    assert not one.layer.started
    for thread in set(threading.enumerate()) - before:
        if "reader" in thread.name:
            join(thread)
    assert one.errors == [] or callback == "error_handler"

    # Nobody else reads or sends any more, ...
    while not one.out.frames.empty():
        one.out.take()
    one.layer.reset()  # (what post_send_callback was called for may be in the queue still)
    one.in_.put("01 AA")
    stats = one.layer.process()
    assert (stats.received, stats.frame_received) == (1, 1)
    assert one.layer.recv() == b"\xaa"
    # ... and it works when started again.
    one.layer.start()
    one.in_.put("01 BB")
    assert receive(one.layer) == b"\xbb"
    one.layer.send(b"\xcc")
    assert one.out.take() == b"\x01\xcc"


@pytest.mark.parametrize("callback", CALLBACKS)
def test_callback_restarts_its_layer(alone: Callable[..., Alone], callback: str) -> None:
    before = set(threading.enumerate())

    def restart() -> None:
        LAYERS[-1].layer.stop()
        LAYERS[-1].layer.start()

    one = with_callback(alone, callback, restart)
    assert one.layer.started
    for k in range(20):
        one.in_.put(bytes([1, k]))
        assert receive(one.layer) == bytes([k])
    for thread in set(threading.enumerate()) - before - {one.layer.main_thread}:
        if "reader" in thread.name:
            join(thread)


@pytest.mark.parametrize("number", [1, 2, 10], ids=["first_frame", "consecutive_frame", "end_of_block"])
def test_txfn_stops_sending(alone: Callable[..., Alone], number: int) -> None:
    """The message ends with the frame that is being sent, and the next one starts."""

    def txfn(message: isotp.CanMessage) -> None:
        one.out.send(message)
        if len(one.out.sent) == 1 < number:
            one.in_.put("30 09 00")
        if len(one.out.sent) == number:
            one.layer.stop_sending()

    requests: list[Any] = []
    one = alone(txfn=txfn, post_send_callback=requests.append)
    one.layer.start()
    one.layer.send(bytes(500))
    for _ in range(number):
        one.out.take()
    one.layer.send(b"\xee")
    assert one.out.take() == b"\x01\xee"
    assert [request.success for request in requests] == [False, True]
    assert one.errors == []


def test_error_handler_stops_sending(alone: Callable[..., Alone]) -> None:
    one = alone()
    one.layer.error_handler = lambda error: (one.layer.stop_sending(), one.errors(error))
    one.layer.start()
    one.layer.send(bytes(100))
    one.layer.send(b"\xee")
    assert one.out.take()[0] == 0x10
    one.in_.put("31 00 00")  # Wait, which wftmax of 0 does not allow
    assert one.out.take() == b"\x01\xee"
    one.errors.wait_for(isotp.UnsupportedWaitFrameError)


def test_post_send_callback_drops_its_message(alone: Callable[..., Alone]) -> None:
    one = alone({"blocking_send": True})
    one.layer.post_send_callback = lambda request: one.layer.clear_tx_queue()
    one.layer.start()
    with pytest.raises(isotp.BlockingSendFailure):
        one.layer.send(b"\xaa", send_timeout=PATIENCE)
    assert one.out.sent == []


# --- Without a thread of its own: NotifierBasedCanStack -----------------------------------------------------

can = pytest.importorskip("can")


class OnNotifier:
    """A stack on a notifier; the test is the other end of the bus."""

    def __init__(self, channel: str, **params: Any) -> None:
        self.errors = Reports()
        self.bus = can.Bus(channel, interface="virtual")
        self.peer = can.Bus(channel, interface="virtual")
        self.notifier = can.Notifier(self.bus, [], timeout=0.02)
        self.stack = isotp.NotifierBasedCanStack(
            self.bus, self.notifier, address=HERE, params=params, error_handler=self.errors
        )

    def put(self, data: str) -> None:
        self.peer.send(can.Message(arbitration_id=0x123, data=bytes.fromhex(data), is_extended_id=False))

    def take(self) -> bytes:
        message = self.peer.recv(PATIENCE)
        assert message is not None
        return bytes(message.data)

    def close(self) -> None:
        self.stack.stop()
        self.notifier.stop()
        self.peer.shutdown()
        self.bus.shutdown()


@pytest.fixture
def on_notifier(request: pytest.FixtureRequest) -> Iterator[Callable[..., OnNotifier]]:
    with ExitStack() as stack:
        numbers = itertools.count()

        def make(**params: Any) -> OnNotifier:
            one = OnNotifier(f"{request.node.nodeid}{next(numbers)}", **params)
            stack.callback(one.close)
            return one

        yield make


def test_notifier_based_time_out_for_flow_control(on_notifier: Callable[..., OnNotifier]) -> None:
    one = on_notifier(rx_flowcontrol_timeout=20)
    one.stack.start()
    one.stack.send(bytes(100))
    one.errors.wait_for(isotp.FlowControlTimeoutError)
    assert not one.stack.transmitting()
    one.stack.params.blocking_send = True
    with pytest.raises(isotp.BlockingSendFailure) as failed:
        one.stack.send(bytes(100), send_timeout=PATIENCE)
    assert isinstance(failed.value.__cause__, isotp.FlowControlTimeoutError)


def test_notifier_based_time_out_for_consecutive_frames(on_notifier: Callable[..., OnNotifier]) -> None:
    one = on_notifier(rx_consecutive_frame_timeout=20)
    one.stack.start()
    one.put("10 0A 01 02 03 04 05 06")
    one.errors.wait_for(isotp.ConsecutiveFrameTimeoutError)
    assert not one.stack.is_rx_active()
    one.put("01 AA")
    assert receive(one.stack) == b"\xaa"


@pytest.mark.parametrize("blocksize", [0, 3])
def test_notifier_based_stmin(on_notifier: Callable[..., OnNotifier], blocksize: int) -> None:
    one = on_notifier()
    line = Line()
    send = one.stack.txfn

    def txfn(message: isotp.CanMessage) -> None:
        line.send(message)
        send(message)

    one.stack.txfn = txfn
    one.stack.start()
    one.stack.send(bytes(60))
    assert one.take()[0] == 0x10
    for k in range(8):
        if k == 0 or (blocksize and k % blocksize == 0):
            one.put(f"30 {blocksize:02X} 03")
        assert one.take()[0] == 0x21 + k
    assert shortest_gap(line.times_of_consecutive_frames()) >= 3 * MS


def test_notifier_based_rate_limiter(on_notifier: Callable[..., OnNotifier]) -> None:
    one = on_notifier(**RATE)
    one.stack.start()
    one.stack.send(bytes(200))
    one.stack.send(b"\xee")
    assert one.take()[0] == 0x10
    one.put(CTS)
    for _ in range(28):
        assert one.take()[0] >> 4 == 2
    assert one.take() == b"\x01\xee"


def test_notifier_based_needs_no_thread(on_notifier: Callable[..., OnNotifier]) -> None:
    """But one for the deadlines of all such stacks together."""
    stacks = [on_notifier(rx_flowcontrol_timeout=20) for _ in range(3)]
    before = set(threading.enumerate())
    for one in stacks:
        one.stack.start()
        one.stack.send(bytes(100))
        one.errors.wait_for(isotp.FlowControlTimeoutError)
    new = set(threading.enumerate()) - before
    assert {thread.name for thread in new} <= {"isotp timekeeper"}
    assert [thread.name for thread in threading.enumerate()].count("isotp timekeeper") == 1
    assert all(one.stack.main_thread is None for one in stacks)


def test_notifier_based_restarted_by_its_callback(on_notifier: Callable[..., OnNotifier]) -> None:
    one = on_notifier()

    def restart(error: Exception) -> None:
        one.stack.stop()
        one.stack.start()
        one.errors(error)  # type: ignore[arg-type]

    one.stack.error_handler = restart
    one.stack.start()
    one.put("21 00")
    one.errors.wait_for(isotp.UnexpectedConsecutiveFrameError)
    one.put("01 AA")
    assert receive(one.stack) == b"\xaa"
    assert not one.stack.available()
    assert len(one.notifier.listeners) == 1


def test_callback_error_on_the_timekeeper(on_notifier: Callable[..., OnNotifier]) -> None:
    """What a callback raises there is reported, and the deadlines that follow are kept."""
    one = on_notifier()
    failure = OSError("no buffer space left")
    send = one.stack.txfn
    sent: list[isotp.CanMessage] = []

    def txfn(message: isotp.CanMessage) -> None:
        sent.append(message)
        if len(sent) == 3:
            assert threading.current_thread().name == "isotp timekeeper"
            raise failure
        send(message)

    one.stack.txfn = txfn
    one.stack.start()
    one.stack.send(bytes(30))
    assert one.take()[0] == 0x10
    one.put("30 00 05")
    assert one.errors.wait_for(isotp.errors.CallbackError).__cause__ is failure
    assert one.take()[0] == 0x21
    one.stack.params.rx_flowcontrol_timeout = 20
    one.stack.send(bytes(30))
    one.errors.wait_for(isotp.FlowControlTimeoutError)


# --- The end ------------------------------------------------------------------------------------------------


def run(program: str) -> None:
    """Run a program that must end by itself, quickly and quietly."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stderr, done.stdout, done.returncode) == ("", "ready\n", 0)


def test_exit_with_running_layers() -> None:
    run(
        """
        import queue, threading, isotp
        address = isotp.Address(rxid=0x123, txid=0x456)
        frames, sent = queue.Queue(), queue.Queue()
        def rxfn(timeout):
            try:
                return frames.get(timeout=timeout)
            except queue.Empty:
                return None
        def nothing(timeout):
            threading.Event().wait(timeout)
        def never(timeout):
            threading.Event().wait()
        waiting = isotp.TransportLayer(nothing, print, address)
        blocked = isotp.TransportLayer(never, print, address)
        polling = isotp.TransportLayer(lambda: None, print, address)
        sending = isotp.TransportLayer(rxfn, sent.put, address)
        for layer in (waiting, blocked, polling, sending):
            layer.start()
        threading.Thread(target=lambda: waiting.recv(block=True), daemon=True).start()
        sending.send(bytes(4095))
        assert sent.get(timeout=10).data[0] == 0x1F
        frames.put(isotp.CanMessage(0x123, 0, bytes.fromhex("30 00 01")))
        for _ in range(5):
            assert sent.get(timeout=10).data[0] >> 4 == 2
        print("ready")
        """
    )


def test_exit_with_running_stacks() -> None:
    run(
        """
        import logging, can, isotp
        logging.getLogger("can").setLevel(logging.CRITICAL)  # it complains of buses that were not shut down
        bus, other = can.Bus("exit", interface="virtual"), can.Bus("exit", interface="virtual")
        notifier = can.Notifier(other, [], timeout=0.1)
        here = isotp.NotifierBasedCanStack(other, notifier, address=isotp.Address(rxid=0x123, txid=0x456))
        there = isotp.CanStack(bus, address=isotp.Address(rxid=0x456, txid=0x123), params={"stmin": 1})
        here.start()
        there.start()
        here.send(bytes(50))
        assert there.recv(block=True, timeout=10) == bytes(50)
        here.send(bytes(4000))
        print("ready")
        """
    )


def collected(make: Callable[[], weakref.ref[Any]]) -> bool:
    reference = make()
    gc.collect()
    return reference() is None


@pytest.mark.parametrize("how", ["never_started", "stopped", "stopped_amid_messages"])
def test_layer_is_collectable(alone: Callable[..., Alone], how: str) -> None:
    def make() -> weakref.ref[Any]:
        one = Alone({"rx_flowcontrol_timeout": 3_600_000, "rx_consecutive_frame_timeout": 3_600_000})
        if how != "never_started":
            one.layer.start()
        if how == "stopped_amid_messages":
            one.layer.send(bytes(100))
            one.in_.put("10 0A 01 02 03 04 05 06")
            assert [one.out.take()[0], one.out.take()[0]] == [0x10, 0x30]
        one.layer.stop()
        return weakref.ref(one.layer)

    assert collected(make)


@pytest.mark.parametrize("waits", [False, True], ids=["idle", "waiting_for_flow_control"])
def test_notifier_based_stack_is_collectable(on_notifier: Callable[..., OnNotifier], waits: bool) -> None:
    """Even if the timekeeper was to wake it in an hour."""

    def make() -> weakref.ref[Any]:
        one = on_notifier()
        stack = isotp.NotifierBasedCanStack(
            one.bus, one.notifier, address=HERE, params={"rx_flowcontrol_timeout": 3_600_000}
        )
        stack.start()
        if waits:
            stack.send(bytes(100))
        stack.stop()
        return weakref.ref(stack)

    assert collected(make)
