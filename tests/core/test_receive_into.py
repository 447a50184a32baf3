"""receive_into: long messages go where the user wants them, piece by piece, with bounded memory."""

from __future__ import annotations

import array
import io
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import isotp
from isotp._core import TryAgain
from tests.frames import MS, SECOND, Bench, Link, counted

LARGE = {"max_frame_size": 0xFFFFFFFF}


def consecutive(payload: bytes) -> list[str]:
    """All frames of a message, on classic CAN."""
    first = f"1{len(payload) >> 8:X} {len(payload) & 0xFF:02X} {payload[:6].hex(' ')}"
    chunks = [payload[k : k + 7] for k in range(6, len(payload), 7)]
    return [first, *(f"2{(k + 1) % 16:X} {chunk.hex(' ')}" for k, chunk in enumerate(chunks))]


def test_a_callable_is_given_the_pieces() -> None:
    payload = counted(100_000)
    pieces: list[bytes] = []
    link = Link(params_there=LARGE)
    receiver = link.there.layer
    sizes: list[int] = []

    def receive_into(size: int) -> Any:
        sizes.append(size)
        return pieces.append

    receiver.receive_into = receive_into
    link.here.layer.send(payload)
    link.run()
    assert b"".join(pieces) == payload
    assert all(type(piece) is bytes for piece in pieces)
    # Whenever the buffer, of 256 bytes, might not hold a further frame
    assert all(192 < len(piece) <= 256 for piece in pieces[:-1])
    assert sizes == [100_000]
    assert receiver.recv() == pieces.append
    assert receiver.recv() is None


@pytest.mark.parametrize(
    "target", [bytearray(5000), bytearray(6000), memoryview(bytearray(5000)), array.array("H", bytes(5000))]
)
def test_a_buffer_is_filled(target: Any) -> None:
    payload = counted(5000)
    link = Link(params_there=LARGE)
    link.there.layer.receive_into = lambda size: target
    link.here.layer.send(payload)
    link.run()
    assert link.there.layer.recv() is target
    assert bytes(memoryview(target).cast("B"))[:5000] == payload


def test_a_message_without_target_after_a_long_one_with_one() -> None:
    payload = counted(5000)
    targets = [bytearray(5000), None]
    link = Link(params_there=LARGE)
    link.there.layer.receive_into = lambda size: targets.pop(0)
    for _ in range(2):
        link.here.layer.send(payload)
        link.run()
    assert link.there.received() == [payload, payload]


def test_a_file_by_its_write_method(tmp_path: Any) -> None:
    payload = counted(20_000)
    link = Link(params_there=LARGE)
    with (tmp_path / "firmware").open("wb") as file:
        link.there.layer.receive_into = lambda size: file.write
        link.here.layer.send(payload)
        link.run()
    assert (tmp_path / "firmware").read_bytes() == payload


def test_none_and_single_frames_stay_as_ever() -> None:
    sizes: list[int] = []
    bench = Bench()
    bench.layer.receive_into = sizes.append
    bench.hear("02 01 02", *consecutive(b"12345678"))
    assert bench.received() == [b"\1\2", b"12345678"]
    assert sizes == [8]


def test_on_message_is_given_the_target() -> None:
    calls: list[Any] = []
    target = bytearray(8)
    bench = Bench()
    bench.layer.receive_into = lambda size: target
    bench.layer.on_message = lambda payload, address, timestamp: calls.append(payload)
    bench.hear(*consecutive(b"12345678"))
    assert calls == [target]
    assert calls[0] is target
    assert target == b"12345678"


@pytest.mark.parametrize(
    ("then", "error"),
    [
        ("22 01", isotp.WrongSequenceNumberError),
        ("01 AA", isotp.ReceptionInterruptedWithSingleFrameError),
        ("10 09 01 02 03 04 05 06", isotp.ReceptionInterruptedWithFirstFrameError),
        ("41", isotp.InvalidCanDataError),
        (None, isotp.ConsecutiveFrameTimeoutError),
    ],
)
def test_a_message_that_breaks_off_is_named_by_the_error(then: str | None, error: type[Exception]) -> None:
    targets: list[bytearray] = []
    bench = Bench()

    def receive_into(size: int) -> bytearray:
        targets.append(bytearray(size))
        return targets[-1]

    bench.layer.receive_into = receive_into
    bench.hear("10 08 01 02 03 04 05 06")
    if then is None:
        bench.wait(SECOND)
        bench.run()
    else:
        bench.hear(then)
    assert [type(e) for e in bench.errors] == [error]
    assert bench.errors[0].target is targets[0]
    assert all(message is not targets[0] for message in bench.received())
    # The next message has a target of its own, also where it did the interrupting.
    if len(targets) == 1:
        bench.hear("10 09 01 02 03 04 05 06")
    bench.hear("21 07 08 09")
    assert bench.layer.recv() is targets[1]
    assert targets[1] == bytes(range(1, 10))


@pytest.mark.parametrize("then", [None, "22 01", "01 AA"])
def test_a_message_without_target_after_one_that_broke_off(then: str | None) -> None:
    targets = [bytearray(8), None]
    bench = Bench()
    bench.layer.receive_into = lambda size: targets.pop(0)
    bench.hear("10 08 01 02 03 04 05 06")
    bench.wait(SECOND if then is None else 0)
    bench.hear(*([] if then is None else [then]))
    bench.received()
    bench.hear("10 09 11 12 13 14 15 16", "21 17 18 19")
    assert bench.received() == [bytes(range(0x11, 0x1A))]


def test_the_message_that_interrupted_another_needs_no_target() -> None:
    targets = [bytearray(8), None]
    bench = Bench()
    bench.layer.receive_into = lambda size: targets.pop(0)
    bench.hear("10 08 01 02 03 04 05 06", "10 09 11 12 13 14 15 16", "21 17 18 19")
    assert bench.received() == [bytes(range(0x11, 0x1A))]


def test_other_errors_have_no_target() -> None:
    bench = Bench()
    bench.layer.receive_into = bytearray
    bench.hear("10 08 01 02 03 04 05 06", "30 00 00")
    assert [error.target for error in bench.errors] == [None]
    bench.hear("21 07 08")
    assert bench.received() == [bytes(range(1, 9))]


@pytest.mark.parametrize(
    ("receive_into", "error", "words"),
    [
        (lambda size: bytearray(7), ValueError, "8 bytes"),
        (lambda size: bytes(8), ValueError, "writable"),
        (lambda size: 1 / 0, ZeroDivisionError, "division"),
        (lambda size: 5, TypeError, "int"),
    ],
    ids=["too_small", "read_only", "raises", "no_target"],
)
def test_a_target_that_can_not_be_had_refuses_the_message(
    receive_into: Any, error: type[Exception], words: str
) -> None:
    bench = Bench()
    bench.layer.receive_into = receive_into
    bench.arrive("10 08 01 02 03 04 05 06")
    with pytest.raises(error, match=words):
        bench.run()
    assert bench.run() == ["32 08 00"]
    assert not bench.layer.is_rx_active()
    bench.layer.receive_into = None
    assert bench.still_works()


@pytest.mark.parametrize("size", [10, 9000])
def test_a_target_that_raises_ends_the_reception(size: int) -> None:
    payload = counted(size)
    bench = Bench(blocksize=0, max_frame_size=10_000)

    def write(piece: bytes) -> None:
        raise OSError("disk full")

    bench.layer.receive_into = lambda size: write
    if size > 4095:
        bench.arrive(f"10 00 {size.to_bytes(4, 'big').hex(' ')} {payload[:2].hex(' ')}")
        bench.arrive(*(f"2{(k + 1) % 16:X} {payload[2 + 7 * k : 9 + 7 * k].hex(' ')}" for k in range(1000)))
    else:
        bench.arrive(*consecutive(payload))
    with pytest.raises(OSError, match="disk full"):
        bench.run()
    assert not bench.layer.is_rx_active()
    bench.layer.receive_into = None
    assert bench.still_works()


def test_stop_receiving_forgets_the_target() -> None:
    target = bytearray(8)
    bench = Bench()
    bench.layer.receive_into = lambda size: target
    bench.hear("10 08 01 02 03 04 05 06")
    bench.layer.stop_receiving()
    bench.layer.receive_into = None
    bench.hear("10 08 11 12 13 14 15 16", "21 17 18")
    assert bench.received() == [bytes(range(0x11, 0x19))]
    assert target == bytes(8)


@pytest.mark.parametrize("stop", ["stop_receiving", "reset"])
def test_receive_into_that_stops_the_reception(stop: str) -> None:
    """As another thread may do meanwhile: what it gives is the target of no message."""
    target = bytearray(b"\xee" * 20)

    def receive_into(size: int) -> bytearray:
        getattr(bench.layer, stop)()
        return target

    bench = Bench()
    bench.layer.receive_into = receive_into
    assert bench.hear("10 08 01 02 03 04 05 06") == []
    bench.hear("05 61 62 63 64 65")
    message = bench.layer.recv()
    assert message == b"abcde"
    assert message is not target
    assert target == b"\xee" * 20
    bench.layer.receive_into = None
    bench.hear("10 08 11 12 13 14 15 16", "21 17 18")
    assert bench.received() == [bytes(range(0x11, 0x19))]


def test_receive_into_that_stops_the_reception_and_raises() -> None:
    """Nothing is left to be refused with Overflow."""

    def receive_into(size: int) -> None:
        bench.layer.stop_receiving()
        raise OSError("disk full")

    bench = Bench()
    bench.layer.receive_into = receive_into
    bench.arrive("10 08 01 02 03 04 05 06")
    with pytest.raises(OSError, match="disk full"):
        bench.run()
    assert bench.run() == []
    bench.layer.receive_into = None
    assert bench.still_works()


def test_the_sender_that_can_not_be_answered() -> None:
    """N_Ar: the message breaks off, and the error names its target."""

    def refuse(message: isotp.CanMessage) -> None:
        raise TryAgain("full")

    target = bytearray(8)
    bench = Bench(txfn=refuse, rx_consecutive_frame_timeout=5000)
    bench.layer.receive_into = lambda size: target
    bench.hear("10 08 01 02 03 04 05 06")
    bench.wait(SECOND)
    bench.run()
    assert [type(error) for error in bench.errors] == [isotp.TransmitTimeoutError]
    assert bench.errors[0].target is target
    assert not bench.layer.is_rx_active()
    bench.wait(MS)
    bench.hear("01 AA")
    assert bench.received() == [b"\xaa"]


@pytest.mark.parametrize(
    "end",
    [lambda layer: layer.stop_receiving(), lambda layer: layer._forget_threads()],
    ids=["stop_receiving", "fork"],
)
def test_a_target_is_let_go_with_its_message(end: Callable[[Any], object]) -> None:
    class Target:
        def __call__(self, piece: bytes) -> None:
            raise AssertionError("its message is over")

    bench = Bench()
    bench.layer.receive_into = lambda size: Target()
    bench.hear("10 08 01 02 03 04 05 06")
    target = bench.layer.receive_into = None
    end(bench.layer)
    bench.hear("01 AA")
    assert bench.received() == [b"\xaa"]
    bench.layer.receive_into = lambda size: target
    targets = [Target(), Target()]
    seen = [weakref.ref(each) for each in targets]
    bench.layer.receive_into = lambda size: targets.pop()
    bench.hear("10 08 01 02 03 04 05 06")
    end(bench.layer)
    assert [each() is None for each in seen] == [False, True]


def test_a_file_of_the_standard_library_is_no_target_itself() -> None:
    bench = Bench()
    bench.layer.receive_into = lambda size: io.BytesIO()
    bench.arrive("10 08 01 02 03 04 05 06")
    with pytest.raises(TypeError, match="BytesIO"):
        bench.run()
