"""Inputs that each harness begins with: a file of them in `seeds/`, one in a line as hexadecimal digits.

They are logs of tests/data and of python-can's writers, and inputs that a fuzzer found and that each reach a place of
their own. `run.py --write-seeds` makes the files anew: by what is made here and in a corpus.
"""

from __future__ import annotations

import itertools
import struct
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
DATA: Final = HERE.parent / "data/captures"
MOST: Final = 40  # inputs of a harness


def load(name: str) -> list[bytes]:
    lines = (HERE / "seeds" / f"{name}.hex").read_text().splitlines()
    return [bytes.fromhex(line) for line in lines]


def save(name: str, inputs: Iterable[bytes]) -> None:
    folder = HERE / "seeds"
    folder.mkdir(exist_ok=True)
    lines = sorted({each.hex() for each in inputs}, key=lambda line: (len(line), line))
    (folder / f"{name}.hex").write_text("".join(f"{line}\n" for line in lines))


# ---------------------------------------------------------------- logs


def candump_logs() -> list[bytes]:
    """A few lines of each recorded log, and one of each form."""
    logs = []
    for path in sorted(DATA.glob("*.log")):
        with path.open("rb") as log:
            logs += [b"".join(itertools.islice(log, 4)), b"".join(itertools.islice(log, 40, 43))]
    forms = (
        b"(1.5) can0 12345678##1" + b"00" * 12 + b" T\n(2.0) can1 123#R3\n(2.1) c 123#0011223344556677_F\n"
    )
    return [*logs, forms, b"(1.0) can0 20000088#0000000000000000\nnonsense\n(2.0) can0 123#"]


def written_logs(suffix: str) -> list[bytes]:
    """What python-can's writer makes of frames of each kind; the header of BLF is not more than 144 bytes."""
    import can

    frames = [
        can.Message(timestamp=1.0, arbitration_id=0x123, is_extended_id=False, data=b"\x02\x3e\x00"),
        can.Message(timestamp=1.1, arbitration_id=0x18DA10F1, data=bytes(8), is_rx=False),
        can.Message(timestamp=1.2, arbitration_id=0x7FF, is_extended_id=False, is_remote_frame=True, dlc=4),
        can.Message(timestamp=1.3, is_error_frame=True),
        can.Message(
            timestamp=1.4, arbitration_id=0x55, is_fd=True, bitrate_switch=True, data=bytes(12), dlc=12
        ),
    ]
    logs = []
    # TRC has no CAN FD here.
    for chosen in (frames[:2], frames[:3] if suffix == "trc" else frames):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"log.{suffix}"
            with can.Logger(path) as writer:
                for frame in chosen:
                    writer(frame)
            logs.append(path.read_bytes())
    return logs


def block(order: str, kind: int, body: bytes) -> bytes:
    size = 12 + len(body)
    return struct.pack(f"{order}II", kind, size) + body + struct.pack(f"{order}I", size)


def pcap_logs() -> list[bytes]:
    """pcap and pcapng in both byte orders, with CAN and as Linux "cooked" packets."""
    logs = []
    for order in "<>":
        frame = struct.pack(">IBB2x", 0x80000123, 3, 0) + b"\1\2\3".ljust(8, b"\0")
        long_frame = struct.pack(">IBB2x", 0x123, 12, 5) + bytes(64)
        cooked = (
            struct.pack(">HHH8xH", 4, 280, 0, 0x000C) + struct.pack(f"{order}IBB2x", 0x123, 8, 0) + bytes(8)
        )
        for link, packets in ((227, (frame, long_frame)), (113, (cooked, cooked))):
            log = struct.pack(f"{order}IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, link)
            for packet in packets:
                log += struct.pack(f"{order}IIII", 1_700_000_000, 5, len(packet), len(packet)) + packet
            logs.append(log)
        log = block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))
        options = struct.pack(f"{order}HH4sHHB3xHH", 2, 4, b"can0", 9, 1, 9, 0, 0)
        log += block(order, 1, struct.pack(f"{order}HHI", 227, 0, 0) + options)
        packet = struct.pack(f"{order}IIIII", 0, 0, 1000, len(frame), len(frame)) + frame
        log += block(order, 6, packet + struct.pack(f"{order}HHIHH", 2, 4, 2, 0, 0))
        logs.append(log)
    return logs


def blf_inputs() -> list[bytes]:
    """A whole file without its magic, as the target `blf` puts that before it, and the objects of its containers."""
    import zlib

    inputs = []
    for log in written_logs("blf"):
        inputs.append(b"\x02".ljust(16, b"\0") + log[4:])
        place = 144
        while place + 32 <= len(log):
            size, kind = struct.unpack_from("<II", log, place + 8)
            if kind == 10:
                body = log[place + 32 : place + size]
                objects = zlib.decompress(body) if struct.unpack_from("<H", log, place + 16)[0] else body
                inputs += [bytes([k]).ljust(16, b"\0") + objects for k in (0, 3)]
            place += size + size % 4
    return inputs


def headed(logs: Iterable[bytes]) -> list[bytes]:
    """With the sixteen bytes of choices that the targets of logs take first."""
    return [b"\0\7\x20\x11".ljust(16, b"\1") + log for log in logs]


def capture_inputs() -> list[bytes]:
    logs = [
        *candump_logs()[:2],
        *pcap_logs()[:1],
        *(log for suffix in ("asc", "blf", "trc", "csv", "mf4") for log in written_logs(suffix)),
    ]
    plain = bytes(12)
    packed = [bytes([0, 0, pack]) + bytes(9) + logs[0] for pack in (3, 4, 5)]
    claimed = [bytes([kind]) + bytes(11) + logs[k] for kind, k in ((4, -1), (7, -3))]
    # Often, with a long line or a very long one, and with a damaged end if it is packed.
    long = [
        bytes([0, 0, pack, 0, 0xF0, 9, often, stretched, 30, 0, 7, 0]) + logs[0]
        for pack in (0, 3)
        for often, stretched in ((4, 0), (3, 3), (0, 4))
    ]
    return [*(plain + log for log in logs), *packed, *claimed, *long]


# ---------------------------------------------------------------- frames

MESSAGE = bytes.fromhex(
    "00 00 ff 00 ffff ffffffff 00 00"  # settings of a Reassembler
    " 80 00 10 14 01 02 03 04 05 06 81 01 30 00 00 40 01 21 07 08 09 a0 a1 a2 a3 80 02 22 0a 0b 0c 0d 0e 0f 10"
)


def generated(name: str) -> list[bytes]:
    """What a harness begins with before a fuzzer was at work."""
    made: dict[str, Callable[[], list[bytes]]] = {
        "candump": lambda: headed(candump_logs()),
        "asc": lambda: headed(written_logs("asc")),
        "pcap": lambda: headed(pcap_logs()),
        "blf": blf_inputs,
        "capture": capture_inputs,
        "reassembler": lambda: [MESSAGE, b"\1" + MESSAGE[1:]],
        "discovery": lambda: [bytes([layout, 0, 3, 0]) + MESSAGE[12:] * 3 for layout in (0, 1)],
        "decode": lambda: [
            bytes.fromhex(text) for text in ("00 02 3e 00", "00 10 14 01", "01 99 21", "00 30 08 f1")
        ],
    }
    return made[name]() if name in made else [bytes(16)]
