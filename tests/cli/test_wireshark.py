"""What Wireshark is given: frames with their direction, and whole messages as exported PDUs."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from isotp import Record, capture
from isotp.bulk._messages import Messages
from isotp.cli.shown.pdus import PduWriter
from tests.cli.command import PAIR, TALK, isotp_command, log_of

SENT = 0x80
# A recorder that is the tester: its own requests are marked.
FRAMES = (
    "7E0#0322F190 T",
    "7E8#100862F190010203",
    "7E0#300000 T",
    "7E8#210405",
    "7E0##50322F191 T",
    "7E8#037F2231 R",
)


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "in.log"
    path.write_text("".join(f"(1000.{k:03}000) can0 {frame}\n" for k, frame in enumerate(FRAMES)))
    return path


def frames_of(log: Path) -> list[Record]:
    with capture.open(log) as frames:
        found = [frame for records in frames for frame in records]
        assert not frames.problems
        return found


@pytest.mark.parametrize("name", ["frames.log", "frames.pcapng"])
def test_frames_keep_their_direction(tmp_path: Path, name: str, recorded: Path) -> None:
    isotp_command("decode -q -o", tmp_path / name, *PAIR, recorded)
    found = frames_of(tmp_path / name)
    assert [bool(frame.flags & SENT) for frame in found] == [True, False, True, False, True, False]
    assert [frame[:3] + frame[4:] for frame in found] == [
        frame[:3] + frame[4:] for frame in frames_of(recorded)
    ]


def test_lines_of_candump_with_a_direction(tmp_path: Path, recorded: Path) -> None:
    """As candump writes them; python-can reads them so."""
    can = pytest.importorskip("can", reason="python-can is not installed")
    output = tmp_path / "frames.log"
    isotp_command("decode -q -o", output, *PAIR, recorded)
    assert output.read_text().splitlines()[:2] == [
        "(0000001000.000000) can0 7E0#0322F190 T",
        "(0000001000.001000) can0 7E8#100862F190010203",
    ]
    told = [(message.is_rx, bytes(message.data)) for message in can.CanutilsLogReader(output)]
    assert told[:2] == [(False, bytes.fromhex("0322F190")), (True, bytes.fromhex("100862F190010203"))]


# ---------------------------------------------------------------- exported PDUs


class Packet(NamedTuple):
    interface: str
    time: int
    tags: dict[int, bytes]
    payload: bytes
    size: int  # before it was cut
    options: dict[int, bytes]


def options_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        code, size = struct.unpack_from("<HH", data)
        if code == 0:
            assert data == bytes(4)
            return
        yield code, data[4 : 4 + size]
        data = data[4 + (size + 3 & ~3) :]


def packets_of(file: bytes) -> list[Packet]:
    """All of a file, by the format's documentation."""
    found, names = [], []
    while file:
        kind, size = struct.unpack_from("<II", file)
        body, again = file[8 : size - 4], struct.unpack_from("<I", file, size - 4)[0]
        assert size == again
        assert size % 4 == 0
        file = file[size:]
        if kind == 1:
            link_type, _, _ = struct.unpack_from("<HHI", body)
            assert link_type == 252
            options = dict(options_of(body[8:]))
            assert options[9] == b"\x09"
            names.append(options[2].decode())
        elif kind == 6:
            interface, high, low, captured, original = struct.unpack_from("<IIIII", body)
            data = body[20 : 20 + captured]
            more = dict(options_of(body[20 + (captured + 3 & ~3) :]))
            tags: dict[int, bytes] = {}
            while (number := struct.unpack_from(">HH", data))[0]:
                tags[number[0]] = data[4 : 4 + number[1]]
                data = data[4 + number[1] :]
            found.append(Packet(names[interface], high << 32 | low, tags, data[4:], original, more))
    return found


def test_a_packet_a_message(tmp_path: Path) -> None:
    log = log_of(tmp_path / "a.log", *TALK, "can1 7E0#0322F190")
    output = tmp_path / "messages.pcapng"
    assert isotp_command("decode -q -f pdu -o", output, *PAIR, log).status == 0
    one, other, last = packets_of(output.read_bytes())
    assert (one.interface, one.time, one.payload) == ("can0 7E0:7E8", 1_000_003_000_000, bytes(range(20)))
    assert one.tags == {12: b"uds\0", 35: bytes(4)}
    assert one.options == {1: b"7E0"}
    assert (other.interface, other.payload) == ("can1 7E0:7E8", bytes.fromhex("22F190"))
    assert last.options == {1: b"7E8: open, 13 of 20 bytes"}
    assert last.tags[35] == bytes((0, 0, 0, 1))
    isotp_command("decode -q -f pdu --dissector obd-ii -o", output, *PAIR, log)
    assert packets_of(output.read_bytes())[0].tags[12] == b"obd-ii\0\0"


def test_messages_that_wireshark_takes_a_part_of(tmp_path: Path) -> None:
    """It refuses packets of more than 256 KiB: these are cut, and say how long they were."""
    import isotp

    tester = isotp.Address(txid=0x7E0, rxid=0x7E8)
    frames = isotp.encode([bytes(300_000)], tester)
    stream = io.BytesIO()
    PduWriter(stream).write(isotp.Reassembler([tester]).feed(frames))
    (packet,) = packets_of(stream.getvalue())
    assert packet.size == 300_000 + 20
    assert len(packet.payload) == 262_144 - 20


def test_no_messages() -> None:
    stream = io.BytesIO()
    writer = PduWriter(stream)
    writer.write(Messages.concat([]))
    writer.close()
    assert packets_of(stream.getvalue()) == []


def test_wrong_options(tmp_path: Path) -> None:
    log = log_of(tmp_path / "a.log", *TALK)
    run = isotp_command("decode --dissector uds", *PAIR, log)
    assert (run.status, "it goes with --format pdu" in run.complaint) == (2, True)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed; make uds needs it")
def test_wireshark_shows_them(tmp_path: Path, recorded: Path) -> None:
    output = tmp_path / "messages.pcapng"
    isotp_command("decode -q -f pdu -o", output, *PAIR, recorded)
    words = ["tshark", "-r", str(output), "-T", "fields"]
    fields = ("frame.interface_name", "uds.sid", "uds.rdbi.data_identifier", "uds.err.code")
    words += [word for field in fields for word in ("-e", field)]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert [line.split("\t")[1:] for line in told.splitlines()] == [
        ["0x22", "0xf190", ""],
        ["0x22", "0xf190", ""],
        ["0x22", "0xf191", ""],
        ["0x3f", "", "0x31"],
    ]
