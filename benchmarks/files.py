"""From log files to frames and to messages, beside python-can's readers alone: MB/s, frames/s, peak memory (Linux).

.. code-block:: sh

    python -m benchmarks.files            # about two minutes
    python -m benchmarks.files --quick    # well under one

The logs are written by python-can's writers, pcap by this file. All turns of a round come one after the other, and the
figures are medians over the rounds. Peak memory is that of a process of its own that decodes a log, and then of one
that decodes a log ten times as long.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import can

import isotp
from isotp import capture

SESSIONS = 8
MESSAGE = 200  # bytes
TIMEOUT_S = 600
ADDRESSES = [isotp.Address(rxid=0x700 + number, txid=0x708 + number) for number in range(SESSIONS)]


def messages(count: int, *, fd: bool) -> Iterator[can.Message]:
    """Frames of long messages in several sessions at once, as an interleaved bus has them."""
    payload = random.Random(1).randbytes(MESSAGE)
    transfers = [segments(payload, fd=fd) for _ in range(SESSIONS)]
    for number in range(count):
        session = number % SESSIONS
        data = next(transfers[session], None)
        if data is None:
            transfers[session] = segments(payload, fd=fd)
            data = next(transfers[session])
        yield can.Message(
            timestamp=1.7e9 + number * 1e-4,
            arbitration_id=0x700 + session,
            is_extended_id=False,
            data=data,
            is_fd=fd,
            bitrate_switch=fd,
            channel=0,
        )


def segments(payload: bytes, *, fd: bool) -> Iterator[bytes]:
    room = 64 if fd else 8
    yield struct.pack(">H", 0x1000 | len(payload)) + payload[: room - 2]
    rest = payload[room - 2 :]
    for number, place in enumerate(range(0, len(rest), room - 1), 1):
        yield (bytes([0x20 | number & 15]) + rest[place : place + room - 1]).ljust(room, b"\xcc")


def write_log(path: Path, count: int, *, fd: bool) -> None:
    with can.Logger(path) as writer:
        for message in messages(count, fd=fd):
            writer.on_message_received(message)


def write_pcap(path: Path, count: int, *, fd: bool) -> None:
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 227))
        for message in messages(count, fd=fd):
            data = bytes(message.data)
            packet = struct.pack(">IBB2x", message.arbitration_id, len(data), 5 * fd) + data
            packet = packet.ljust(72 if fd else 16, b"\0")
            second, part = divmod(round(message.timestamp * 1e9), 10**9)
            file.write(struct.pack("<IIII", second, part, len(packet), len(packet)) + packet)


def write_gz(path: Path, count: int, *, fd: bool) -> None:
    plain = path.with_suffix("")
    write_log(plain, count, fd=fd)
    path.write_bytes(gzip.compress(plain.read_bytes()))


@dataclass(frozen=True)
class Case:
    """One kind of log."""

    name: str
    suffix: str
    fd: bool
    write: Callable[..., None] = write_log
    peer: bool = True
    """python-can has a reader for it."""


CASES = [
    Case("candump", ".log", False),
    Case("candump FD", ".log", True),
    Case("candump.gz", ".log.gz", False, write_gz),
    Case("ASC", ".asc", False),
    Case("ASC FD", ".asc", True),
    Case("BLF", ".blf", False),
    Case("BLF FD", ".blf", True),
    Case("pcap", ".pcap", False, write_pcap, peer=False),
    Case("pcap FD", ".pcap", True, write_pcap, peer=False),
    Case("TRC", ".trc", False),
    Case("CSV", ".csv", False),
]


def read_by_python_can(path: Path) -> int:
    with can.LogReader(path) as reader:
        return sum(1 for _ in reader)


def read_frames(path: Path) -> int:
    with capture.open(path) as log:
        return sum(len(records) for records in log)


def read_messages(path: Path) -> int:
    with capture.decode(path, ADDRESSES) as decoding:
        for _ in decoding:
            pass
    return decoding.frames


def seconds(function: Callable[[Path], int], path: Path, expected: int) -> float:
    began = time.perf_counter()
    found = function(path)
    took = time.perf_counter() - began
    if found != expected:
        raise RuntimeError(f"{path} has {expected} frames, but {function.__name__} gives {found}")
    return took


def measure(case: Case, folder: Path, count: int, rounds: int) -> dict[str, object]:
    path = folder / f"{case.name.replace(' ', '-').replace('.', '-')}{case.suffix}"
    case.write(path, count, fd=case.fd)
    functions = [read_frames, read_messages, *([read_by_python_can] if case.peer else [])]
    turns = [[seconds(function, path, count) for function in functions] for _ in range(rounds)]
    figures: dict[str, object] = {
        "format": case.name,
        "megabytes": path.stat().st_size / 1e6,
        "frames": count,
    }
    for place, function in enumerate(functions):
        figures[function.__name__] = median(turn[place] for turn in turns)
    if case.peer:
        figures["ratio"] = median(turn[2] / turn[0] for turn in turns)
    path.unlink()
    return figures


def peak_kilobytes(path: Path) -> int:
    """Of a process that decodes the log."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.files", "--peak", str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    return int(run.stdout)


def memory(case: Case, folder: Path, count: int) -> tuple[int, int]:
    """Peak kilobytes with a log and with one ten times as long."""
    found = []
    for frames in (count, 10 * count):
        path = folder / f"{frames}{case.suffix}"
        case.write(path, frames, fd=case.fd)
        found.append(peak_kilobytes(path))
        path.unlink()
    return found[0], found[1]


def row(figures: dict[str, object]) -> str:
    size, count = float(figures["megabytes"]), int(figures["frames"])  # type: ignore[arg-type]
    cells = [str(figures["format"]), f"{size:.1f}"]
    for name in ("read_by_python_can", "read_frames", "read_messages"):
        took = figures.get(name)
        cells.append(f"{size / took:.1f} MB/s, {count / took / 1e6:.2f} M/s" if took else "no reader")
    cells.append(f"{figures['ratio']:.0f}x" if "ratio" in figures else "")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.files", description=__doc__)
    options.add_argument("--quick", action="store_true", help="shorter logs, fewer rounds, no memory")
    options.add_argument("--frames", type=int, default=200_000, help="frames of a log")
    options.add_argument("--json", type=Path, metavar="FILE", help="write everything measured into a file")
    options.add_argument("--peak", type=Path, metavar="LOG", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.peak:
        read_messages(chosen.peak)
        # Not ru_maxrss: that begins with what the process had that started this one.
        status = Path("/proc/self/status").read_text()
        print(re.search(r"VmHWM:\s+(\d+)", status)[1])  # type: ignore[index]
        return
    count, rounds = (chosen.frames // 10, 3) if chosen.quick else (chosen.frames, 5)
    print("| log | MB | python-can: frames | isotp: frames | isotp: messages | frames: ratio |")
    print("|---|---|---|---|---|---|")
    found = []
    with tempfile.TemporaryDirectory() as name:
        for case in CASES:
            found.append(measure(case, Path(name), count, rounds))
            print(row(found[-1]), flush=True)
        measured = [] if chosen.quick or sys.platform != "linux" else CASES[::2]
        peaks = {case.name: memory(case, Path(name), count) for case in measured}
    for case_name, (short, long) in peaks.items():
        print(f"peak memory, {case_name}: {short / 1024:.1f} MiB, ten times as long: {long / 1024:.1f} MiB")
    if chosen.json:
        chosen.json.write_text(json.dumps({"logs": found, "peak_kilobytes": peaks}, indent=1))


if __name__ == "__main__":
    main()
