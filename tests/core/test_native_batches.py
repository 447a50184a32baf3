"""Frames that a driver in C gives by the batch, each judged at the time of its arrival."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

import isotp
from tests.frames import MS, SECOND, Bench, counted, octets, words

CTS = "30 00 00"
FF_20 = "10 14 00 01 02 03 04 05"


class NativeBench(Bench):
    """A bench that is started, on a driver in C; frames leave by its port."""

    def __init__(self, driver: Any, **params: Any) -> None:
        super().__init__(**params)
        self.driver = driver
        self.frames: list[str] = []
        self.layer._port = driver.Port(self.leave)
        self.start()

    def start(self) -> None:
        self.layer._set_driven(True, lambda deadline: None)

    def stop(self) -> None:
        self.layer._set_driven(False, None)

    def leave(self, can_id: int, data: bytes) -> None:
        self.frames.append(words(data))

    def give(self, *frames: tuple[int, str], heard: int | None = None) -> list[str]:
        """A batch of frames, each so many ns after now, and what was sent; `heard`: nothing else came until then."""
        now = self.clock.ns
        batch = [(now + after, 0x456, octets(text)) for after, text in frames]
        self.driver.feed(self.layer, batch, *(() if heard is None else (now + heard,)))
        return self.left()

    def retry(self) -> list[str]:
        """Time goes on to the next deadline."""
        deadline = self.layer.deadline_ns()
        assert deadline is not None
        self.clock.ns = max(deadline, self.clock.ns)
        self.layer._drive()
        return self.left()

    def left(self) -> list[str]:
        frames, self.frames[:] = list(self.frames), []
        return frames


@pytest.fixture
def native(native_driver: Any) -> Callable[..., NativeBench]:
    return lambda **params: NativeBench(native_driver, **params)


Native = Callable[..., NativeBench]


def test_each_frame_has_its_time(native: Native) -> None:
    times: list[int] = []
    bench = native()
    bench.layer.on_message = lambda payload, address, now: times.append(now - bench.clock.ns)
    bench.give((1, "01 AA"), (5, "01 AA"), (6, "01 AA"), (30, "01 AA"))
    assert times == [1, 5, 6, 30]


def test_the_time_of_a_frame_goes_with_its_message(native: Native) -> None:
    bench = native()
    bench.give((1, "01 AA"), (5, "10 08 00 01 02 03 04 05"), (9, "21 06 07"))
    receptions = [bench.layer.recvmsg() for _ in range(2)]
    now = bench.clock.ns
    assert [(r.began_ns - now, r.ended_ns - now) for r in receptions if r] == [(1, 1), (5, 9)]
    assert [r.timestamp for r in receptions if r] == [None, None]  # the user's clock is not the kernel's


def test_each_frame_counts(native: Native) -> None:
    bench = native()
    bench.give((0, "01 AA"), (1, "41"), (2, FF_20))
    bench.give((3, "21 06 07 08 09 0A 0B 0C"))
    stats = bench.layer.stats
    assert (stats.frames_received, stats.frames_for_us) == (4, 4)


def test_flow_control_goes_before_the_next_frame_is_heard(native: Native) -> None:
    bench = native(blocksize=1)
    payload = counted(20)
    frames = [FF_20, words([0x21, *payload[6:13]]), words([0x22, *payload[13:]])]
    assert bench.give(*((0, text) for text in frames)) == ["30 01 00", "30 01 00"]
    assert bench.received() == [payload]


@pytest.mark.parametrize("before", [(), ((0, CTS),)], ids=["one frame", "two frames"])
@pytest.mark.parametrize(
    ("heard", "errors"),
    [
        (None, [isotp.ConsecutiveFrameTimeoutError]),
        (SECOND, [isotp.ConsecutiveFrameTimeoutError]),
        (SECOND - 1, []),
    ],
)
def test_silence_behind_a_batch(
    native: Native, before: tuple[Any, ...], heard: int | None, errors: list[type[Exception]]
) -> None:
    """The frames were in time, however late it is; what did not come is missing as far as the driver has listened."""
    bench = native(listen_mode=True)
    bench.give((0, FF_20))
    late = bench.clock.ns + SECOND
    bench.layer.clock = lambda: late
    bench.give(*before, (0, "21 06 07 08 09 0A 0B 0C"), heard=heard)
    assert bench.complaints() == errors


def test_a_stopped_layer_hears_nothing_more_of_a_batch(native: Native) -> None:
    """Not even where it was started again before the batch was through."""

    def stop(payload: bytearray, address: object, now: int) -> None:
        heard.append(bytes(payload))
        bench.stop()
        bench.layer.send(counted(20))

    def start(can_id: int, data: bytes) -> None:
        bench.leave(can_id, data)
        bench.start()

    heard: list[bytes] = []
    bench = native()
    bench.layer.on_message = stop
    bench.layer._port = bench.driver.Port(start)
    assert bench.give((0, "01 AA"), (1, "01 BB"), (2, "01 CC")) == [FF_20]
    assert heard == [b"\xaa"]
    assert bench.layer.stats.frames_received == 1
    bench.give((3, "01 DD"))
    assert heard == [b"\xaa", b"\xdd"]


class Broken(Exception):
    """What an error handler raises."""


def test_an_error_handler_that_raises_for_a_time_out_costs_no_frame(native: Native) -> None:
    """N_Cr is judged as the next frame arrives, before that is heard."""

    def complain(error: Exception) -> None:
        told.append(type(error))
        if type(error) is isotp.ConsecutiveFrameTimeoutError:
            raise Broken

    told: list[type[Exception]] = []
    bench = native(error_handler=complain)
    bench.give((0, FF_20))
    bench.give((SECOND, "01 AA"), (SECOND + 1, "01 BB"))
    assert bench.received() == [b"\xaa", b"\xbb"]
    assert told == [isotp.ConsecutiveFrameTimeoutError, isotp.CallbackError]
    assert bench.layer.stats.frames_received == 3


@pytest.mark.parametrize("wrong", [FF_20, "41"], ids=["time-out", "bad frame"])
def test_an_interrupt_in_an_error_handler_costs_no_frame_of_the_batch(native: Native, wrong: str) -> None:
    """The others wait, in order, for whoever drives the layer next."""

    def complain(error: Exception) -> None:
        bench.layer.error_handler = bench.errors.append
        raise KeyboardInterrupt

    bench = native(error_handler=complain)
    with pytest.raises(KeyboardInterrupt):
        bench.give((0, wrong), (SECOND, "01 AA"), (SECOND + 1, "01 BB"))
    bench.driver.feed(bench.layer, [(bench.clock.ns + SECOND + 2, 0x456, b"\x01\xcc")])
    assert bench.received() == [b"\xaa", b"\xbb", b"\xcc"]
    assert bench.layer.stats.frames_received == 4


def test_an_error_handler_that_stops_the_layer_for_a_time_out(native: Native) -> None:
    bench = native(error_handler=lambda error: bench.stop())
    bench.give((0, FF_20))
    bench.give((SECOND, "01 AA"), (SECOND + 1, "01 BB"))
    assert bench.received() == []
    assert bench.layer.stats.frames_received == 1
    bench.start()
    bench.give((SECOND + 2, "01 CC"))
    assert bench.received() == [b"\xcc"]


@pytest.mark.parametrize(
    ("source", "size", "frames"),
    [(iter, 22, ["21", "22", "23"]), (io.BytesIO, 22, ["21", "22"]), (iter, 13, ["21"])],
)
def test_frames_of_a_payload_that_ends_early_go_out(
    native: Native, source: Callable[[bytes], Any], size: int, frames: list[str]
) -> None:
    bench = native()
    bench.layer.send((source(counted(size)), 50))
    bench.layer._drive()
    bench.left()
    assert [text[:2] for text in bench.give((0, CTS))] == frames
    assert bench.complaints() == [isotp.BadGeneratorError]


def test_a_burst_goes_before_the_thread_is_left_to_others(native: Native) -> None:
    bench = native()
    bench.layer._shares_thread = True
    bench.layer.send(counted(6 + 7 * 100))
    bench.layer._drive()
    bench.left()
    assert [len(bench.give((0, CTS))), len(bench.retry())] == [64, 36]


def test_the_bytes_of_a_frame_are_all_written(native: Native) -> None:
    """Frames of one pass are made in the same place, one after the other."""
    bench = native()
    bench.stop()
    bench.layer.send(b"\xaa" * 7)
    bench.layer.send(bytes(5000))
    bench.start()
    bench.layer._drive()
    assert bench.left() == ["07 AA AA AA AA AA AA AA", "10 00 00 00 13 88 00 00"]


def test_the_length_of_a_long_single_frame_is_all_written(native: Native) -> None:
    extended = isotp.Address(
        isotp.AddressingMode.Extended_11bits, txid=0x123, rxid=0x456, target_address=0x55, source_address=0xAA
    )
    bench = native(address=extended, tx_data_length=64)
    bench.stop()
    bench.layer.send(b"\xaa" * 6)
    bench.layer.send(counted(9))
    bench.start()
    bench.layer._drive()
    assert bench.left() == ["55 06 AA AA AA AA AA AA", "55 00 09 00 01 02 03 04 05 06 07 08"]


@pytest.mark.parametrize(
    "story",
    [lambda bench: bench.layer.send(counted(20)), lambda bench: bench.give((0, FF_20))],
    ids=["N_Bs", "N_Cr"],
)
def test_timers_run_from_when_the_port_has_sent(native: Native, story: Callable[[NativeBench], Any]) -> None:
    bench = native()
    bench.layer._port = bench.driver.Port(lambda can_id, data: bench.wait(400 * MS))
    story(bench)
    bench.layer._drive()
    assert bench.layer.deadline_ns() == bench.clock.ns + SECOND


def test_a_port_without_room_is_tried_once_in_a_pass(native: Native) -> None:
    bench = native()
    bench.layer._port.full = True
    bench.layer.send(b"a")
    bench.layer._drive()
    assert (bench.layer.stats.retries, bench.layer.stats.frames_sent) == (1, 0)
    bench.layer._port.full = False
    assert bench.retry() == ["01 61"]
    assert (bench.layer.stats.retries, bench.layer.stats.frames_sent) == (1, 1)


def test_a_frame_that_never_went_does_not_count_for_the_rate(native: Native) -> None:
    bench = native(rate_limit_enable=True, rate_limit_max_bitrate=16, rate_limit_window_size=10.0)
    bench.layer._port.full = True
    for _ in range(3):
        bench.layer.send(bytes(7))
    bench.layer._drive()
    bench.wait(SECOND)
    bench.layer._drive()
    bench.layer._port.full = False
    assert len(bench.retry()) == 2
    assert bench.complaints() == [isotp.TransmitTimeoutError]


@pytest.fixture
def held_up(native: Native) -> NativeBench:
    """Two consecutive frames wait in the port, the last one does not fit."""
    bench = native()
    bench.layer.send(counted(25))
    bench.layer._drive()
    bench.layer._port.full = True
    bench.left()
    assert bench.give((0, CTS)) == []
    assert bench.layer.stats.frames_sent == 3
    return bench


def test_a_message_is_sent_when_its_last_frame_is(held_up: NativeBench) -> None:
    request = held_up.layer.active_send_request
    assert request.success is None
    held_up.layer._port.full = False
    assert [text[:2] for text in held_up.retry()] == ["21", "22", "23"]
    assert request.success
    assert held_up.layer.stats.frames_sent == 4


@pytest.mark.parametrize("end", ["stop_sending", "N_As"])
def test_frames_of_a_message_that_was_given_up_do_not_go(held_up: NativeBench, end: str) -> None:
    held_up.layer.send(b"a")
    if end == "N_As":
        held_up.wait(SECOND)
        held_up.layer._drive()
        assert held_up.complaints() == [isotp.TransmitTimeoutError]
    else:
        held_up.layer.stop_sending()
    held_up.layer._port.full = False
    assert held_up.retry() == ["01 61"]
    assert held_up.layer.stats.frames_sent == 2


@pytest.mark.parametrize("size", [9, 18, 25, 60], ids=["none waits", "one waits", "two wait", "many wait"])
@pytest.mark.parametrize("stop", ["reset", "stop_sending"])
def test_a_clock_that_was_set_back_holds_nothing_up_after_a_reset(
    native: Native, stop: str, size: int
) -> None:
    """What waits in the port was of the message that was given up; the next one goes at once."""
    bench = native()
    bench.layer.send(counted(size))
    bench.layer._drive()
    bench.left()
    bench.layer._port.full = True
    assert bench.give((0, CTS)) == []
    assert bench.layer.stats.retries == 1
    bench.stop()
    bench.clock.ns = 0
    getattr(bench.layer, stop)()
    waits = bench.layer.stats.frames_sent - 1
    assert (bench.layer.deadline_ns() is None) == (waits == 0)
    bench.layer._port.full = False
    bench.start()
    bench.layer.send(b"a")
    assert bench.left() == ["01 61"]
    assert bench.layer.deadline_ns() is None
    assert bench.layer.stats.frames_sent == 2


def test_stopped_while_the_port_sends(native: Native) -> None:
    """By another thread: what the port could not send is of no message any more."""
    bench = native()
    bench.layer.send(counted(25))
    bench.layer._drive()
    bench.left()

    def refuse() -> None:
        bench.layer.stop_sending()
        bench.layer._port.full = True

    bench.layer._port.before_flush = refuse
    assert bench.give((0, CTS)) == []
    bench.layer._port.before_flush = None
    bench.layer._port.full = False
    bench.layer.send(b"a")
    assert bench.retry() == ["01 61"]
    assert bench.layer.stats.frames_sent == 2
