"""Reassembler against layers in listen mode, one a direction of each session: the same messages, the same errors.

Whatever is sent, lost, repeated or invented, and however the log is cut into pieces.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import isotp
from isotp import (
    Address,
    AddressingMode,
    Direction,
    Messages,
    MessageStatus,
    Reassembler,
    Record,
    Records,
    encode,
)
from isotp.address import AddressSide
from tests.bulk.logs import ADDRESSES
from tests.frames import MS, SECOND, counted

# Coverage and sanitizer builds are slow: no example is wrong for taking its time.
relaxed = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


class Line(NamedTuple):
    """One direction of one session on one channel."""

    session: int
    direction: Direction
    channel: int

    @property
    def side(self) -> AddressSide:
        address = ADDRESSES[self.session]
        side = address.tx_side() if self.direction == Direction.TX else address.rx_side()
        assert side is not None
        return side

    def can_id(self, functional: bool = False) -> int:
        return self.side.can_id(int(functional))

    @property
    def prefix(self) -> bytes:
        byte = self.side.extension_byte
        return b"" if byte is None else bytes([byte])


def segmented(payload: bytes, room: int) -> Iterator[bytes]:
    """The frames of a message without their prefix, `room` bytes each: ISO 15765-2, 9.6, in its plainest form."""
    size = len(payload)
    if size <= min(room, 8) - 1 and size <= 7:
        yield bytes([size]) + payload
        return
    if room > 8 and size <= room - 2:
        yield bytes([0, size]) + payload
        return
    head = bytes([0x10 | size >> 8, size & 0xFF]) if size <= 4095 else b"\x10\x00" + size.to_bytes(4, "big")
    yield head + payload[: room - len(head)]
    for sn, start in enumerate(range(room - len(head), size, room - 1), 1):
        yield bytes([0x20 | sn & 0xF]) + payload[start : start + room - 1]


class Listener:
    """A listen-mode layer that hears one line, with the time of the frames."""

    def __init__(self, line: Line, max_frame_size: int) -> None:
        address = ADDRESSES[line.session]
        if line.direction == Direction.TX:
            address = address.reversed()
        self.now = 0
        self.pending: deque[isotp.CanMessage] = deque()
        self.errors: list[Exception] = []
        self.layer = isotp.TransportLayerLogic(
            rxfn=lambda timeout: self.pending.popleft() if self.pending else None,
            txfn=pytest.fail,
            address=address,
            error_handler=self.errors.append,
            params={"listen_mode": True, "max_frame_size": max_frame_size},
        )
        self.layer.clock = lambda: self.now

    def hear(self, record: Record) -> None:
        self.now = record.timestamp
        can_id = record.can_id & 0x1FFFFFFF
        wide = bool(record.can_id & 0x80000000)
        self.pending.append(isotp.CanMessage(can_id, data=record.data, extended_id=wide))
        while self.pending:
            self.layer.process()

    def messages(self) -> list[bytes]:
        found = []
        while self.layer.available():
            found.append(bytes(self.layer.recv()))
        return found


@st.composite
def traffic(draw: st.DrawFn, flow_control: bool = False) -> list[tuple[Line, Record]]:
    """Frames of some lines, interleaved; some are lost, repeated, spoiled or late."""
    dice = draw(st.randoms(use_true_random=False))
    lines = draw(
        st.lists(
            st.builds(
                Line, st.integers(0, len(ADDRESSES) - 1), st.sampled_from(Direction), st.integers(0, 1)
            ),
            min_size=1,
            max_size=5,
            unique=True,
        )
    )
    sizes = st.integers(1, 40) | st.integers(1, 300)
    queues = []
    for line in lines:
        room = draw(st.sampled_from((8, 8, 12, 64)))
        payloads = [counted(size) for size in draw(st.lists(sizes, min_size=1, max_size=4))]
        frames = [f for payload in payloads for f in segmented(payload, room - len(line.prefix))]
        queues.append((line, deque(frames)))
    trouble = draw(st.sampled_from((0.0, 0.02, 0.2)))
    now = draw(st.integers(-(10**12), 10**18))
    found: list[tuple[Line, Record]] = []
    while queues:
        line, queue = dice.choice(queues)
        data = line.prefix + queue.popleft()
        if not queue:
            queues.remove((line, queue))
        now += dice.choice((0, 1, MS))
        for each in troubled(data, dice, trouble):
            # N_Cr of the other direction would run anew with a flow control frame, which no Listener of that hears.
            if not flow_control and (n_pci := each[len(line.prefix) :]) and n_pci[0] >> 4 == 3:
                continue
            if not flow_control and dice.random() < trouble:
                now += dice.choice((SECOND - 1, SECOND, 3 * SECOND))
            functional = dice.random() < trouble
            found.append((line, Record(now, line.can_id(functional), 0, line.channel, each)))
        if flow_control and dice.random() < 0.2:
            back = line._replace(direction=Direction(1 - line.direction))
            control = bytes([dice.choice((0x30, 0x31)), dice.randrange(9), dice.choice((0, 5, 0xF3))])
            found.append((back, Record(now, back.can_id(), 0, line.channel, back.prefix + control)))
    return found


def troubled(data: bytes, dice: random.Random, probability: float) -> Iterable[bytes]:
    """What comes of a frame on a bad bus: mostly itself."""
    if dice.random() >= probability:
        return (data,)
    kind = dice.randrange(6)
    if kind == 0:
        return ()
    if kind == 1:
        return (data, data)
    if kind == 2:
        return (data[: dice.randrange(len(data))],)
    if kind == 3:
        return (dice.randbytes(dice.choice((1, 3, 8, 9, 12, 64))), data)
    if kind == 4:
        return (bytes([dice.choice((0x00, 0x10, 0x21, 0x30, 0x3F, 0x12))]) + data[1:],)
    return (data, bytes([0x02, 1, 2, 0, 0, 0, 0, 0]))


def records_of(frames: Iterable[tuple[Line, Record]]) -> Records:
    records = Records("fd")
    for _, record in frames:
        records.append(record.timestamp, record.can_id, record.data, record.flags, record.channel)
    return records


def payloads_by_line(messages: Messages) -> dict[Line, list[bytes]]:
    found: dict[Line, list[bytes]] = {}
    for message in messages.filter(status=MessageStatus.OK):
        line = Line(message.session, message.direction, message.channel)
        found.setdefault(line, []).append(message.payload)
    return found


def heard_by_layers(
    frames: list[tuple[Line, Record]], max_frame_size: int = 0xFFFFFFFF
) -> tuple[dict[Line, list[bytes]], dict[Line, Counter[type[Exception]]]]:
    """Messages and errors of a listening layer on each line that had a frame; layers on all lines hear all."""
    listeners: dict[Line, Listener] = {}
    for _, record in frames:
        for line in lines_of(record.channel):
            if is_for(line, record):
                if line not in listeners:
                    listeners[line] = Listener(line, max_frame_size)
                listeners[line].hear(record)
    messages = {line: listener.messages() for line, listener in listeners.items()}
    errors = {line: Counter(map(type, listener.errors)) for line, listener in listeners.items()}
    return {k: v for k, v in messages.items() if v}, {k: v for k, v in errors.items() if v}


def is_for(line: Line, record: Record) -> bool:
    if record.can_id not in (line.can_id(), line.can_id(functional=True)):
        return False
    return record.data[: len(line.prefix)] == line.prefix and len(record.data) >= len(line.prefix)


def errors_of(reassembler: Reassembler) -> dict[Line, Counter[type[Exception]]]:
    return {
        Line(each["session"], each["direction"], each["channel"]): Counter(each["errors"])
        for each in reassembler.statistics()
        if each["errors"]
    }


@given(traffic(), st.sampled_from((300, 0xFFFFFFFF)))
@relaxed
def test_same_messages_and_errors_as_listening_layers(
    frames: list[tuple[Line, Record]], max_frame_size: int
) -> None:
    reassembler = Reassembler(ADDRESSES, max_frame_size=max_frame_size)
    messages = reassembler.feed(records_of(frames))
    expected, errors = heard_by_layers(frames, max_frame_size=max_frame_size)
    assert payloads_by_line(messages) == expected
    assert errors_of(reassembler) == errors


@given(traffic(flow_control=True))
@relaxed
def test_flow_control_changes_no_message(frames: list[tuple[Line, Record]]) -> None:
    reassembler = Reassembler(ADDRESSES)
    messages = reassembler.feed(records_of(frames))
    expected, errors = heard_by_layers(frames)
    assert payloads_by_line(messages) == expected
    assert errors_of(reassembler) == errors


@given(traffic(flow_control=True) | traffic(), st.randoms(use_true_random=False))
@relaxed
def test_chunks_do_not_matter(frames: list[tuple[Line, Record]], dice: random.Random) -> None:
    records = records_of(frames)
    whole = Reassembler(ADDRESSES)
    expected = whole.feed(records) + whole.flush()
    reassembler = Reassembler(ADDRESSES)
    parts = []
    start = 0
    while start < len(records):
        stop = start + dice.choice((1, 2, 7, 200))
        parts.append(reassembler.feed(records[start:stop]))
        start = stop
    parts.append(reassembler.flush())
    assert Messages.concat(parts) == expected
    assert reassembler.statistics() == whole.statistics()
    heard = sum(any(is_for(line, r) for line in lines_of(r.channel)) for _, r in frames)
    assert sum(each["frames"] for each in whole.statistics()) == heard


def lines_of(channel: int) -> Iterator[Line]:
    return (Line(session, direction, channel) for session in range(len(ADDRESSES)) for direction in Direction)


@pytest.mark.parametrize("fault", ["lost", "doubled", "swapped", "shorter", "late", "single", "nothing"])
def test_sessions_by_turns_stay_apart_when_one_of_them_falters(fault: str) -> None:
    """The decoder guesses whose turn it is: a frame that breaks the rhythm must end nobody else's message."""
    addresses = [Address(AddressingMode.Normal_11bits, txid=0x100 + k, rxid=0x200 + k) for k in range(5)]
    payloads = [bytes((k + j) % 256 for j in range(400)) for k in range(5)]
    parts = [
        list(encode([payload] * 4, address, params={"blocksize": 0}, frame_time=1000, flow_control=False))
        for payload, address in zip(payloads, addresses, strict=True)
    ]
    frames = [frame for turn in zip(*parts, strict=True) for frame in turn]
    # The 20th CF of the third session's second message.
    place = (len(parts[0]) // 4 + 20) * 5 + 2
    hit = frames[place]
    late = 2_000_000_000
    if fault == "lost":
        del frames[place]
    elif fault == "doubled":
        frames.insert(place, hit)
    elif fault == "swapped":
        frames[place], frames[place + 1] = frames[place + 1], hit
    elif fault == "shorter":
        frames[place] = hit._replace(data=hit.data[:5])
    elif fault == "late":
        frames = frames[:place] + [each._replace(timestamp=each.timestamp + late) for each in frames[place:]]
    elif fault == "single":
        frames.insert(place, hit._replace(data=b"\x02\xaa\xbb"))
    records = Records()
    for frame in frames:
        records.append(frame.timestamp, frame.can_id, frame.data)
    reassembler = Reassembler(addresses)
    found = [*reassembler.feed(records), *reassembler.flush()]
    for k, payload in enumerate(payloads):
        mine = [each for each in found if each.session == k and each.length == 400]
        whole = [each.payload for each in mine if each.status == MessageStatus.OK]
        broken = fault not in ("swapped", "nothing") and (k == 2 or fault == "late")
        assert whole == [payload] * (3 if broken else 4), k


def test_sessions_that_come_and_go_while_others_send_by_turns() -> None:
    """Whose turn it is, and who comes some turns later, is learned anew again and again."""
    dice = random.Random(15765)
    addresses = [Address(AddressingMode.Normal_11bits, txid=0x100 + k, rxid=0x400 + k) for k in range(60)]
    payloads = [[dice.randbytes(dice.choice((8, 40, 300, 1000))) for _ in range(4)] for _ in addresses]
    waiting = [
        list(encode(each, address, params={"blocksize": 0}, flow_control=False))
        for each, address in zip(payloads, addresses, strict=True)
    ]
    records = Records()
    sending: list[int] = []
    ahead = list(range(len(addresses)))
    while sending or ahead:
        if ahead and dice.random() < 0.3:
            sending.insert(dice.randrange(len(sending) + 1), ahead.pop())
        for session in sending:
            frame = waiting[session].pop(0)
            records.append(len(records) * 1000, frame.can_id, frame.data)
        sending = [session for session in sending if waiting[session]]
    whole = Reassembler(addresses)
    expected = [*whole.feed(records)]
    assert [[m.payload for m in expected if m.session == k] for k in range(len(addresses))] == payloads
    pieces = Reassembler(addresses)
    found: list[isotp.Message] = []
    at = 0
    while at < len(records):
        size = dice.choice((1, 7, 100, 1000))
        found += pieces.feed(records[at : at + size])
        at += size
    assert found == expected
