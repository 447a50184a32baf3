"""Attacks on this package, each run in a process of its own, which tells what they cost.

``python -m tests.hostile NAME`` prints a JSON object: `growth`, the most memory (bytes) over what the process had when
the attack began, and what the layers say of it. tests/test_hostile_input.py judges.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import isotp
import isotp.aio
from isotp.threads import courier, timekeeper

CLAIM = 0xFFFFFFFF
FIRST_FRAME = bytes.fromhex("10 00 FF FF FF FF 01 02")
HERE = isotp.Address(txid=0x123, rxid=0x456)
PATIENCE = 60.0

STATUS = Path("/proc/self/status")

Attack = Callable[[], Iterator[dict[str, Any]]]


def memory(what: str) -> int:
    """Bytes of memory: resident now (VmRSS), or the most there ever was (VmHWM)."""
    found = re.search(rf"^{what}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


class Wire:
    """Where a layer hears frames, and has no time: `now` moves only when told to."""

    def __init__(self, **params: Any) -> None:
        self.frames: Iterator[isotp.CanMessage] = iter(())
        self.sent = 0
        self.last: bytes = b""
        self.errors: dict[str, int] = {}
        self.now = 10**12
        self.layer = isotp.TransportLayer(
            lambda: next(self.frames, None),
            self._send,
            HERE,
            self._count,
            {"max_frame_size": CLAIM, **params},
        )
        self.layer.clock = lambda: self.now

    def _send(self, message: isotp.CanMessage) -> None:
        self.sent += 1
        self.last = message.data

    def _count(self, error: isotp.IsoTpError) -> None:
        name = type(error).__name__
        self.errors[name] = self.errors.get(name, 0) + 1

    def hear(self, frames: Iterator[isotp.CanMessage]) -> None:
        self.frames = frames
        self.layer.process()


def repeated(data: bytes, count: int, identifier: int = 0x456) -> Iterator[isotp.CanMessage]:
    """Frames as a bus brings them: a new object each."""
    return (isotp.CanMessage(identifier, data=data) for _ in range(count))


# -- First Frames that announce 4 GiB ----------------------------------------------------------------------------


def claims_to_single_layers() -> Iterator[dict[str, Any]]:
    wires = [Wire() for _ in range(2_000)]
    yield {}
    for _ in range(50):
        for wire in wires:
            wire.hear(repeated(FIRST_FRAME, 1))
    yield {
        "receiving": sum(wire.layer.is_rx_active() for wire in wires),
        "claims": sum(wire.layer.stats.frames_for_us for wire in wires),
    }


def claim_that_goes_on() -> Iterator[dict[str, Any]]:
    """One message of 4 GiB, of which 7 MB arrive: the buffer is never more than twice that."""
    wire = Wire(blocksize=0)
    frames = 1_000_000
    yield {}
    wire.hear(
        itertools.chain(
            repeated(FIRST_FRAME, 1),
            (isotp.CanMessage(0x456, data=bytes((0x20 | k & 15,)) + bytes(7)) for k in range(1, frames)),
        )
    )
    yield {"receiving": int(wire.layer.is_rx_active()), "frames": wire.layer.stats.frames_for_us}


def claims_to_a_reassembler() -> Iterator[dict[str, Any]]:
    """100,000 sessions are named, and heard of, before the claims come."""
    numpy = __import__("numpy")
    count = 100_000
    wide = isotp.AddressingMode.Normal_29bits
    reassembler = isotp.Reassembler(
        [isotp.Address(wide, txid=2 * k, rxid=2 * k + 1) for k in range(count)], max_frame_size=CLAIM
    )
    records = numpy.zeros(count, isotp.record_dtype("classic"))
    records["timestamp"] = numpy.arange(count)
    records["can_id"] = 2 * numpy.arange(count) | 0x8000_0000
    records["len"] = 8
    records["data"][:] = list(b"\x01" + bytes(7))
    singles = len(reassembler.feed(records))
    records["data"][:] = list(FIRST_FRAME)
    yield {}
    messages = 0
    for _ in range(3):
        records["timestamp"] += count
        messages += len(reassembler.feed(records))
    yield {"singles": singles, "messages": messages}


def channels_of_a_reassembler() -> Iterator[dict[str, Any]]:
    """Fifty sessions are heard on each channel that there can be."""
    numpy = __import__("numpy")
    channels = 65_536
    records = numpy.zeros(channels, isotp.record_dtype("classic"))
    records["channel"] = numpy.arange(channels)
    records["len"] = 8
    records["data"][:] = list(FIRST_FRAME)
    reassembler = isotp.Reassembler(
        [isotp.Address(txid=2 * k, rxid=2 * k + 1) for k in range(50)], max_frame_size=CLAIM
    )
    yield {}
    for k in range(50):
        records["can_id"] = 2 * k
        reassembler.feed(records)
    yield {"passed_over": reassembler.passed_over, "open": len(reassembler.flush())}


def claims_to_discovery() -> Iterator[dict[str, Any]]:
    numpy = __import__("numpy")
    count = 100_000
    records = numpy.zeros(count, isotp.record_dtype("classic"))
    records["timestamp"] = numpy.arange(count) * 100_000
    records["can_id"] = numpy.arange(count) | 0x8000_0000
    records["channel"] = numpy.arange(count) % 5_000
    records["len"] = 8
    records["data"][:] = list(FIRST_FRAME)
    random = numpy.random.default_rng(15765)
    discovery = isotp.Discovery()
    yield {}
    discovery.feed(records)
    passed_over = discovery.passed_over
    for _ in range(5):
        # Anything that could be ISO-TP, behind any extension byte, on as many IDs as are looked at
        records["timestamp"] += count * 100_000
        records["channel"] = 0
        records["can_id"] = random.integers(0, 8_000, count) | 0x8000_0000
        records["data"][:, 0] = random.integers(0, 256, count)
        records["data"][:, 1] = random.integers(0, 64, count)
        discovery.feed(records)
    yield {"passed_over": passed_over, "sessions": len(discovery.sessions())}


def claims_to_a_hub() -> Iterator[dict[str, Any]]:
    """All 11-bit IDs are sessions, all other frames are for nobody."""
    can = __import__("can")
    bus = can.Bus("hostile", interface="virtual")
    hub = isotp.Hub(bus)
    sessions = [
        hub.session(isotp.Address(txid=k, rxid=k + 1), params={"max_frame_size": CLAIM})
        for k in range(0, 0x7F0, 2)
    ]
    hub._feed.start = lambda audience: None  # type: ignore[method-assign]  # frames come from here
    for session in sessions:
        session.start()
    yield {}
    for k in range(100_000):
        hub.table.dispatch(
            can.Message(arbitration_id=k, is_extended_id=k > 0x7FF, data=FIRST_FRAME, is_rx=True)
        )
        if k % 1_000 == 0:
            while bus.recv(0) is not None:
                """What the sessions answer"""
    for k in range(50_000):  # deadlines that come and go
        sessions[0]._feed(isotp.CanMessage(1, data=FIRST_FRAME if k % 2 else b"\x01\x00"))
        sessions[0].clear_rx_queue()
    stats = hub.stats
    entries = len(timekeeper._timekeeper._entries)
    hub.close()
    bus.shutdown()
    yield {"frames": stats.frames_for_us, "sessions": len(sessions), "timers": entries}


# -- Floods ------------------------------------------------------------------------------------------------------


def flood_of_first_frames() -> Iterator[dict[str, Any]]:
    wire = Wire()
    yield {}
    wire.hear(repeated(FIRST_FRAME, 50_000))
    yield {"stats": wire.layer.stats.as_dict(), "told": wire.errors}


def flood_of_flow_control() -> Iterator[dict[str, Any]]:
    wire = Wire()
    yield {}
    wire.hear(repeated(bytes.fromhex("30 00 00"), 50_000))
    wire.layer.send(bytes(100))
    wire.layer.process()
    wire.hear(repeated(bytes.fromhex("30 01 7F"), 50_000))  # STmin of 127 ms, and time stands still
    yield {"stats": wire.layer.stats.as_dict(), "told": wire.errors, "sending": wire.layer.transmitting()}


def flood_of_single_frames_without_a_reader() -> Iterator[dict[str, Any]]:
    wire = Wire()
    yield {}
    wire.hear(repeated(b"\x07abcdefg", 500_000))
    refused = wire.layer.stats
    wire.hear(repeated(FIRST_FRAME, 1))
    answer = wire.last.hex()
    taken = 0
    while wire.layer.recv() is not None:
        taken += 1
    wire.hear(repeated(b"\x01a", 1))
    yield {
        "stats": refused.as_dict(),
        "told": wire.errors,
        "taken": taken,
        "answer": answer,
        "after": bytes(wire.layer.recv() or b"").decode(),
    }


def long_messages_without_a_reader() -> Iterator[dict[str, Any]]:
    wire = Wire(blocksize=0, rx_queue_limit=8 << 20)
    message = [b"\x1f\xff" + bytes(6), *(bytes((0x20 | k & 15,)) + bytes(7) for k in range(1, 586))]
    yield {}
    refused = 0
    while wire.layer.stats.messages_received < 10_000 and not refused:
        wire.hear(isotp.CanMessage(0x456, data=data) for data in message)
        refused = wire.layer.stats.dropped.get("receptions", 0)
    yield {"stats": wire.layer.stats.as_dict(), "answer": wire.last.hex()}


def endless_wait_frames() -> Iterator[dict[str, Any]]:
    wire = Wire(wftmax=10)
    ignoring = Wire()
    yield {}
    for each in (wire, ignoring):
        each.layer.send(bytes(100))
        each.layer.process()
        for _ in range(50_000):
            each.now += 10_000_000
            each.hear(repeated(b"\x31\x00\x00", 1))
    yield {
        "told": wire.errors,
        "sending": wire.layer.transmitting(),
        "told_ignoring": ignoring.errors,
        "sending_ignoring": ignoring.layer.transmitting(),
        "waits": ignoring.layer.stats.waits_received,
    }


def endless_wait_frames_in_a_log() -> Iterator[dict[str, Any]]:
    numpy = __import__("numpy")
    count = 200_000
    reassembler = isotp.Reassembler([HERE])
    records = numpy.zeros(count, isotp.record_dtype("classic"))
    records["timestamp"] = numpy.arange(count) * 900_000_000
    records["can_id"] = 0x456
    records["len"] = 8
    records["data"][:] = list(b"\x31\x00\x00" + bytes(5))
    records["can_id"][0] = 0x123
    records["data"][0] = list(b"\x10\x64" + bytes(6))
    yield {}
    rows = 0
    for _ in range(10):
        rows += len(reassembler.feed(records))
        records["timestamp"] += count * 900_000_000
        records["can_id"][0], records["data"][0] = 0x456, records["data"][1]
    last = reassembler.flush()
    yield {"rows": rows, "open": len(last), "waits": int(last[0].waits)}


def storm_of_errors() -> Iterator[dict[str, Any]]:
    lines = 0

    class Counting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            nonlocal lines
            record.getMessage()
            lines += 1

    logger = logging.getLogger("isotp")
    logger.addHandler(Counting())
    logger.propagate = False
    wire = Wire()
    yield {}
    wire.hear(repeated(b"\x21", 100_000))
    first = lines
    wire.now += 1_000_000_000
    wire.hear(repeated(b"\x21", 1))
    yield {"told": wire.errors, "lines": first, "later": lines - first, "stats": wire.layer.stats.as_dict()}


# -- Others that do not keep up ----------------------------------------------------------------------------------


def messages_to_send_that_nobody_takes() -> Iterator[dict[str, Any]]:
    """Each request is answered at once, and no answer gets a Flow Control."""
    wire = Wire()
    wire.layer.on_message = lambda payload, address, timestamp: wire.layer.send(bytes(4000))
    refusals: dict[str, int] = {}
    yield {}
    for _ in range(20_000):
        try:
            wire.hear(repeated(b"\x01a", 1))
        except RuntimeError as error:
            refusals[str(error)] = refusals.get(str(error), 0) + 1
    yield {"waiting": wire.layer.tx_queue.qsize(), "refusals": refusals}


def slow_callbacks_of_a_hub() -> Iterator[dict[str, Any]]:
    can = __import__("can")
    bus = can.Bus("hostile", interface="virtual")
    hub = isotp.Hub(bus)
    hub._feed.start = lambda audience: None  # type: ignore[method-assign]  # frames come from here
    may_go_on = threading.Event()
    done = threading.Event()
    calls: dict[str, int] = {"messages": 0, "errors": 0}

    def on_message(payload: bytearray, address: isotp.Address, timestamp: int) -> None:
        may_go_on.wait(PATIENCE)
        calls["messages"] += 1

    def on_error(error: isotp.IsoTpError) -> None:
        # Those that are told were the first, after the messages that found room.
        calls["errors"] += 1
        if calls["errors"] == courier._MOST_ERRORS:
            done.set()

    session = hub.session(
        HERE, on_message=on_message, error_handler=on_error, params={"rx_queue_limit": 16 << 20}
    )
    session.start()
    yield {}
    for frame in repeated(b"\x07abcdefg", 150_000):
        session._feed(frame)
    for frame in repeated(b"\x21", 2_000):
        session._feed(frame)
    stats = session.stats
    may_go_on.set()
    assert done.wait(PATIENCE)
    hub.close()
    bus.shutdown()
    yield {"stats": stats.as_dict(), "calls": calls}


def frames_while_txfn_does_not_return() -> Iterator[dict[str, Any]]:
    entered, may_go_on = threading.Event(), threading.Event()

    def txfn(message: isotp.CanMessage) -> None:
        entered.set()
        may_go_on.wait(PATIENCE)

    def wait_in_vain(timeout: float) -> None:
        may_go_on.wait(timeout)

    errors: list[str] = []
    layer = isotp.TransportLayer(
        wait_in_vain,
        txfn,
        HERE,
        error_handler=lambda error: errors.append(f"{type(error).__name__}: {error}"),
        read_timeout=0.01,
    )
    layer.start()
    sender = threading.Thread(target=layer.send, args=(b"abc",))
    sender.start()
    assert entered.wait(PATIENCE)
    yield {}
    for frame in repeated(b"\x01a", 200_000):
        layer._feed(frame)
    may_go_on.set()
    sender.join(PATIENCE)
    layer._drive()
    stats = layer.stats
    layer.stop()
    yield {"stats": stats.as_dict(), "told": errors}


def frames_while_the_loop_does_not_run() -> Iterator[dict[str, Any]]:
    can = __import__("can")
    bus = can.Bus("hostile", interface="virtual")
    notifier = can.Notifier(bus, [])
    told: list[str] = []

    async def sleep_on_the_job() -> Any:
        async with (
            isotp.aio.Hub(bus, notifier) as hub,
            hub.layer(HERE, error_handler=lambda error: told.append(type(error).__name__)) as layer,
        ):
            feed = hub._hub.feed
            thread = threading.Thread(
                target=lambda: [
                    feed._on_message(can.Message(arbitration_id=0x456, is_extended_id=False, data=b"\x01a"))
                    for _ in range(150_000)
                ]
            )
            thread.start()
            thread.join()  # which keeps the loop from running
            taken = 0
            async for _ in layer:
                taken += 1
                if taken == 65_536:
                    break
            return taken, hub.stats.as_dict()

    yield {}
    taken, stats = asyncio.run(sleep_on_the_job())
    notifier.stop()
    bus.shutdown()
    yield {"taken": taken, "stats": stats, "told": told}


ATTACKS: dict[str, Attack] = {
    function.__name__: function
    for function in (
        claims_to_single_layers,
        claim_that_goes_on,
        claims_to_a_reassembler,
        channels_of_a_reassembler,
        claims_to_discovery,
        claims_to_a_hub,
        flood_of_first_frames,
        flood_of_flow_control,
        flood_of_single_frames_without_a_reader,
        long_messages_without_a_reader,
        endless_wait_frames,
        endless_wait_frames_in_a_log,
        storm_of_errors,
        messages_to_send_that_nobody_takes,
        slow_callbacks_of_a_hub,
        frames_while_txfn_does_not_return,
        frames_while_the_loop_does_not_run,
    )
}


def main(name: str) -> None:
    """Run one attack up to its first yield, look at the memory, and run it to its end."""
    if name != "storm_of_errors":
        logging.getLogger("isotp").setLevel(logging.CRITICAL)
    attack = ATTACKS[name]()
    next(attack)
    before = memory("VmRSS")
    facts = next(attack)
    print(json.dumps({"growth": memory("VmHWM") - before, **facts}))


if __name__ == "__main__":
    main(sys.argv[1])
