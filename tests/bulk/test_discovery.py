"""Discovery: every session of a log is found, in all addressing modes, and nothing else.

The buses are those of benchmarks/discovery.py, which prints the same as a table.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import isotp
from benchmarks import discovery as buses
from benchmarks.discovery import VARIANTS, Result
from benchmarks.signals import EXTENDED, SECOND, SIGNALS
from isotp import Address, AddressingMode, Discovery, Reassembler, Records, TargetAddressType
from isotp.bulk._discovery import LineCounts, PairCounts
from tests.bulk import logs
from tests.frames import MS, octets
from tests.recorded_traffic import CAPTURES, NAMES, Message, address_of, by_session, expected_messages, truth

can = pytest.importorskip("can", reason="the captures are read with python-can")

# Coverage and sanitizer builds are slow: no example is wrong for taking its time.
relaxed = settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))


def log(*frames: str) -> Records:
    return logs.log(*frames, layout="fd", start=SECOND, step=3 * MS)


# -- Signals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SIGNALS)
def test_no_session_in_one_kind_of_signals(kind: str) -> None:
    records = buses.records_of(buses.signal_bus(1, [kind], 60))
    assert isotp.discover(records) == []


@pytest.mark.parametrize("seed", range(3))
def test_no_session_in_hundreds_of_signals(seed: int) -> None:
    records = buses.records_of(buses.signal_bus(seed, SIGNALS, 400, 5 * SECOND))
    assert isotp.discover(records) == []


# -- Sessions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", AddressingMode, ids=lambda mode: mode.name)
@pytest.mark.parametrize("variant", VARIANTS)
def test_sessions_among_signals(mode: AddressingMode, variant: str) -> None:
    frames, pairs = buses.session_bus(5, mode, 8, 8, **VARIANTS[variant])
    noise = buses.signal_bus(5, SIGNALS, 2 * len(SIGNALS), 3 * SECOND)
    assert buses.judge(buses.records_of(frames + noise), pairs) == Result(8, 8, 0)


@pytest.mark.parametrize("mode", AddressingMode, ids=lambda mode: mode.name)
def test_address_is_that_of_the_side_that_asks(mode: AddressingMode) -> None:
    frames, pairs = buses.session_bus(7, mode, 3, 6)
    found = isotp.discover(buses.records_of(frames, channel=4))
    assert {session.address for session in found} == {pair.here for pair in pairs}
    assert {session.channel for session in found} == {4}
    assert min(session.score for session in found) > 0.99


@pytest.mark.parametrize("name", NAMES)
def test_pairs_of_the_kernel_are_found_and_decoded(name: str) -> None:
    records = Records("fd")
    with can.io.CanutilsLogReader(CAPTURES / f"{name}.log") as reader:
        for message in reader:
            can_id = message.arbitration_id | (EXTENDED if message.is_extended_id else 0)
            records.append(round(message.timestamp * SECOND), can_id, bytes(message.data))
    found = isotp.discover(records)
    claimed = [buses.lines_of(session) for session in found]
    ends = [[address_of(pair, forward) for forward in (True, False)] for pair in truth(name)["pairs"]]
    assert sorted(map(sorted, claimed)) == sorted(sorted(map(buses.talk_id, pair)) for pair in ends)

    numbers = {buses.talk_id(end): (k, end is pair[1]) for k, pair in enumerate(ends) for end in pair}
    decoded = []
    for message in Reassembler((session.address, session.channel) for session in found).feed(records):
        assert message.status == isotp.MessageStatus.OK
        sends = message.direction == isotp.Direction.TX
        pair, forward = numbers[buses.talk_id(message.address, sends)]
        decoded.append(Message(pair, forward, message.payload))
    assert by_session(decoded) == by_session(expected_messages(name))


def test_counts_are_the_evidence() -> None:
    frames = []
    for k in range(1, 5):
        frames += [f"7E0#03 22 F1 {k:02X} 55*4", f"7E8#10 14 62 F1 {k:02X} {k:02X}*3", "7E0#30 01 00 55*5"]
        frames += [f"7E8#21 {k:02X}*7", "7E0#30 01 00 55*5", f"7E8#22 {k:02X}*7", f"@0.{k}"]
    frames += ["7E8#10 14 00*6"]
    (found,) = isotp.discover(log(*frames))
    assert found.address == Address(txid=0x7E0, rxid=0x7E8)
    assert found.tx == (12, 4, 0, 0, 8, 0, 0, 0)
    assert found.rx == (13, 0, 5, 8, 0, 4, 0, 0)
    assert (found.paired_flow_controls, found.answered_requests) == (8, 4)
    assert found.target_type == TargetAddressType.Physical


def test_lost_frames_do_not_hide_a_session() -> None:
    frames, pairs = buses.session_bus(11, AddressingMode.Normal_11bits, 6, 20)
    kept = [frame for k, frame in enumerate(sorted(frames)) if k % 20]
    assert buses.judge(buses.records_of(kept), pairs) == Result(6, 6, 0)


def test_a_partial_address_is_decoded() -> None:
    frames, _ = buses.session_bus(13, AddressingMode.Extended_11bits, 2, 6, one_sided=True)
    records = buses.records_of(frames)
    found = isotp.discover(records)
    assert all(session.address.is_partial_address() and session.tx is None for session in found)
    messages = Reassembler((session.address, session.channel) for session in found).feed(records)
    assert len(messages) == 12
    assert {message.status for message in messages} == {isotp.MessageStatus.OK}


def test_requests_to_all_and_who_answers() -> None:
    """OBD: the requests have an ID of their own, flow control goes to the ECU alone."""
    frames = []
    for k in range(1, 7):
        frames += [
            f"7DF#02 01 {k:02X} 00*5",
            f"7E8#04 41 {k:02X} 11 22 00*3",
            f"7E9#03 41 {k:02X} 33 00*4",
            "@0.05",
        ]
        frames += [f"7DF#02 09 {k:02X} 00*5", f"7E8#10 14 49 {k:02X} 01 41*3", "7E0#30 00 00 00*5"]
        frames += [f"7E8#21 {k:02X}*7", f"7E8#22 {k:02X}*7", "@0.07"]
    found = {buses.lines_of(session): session for session in isotp.discover(log(*frames))}
    ecu = found.pop(frozenset({(0x7E0, b""), (0x7E8, b"")}))
    assert ecu.target_type == TargetAddressType.Physical
    assert {session.target_type for session in found.values()} == {TargetAddressType.Functional}
    assert {line for lines in found for line in lines} == {(0x7DF, b""), (0x7E9, b"")}
    messages = Reassembler((s.address, s.channel) for s in (ecu, *found.values())).feed(log(*frames))
    assert len(messages) == 30


def test_functional_of_normal_fixed() -> None:
    frames = []
    for k in range(1, 5):
        frames += [f"18DB33F1#02 01 {k:02X} 55*5", f"18DAF110#04 41 {k:02X} 11 22 55*3", "@0.05"]
        frames += [f"18DA10F1#03 22 F1 {k:02X} 55*4", f"18DAF110#04 62 F1 {k:02X} 07 55*3", "@0.05"]
    found = isotp.discover(log(*frames))
    assert [(session.address, session.target_type.name) for session in found] == [
        (Address(2, target_address=0x10, source_address=0xF1), "Physical"),
        (Address(2, target_address=0x33, source_address=0xF1), "Functional"),
    ]


def test_channels_are_apart() -> None:
    """Flow control of one bus answers nothing on another."""
    frames, _ = buses.session_bus(17, AddressingMode.Normal_11bits, 1, 6)
    records = Records("fd")
    for frame in sorted(frames):
        records.append(frame.time, frame.can_id, frame.data, channel=frame.can_id & 1)
    found = isotp.discover(records)
    assert [(session.channel, session.address.is_partial_address()) for session in found] == [
        (0, True),
        (1, True),
    ]


def test_pieces_of_a_log_give_the_same() -> None:
    frames, _ = buses.session_bus(19, AddressingMode.Mixed_29bits, 3, 5)
    records = buses.records_of(frames)
    discovery = Discovery()
    for start in range(0, len(records), 7):
        discovery.feed(records[start : start + 7])
    assert discovery.sessions() == isotp.discover(records)
    discovery.feed(b"", "classic")
    assert discovery.sessions(1.0) == []


def test_sessions_can_be_asked_for_at_any_time() -> None:
    """Asking changes nothing, and a session is there as soon as there is evidence."""
    frames, _ = buses.session_bus(23, AddressingMode.Normal_29bits, 1, 8)
    records = buses.records_of(frames)
    discovery = Discovery()
    sizes = []
    for start in range(len(records)):
        discovery.feed(records[start : start + 1])
        sizes.append(len(discovery.sessions()))
    assert sizes[0] == 0
    assert sizes[-1] == 1
    assert discovery.sessions() == isotp.discover(records)


def test_cyclic_frames_that_fit_a_length_are_no_messages() -> None:
    frames = [f"100#10 0D {k % 251:02X}*6" if k % 2 == 0 else f"100#21 {k % 251:02X}*7" for k in range(400)]
    assert isotp.discover(log(*frames)) == []


def test_counter_that_goes_on_is_no_message() -> None:
    frames = []
    for k in range(50):
        frames += [f"100#10 14 {k:02X}*6", "@0.1", *(f"100#2{sn:X} {k:02X}*7" for sn in range(1, 8)), "@0.1"]
    assert isotp.discover(log(*frames)) == []


@relaxed
@given(st.binary(max_size=24 * 60), st.sets(st.integers(0, 60)), st.booleans())
def test_any_bytes_are_records(noise: bytes, cuts: set[int], few_ids: bool) -> None:
    """Any flags, lengths and times are counted, alike in one piece and in many."""
    raw = bytearray(noise[: len(noise) // 24 * 24])
    if few_ids:
        for start in range(0, len(raw), 24):
            raw[start + 8 : start + 12] = bytes([raw[start + 8] & 3, 7, 0, 0])
            raw[start + 12 : start + 16] = b"\x08\0\0\0"
            raw[start + 16] &= 0x3F
    whole, pieces = Discovery(), Discovery()
    whole.feed(raw, "classic")
    places = sorted({0, len(raw), *(24 * cut for cut in cuts if 24 * cut < len(raw))})
    for start, end in itertools.pairwise(places):
        pieces.feed(raw[start:end], "classic")
    assert pieces.sessions(0) == whole.sessions(0)


def test_remote_error_and_impossible_frames_are_left_out() -> None:
    frames, _ = buses.session_bus(29, AddressingMode.Normal_11bits, 1, 6)
    records = Records("classic")
    for frame in sorted(frames):
        for flag in (0x40000000, 0x20000000):
            records.append(frame.time, frame.can_id | flag, frame.data)
    assert isotp.discover(records) == []
    raw = bytearray(buses.records_of(frames, "classic"))
    for start in range(12, len(raw), 24):
        raw[start] = 9
    assert isotp.discover(raw, "classic") == []


def test_long_messages_take_no_memory() -> None:
    """A message of 1 MiB is counted, not kept."""
    payload = itertools.cycle(range(251))
    data = bytes(itertools.islice(payload, 1 << 20))
    records = Records("fd")
    records.append(0, 0x700, b"\x10\x00" + len(data).to_bytes(4, "big") + data[:58])
    for sn, start in enumerate(range(58, len(data), 63), 1):
        records.append(sn, 0x700, bytes([0x20 | sn & 15]) + data[start : start + 63])
    (found,) = isotp.discover(records)
    assert found.rx is not None
    assert (found.rx.complete, found.rx.first_frames) == (1, 1)


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_refuses_scores_that_are_no_probability(score: float) -> None:
    with pytest.raises(ValueError, match=f"min_score must be from 0 to 1, not {score}"):
        isotp.discover(Records(), min_score=score)


def test_refuses_what_is_no_records() -> None:
    with pytest.raises(ValueError, match="25 bytes are no whole number of 'classic' records"):
        isotp.discover(b"x" * 25, "classic")
    with pytest.raises(TypeError):
        isotp.discover([1, 2, 3])  # type: ignore[arg-type]


def test_two_threads_may_not_feed_one_discovery() -> None:
    """Who comes second is told so; nothing is counted twice."""
    records = Records("classic", 100_000)
    for k in range(100_000):
        records.append(k, 0x100, b"\x02\x3e\x00")
    discovery = Discovery()
    fed, refused = logs.fed_at_once(lambda: discovery.feed(records))
    assert refused <= {"another thread feeds this Discovery at this moment"}
    lines, _ = discovery._observer.counts(LineCounts, PairCounts)
    counted = sum(line.frames for line in lines.values() if line.prefix is None)
    assert counted == len(fed) * len(records)


def test_identifiers_that_no_frame_has() -> None:
    """Bits beyond the eleven without the flag for 29: such records are passed over."""
    records = Records()
    for k in range(20):
        records.append(k * SECOND, 0x7E0, octets("02 3E 00"))
        records.append(k * SECOND + MS, 0x7E8, octets("02 7E 00"))
    honest = isotp.discover(records)
    assert len(honest) == 1
    odd = bytearray(bytes(records))
    for k in range(40):
        odd[24 * k + 10] = 0x10  # 0x1007E0: more than 11 bits
    assert isotp.discover(bytes(odd), "classic", min_score=0) == []
    assert isotp.discover(bytes(odd) + bytes(records), "classic") == honest
