"""Whole commands, from their start to their end: `isotp decode` beside tshark with its dissector of ISO 15765.

The time is the processor's, of the command with all of its threads. The log has one session, for tshark puts the
messages together of one at a time. Both write each message with its time, CAN ID and payload.
"""

from __future__ import annotations

import itertools
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.case import ALL, QUICK, Case, Measured, Observed, Stage
from benchmarks.files import MESSAGE, segments

LONG, SHORT = 1_000_000, 100  # frames
TIMEOUT_S = 600
CAN_ID = 0x700

# What isotp's console script does.
ISOTP = (sys.executable, "-c", "import sys; from isotp.cli import main; sys.exit(main())")
TSHARK = (
    "tshark",
    "-d",
    "can.subdissector,iso15765",
    "-T",
    "fields",
    "-e",
    "frame.time_epoch",
    "-e",
    "can.id",
)


def frames(count: int) -> Iterator[tuple[int, bytes]]:
    """Times in us since 1970, and data."""
    payload = random.Random(1).randbytes(MESSAGE)
    data = itertools.cycle(list(segments(payload, fd=False)))
    for number in range(count):
        yield 1_700_000_000_000_000 + 100 * number, next(data)


def complete(count: int) -> int:
    """How many messages are whole in so many frames."""
    return count // len(list(segments(bytes(MESSAGE), fd=False)))


def write_candump(path: Path, count: int) -> None:
    """As can-utils writes it; what python-can adds to a line, tshark does not read."""
    with path.open("w") as file:
        for time, data in frames(count):
            second, micros = divmod(time, 10**6)
            file.write(f"({second}.{micros:06}) can0 {CAN_ID:X}#{data.hex().upper()}\n")


def write_pcap(path: Path, count: int) -> None:
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 227))
        for time, data in frames(count):
            second, micros = divmod(time, 10**6)
            file.write(struct.pack("<IIII", second, 1000 * micros, 16, 16))
            file.write(struct.pack(">IBB2x", CAN_ID, len(data), 0) + data)


WRITERS = {"candump": write_candump, "pcap": write_pcap}


def log(stage: Stage, name: str, count: int) -> Path:
    """Return a log with so many frames, which is written once a run."""
    path = stage.folder / f"one-session-{count}.{name}"
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        WRITERS[name](unfinished, count)
        unfinished.rename(path)
    return path


def processor_time(command: list[str], output: Path) -> float:
    """Run a command; the processor time that it took in s."""
    import resource

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = spent()
    with output.open("wb") as stream:
        subprocess.run(command, stdout=stream, stderr=subprocess.DEVNULL, timeout=TIMEOUT_S, check=False)
    return spent() - before


def isotp_decode(name: str, count: int, stage: Stage, seconds: float) -> Measured:
    """`isotp decode` with whole payloads."""
    output = stage.folder / f"isotp-{count}.txt"
    options = ["decode", "--quiet", "--full", "-a", f"{CAN_ID:X}:{CAN_ID + 8:X}"]
    took = processor_time([*ISOTP, *options, str(log(stage, name, count))], output)
    # A line more is what the end of the log cut off.
    found = sum(line.startswith(b"17") and b" ok " in line for line in output.read_bytes().splitlines())
    return measured(took, found, count)


def tshark(name: str, count: int, stage: Stage, seconds: float) -> Measured:
    """The same by tshark, which names other frames too if it is not told which ones end a message."""
    output = stage.folder / f"tshark-{count}.txt"
    wanted = ["-e", "data.data", "-Y", "iso15765.reassembled.length or iso15765.message_type == 0"]
    took = processor_time([*TSHARK, *wanted, "-r", str(log(stage, name, count))], output)
    return measured(took, len(output.read_bytes().splitlines()), count)


def measured(took: float, found: int, count: int) -> Measured:
    if found != complete(count):
        raise RuntimeError(f"found {found} messages in place of {complete(count)}")
    return Measured({"s of processor time": took}, work=found)


def lacks_rusage() -> str | None:
    return "this system does not tell what a command took" if sys.platform == "win32" else None


NEEDS = ("typer", "rich", "numpy")

CASES = (
    *(
        Case(
            f"command-{name}",
            "commands",
            f"`isotp decode` of a {name} log with a million frames, beside tshark: what does a whole command take?",
            {
                "ours": Observed(partial(isotp_decode, name, LONG), NEEDS),
                **({"beside": Observed(partial(tshark, name, LONG))} if shutil.which("tshark") else {}),
            },
            names={"beside": "tshark"},
            mode=ALL,
            pinned=False,
            lacks=lacks_rusage,
        )
        for name in WRITERS
    ),
    Case(
        "command-small",
        "commands",
        "`isotp decode` of a hundred frames: how long does the command take to start?",
        {"ours": Observed(partial(isotp_decode, "candump", SHORT), NEEDS)},
        mode=QUICK,
        lacks=lacks_rusage,
    ),
)
