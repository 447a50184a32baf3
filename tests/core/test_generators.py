"""Payloads that come from a generator, byte by byte, and are never held as a whole."""

from __future__ import annotations

import gc
import io
import itertools
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import isotp
from isotp import errors
from tests.frames import MS, SECOND, Bench, Link, counted, words

CTS = "30 00 00"


class Tap:
    """An iterator that counts what was taken from it."""

    def __init__(self, data: Any) -> None:
        self.source = iter(data)
        self.taken = 0

    def __iter__(self) -> Tap:
        return self

    def __next__(self) -> int:
        item: int = next(self.source)
        self.taken += 1
        return item


@pytest.mark.parametrize("size", [1, 6, 7, 8, 13, 14, 20, 100, 4095, 4096])
@pytest.mark.parametrize("tx_dl", [8, 12, 64])
def test_same_frames_as_from_bytes(size: int, tx_dl: int) -> None:
    frames = []
    for data in (counted(size), ((byte for byte in counted(size)), size)):
        bench = Bench(tx_data_length=tx_dl)
        sent = bench.say(data)
        if bench.layer.transmitting():
            sent += bench.hear(CTS)
        assert not bench.layer.transmitting()
        frames.append(sent)
    assert frames[0] == frames[1]


def test_bytes_are_taken_frame_by_frame() -> None:
    tap = Tap(counted(100))
    bench = Bench()
    bench.layer.send((tap, 100))
    assert tap.taken == 0
    bench.run()
    assert tap.taken == 6
    bench.hear("30 01 00")
    assert tap.taken == 13
    bench.hear("30 02 00")
    assert tap.taken == 27
    bench.layer.stop_sending()
    bench.run()
    assert tap.taken == 27


def test_largest_size_costs_no_memory() -> None:
    tap = Tap(itertools.repeat(7))
    bench = Bench(tx_data_length=64)
    assert bench.say((tap, (1 << 32) - 1)) == ["10 00 FF FF FF FF " + words([7] * 58)]
    assert bench.hear("30 03 00") == [words([0x20 | sn, *[7] * 63]) for sn in (1, 2, 3)]
    assert tap.taken == 58 + 3 * 63
    assert bench.layer.tx_frame_length == (1 << 32) - 1


def test_surplus_is_not_taken() -> None:
    tap = Tap(counted(100))
    bench = Bench()
    bench.say((tap, 10))
    bench.hear(CTS)
    assert not bench.layer.transmitting()
    assert bench.errors == []
    assert tap.taken == 10


def test_infinite_generator() -> None:
    bench = Bench()
    assert bench.say((itertools.count(), 3)) == ["03 00 01 02"]


@pytest.mark.parametrize("length", range(5))
def test_too_short_for_its_single_frame(length: int) -> None:
    bench = Bench()
    assert bench.say((iter(counted(length)), 5)) == []
    assert f"{length} of 5" in str(bench.layer.last_error)
    assert bench.complaints() == [errors.BadGeneratorError]
    assert not bench.layer.transmitting()
    assert bench.still_works()


@pytest.mark.parametrize("length", range(6))
def test_too_short_for_its_first_frame(length: int) -> None:
    bench = Bench()
    assert bench.say((iter(counted(length)), 20)) == []
    assert bench.complaints() == [errors.BadGeneratorError]
    assert bench.still_works()


def test_too_short_at_a_frame_boundary() -> None:
    bench = Bench()
    bench.say((iter(counted(13)), 27))
    assert bench.hear(CTS) == ["21 06 07 08 09 0A 0B 0C"]
    assert "13 of 27" in str(bench.layer.last_error)
    assert bench.complaints() == [errors.BadGeneratorError]
    assert not bench.layer.transmitting()
    assert bench.still_works()


def test_too_short_within_a_frame() -> None:
    """The last bytes leave in a frame that is too short, as can-isotp does it, and the message has failed."""
    requests: list[Any] = []
    bench = Bench()
    bench.layer.post_send_callback = requests.append
    bench.say((iter(counted(10)), 27))
    assert bench.hear(CTS) == ["21 06 07 08 09"]
    assert bench.complaints() == [errors.BadGeneratorError]
    assert (requests[0].success, requests[0].consumed_size) == (False, 10)
    assert type(requests[0].failure) is errors.BadGeneratorError
    assert bench.still_works()


def run_often(bench: Bench) -> None:
    for _ in range(3):
        bench.layer.process()


@pytest.mark.parametrize("at", [0, 3, 6, 10, 13])
def test_generator_that_raises(at: int) -> None:
    def broken() -> Iterator[int]:
        yield from counted(at)
        raise OSError("disk")

    requests: list[Any] = []
    bench = Bench()
    bench.layer.post_send_callback = requests.append
    bench.layer.send((broken(), 20))
    bench.arrive(CTS)
    with pytest.raises(OSError, match="disk") as raised:
        run_often(bench)
    assert requests[0].failure is raised.value
    assert not bench.layer.transmitting()
    assert bench.complaints() == []
    assert bench.still_works()


@pytest.mark.parametrize("item", [256, -1, 1 << 70, 1.5, 1.0, "a", b"a", None, [1]], ids=repr)
@pytest.mark.parametrize("at", [0, 3, 8])
def test_generator_of_items_that_are_no_bytes(item: Any, at: int) -> None:
    bench = Bench()
    bench.say((iter([*counted(at), item, *counted(30)]), 20))
    bench.hear(*([CTS] if bench.layer.transmitting() else []))
    assert repr(item) in str(bench.layer.last_error)
    assert f"at {at} of 20" in str(bench.layer.last_error)
    assert bench.layer.last_error.__cause__ is not None
    assert bench.complaints() == [errors.BadGeneratorError]
    assert not bench.layer.transmitting()
    assert bench.still_works()


def test_items_with_an_index() -> None:
    class Seven:
        def __index__(self) -> int:
            return 7

    bench = Bench()
    assert bench.say((iter([Seven(), True]), 2)) == ["02 07 01"]


def test_item_whose_index_raises() -> None:
    class Broken:
        def __index__(self) -> int:
            raise OSError("disk")

        __int__ = __index__

    bench = Bench()
    bench.layer.send((iter([Broken()]), 1))
    with pytest.raises(OSError, match="disk"):
        bench.layer.process()
    assert not bench.layer.transmitting()
    assert bench.still_works()


@pytest.mark.parametrize("stop", ["stop_sending", "reset"])
@pytest.mark.parametrize("ends", [False, True])
def test_generator_that_stops_its_own_message(stop: str, ends: bool) -> None:
    def generator() -> Iterator[int]:
        yield from counted(10)
        getattr(bench.layer, stop)()
        if not ends:
            yield from counted(50)

    requests: list[Any] = []
    bench = Bench()
    bench.layer.post_send_callback = requests.append
    bench.say((generator(), 20))
    assert bench.hear(CTS) == []
    assert not bench.layer.transmitting()
    assert (requests[0].success, requests[0].failure) == (False, None)
    assert bench.complaints() == []
    assert bench.still_works()


def test_generator_that_sends() -> None:
    def generator() -> Iterator[int]:
        yield 1
        bench.layer.send(b"next")
        yield 2

    bench = Bench()
    assert bench.say((generator(), 2)) == ["02 01 02", "04 6E 65 78 74"]


def test_generator_that_processes() -> None:
    def generator() -> Iterator[int]:
        assert bench.layer.process().sent == 0
        yield 1

    bench = Bench()
    assert bench.say((generator(), 1)) == ["01 01"]


def test_generator_that_looks_at_the_layer() -> None:
    seen: list[Any] = []

    def generator() -> Iterator[int]:
        seen.append((bench.layer.tx_state.name, bench.layer.is_tx_throttled(), bench.layer.tx_standby_msg))
        yield from counted(20)

    bench = Bench()
    bench.say((generator(), 20))
    assert seen[0][0] == "TRANSMIT_FF_STANDBY"


def test_stmin_holds_for_generated_payloads() -> None:
    bench = Bench()
    bench.say((iter(counted(20)), 20))
    assert bench.hear("30 00 05") == []
    bench.wait(5 * MS)
    assert bench.run() == ["21 06 07 08 09 0A 0B 0C"]
    assert bench.run() == []


def test_tx_data_length_changed_while_the_limiter_holds_a_frame() -> None:
    """What was taken from the generator for it is not lost, and the message keeps the length of its frames."""
    bench = Bench(
        tx_data_length=16, rate_limit_enable=True, rate_limit_max_bitrate=16 * 8, rate_limit_window_size=1.0
    )
    payload = counted(60)
    sent = bench.say((iter(payload), 60))
    bench.hear(CTS)
    bench.layer.params.set("tx_data_length", 8)
    bench.layer.params.set("rate_limit_enable", False)
    bench.layer.load_params()
    sent += bench.run()
    frames = [bytes.fromhex(text) for text in sent]
    assert frames[0][2:] + b"".join(data[1:] for data in frames[1:]) == payload
    assert {len(data) for data in frames[1:-1]} == {16}


@pytest.mark.parametrize(("before", "after"), [(8, 64), (64, 8)])
def test_tx_data_length_changed_while_the_limiter_holds_the_first_frame(before: int, after: int) -> None:
    """Nothing of the message has gone: it is made anew, with the bytes that are at hand."""
    bench = Bench(
        tx_data_length=before,
        rate_limit_enable=True,
        rate_limit_max_bitrate=64 * 8,
        rate_limit_window_size=1.0,
    )
    bench.layer.rate_limiter.configure(before * 8, 1.0)
    bench.say(counted(before - 2))
    payload = counted(200)
    assert bench.say((iter(payload), 200)) == []
    bench.layer.params.set("tx_data_length", after)
    bench.layer.rate_limiter.disable()
    sent = bench.run() + bench.hear(CTS)
    frames = [bytes.fromhex(text) for text in sent]
    assert (frames[0][2:] + b"".join(data[1:] for data in frames[1:]))[:200] == payload
    assert {len(data) for data in frames[:-1]} == {after}


def test_queued_generator_does_not_keep_its_layer_alive() -> None:
    """A generator that refers to the layer it was queued in: both go when nobody has them."""
    bench = Bench()
    layer = isotp.TransportLayerLogic(bench.next_frame, bench.messages.append, bench.address)

    def generator(owner: isotp.TransportLayerLogic) -> Iterator[int]:
        yield owner.available()

    layer.send((generator(layer), 1))
    gone = weakref.ref(layer)
    del layer
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("given", [[1, 2], [1, "no byte"], []])
def test_the_next_message_goes_in_the_same_pass(given: list[Any]) -> None:
    bench = Bench()
    bench.layer.send((iter(given), 3))
    bench.layer.send(b"a")
    assert bench.run() == ["01 61"]
    assert bench.complaints() == [errors.BadGeneratorError]


@pytest.mark.parametrize("ends", ["with what is no byte", "early", "stopped", "stopped and early"])
def test_the_next_message_follows_one_that_ends_in_its_midst(ends: str) -> None:
    def generator() -> Iterator[int]:
        yield from counted(6)
        if ends == "with what is no byte":
            yield 256
        if ends.startswith("stopped"):
            bench.layer.stop_sending()
        if ends == "stopped":
            yield 6

    bench = Bench()
    assert len(bench.say((generator(), 20))) == 1
    bench.layer.send(b"a")
    assert bench.hear(CTS) == ["01 61"]


def test_the_next_message_follows_a_file_that_ends_too_soon() -> None:
    bench = Bench()
    bench.say((io.BytesIO(counted(10)), 20))
    bench.layer.send(b"a")
    assert bench.hear(CTS) == ["01 61"]


def test_the_end_of_a_generator_does_not_wait_for_stmin() -> None:
    bench = Bench()
    bench.say((iter(counted(8)), 20))
    bench.hear("30 00 7F")
    bench.wait(127 * MS)
    assert bench.run() == ["21 06 07"]
    assert bench.complaints() == [errors.BadGeneratorError]


# --- Files --------------------------------------------------------------------------------------------------


class Slow(io.RawIOBase):
    """A file that gives a few bytes at a time, as a pipe does, and cannot seek."""

    def __init__(self, data: bytes, at_once: int) -> None:
        self.rest = data
        self.at_once = at_once

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.rest[: min(len(buffer), self.at_once)]
        self.rest = self.rest[len(piece) :]
        buffer[: len(piece)] = piece
        return len(piece)


@pytest.mark.parametrize("tx_dl", [8, 64])
@pytest.mark.parametrize("size", [1, 7, 8, 62, 63, 4095, 4096, 65536, 65537, 200_000])
def test_file_from_its_position_to_its_end(size: int, tx_dl: int) -> None:
    payload = counted(size)
    file = io.BytesIO(b"skipped" + payload)
    file.seek(7)
    link = Link(params_here={"tx_data_length": tx_dl}, params_there={"max_frame_size": 0xFFFFFFFF})
    link.here.layer.send(file)
    link.run()
    assert link.there.received() == [payload]


def test_file_of_the_file_system_is_read_block_by_block(tmp_path: Any) -> None:
    payload = counted(300_000)
    (tmp_path / "firmware").write_bytes(payload)
    positions: list[int] = []
    link = Link(params_there={"max_frame_size": 0xFFFFFFFF, "blocksize": 8})
    with (tmp_path / "firmware").open("rb", buffering=0) as file:
        link.here.layer.send(file)
        while not positions or link.busy():
            link.here.layer.process()
            link.there.layer.process()
            positions.append(file.tell())
    assert link.there.received() == [payload]
    assert positions[0] <= 65536
    assert all(later - earlier <= 65536 for earlier, later in itertools.pairwise(positions))


@pytest.mark.parametrize("at_once", [1, 5, 100, 299])
def test_file_with_a_size_of_its_own(at_once: int) -> None:
    payload = counted(500)
    file = Slow(payload + b"not sent", at_once)
    link = Link()
    link.here.layer.send((file, 500))
    link.run()
    assert link.there.received() == [payload]
    assert file.rest == b"not sent"


def test_file_that_can_not_seek_needs_a_size() -> None:
    with pytest.raises(ValueError, match="give \\(file, size\\)"):
        Bench().layer.send(Slow(b"abc", 3))


def test_file_that_ends_too_soon() -> None:
    bench = Bench()
    assert bench.say((Slow(counted(10), 3), 20)) == ["10 14 00 01 02 03 04 05"]
    assert bench.hear("30 00 00") == []
    assert bench.complaints() == [isotp.BadGeneratorError]
    assert not bench.layer.transmitting()


def test_file_that_fails() -> None:
    class Broken(io.RawIOBase):
        def readinto(self, buffer: Any) -> int:
            raise OSError("no such sector")

    bench = Bench()
    with pytest.raises(OSError, match="no such sector"):
        bench.say((Broken(), 20))
    assert not bench.layer.transmitting()
    assert bench.still_works()


class InOnePiece(io.RawIOBase):
    """A file whose bytes are one object."""

    def __init__(self, block: bytes) -> None:
        self.block = block

    def read(self, size: int | None = -1) -> bytes:
        return self.block


def fail(bench: Bench) -> None:
    def raise_error(message: isotp.CanMessage) -> None:
        raise OSError("no bus")

    bench.layer.txfn = raise_error
    with pytest.raises(OSError, match="no bus"):
        bench.hear(CTS)


@pytest.mark.parametrize(
    "end",
    [
        lambda bench: bench.hear(CTS),
        lambda bench: bench.layer.stop_sending(),
        lambda bench: bench.wait(SECOND) or bench.run(),
        fail,
    ],
    ids=["sent", "stopped", "N_Bs", "no bus"],
)
def test_a_block_of_a_file_is_let_go_with_its_message(end: Callable[[Bench], object]) -> None:
    bench = Bench()
    block = counted(60_000)
    before = sys.getrefcount(block)
    file = InOnePiece(block)
    bench.say((file, len(block)))
    assert sys.getrefcount(block) == before + 2
    end(bench)
    assert not bench.layer.transmitting()
    assert sys.getrefcount(block) == before + 1


def test_file_of_a_generators_size() -> None:
    with pytest.raises(ValueError, match="2\\^32-1"):
        Bench().layer.send((io.BytesIO(b"abc"), -1))
