"""Runs one case in this process and tells what it leaves behind: `python -m checks.leaks.measure CASE ROUNDS`.

Three times so many rounds, after a first turn in which caches fill. What a round leaves is there each time; what
comes once (a table that grows, an arena of the allocator) is not: so the least of the three counts.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import json
import logging
import os
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from checks.leaks.cases import CASES, QUICK
from isotp._core import monotonic_ns
from isotp.threads.timekeeper import call_at
from tests.frames import HERE, THERE

TURNS = 3
LONGEST_TIMEOUT_NS = 1_100_000_000  # a little more than N_Bs and N_Cr
# Objects that all cases use; a reference too many or too few to one of them does not show in memory.
WATCHED = {"None": None, "True": True, "empty bytes": b"", "empty tuple": (), "HERE": HERE, "THERE": THERE}


class MallInfo(ctypes.Structure):
    """struct mallinfo2 of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    ]


def heap() -> int:
    """Bytes that malloc() has given out, 0 where nobody can tell."""
    function = getattr(ctypes.CDLL(None), "mallinfo2", None) if sys.platform == "linux" else None
    if function is None:
        return 0
    function.restype = MallInfo
    found = function()
    return int(found.uordblks + found.hblkhd)


def resident() -> int:
    """Bytes of this process that are in memory, 0 where nobody can tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") if statm.exists() else 0


def descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def state() -> dict[str, int]:
    gc.collect()
    found = {
        "blocks": sys.getallocatedblocks(),
        "objects": len(gc.get_objects()),
        "heap": heap(),
        "resident": resident(),
        "threads": threading.active_count(),
        "descriptors": descriptors(),
    }
    return found | {f"references to {name}": sys.getrefcount(each) for name, each in WATCHED.items()}


def settle() -> None:
    """Wait for the time-outs that started layers left to the timekeeper: it forgets them when they are due only."""
    due = threading.Event()
    call_at(monotonic_ns() + LONGEST_TIMEOUT_NS, due.set)
    due.wait()


def measure(case: str, rounds: int) -> dict[str, int]:
    """What is more after so many rounds."""
    # Handlers of logs keep the last exceptions for a while.
    logging.disable()
    with ExitStack() as stack:
        one_round = CASES[case](stack)
        states = []
        for number in (max(rounds // 4, 20), *[rounds] * TURNS):
            for _ in range(number):
                one_round()
            if CASES[case] not in QUICK:
                settle()
            states.append(state())
    return {
        name: min(after[name] - before[name] for before, after in itertools.pairwise(states))
        for name in states[0]
    }


def main() -> None:
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))


if __name__ == "__main__":
    main()
