"""What several threads use at once stays whole: settings changed under traffic, tables made side by side, errors.

With the GIL few of these can go wrong; without it (checks/freethreaded/run.py) all threads of a test do run at once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

import isotp
from isotp._core import RateLimiter
from isotp.discovery import Discovery
from isotp.params import Params
from tests.frames import counted

HERE, THERE = isotp.Address(txid=0x7E0, rxid=0x7E8), isotp.Address(txid=0x7E8, rxid=0x7E0)
ROUNDS = 2000
SESSIONS = 40


def at_once(*works: Callable[[], object]) -> None:
    """Run all of them in threads that begin together; whatever one of them raises is raised here."""
    begin = threading.Barrier(len(works))
    failures: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        begin.wait()
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def rounds(act: Callable[[int], object], number: int = ROUNDS) -> Callable[[], None]:
    def work() -> None:
        for k in range(number):
            act(k)

    return work


def layer(**options: Any) -> isotp.TransportLayerLogic:
    return isotp.TransportLayerLogic(lambda: None, lambda frame: None, HERE, **options)


def single(can_id: int) -> isotp.CanMessage:
    return isotp.CanMessage(can_id, data=b"\x02\x01\x02")


# --- Layers ---------------------------------------------------------------------------------------------------


def test_address_changes_while_others_look_and_frames_come() -> None:
    """Each frame is taken by one whole address: ID and extension byte are never those of two."""
    extended = isotp.AddressingMode.Extended_11bits

    def address(k: int) -> isotp.Address:
        if k % 2:
            return isotp.Address(txid=0x100, rxid=0x200)
        return isotp.Address(extended, txid=0x101, rxid=0x201, target_address=2, source_address=2)

    subject = layer()
    received: list[bytes] = []
    errors: list[Exception] = []
    subject.error_handler = errors.append
    subject.on_message = lambda payload, address, timestamp: received.append(bytes(payload))
    # With the extension byte of the one, the other's frame would be a First Frame, or a single frame of another size.
    frames = (
        isotp.CanMessage(0x200, data=bytes.fromhex("02 01 02")),
        isotp.CanMessage(0x201, data=bytes.fromhex("02 03 04 05 06")),
    )
    at_once(
        rounds(lambda k: subject.set_address(address(k))),
        rounds(lambda k: subject.set_address(address(k + 1))),
        rounds(lambda k: subject.address.get_rx_arbitration_id()),
        rounds(lambda k: subject.process_rx(frames[k % 2])),
    )
    assert errors == []
    assert set(received) <= {b"\x01\x02", b"\x04\x05\x06"}


def test_further_addresses_change_while_frames_come() -> None:
    subject = layer()
    subject.receive_also([isotp.Address(txid=1, rxid=0x300)])
    received: list[object] = []
    subject.on_message = lambda payload, address, timestamp: received.append(address)
    at_once(
        rounds(
            lambda k: subject.receive_also([isotp.Address(txid=1, rxid=0x300 + n) for n in range(1 + k % 8)])
        ),
        rounds(lambda k: subject.receive_also([isotp.Address(txid=1, rxid=0x300)])),
        rounds(lambda k: subject.process_rx(single(0x300))),
    )
    assert received
    assert {type(address) for address in received} == {isotp.Address}


@pytest.mark.parametrize(
    "name", ["on_message", "post_send_callback", "error_handler", "receive_into", "logger", "params"]
)
def test_settings_are_replaced_under_traffic(name: str) -> None:
    """What was there before may end at once: nobody else holds it."""

    def value() -> Any:
        if name == "logger":
            return logging.LoggerAdapter(logging.getLogger("isotp"), {})
        if name == "params":
            return Params()
        return lambda *arguments: None

    subject = layer()

    def replace(k: int) -> None:
        setattr(subject, name, value())

    def traffic(k: int) -> None:
        subject.process_rx(isotp.CanMessage(0x7E8, data=bytes.fromhex("10 08 01 02 03 04 05 06")))
        subject.process_rx(isotp.CanMessage(0x7E8, data=bytes.fromhex("21 07 08")))
        subject.send(b"\x01")
        subject.recv()

    few = ROUNDS // 4
    at_once(
        rounds(replace, few),
        rounds(replace, few),
        rounds(lambda k: getattr(subject, name), few),
        rounds(traffic, few),
    )


def test_errors_are_reported_from_many_threads() -> None:
    subject = layer()
    reported: list[Exception] = []
    subject.error_handler = reported.append
    works = [rounds(lambda k: subject.trigger_error(isotp.FlowControlTimeoutError(str(k)))) for _ in range(3)]
    at_once(*works, rounds(lambda k: repr(subject.last_error)))
    assert len(reported) == 3 * ROUNDS
    assert subject.stats.errors == {"FlowControlTimeoutError": 3 * ROUNDS}


def test_reception_is_stopped_while_its_target_is_filled() -> None:
    """A message is whole in its target, or it did not come."""
    size = 400
    payload = counted(size)
    subject = layer(params={"rx_consecutive_frame_timeout": 60_000})
    targets: list[bytearray] = []
    errors: list[Exception] = []
    subject.error_handler = errors.append
    subject.receive_into = lambda size: bytearray(size)
    subject.on_message = lambda target, address, timestamp: targets.append(target)
    frames = [isotp.CanMessage(0x7E8, data=(0x1000 | size).to_bytes(2, "big") + payload[:6])]
    for k, place in enumerate(range(6, size, 7)):
        frames.append(isotp.CanMessage(0x7E8, data=bytes([0x20 | (k + 1) % 16]) + payload[place : place + 7]))

    def receive(k: int) -> None:
        for frame in frames:
            subject.process_rx(frame)

    over = threading.Event()

    def stop() -> None:
        while not over.is_set():
            subject.stop_receiving()

    def receive_all() -> None:
        try:
            rounds(receive, 100)()
        finally:
            over.set()

    at_once(receive_all, stop)
    assert all(bytes(target) == payload for target in targets)
    assert {type(error) for error in errors} <= {
        isotp.UnexpectedConsecutiveFrameError,
        isotp.WrongSequenceNumberError,
    }


def test_rate_limiter_is_changed_while_it_limits() -> None:
    limiter = RateLimiter(1_000_000, 0.1)
    at_once(
        rounds(lambda k: limiter.set_bitrate(1e6 + k)),
        rounds(lambda k: limiter.configure(2e6 + k, 0.1 + k * 1e-6)),
        rounds(lambda k: (limiter.inform_byte_sent(8), limiter.allowed_bytes(), limiter.can_be_enabled())),
        rounds(lambda k: limiter.reset()),
    )
    assert limiter.enabled


def test_data_of_one_frame_is_replaced_while_others_read_it() -> None:
    frame = isotp.CanMessage(0x7E8, data=b"\x01\x02")
    read: set[bytes] = set()

    def write(k: int) -> None:
        frame.data = bytes([k % 256, k % 256])

    at_once(rounds(write), rounds(write), rounds(lambda k: read.add(bytes(frame.data))))
    assert all(data == b"\x01\x02" or data[0] == data[1] for data in read)


# --- Logs -----------------------------------------------------------------------------------------------------


def some_log(channels: int = 1, messages: int = 400) -> isotp.Records:
    """Requests and long answers of SESSIONS sessions on so many channels."""
    records = isotp.Records("classic")
    now = 0
    for k in range(messages):
        can_id = 0x600 + k % SESSIONS
        channel = k % channels
        records.append(now, can_id, b"\x02\x10\x03", channel=channel)
        answer = bytes([k % 256]) + counted(19)
        for data in (b"\x10\x14" + answer[:6], b"\x21" + answer[6:13], b"\x22" + answer[13:]):
            now += 1_000_000
            records.append(now, can_id + 0x80, data, channel=channel)
    return records


def sessions() -> list[isotp.Address]:
    return [isotp.Address(txid=0x600 + k, rxid=0x680 + k) for k in range(SESSIONS)]


@pytest.mark.parametrize("piece", [1, 64, 1000], ids="pieces of {}".format)
def test_reassemblers_side_by_side(piece: int) -> None:
    """Threads that share the records, and nothing else, get what one alone gets: with the GIL let go, and without."""
    records = some_log()
    alone = [tuple(message) for message in isotp.Reassembler(sessions()).feed(records)]
    assert len(alone) == 800
    results: list[list[tuple[Any, ...]]] = []

    def reassemble() -> None:
        reassembler = isotp.Reassembler(sessions())
        view = memoryview(records)  # each its own: CPython does not let threads share one
        messages: list[tuple[Any, ...]] = []
        for start in range(0, len(view), piece):
            messages += map(tuple, reassembler.feed(view[start : start + piece]))
        results.append(messages)

    at_once(*[reassemble] * 3)
    assert results == [alone] * 3


@pytest.mark.parametrize("kind", ["Reassembler", "Discovery"])
def test_one_object_is_asked_while_another_thread_feeds_it(kind: str) -> None:
    """It answers from between two feeds, or says that it is busy; afterwards it is free."""
    records = some_log(channels=400)
    refused: set[str] = set()
    over = threading.Event()
    if kind == "Reassembler":
        reassembler = isotp.Reassembler(sessions())
        feed, ask = (lambda: reassembler.feed(records)), reassembler.statistics
    else:
        discovery = Discovery()
        feed, ask = (lambda: discovery.feed(records)), discovery.sessions

    def feed_all() -> None:
        try:
            for _ in range(30):
                try:
                    feed()
                except RuntimeError as error:
                    refused.add(str(error))
        finally:
            over.set()

    def ask_all() -> None:
        while not over.is_set():
            try:
                ask()
            except RuntimeError as error:
                refused.add(str(error))

    at_once(feed_all, ask_all)
    assert all("another thread feeds this" in text for text in refused)
    feed()
    assert ask()


def test_tables_are_read_by_many_threads() -> None:
    messages = isotp.Reassembler(sessions()).feed(some_log())
    expected = [tuple(message) for message in messages]
    read: list[list[tuple[Any, ...]]] = []
    at_once(*[rounds(lambda k: read.append([tuple(message) for message in messages]), 5)] * 3)
    assert read == [expected] * 15


def test_records_grow_while_others_read_them() -> None:
    records = isotp.Records("classic")
    at_once(
        rounds(lambda k: records.append(k, 0x123, b"\x01")),
        rounds(lambda k: records.append(k, 0x123, b"\x01")),
        rounds(lambda k: len(records)),
    )
    assert len(records) == 2 * ROUNDS
