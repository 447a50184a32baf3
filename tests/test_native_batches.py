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
        self.layer.port = driver.Port(self.leave)
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
    bench.layer.port = bench.driver.Port(start)
    assert bench.give((0, "01 AA"), (1, "01 BB"), (2, "01 CC")) == [FF_20]
    assert heard == [b"\xaa"]
    bench.give((3, "01 DD"))
    assert heard == [b"\xaa", b"\xdd"]


@pytest.mark.parametrize(("source", "frames"), [(iter, ["21", "22", "23"]), (io.BytesIO, ["21", "22"])])
def test_frames_of_a_payload_that_ends_early_go_out(
    native: Native, source: Callable[[bytes], Any], frames: list[str]
) -> None:
    bench = native()
    bench.layer.send((source(counted(22)), 50))
    bench.layer.drive()
    bench.left()
    assert [text[:2] for text in bench.give((0, CTS))] == frames
    assert bench.complaints() == [isotp.BadGeneratorError]


def test_the_bytes_of_a_frame_are_all_written(native: Native) -> None:
    """Frames are made in the same place, one after the other."""
    bench = native()
    bench.layer.send(b"\xaa" * 7)
    bench.layer.send(bytes(5000))
    bench.layer.drive()
    assert bench.left() == ["07 AA AA AA AA AA AA AA", "10 00 00 00 13 88 00 00"]


@pytest.mark.parametrize(
    "story",
    [lambda bench: bench.layer.send(counted(20)), lambda bench: bench.give((0, FF_20))],
    ids=["N_Bs", "N_Cr"],
)
def test_timers_run_from_when_the_port_has_sent(native: Native, story: Callable[[NativeBench], Any]) -> None:
    bench = native()
    bench.layer.port = bench.driver.Port(lambda can_id, data: bench.wait(400 * MS))
    story(bench)
    bench.layer.drive()
    assert bench.layer.deadline_ns() == bench.clock.ns + SECOND


def test_a_port_without_room_is_tried_once_in_a_pass(native: Native) -> None:
    bench = native()
    bench.layer.port.full = True
    bench.layer.send(b"a")
    bench.layer.drive()
    assert (bench.layer.stats.retries, bench.left()) == (1, [])
    bench.layer.port.full = False
    bench.clock.ns = bench.layer.deadline_ns()
    bench.layer.drive()
    assert (bench.layer.stats.retries, bench.left()) == (1, ["01 61"])
