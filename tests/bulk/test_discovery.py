"""Discovery: every session of a log is found, in all addressing modes, and nothing else.

The buses are those of benchmarks/discovery.py, which prints the same as a table.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import isotp
from benchmarks import discovery as buses
from benchmarks.diagnostics import requests_to_all
from benchmarks.discovery import KINDS, VARIANTS, Result
from benchmarks.signals import EXTENDED, SECOND, SIGNALS, vehicle
from isotp import Address, AddressingMode, Discovery, FoundSession, Reassembler, Records, TargetAddressType
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


@pytest.mark.parametrize("seed", range(4))
def test_no_session_in_a_vehicle_without_diagnostics(seed: int) -> None:
    """Checksums, events, network management, and talks that are not ISO-TP."""
    assert isotp.discover(buses.records_of(vehicle(seed, 80, 20 * SECOND, talks=8))) == []


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


# Where at least so many of ten sessions are found, and nothing else; "python -m benchmarks.discovery" has more of them.
SURE = [kind for kind, plan in KINDS.items() if plan.direction == "both" and 3 <= plan.exchanges < 1000]


@pytest.mark.parametrize("kind", SURE)
def test_sessions_as_others_have_them(kind: str) -> None:
    records, truths = buses.other_log(3, KINDS[kind], 10, 40)
    claimed = buses.claimed_by(records, 0.5)
    assert set(claimed) == {truth.lines for truth in truths}


@pytest.mark.parametrize("seed", range(3))
def test_requests_to_all_as_others_have_them(seed: int) -> None:
    frames, truths = requests_to_all(random.Random(seed), 20, 1 + seed)
    claimed = set(buses.claimed_by(buses.records_of(frames), 0.5))
    assert {truth.lines for truth in truths} <= claimed
    assert claimed - {truth.lines for truth in truths} <= truths[0].also


def test_each_kind_of_frame_has_a_padding_of_its_own() -> None:
    """Requests end in AA, flow control in 00: more of it made a session less likely."""
    frames = []
    for _ in range(30):
        for name in ("01 01", "01 05"):
            frames += [f"7E4#03 22 {name} AA*4", f"7EC#10 0B 62 {name} EF FB E7", "7E4#30 00 00 00*5"]
            frames += ["7EC#21 EF A7 00 00 AA*3", "@0.5"]
    for count in (10, len(frames)):
        (found,) = isotp.discover(log(*frames[:count]))
        assert found.address == Address(txid=0x7E4, rxid=0x7EC)


def test_bytes_of_other_messages_behind_the_responses() -> None:
    """A scan of all services: requests without padding, and whatever was in the buffer behind the responses."""
    rests = ("00*4", "94 00*3", "44 03 11 94", "03 94 0A 00")
    frames = []
    for service in range(0x100):
        frames += [f"241#01 {service:02X}", f"641#03 7F {service:02X} 11 {rests[service % 4]}"]
    (found,) = isotp.discover(log(*frames))
    assert found.address == Address(txid=0x241, rxid=0x641)
    assert found.answered_requests == 256


def test_first_frames_that_nobody_answered() -> None:
    """Flow control is not in the log, or the tester knows nothing of it: the responses break off."""
    frames = []
    for k in range(12):
        frames += [f"7B3#03 22 01 {k % 3:02X} AA*4", f"7BB#10 24 62 01 {k % 3:02X} FF FF FF", "@0.3"]
    (found,) = isotp.discover(log(*frames))
    assert found.address == Address(txid=0x7B3, rxid=0x7BB)
    assert found.rx is not None
    assert (found.rx.complete, found.answered_requests) == (0, 12)


def test_responses_alone() -> None:
    frames = [f"7EC#10 {20 + 7 * (k % 3):02X} 62 01 0{k % 3} FF FF FF" for k in range(3)]
    frames += [
        "7EC#04 62 01 07 05 AA*3",
        "7EC#03 7F 22 31 AA*4",
        "7EC#02 7E 00 AA*5",
        "7EC#06 50 03 00 32 01 F4 AA",
    ]
    (found,) = isotp.discover(log(*(frames * 2)))
    assert (found.address, found.tx) == (Address(rxid=0x7EC, rx_only=True), None)


def test_what_the_score_is_made_of() -> None:
    frames = ["713#03 22 2B 1B 00*4", "77D#05 62 2B 1B 00 00 AA*2", "@0.2"]
    frames += ["713#03 22 2B 29 00*4", "77D#05 62 2B 29 07 01 AA*2"]
    (found,) = isotp.discover(log(*frames))
    weight = sum(reason.weight for reason in found.reasons)
    assert found.score == pytest.approx(1 / (1 + 10**-weight), abs=1e-4)
    assert [reason.text for reason in found.reasons[:2]] == [
        "responses repeat what was asked",
        "sessions are rare",
    ]
    assert [reason.text for reason in found.reasons if reason.weight < 0] == ["sessions are rare"]


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (["321#02 10 03", "322#06 50 03 00 32 01 F4"], "too few different requests and responses"),
        (
            ["321#02 10 03", "321#03 22 F1 90"],
            "only one direction, and little that other traffic does not do, too",
        ),
        (
            [*["77D#04 33 44 55 66"] * 9, "713#02 10 03", "77D#06 50 03 00 32 01 F4"],
            "requests or responses have no counterpart",
        ),
    ],
)
def test_why_a_candidate_was_not_found(frames: list[str], reason: str) -> None:
    discovery = Discovery()
    discovery.feed(log("700#07 FF*7", *frames))
    assert discovery.sessions() == []
    best = discovery.candidates(1)
    assert [candidate.held_back for candidate in best] == [reason]
    assert 0 < best[0].score < 0.5


def test_candidates_are_what_sessions_leaves_out() -> None:
    records, _ = buses.other_log(8, KINDS["1 exchange"], 20, 40)
    discovery = Discovery()
    discovery.feed(records)
    for least in (0.0, 0.2, 0.5, 0.9):
        found, rest = discovery.sessions(least), discovery.candidates(100, least)
        assert {each.address for each in found}.isdisjoint(each.address for each in rest)
        assert all(each.score < least for each in rest if least)
        assert rest == sorted(rest, key=lambda each: -each.score)
    assert len(discovery.candidates(2)) == 2


# -- More traffic --------------------------------------------------------------------------------------------------


def ids_of(found: Iterable[FoundSession]) -> set[int]:
    return {can_id for session in found for can_id, _ in buses.lines_of(session)}


def assert_still_found(before: list[FoundSession], after: list[FoundSession]) -> None:
    """Each is found again, or another session has one of its IDs, which is surer or has a direction more."""
    claimed = {buses.lines_of(session): session for session in after}
    for session in before:
        lines = buses.lines_of(session)
        if lines in claimed:
            assert claimed[lines].score >= session.score
            continue
        shared = [each for each in after if ids_of([each]) & ids_of([session])]
        assert shared, f"{session.address} is lost"
        assert any(len(buses.lines_of(each)) > len(lines) or each.score >= session.score for each in shared)


TALKERS = ("7E0", "7E8", "321", "322")
SAYINGS = st.sampled_from(
    (
        *("02 10 03", "06 50 03 00 32 01 F4", "03 22 F1 90", "03 22 F1 87", "07 62 F1 90 31 32 33 34"),
        *(
            "10 0A 62 F1 90 31 32 33",
            "10 0A 62 F1 87 31 32 33",
            "21 34 35 36 37 AA AA AA",
            "30 00 00 00*5",
            "30 00 00",
        ),
        *(
            "03 7F 22 31 00*4",
            "02 3E 00 AA*5",
            "02 7E 00",
            "10 14 00*6",
            "22 00*7",
            "40 00",
            "00*8",
            "31 01 00",
        ),
    )
)


@st.composite
def logs_and_longer_ones(draw: st.DrawFn) -> tuple[Records, Records]:
    """A log, and the same with any frames of other IDs before, among and behind it, and any of all IDs behind."""
    said = draw(st.lists(st.tuples(st.sampled_from(TALKERS[:2]), SAYINGS), max_size=30))
    others = st.tuples(st.sampled_from(TALKERS[2:]), st.one_of(SAYINGS, octet_texts))
    own = [f"{who}#{what}" for who, what in said]
    places = [[f"{who}#{what}" for who, what in draw(st.lists(others, max_size=4))] for _ in own]
    behind = draw(st.lists(st.tuples(st.sampled_from(TALKERS), st.one_of(SAYINGS, octet_texts)), max_size=40))
    longer = Records("fd")
    for k, (frame, among) in enumerate(zip(own, places, strict=True)):
        for each in among:
            longer.extend(logs.log(each, layout="fd", start=k * 10 * MS))
        longer.extend(logs.log(frame, layout="fd", start=k * 10 * MS))
    for k, (who, what) in enumerate(behind):
        longer.extend(logs.log(f"{who}#{what}", layout="fd", start=(len(own) + k) * 10 * MS))
    shorter = Records("fd")
    for k, frame in enumerate(own):
        shorter.extend(logs.log(frame, layout="fd", start=k * 10 * MS))
    return shorter, longer


octet_texts = st.binary(min_size=1, max_size=8).map(lambda data: data.hex(" "))


@relaxed
@given(logs_and_longer_ones(), st.sampled_from((0.1, 0.5)))
def test_a_session_that_was_found_is_found_in_every_longer_log(
    both: tuple[Records, Records], least: float
) -> None:
    """Longer: with any frames of other IDs, anywhere, and any frames at all behind."""
    shorter, longer = both
    assert_still_found(isotp.discover(shorter, min_score=least), isotp.discover(longer, min_score=least))


@pytest.mark.parametrize("kind", ["100 exchanges", "20 exchanges, 10% lost", "10 exchanges, responses only"])
def test_each_part_of_a_log_finds_what_the_parts_before_did(kind: str) -> None:
    records, truths = buses.other_log(5, KINDS[kind], 8, 40)
    discovery = Discovery()
    true = {truth.lines for truth in truths}
    before: list[FoundSession] = []
    for start in range(0, len(records), 200):
        discovery.feed(records[start : start + 200])
        now = discovery.sessions()
        assert_still_found(before, now)
        claimed = {buses.lines_of(session) for session in now}
        assert {buses.lines_of(session) for session in before} & true <= claimed
        before = now


def test_a_scan_that_nobody_answers_any_more() -> None:
    frames = [
        "7E0#03 22 F1 90",
        "7E8#07 62 F1 90 31 32 33 34",
        "@0.1",
        "7E0#03 22 F1 87",
        "7E8#04 62 F1 87 31",
        "@0.1",
    ]
    short = isotp.discover(log(*frames))
    noise = [f"7E0#{k % 256:02X} {k * 7 % 256:02X} 55*6" for k in range(4000)]
    noise += [f"7E8#{k * 3 % 256:02X} {k * 11 % 256:02X} 55*6" for k in range(4000)]
    assert [each.address for each in short] == [Address(txid=0x7E0, rxid=0x7E8)]
    assert [each.address for each in isotp.discover(log(*frames, *noise))] == [
        Address(txid=0x7E0, rxid=0x7E8)
    ]


# -- Counting ------------------------------------------------------------------------------------------------------


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
