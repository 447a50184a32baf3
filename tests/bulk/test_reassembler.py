"""Reassembler and Messages: frames of a log in, a table of messages out."""

from __future__ import annotations

import copy
import mmap
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import isotp
from isotp import Direction, MessageStatus, Reassembler, Records
from tests.bulk.logs import CLASSIC, FD, FIXED, OTHER, TESTER, decoded, fed_at_once, log
from tests.frames import MS, counted, octets
from tests.processes import python


def test_request_and_response() -> None:
    request, response = decoded(
        "7E0#02 10 03", "7E8#10 0A 50 03 01 02 03 04", "7E0#30 08 F3", "123#02 10 03", "7E8#21 05 06 07 08"
    )
    assert request == (
        *(0, 0, 0, 0, TESTER, Direction.TX, isotp.TargetAddressType.Physical, b"\x10\x03"),
        *(MessageStatus.OK, 2, 1, None, None, 0, 0),
    )
    assert response == (
        *(MS, 4 * MS, 0, 0, TESTER, Direction.RX, isotp.TargetAddressType.Physical),
        *(octets("50 03 01 02 03 04 05 06 07 08"), MessageStatus.OK, 10, 2, 8, 300, 0, 1),
    )
    assert (request.error, response.error) == (None, None)


@pytest.mark.parametrize(
    ("frames", "status", "payload", "length", "count", "error"),
    [
        (("21 06 07*6", "23 0D"), "WRONG_SEQUENCE_NUMBER", 13, 20, 2, isotp.WrongSequenceNumberError),
        (("21 06*7", "@1", "22 06*7"), "TIMED_OUT", 13, 20, 2, isotp.ConsecutiveFrameTimeoutError),
        (("01 3E",), "INTERRUPTED_BY_SINGLE_FRAME", 6, 20, 1, isotp.ReceptionInterruptedWithSingleFrameError),
        (
            ("10 08 09*6", "21 09 09"),
            *("INTERRUPTED_BY_FIRST_FRAME", 6, 20, 1, isotp.ReceptionInterruptedWithFirstFrameError),
        ),
        (("40",), "INVALID_FRAME", 6, 20, 1, isotp.InvalidCanDataError),
        (("10",), "INVALID_FRAME", 6, 20, 1, isotp.InvalidCanDataError),
        (("21 06*7",), "OPEN", 13, 20, 2, None),
    ],
)
def test_broken_receptions_are_rows_with_what_came(
    frames: tuple[str, ...], status: str, payload: int, length: int, count: int, error: type[Exception] | None
) -> None:
    found = decoded("7E8#10 14 00*6", *(f if f[0] == "@" else f"7E8#{f}" for f in frames))
    broken = found[0]
    assert broken.status == MessageStatus[status]
    assert (len(broken.payload), broken.length, broken.frames) == (payload, length, count)
    assert type(broken.error) is (error or type(None))
    assert broken.end == (count - 1) * MS
    assert all(each.status == MessageStatus.OK for each in found[1:])


def test_overflow_is_told_from_other_ends() -> None:
    first, second = decoded(
        "7E8#10 14 00*6", "7E0#32 00 00", "7E8#10 08 00*6", "7E0#30 00 00", "7E8#21 00 00"
    )
    assert (first.status, first.payload, first.flow_controls) == (MessageStatus.OVERFLOW, bytes(6), 1)
    assert isinstance(first.error, isotp.OverflowError)
    assert (second.status, second.blocksize, second.stmin_us) == (MessageStatus.OK, 0, 0)


@pytest.mark.parametrize("prefix", [b"", b"\x05"])
def test_single_frames_of_all_lengths(prefix: bytes) -> None:
    """In the escape form beyond 8 bytes, among bad ones; the address byte is not of the message."""
    if prefix:
        mode = isotp.AddressingMode.Extended_11bits
        address = isotp.Address(mode, txid=0x7E0, rxid=0x7E8, target_address=5, source_address=6)
    else:
        address = TESTER
    records, expected = Records("fd"), []
    for length in range(1, 63 - len(prefix)):
        payload = counted(length)
        short = len(prefix) + 1 + length <= 8
        head = prefix + (bytes([length]) if short else bytes([0, length]))
        room = 8 if short else next(n for n in (12, 16, 20, 24, 32, 48, 64) if n >= len(head) + length)
        expected.append(payload)
        records.append(0, 0x7E0, head + payload)
        records.append(0, 0x7E0, (head + payload).ljust(room, b"\xcc"))
        expected.append(payload)
        # Cut off by one byte, and in the wrong form.
        records.append(0, 0x7E0, (head + payload)[:-1])
        records.append(0, 0x7E0, (prefix + bytes([min(length, 15)])).ljust(12, b"\1"))
        records.append(0, 0x7E0, (prefix + bytes([0, 0])).ljust(12, b"\0"))
    found = Reassembler([address]).feed(records)
    assert found.payloads == expected
    assert set(found.column("frames")) == {1}


def test_no_single_frame_is_longer_than_a_frame_can_be() -> None:
    good = FD.pack(0, 0x7E0, 64, 0, 0, b"\0\x3e".ljust(64, b"x"))
    bad = FD.pack(0, 0x7E0, 65, 0, 0, b"\0\x3e".ljust(64, b"x"))
    reassembler = Reassembler([TESTER])
    assert reassembler.feed(good + bad + good, "fd").payloads == [b"x" * 62] * 2
    assert reassembler.statistics()[0]["errors"] == {isotp.InvalidCanDataError: 1}


def test_more_ids_than_are_held_at_hand() -> None:
    """Thousands of IDs on some channels, of sessions and of nobody, in any order: each frame finds its session."""
    dice = random.Random(3)
    count = 1000
    addresses = [isotp.Address(txid=2 * k, rxid=2 * k + 1) for k in range(count)]
    raw, expected = bytearray(), []
    for number in range(30_000):
        can_id, channel = dice.randrange(0x800), dice.randrange(3)
        raw += CLASSIC.pack(number, can_id, 5, 0, channel, b"\x04" + number.to_bytes(4, "big"))
        if can_id < 2 * count:
            expected.append((can_id // 2, can_id % 2, channel, number))
    found = Reassembler(addresses).feed(raw, "classic")
    columns = [found.column(name) for name in ("session", "direction", "channel", "start")]
    assert list(zip(*columns, strict=True)) == expected
    assert found.payloads == [each[3].to_bytes(4, "big") for each in expected]


def test_too_long_message_has_no_payload() -> None:
    (message,) = decoded("7E8#10 14 00*6", "7E8#21 00*7", max_frame_size=19)
    assert (message.status, message.length, message.payload) == (MessageStatus.TOO_LONG, 20, b"")


def test_wait_frames_extend_n_cr() -> None:
    (message,) = decoded(
        *("7E8#10 08 00*6", "@0.9", "7E0#31 00 00", "@0.9", "7E0#31 00 00", "@0.9"),
        *("7E0#30 02 7F", "@0.9", "7E8#21 00*2"),
    )
    assert message.status == MessageStatus.OK
    assert (message.waits, message.flow_controls, message.blocksize, message.stmin_us) == (2, 3, 2, 127_000)


def test_end_of_a_reception_that_flow_control_did_not_revive() -> None:
    (message,) = decoded("7E8#10 14 00*6", "7E8#21 00*7", "7E0#30 00 00", "@2", "7E0#02 3E 00")[1:]
    assert (message.status, message.start, message.end) == (MessageStatus.TIMED_OUT, 0, MS)


def test_functional_and_physical_of_normal_fixed() -> None:
    found = decoded("18DB10F1#02 3E 00", "18DA10F1#02 3E 01", "18DAF110#02 7E 00", addresses=[FIXED])
    assert [(m.direction.name, m.target_type.name, m.payload[-1]) for m in found] == [
        ("TX", "Functional", 0),
        ("TX", "Physical", 1),
        ("RX", "Physical", 0),
    ]


def test_channels_are_told_apart() -> None:
    frames = ("0:7E8#10 08 00*6", "1:7E8#10 09 01*6", "0:7E8#21 00 00", "1:7E8#21 01 01 01", "2:7E8#01 02")
    found = decoded(*frames)
    assert [(m.channel, m.payload) for m in found] == [(0, bytes(8)), (1, b"\1" * 9), (2, b"\2")]
    assert len(found.sessions) == 1
    only = decoded(*frames, addresses=[(TESTER, 1), (OTHER, 0)])
    assert [(m.channel, m.address) for m in only] == [(1, TESTER)]
    both = decoded(*frames, addresses=[(TESTER, 2), (TESTER, 1)])
    assert [m.channel for m in both] == [1, 2]
    assert both.sessions == (TESTER,)


def test_partial_addresses_have_one_direction() -> None:
    heard = isotp.Address(rxid=0x7E8, rx_only=True)
    asked = isotp.Address(4, txid=0x7DF, target_address=0x55, tx_only=True)
    found = decoded(
        "7E0#01 01", "7E8#01 02", "000007DF#55 01 03", "000007DF#54 01 04", addresses=[heard, asked]
    )
    assert [(m.address, m.direction.name, m.payload) for m in found] == [
        (heard, "RX", b"\x02"),
        (asked, "TX", b"\x03"),
    ]
    # An ID with all flags set is none that a missing direction would hear.
    records = Records()
    records.append(0, 0xFFFFFFFF, b"\x01\x02")
    assert len(Reassembler([heard, asked]).feed(records)) == 0


def test_first_of_the_addresses_with_the_same_id_has_its_messages() -> None:
    functional = isotp.Address(txid=0x7DF, rxid=0x7E8)
    for addresses in ((TESTER, functional), (functional, TESTER)):
        found = decoded("7E0#01 01", "7DF#01 02", "7E8#01 03", addresses=addresses)
        owners = [m.address for m in found]
        assert owners == [TESTER, functional, addresses[0]]


def test_remote_and_error_frames_are_none_of_ours() -> None:
    records = Records()
    for flag in (0x40000000, 0x20000000, 0x80000000, 0):
        records.append(0, 0x7E8 | flag, b"\x01\x02")
    assert Reassembler([TESTER]).feed(records).payloads == [b"\x02"]


def test_length_beyond_the_record_is_refused() -> None:
    raw = bytearray(log("7E8#10 14 00*6", "7E8#21 01*7", "7E8#22 02*7"))
    raw[24 + 12] = 255
    reassembler = Reassembler([TESTER])
    found = reassembler.feed(raw, "classic")
    assert [m.status for m in found] == [MessageStatus.INVALID_FRAME]
    (heard,) = (each for each in reassembler.statistics() if each["frames"])
    assert heard["errors"] == {isotp.InvalidCanDataError: 1, isotp.UnexpectedConsecutiveFrameError: 1}
    assert heard["frames"] == 3


def test_every_kind_of_buffer(tmp_path: Path) -> None:
    records = log("7E0#02 10 03", "7E8#10 0A 50 03 01 02 03 04", "7E8#21 05 06 07 08")
    expected = Reassembler([TESTER]).feed(records)
    path = tmp_path / "frames"
    path.write_bytes(bytes(records))
    odd = memoryview(b"x" + bytes(records))[1:]
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for buffer in (bytes(records), bytearray(records), mapped, odd):
            assert Reassembler([TESTER]).feed(buffer, "classic") == expected
    for wrong, message in (
        (b"x" * 25, "25 bytes are no whole number of 'classic' records"),
        (memoryview(bytes(16)).cast("I"), "items of 4 bytes are no records of layout 'classic'"),
    ):
        with pytest.raises(ValueError, match=message):
            Reassembler([TESTER]).feed(wrong, "classic")
    with pytest.raises(BufferError):
        Reassembler([TESTER]).feed(memoryview(records)[::2])


@pytest.mark.parametrize("sessions", [1, 2])
def test_each_length_after_a_long_message(sessions: int) -> None:
    """The buffer of the long message has room for more than what is left of a short one."""
    addresses = [isotp.Address(txid=0x600 + k, rxid=0x700 + k) for k in range(sessions)]
    payloads = [bytes(k % 251 for k in range(size)) for size in (500, *range(8, 60))]
    frames = []
    for payload in payloads:
        data = [bytes([0x10 | len(payload) >> 8, len(payload) & 0xFF]) + payload[:6]]
        for k, at in enumerate(range(6, len(payload), 7)):
            data.append(bytes([0x20 | (k + 1) & 0xF]) + payload[at : at + 7].ljust(7, b"\xcc"))
        frames += [f"{0x700 + k:03X}#{each.hex(' ')}" for each in data for k in range(sessions)]
    messages = decoded(*frames, addresses=addresses)
    for session in range(sessions):
        assert [m.payload for m in messages if m.session == session] == payloads


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([TESTER, TESTER],), {}, ValueError, "an address is given twice"),
        (
            (["7E0"],),
            {},
            ValueError,
            "address must be an isotp.Address or isotp.AsymmetricAddress, not '7E0'",
        ),
        (([(TESTER, 65536)],), {}, ValueError, "channel must be from 0 to 65535, not 65536"),
        (([],), {"max_frame_size": -1}, ValueError, "max_frame_size must be from 0 to .* not -1"),
        (([],), {"rx_consecutive_frame_timeout": -5}, ValueError, "must be 0 or more ms, not -5"),
        ((5,), {}, TypeError, "'int' object is not iterable"),
        (
            ([TESTER, isotp.Address(5, txid=0x7E0, rxid=0x700, address_extension=1)],),
            *({}, ValueError, "CAN ID 0x7e0 is used both with and without an extension byte"),
        ),
    ],
)
def test_refuses_bad_arguments(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Reassembler(*arguments, **options)


def test_address_with_rules_of_its_own_is_refused() -> None:
    class Choosy(isotp.Address):
        def is_for_me(self, msg: object) -> bool:
            return True

    with pytest.raises(ValueError, match=r"addresses must be plain isotp\.Address objects"):
        Reassembler([Choosy(txid=1, rxid=2)])


def test_two_threads_may_not_feed_one_reassembler() -> None:
    """Who comes second is told so; nothing is lost or counted twice."""
    records = Records("classic", 200_000)
    for k in range(200_000):
        records.append(k, 0x7E8, b"\x01\x02")
    reassembler = Reassembler([TESTER])
    fed, refused = fed_at_once(lambda: len(reassembler.feed(records)))
    assert set(fed) == {len(records)}
    assert refused <= {"another thread feeds this Reassembler at this moment"}
    assert sum(each["messages"] for each in reassembler.statistics()) == len(records) * len(fed)


def test_reassembler_that_was_not_initialised_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"Reassembler\.__init__\(\) of the base class was not called"):
        Reassembler.__new__(Reassembler).feed(log("7E0#01 02"))


def test_failed_initialisation_leaves_nothing_that_could_be_used() -> None:
    """What the first address filled in is forgotten with the second one, which does not go with it."""
    extended = isotp.Address(
        isotp.AddressingMode.Extended_11bits, rxid=0x7E8, txid=0x700, target_address=1, source_address=2
    )

    class Forgiving(Reassembler):
        def __init__(self, *attempts: list[isotp.Address]) -> None:
            self.refused = 0
            for addresses in attempts:
                try:
                    super().__init__(addresses)
                except ValueError:
                    self.refused += 1

    broken = Forgiving([extended, TESTER])
    assert broken.refused == 1
    assert broken.sessions == ()
    for use in (lambda: broken.feed(log("7E8#01 02")), broken.flush, broken.statistics):
        with pytest.raises(RuntimeError, match=r"Forgiving\.__init__\(\) of the base class .* or failed"):
            use()

    mended = Forgiving([extended, TESTER], [OTHER])
    assert mended.refused == 1
    found = mended.feed(log("7E8#01 02", "7E9#01 03"))
    assert [(m.session, m.address, m.payload) for m in found] == [(0, OTHER, b"\x03")]
    with pytest.raises(RuntimeError, match="cannot be initialised again"):
        Reassembler.__init__(mended, [TESTER])


def test_addresses_that_use_the_reassembler_they_are_for() -> None:
    """Addresses may come from a generator: what that calls must not find a Reassembler that is half made."""
    made = Reassembler.__new__(Reassembler)
    refused: list[str] = []

    def addresses() -> Iterator[isotp.Address]:
        for use in (lambda: Reassembler.__init__(made, [OTHER]), lambda: made.feed(log("7E8#01 02"))):
            with pytest.raises(RuntimeError) as caught:
                use()
            refused.append(str(caught.value))
        yield TESTER

    Reassembler.__init__(made, addresses())
    assert refused == ["another thread feeds this Reassembler at this moment"] * 2
    assert made.feed(log("7E8#01 02", "7E9#01 03")).payloads == [b"\x02"]


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_can_not_be_pickled_or_copied(copied: Callable[[Reassembler], object]) -> None:
    with pytest.raises(TypeError, match=r"cannot pickle '.*Reassembler' object"):
        copied(Reassembler([TESTER]))


def test_len_that_a_record_has_no_room_for_after_fd_records() -> None:
    """CFs by turns are taken without a look at their length: what was learned of FD records is not for classic ones."""
    reassembler = Reassembler([TESTER, OTHER])
    turns = [(0x7E9, b"\x01\xbb"), (0x7E8, bytes((0x10, 62 + 3 * 63)) + bytes(62))]
    turns += [(0x7E9, b"\x01\xbb"), (0x7E8, b"\x21" + b"1" * 63)]
    frames = b"".join(FD.pack(k, can_id, len(data), 4, 0, data) for k, (can_id, data) in enumerate(turns))
    assert len(reassembler.feed(frames, "fd")) == 2
    claims = CLASSIC.pack(4, 0x7E9, 2, 0, 0, b"\x01\xbb")
    claims += CLASSIC.pack(5, 0x7E8, 64, 0, 0, b"\x22" + b"2" * 7)
    beside = b"beside the records".ljust(FD.size)
    found = reassembler.feed(memoryview(claims + beside)[: len(claims)], "classic") + reassembler.flush()
    assert [(m.session, m.status) for m in found] == [(1, MessageStatus.OK), (0, MessageStatus.INVALID_FRAME)]
    assert found.payloads == [b"\xbb", bytes(62) + b"1" * 63]


def test_layout_of_the_records_changes_nothing() -> None:
    """Three sessions by turns, in classic records and FD records by turns of some frames."""
    addresses = [isotp.Address(txid=0x100 + k, rxid=0x200 + k) for k in range(3)]
    parts = [
        isotp.encode([counted(300)] * 3, address, params={"blocksize": 0}, frame_time=3 * MS, start=k * MS)
        for k, address in enumerate(addresses)
    ]
    frames = [frame for turn in zip(*parts, strict=True) for frame in turn]
    reassembler = Reassembler(addresses)
    found: list[isotp.Message] = []
    for start in range(0, len(frames), 7):
        form, layout = ((CLASSIC, "classic"), (FD, "fd"))[start % 2]
        some = frames[start : start + 7]
        packed = b"".join(form.pack(f.timestamp, f.can_id, len(f.data), 0, 0, f.data) for f in some)
        found += reassembler.feed(packed, layout)
    assert [m.payload for m in found] == [counted(300)] * 9
    assert len(reassembler.flush()) == 0


def test_channels_beyond_the_places_there_are() -> None:
    """An address is followed on any channel, but the memory for that is bounded: what finds no place is counted."""
    reassembler = Reassembler([TESTER, (OTHER, 65535)])
    frames = [CLASSIC.pack(k, 0x7E8, 2, 0, k, b"\x01\x02") for k in range(65536)]
    places = 16_384 + 2
    assert len(reassembler.feed(b"".join(frames), "classic")) == places
    assert reassembler.passed_over == 65536 - places
    assert len(reassembler.statistics()) == 2 * places
    # Those that have a place keep it, and a channel that was given with its address always has one.
    later = [CLASSIC.pack(0, can_id, 2, 0, k, b"\x01\x02") for can_id, k in ((0x7E8, 7), (0x7E9, 65535))]
    assert reassembler.feed(b"".join(later), "classic").column("channel").tolist() == [7, 65535]
    assert reassembler.passed_over == 65536 - places


SEARCH = """
import isotp, re
mode = isotp.AddressingMode
addresses = [isotp.Address(mode.Normal_29bits, txid=k * 0x1F3D, rxid=k * 0x1F3D + 0x5A5) for k in range(300)]
addresses += [isotp.Address(mode.Mixed_11bits, txid=0x700, rxid=0x701, address_extension=k) for k in range(99)]
frames = isotp.Records()
for k, address in enumerate(addresses * 3):
    frames.extend(isotp.encode(
        [bytes((k % 256, k % 7)) * 20], address, flow_control=True, start=k * 10**7, channel=k % 5))
reassembler = isotp.Reassembler(addresses)
found = list(reassembler.feed(frames)), reassembler.statistics(), isotp.discover(frames)
print(re.sub(" at 0x[0-9a-f]+", "", repr(found)))
"""


def test_where_keys_lie_in_tables_changes_nothing() -> None:
    """The places of IDs in the tables differ from process to process; what comes out does not."""
    said = {python("-c", SEARCH, PYTHONHASHSEED=seed).stdout for seed in ("0", "1", "15765")}
    assert len(said) == 1
    assert said.pop().count("<MessageStatus.OK") == 3 * 399
