"""pcap and pcapng as libpcap, Wireshark and dumpcap write them: byte orders, units of time, link types, interfaces."""

from __future__ import annotations

import struct

import pytest

from isotp.bulk._records import Record
from tests.capture.logs import BRS, EFF, ERR, ESI, FDF, RTR, SENT, read
from tests.capture.pcap import (
    CAN,
    ETHERNET,
    NS,
    SECONDS,
    SLL,
    SLL2,
    block,
    enhanced,
    frame,
    interface,
    option,
    pcap,
    section,
)

orders = pytest.mark.parametrize("order", ["<", ">"])


@orders
@pytest.mark.parametrize("nanoseconds", [True, False])
def test_frames_of_all_kinds(order: str, nanoseconds: bool) -> None:
    packets = [
        frame(0x123, b"\x01\x02"),
        frame(EFF | 0x18DAF110, bytes(8)),
        frame(0x7E8 | RTR, b"\0\0\0"),
        frame(ERR | 0x88, bytes(range(8))),
        frame(0x456, bytes(range(64)), FDF | BRS | ESI, room=64),
        # Older libpcap does not set the flag; the size of the packet tells.
        frame(0x457, b"\x05", BRS, room=64),
    ]
    found, log = read(pcap(order, CAN, packets, nanoseconds=nanoseconds))
    time = SECONDS * 10**9 + (NS if nanoseconds else NS // 1000 * 1000)
    assert log.format == "pcap"
    assert log.problems == []
    assert found == [
        Record(time, 0x123, 0, 0, b"\x01\x02"),
        Record(time, EFF | 0x18DAF110, 0, 0, bytes(8)),
        Record(time, 0x7E8 | RTR, 0, 0, bytes(3)),
        Record(time, ERR | 0x88, 0, 0, bytes(range(8))),
        Record(time, 0x456, FDF | BRS | ESI, 0, bytes(range(64))),
        Record(time, 0x457, FDF | BRS, 0, b"\x05"),
    ]


@orders
def test_captured_on_all_interfaces(order: str) -> None:
    """The identifier is in the byte order of the machine, other packets than CAN are passed over."""
    sll = struct.Struct(">HHH8sH")
    sll2 = struct.Struct(">HHIHBB8s")
    packets = [
        sll.pack(1, 280, 0, b"", 0x000C) + frame(0x123, b"\x01", order=order),
        sll.pack(4, 280, 0, b"", 0x000D) + frame(0x124, bytes(12), order=order, room=64),
        sll.pack(0, 1, 6, b"", 0x0800) + bytes(40),
    ]
    found, log = read(pcap(order, SLL, packets))
    assert log.problems == []
    assert log.others == {"packet of another protocol": 1}
    assert [(each.can_id, each.flags, len(each.data)) for each in found] == [
        (0x123, 0, 1),
        (0x124, SENT | FDF, 12),
    ]
    packets = [sll2.pack(0x000C, 0, 7, 280, 4, 0, b"") + frame(0x125, b"\x02", order=order)]
    found, log = read(pcap(order, SLL2, packets))
    assert log.problems == []
    assert [(each.can_id, each.flags, each.channel) for each in found] == [(0x125, SENT, 7)]


@orders
def test_the_protocol_says_can_fd(order: str) -> None:
    """Whatever the frame itself says: loggers leave its flags out, and short frames have no other sign."""
    sll = struct.Struct(">HHH8sH")
    packets = [
        sll.pack(1, 0, 0, b"", protocol) + frame(0x123, bytes([1, 2]), flags, order=order)
        for protocol, flags in ((0x000C, 0), (0x000C, BRS), (0x000D, 0), (0x000D, BRS | ESI))
    ]
    found, log = read(pcap(order, SLL, packets))
    assert log.problems == []
    assert [each.flags for each in found] == [0, 0, FDF, FDF | BRS | ESI]


@orders
@pytest.mark.parametrize("link", [CAN, SLL])
def test_identifiers_in_the_other_byte_order(order: str, link: int) -> None:
    """Some tools write them so. What makes sense in both is taken as most others before it."""
    head = b"" if link == CAN else struct.pack(">HHH8sH", 1, 0, 0, b"", 0x000C)
    usual = ">" if link == CAN else order
    other = "<" if usual == ">" else ">"
    # 0x180 could be an identifier of 29 bits in either of them.
    ids = [0x123, 0x180, EFF | 0x18DAF110, 0x7E8 | RTR, ERR | 0x88]
    packets = [head + frame(can_id, bytes(2), order=other) for can_id in ids]
    found, log = read(pcap(order, link, packets))
    assert log.problems == []
    assert [each.can_id for each in found] == ids
    packets = [head + frame(can_id, bytes(2), order=usual) for can_id in (*ids, 0x180)]
    damaged = bytearray(head + frame(0x1E8, b""))
    damaged[len(head) : len(head) + 4] = struct.pack(f"{usual}I", 0x0001_01E8)
    found, _ = read(pcap(order, link, [*packets[:3], bytes(damaged), *packets[3:]]))
    assert [each.can_id for each in found[:3] + found[4:]] == [*ids, 0x180]


def test_can_xl_is_counted() -> None:
    """It is no frame of ours, and no problem."""
    xl = struct.pack("<IBBHI", 0x123, 0x80, 1, 3, 0) + b"abc"
    cooked = struct.pack(">HHH8sH", 1, 280, 0, b"", 0x000E) + xl
    for link, packet in ((CAN, xl), (SLL, cooked)):
        found, log = read(pcap("<", link, [packet] * 2))
        assert (found, log.problems, log.others) == ([], [], {"CAN XL": 2})


@orders
def test_pcapng_interfaces(order: str) -> None:
    """Each interface has its name, its unit of time and an offset of its own; a section begins them anew."""
    nano = option(order, 9, b"\x09")
    binary = option(order, 9, b"\x8a")  # 2^-10 s
    hour = option(order, 14, struct.pack(f"{order}q", 3600))
    outbound = option(order, 2, struct.pack(f"{order}I", 2)) + option(order, 0, b"")
    comment = option(order, 1, b"odd")
    file = section(order) + interface(order, CAN, "can3", nano) + interface(order, CAN, "vcan3", binary, hour)
    file += interface(order, CAN, "can1")
    file += enhanced(order, 0, 5 * 10**9 + 1, frame(0x100, b"\x01"), comment, outbound)
    file += enhanced(order, 1, 3 * 1024 + 512, frame(0x101, b"\x02\x03"))
    file += block(order, 5, bytes(20))  # statistics: passed over
    file += enhanced(order, 2, 7_000_001, frame(0x102, b""))
    file += block(order, 3, struct.pack(f"{order}I", 16) + frame(0x103, b"\x04"))
    file += section(order) + interface(order, CAN, "can1")
    file += enhanced(order, 0, 1, frame(0x104, b""))
    found, log = read(file)
    assert log.format == "pcapng"
    assert log.problems == []
    assert found == [
        Record(5_000_000_001, 0x100, SENT, 3, b"\x01"),
        Record(3603_500_000_000, 0x101, 0, 256, b"\x02\x03"),
        Record(7_000_001_000, 0x102, 0, 1, b""),
        Record(0, 0x103, 0, 3, b"\x04"),
        Record(1000, 0x104, 0, 1, b""),
    ]
    assert log.channels.numbers == {"can3": 3, "vcan3": 256, "can1": 1}


def test_another_link_type_is_one_problem() -> None:
    found, log = read(pcap("<", ETHERNET, [bytes(60)] * 5))
    assert found == []
    assert [(each.offset, each.reason) for each in log.problems] == [
        (24, "packets of a link type that is not CAN")
    ]


@orders
def test_goes_on_behind_damage(order: str) -> None:
    """A packet header that cannot be right, in the middle: from the next sensible one on all is read."""
    packets = [frame(0x100 + number, bytes([number])) for number in range(10)]
    file = bytearray(pcap(order, CAN, packets))
    file[24 + 32 * 4 + 8 : 24 + 32 * 4 + 12] = b"\xff" * 4
    found, log = read(bytes(file))
    assert [each.can_id for each in found] == [0x100 + number for number in range(10) if number != 4]
    assert [each.offset for each in log.problems] == [24 + 32 * 4]


@orders
@pytest.mark.parametrize("place", [8, 4])
def test_goes_on_behind_a_damaged_beginning(order: str, place: int) -> None:
    """There is no time yet by which to know the next packet."""
    packets = [frame(0x100 + number, bytes([number])) for number in range(10)]
    file = bytearray(pcap(order, CAN, packets))
    file[24 + place : 28 + place] = b"\xff" * 4
    found, log = read(bytes(file))
    assert [each.can_id for each in found] == [0x100 + number for number in range(1, 10)]
    assert [each.offset for each in log.problems] == [24]


@orders
@pytest.mark.parametrize(
    ("nanoseconds", "fraction", "time"),
    [
        (False, 999_999, 1000_999_999_000),
        (False, 1_000_000, None),
        (False, 4_294_968, None),
        (False, 999_999_999, None),
        (True, 999_999_999, 1000_999_999_999),
        (True, 1_000_000_000, None),
    ],
)
def test_fractions_of_a_second(order: str, nanoseconds: bool, fraction: int, time: int | None) -> None:
    """More of them than a second has are no time."""
    packets = [frame(0x100 + number, b"") for number in range(3)]
    file = bytearray(pcap(order, CAN, packets, nanoseconds=nanoseconds))
    for place in (24, 56, 88):
        struct.pack_into(f"{order}I", file, place, 1000)
    struct.pack_into(f"{order}I", file, 56 + 4, fraction)
    found, log = read(bytes(file))
    times = {each.can_id - 0x100: each.timestamp for each in found}
    assert times.keys() == {0, 2} | ({1} if time else set())
    assert times.get(1) == time
    assert [each.offset for each in log.problems] == ([] if time else [56])


@orders
def test_long_packets_of_other_networks(order: str) -> None:
    """They are passed over, exactly."""
    cooked = struct.pack(">HHH8sH", 1, 280, 0, b"", 0x000C) + frame(0x123, b"\x01", order=order)
    other = struct.pack(">HHH8sH", 1, 280, 0, b"", 0x0800) + bytes(100_000)
    found, log = read(pcap(order, SLL, [cooked, other, cooked, cooked]))
    assert len(found) == 3
    assert [each.offset for each in log.problems] == [24 + 16 + len(cooked)]


@orders
def test_pcapng_goes_on_behind_damage(order: str) -> None:
    blocks = [enhanced(order, 0, number, frame(0x100 + number, b"")) for number in range(10)]
    start = section(order) + interface(order, CAN, "can0")
    blocks[4] = blocks[4][:4] + b"\x01\0\0\x01" + blocks[4][8:]
    found, log = read(start + b"".join(blocks))
    assert [each.can_id for each in found] == [0x100 + number for number in range(10) if number != 4]
    assert [each.offset for each in log.problems] == [len(start) + sum(map(len, blocks[:4]))]


@orders
def test_interfaces_behind_a_damaged_one_keep_their_numbers(order: str) -> None:
    bad = bytearray(interface(order, CAN, "can5"))
    bad[4:8] = bad[-4:] = b"\xff" * 4
    start = section(order) + bytes(bad) + interface(order, CAN, "can7")
    found, log = read(start + b"".join(enhanced(order, k, 0, frame(0x100 + k, b"")) for k in (0, 1)))
    assert [(each.can_id, each.channel) for each in found] == [(0x101, 7)]
    assert [each.reason for each in log.problems] == [
        "the length of a block cannot be right",
        "a packet of an interface that was not described",
    ]


@orders
@pytest.mark.parametrize("place", [4, -4])
@pytest.mark.parametrize("bit", range(32))
def test_an_interface_whose_length_is_damaged(order: str, place: int, bit: int) -> None:
    """It says it twice: the other one is taken, and no frame is lost."""
    bad = bytearray(interface(order, CAN, "can5"))
    bad[len(bad) + place + bit // 8 if place < 0 else place + bit // 8] ^= 1 << bit % 8
    start = section(order) + bytes(bad) + interface(order, CAN, "can7")
    found, log = read(start + b"".join(enhanced(order, k, 0, frame(0x100 + k, b"")) for k in (0, 1)))
    assert [(each.can_id, each.channel) for each in found] == [(0x100, 5), (0x101, 7)]
    assert [(each.offset, each.reason) for each in log.problems] == [
        (len(section(order)), "the length of a block cannot be right")
    ]


@orders
@pytest.mark.parametrize("seconds", [1 << 32, -(1 << 32), (1 << 63) - 1, -(1 << 63)])
def test_an_offset_of_times_that_can_not_be(order: str, seconds: int) -> None:
    offset = option(order, 14, struct.pack(f"{order}q", seconds))
    file = section(order) + interface(order, CAN, "can0", offset) + enhanced(order, 0, 1, frame(0x100, b""))
    found, log = read(file)
    assert found == []
    assert [each.reason.startswith("the time") for each in log.problems] == [True]


@orders
def test_obsolete_packet_blocks(order: str) -> None:
    packet = frame(0x100, b"\x01\x02")
    body = struct.pack(f"{order}HHIIII", 0, 7, 0, 5, len(packet), len(packet)) + packet
    found, log = read(section(order) + interface(order, CAN, "can1") + block(order, 2, body))
    assert log.problems == []
    assert found == [Record(5_000, 0x100, 0, 1, b"\x01\x02")]


@orders
def test_a_capture_file_in_a_long_packet(order: str) -> None:
    """What another network carried is no damage of this file, even if it is one of this format."""
    packet = enhanced(order, 0, 1, frame(0x100, b"\x01"))
    start = section(order) + interface(order, CAN, "can0") + interface(order, SLL, "any")
    carried = enhanced(order, 1, 2, bytes(16) + packet * 2_000)
    found, log = read(start + packet + carried + packet)
    assert len(carried) > 65_536
    assert len(found) == 2
    assert log.problems == []


def test_cut_off_anywhere() -> None:
    """What is whole is read; where the file ends in the middle is told."""
    packets = [frame(0x100 + number, bytes([number])) for number in range(3)]
    files = [(pcap("<", CAN, packets), 24, 32)]
    start = section("<") + interface("<", CAN, "can0")
    files += [(start + b"".join(enhanced("<", 0, 0, each) for each in packets), len(start), 48)]
    for file, head, size in files:
        for end in range(head, len(file) + 1):
            found, log = read(file[:end])
            whole, rest = divmod(end - head, size)
            assert len(found) == whole
            assert [each.offset for each in log.problems] == ([head + whole * size] if rest else [])


@orders
def test_scapy_reads_the_same(order: str, tmp_path: pytest.TempPathFactory) -> None:
    """The files that these tests make are what others take for pcap."""
    layers = pytest.importorskip("scapy.layers.can", reason="another reader of pcap")
    from scapy.utils import rdpcap

    path = tmp_path / "log.pcap"
    path.write_bytes(pcap(order, CAN, [frame(EFF | 0x123, b"\x01\x02"), frame(0x7FF, bytes(8))]))
    found, _ = read(path.read_bytes())
    expected = rdpcap(str(path))
    assert [(bytes(each[layers.CAN].data)[: each[layers.CAN].length]) for each in expected] == [
        each.data for each in found
    ]
    assert [each[layers.CAN].identifier for each in expected] == [each.can_id & 0x1FFFFFFF for each in found]
