"""From log files to frames and to messages, beside python-can's readers, and the memory that this takes.

The logs are written by python-can's writers, pcap by this file.
"""

from __future__ import annotations

import gzip
import random
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.case import ALL, FULL, QUICK, Case, Measured, Observed, Repeated, Stage, Workload

if TYPE_CHECKING:
    import can

SESSIONS = 8
MESSAGE = 200  # bytes
FRAMES = 20_000
MANY = 3_000_000
TIMEOUT_S = 600


def messages(count: int, *, fd: bool) -> Iterator[can.Message]:
    """Frames of long messages in several sessions at once, as an interleaved bus has them."""
    import can

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
    import can

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


def log_file(stage: Stage, name: str, write: Callable[..., None], fd: bool, frames: int = FRAMES) -> Path:
    """Return a log with so many frames, which is written once a run."""
    path = stage.folder / f"{frames}-{'fd' if fd else 'classic'}-{name}"
    if not path.exists():
        unfinished = stage.folder / f"unfinished-{path.name}"
        write(unfinished, frames, fd=fd)
        unfinished.rename(path)
    return path


def read_by_python_can(path: Path) -> int:
    import can

    with can.LogReader(path) as reader:
        return sum(1 for _ in reader)


def read_frames(path: Path) -> int:
    from isotp import capture

    with capture.open(path) as log:
        return sum(len(records) for records in log)


def read_messages(path: Path, threads: int = 1) -> int:
    import isotp
    from isotp import capture

    addresses = [isotp.Address(rxid=0x700 + number, txid=0x708 + number) for number in range(SESSIONS)]
    with capture.decode(path, addresses, threads=threads) as decoding:
        for _ in decoding:
            pass
    return decoding.frames


class Reading:
    """A log read again and again; its frames are counted."""

    units = FRAMES

    def __init__(self, read: Callable[[Path], int], path: Path) -> None:
        self.read, self.path = read, path

    def run(self, messages: int) -> list[Any]:
        return [self.read(self.path) for _ in range(messages)]

    def verify(self, messages: int, received: list[Any]) -> None:
        if received != [FRAMES] * messages:
            raise RuntimeError(f"{self.path} has {FRAMES} frames, not {received!r:.80}")


def reading(
    read: Callable[[Path], int], name: str, write: Callable[..., None], fd: bool, stage: Stage
) -> Workload:
    """Set up a reader and what it reads."""
    return Reading(read, log_file(stage, name, write, fd))


# It prints the peak of its own memory. Not ru_maxrss: that begins with what the process had that started it.
PEAK = """
import re, sys
from pathlib import Path
from benchmarks.files import read_messages
read_messages(Path(sys.argv[1]))
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def peak_memory(stage: Stage, seconds: float) -> Measured:
    """Peak memory of a process that decodes a log, and of one that decodes a log ten times as long."""
    figures = {}
    for what, frames in (("MiB", FRAMES), ("MiB, ten times the log", 10 * FRAMES)):
        path = log_file(stage, "log.log", write_log, fd=False, frames=frames)
        run = subprocess.run(
            [sys.executable, "-c", PEAK, str(path)],
            capture_output=True,
            text=True,
            check=True,
            timeout=TIMEOUT_S,
        )
        figures[what] = int(run.stdout) / 1024
    return Measured(figures)


class OnCores:
    """The messages of a long log, by so many threads."""

    def __init__(self, path: Path, frames: int, threads: int) -> None:
        self.path, self.units, self.threads = path, frames, threads

    def run(self, messages: int) -> list[Any]:
        return [read_messages(self.path, self.threads) for _ in range(messages)]

    def verify(self, messages: int, received: list[Any]) -> None:
        if received != [self.units] * messages:
            raise RuntimeError(f"{self.path} has {self.units} frames, not {received!r:.80}")


def on_cores(name: str, threads: int, stage: Stage) -> Workload:
    return OnCores(log_file(stage, name, write_log, fd=False, frames=MANY), MANY, threads)


def cores_case(format_name: str) -> Case:
    """Return the case of decoding one log on two cores."""
    name = FORMATS[format_name][0]
    return Case(
        f"cores-{format_name}",
        "files",
        f"One {format_name} file of {MANY:,} frames, by two threads and by one: do all cores take part?",
        {
            "ours": Repeated(partial(on_cores, name, 2), needs=("can",)),
            "beside": Repeated(partial(on_cores, name, 1), needs=("can",)),
        },
        names={"beside": "one thread"},
        mode=ALL,
        pinned=False,
        waits=True,
    )


FORMATS: dict[str, tuple[str, Callable[..., None], bool, bool]] = {
    # What the file is called, who writes it, CAN FD, and whether python-can has a reader.
    "candump": ("log.log", write_log, False, True),
    "candump-fd": ("log.log", write_log, True, True),
    "candump-gz": ("log.log.gz", write_gz, False, True),
    "asc": ("log.asc", write_log, False, True),
    "asc-fd": ("log.asc", write_log, True, True),
    "blf": ("log.blf", write_log, False, True),
    "blf-fd": ("log.blf", write_log, True, True),
    "pcap": ("log.pcap", write_pcap, False, False),
    "pcap-fd": ("log.pcap", write_pcap, True, False),
    "trc": ("log.trc", write_log, False, True),
    "csv": ("log.csv", write_log, False, True),
    "mf4": ("log.mf4", write_log, False, True),
}


def frames_case(format_name: str) -> Case:
    """Return the case of reading the frames of a log."""
    name, write, fd, known = FORMATS[format_name]
    # python-can writes the log; MF4 by asammdf.
    needs = ("can", "asammdf") if format_name == "mf4" else ("can",)
    roles = {"ours": Repeated(partial(reading, read_frames, name, write, fd), needs=needs)}
    if known:
        roles["beside"] = Repeated(partial(reading, read_by_python_can, name, write, fd), needs=needs)
    modes = {
        "candump": QUICK,
        "blf": QUICK,
        "asc": FULL,
        "pcap": FULL,
        "candump-fd": FULL,
        "trc": FULL,
        "csv": FULL,
    }
    return Case(
        f"frames-{format_name}",
        "files",
        f"From a {format_name} file to frame records: how long does one wait before looking at a recording?",
        roles,
        names={"beside": "python-can's reader"},
        mode=modes.get(format_name, ALL),
    )


def messages_case(format_name: str) -> Case:
    """Return the case of decoding the messages of a log."""
    name, write, fd, _ = FORMATS[format_name]
    return Case(
        f"messages-{format_name}",
        "files",
        f"From a {format_name} file to the messages of {SESSIONS} sessions, in time for one of its frames.",
        {"ours": Repeated(partial(reading, read_messages, name, write, fd), needs=("can",))},
        mode=QUICK if format_name == "candump" else FULL,
    )


CASES = (
    *(frames_case(name) for name in FORMATS),
    *(messages_case(name) for name in ("candump", "asc", "blf", "pcap")),
    *(cores_case(name) for name in ("candump", "asc", "blf")),
    *(
        [
            Case(
                "memory-candump",
                "files",
                "Peak memory while the messages of a log are decoded: does it grow with the log?",
                {"ours": Observed(peak_memory, needs=("can",))},
                pinned=False,
            )
        ]
        if sys.platform == "linux"
        else []
    ),
)
