"""Run workloads under callgrind, each counted by itself, and read what callgrind wrote.

Each runs in a process of its own: what another one left behind in memory would change where blocks lie, and with that
what copying and growing them costs. A small library, compiled on the spot, tells callgrind where a workload begins and
ends.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.case import OURS_ROLE, Observed, Stage
from benchmarks.cases import case

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 900
# Enough to fill caches and free lists, and for Python to have specialised its bytecode.
WARMUP = 12

MARKS = r"""
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void end(const char *name) { CALLGRIND_DUMP_STATS_AT(name); CALLGRIND_STOP_INSTRUMENTATION; }
"""


@dataclass
class Function:
    """What one function cost, in instructions."""

    name: str
    library: str
    """Name of the file that has its code."""
    own: int = 0
    inclusive: int = 0
    """With all that it called; more than that if it called itself."""
    calls: int = 0
    lines: dict[tuple[str, int], int] = field(default_factory=dict)
    """Its own instructions by source file and line, where the library tells them."""


@dataclass(frozen=True)
class Profile:
    """What one workload cost."""

    units: int
    """Frames, or what else the time of a case is divided by, in all messages together."""
    functions: dict[tuple[str, str], Function]
    """By library and name."""

    @property
    def total(self) -> int:
        return sum(each.own for each in self.functions.values())


def run(
    counts: dict[str, int], folder: Path, role: str = OURS_ROLE, lines: bool = False
) -> dict[str, Profile]:
    """Run each of these cases so many messages long, and return their profiles.

    RuntimeError if valgrind is missing or the run fails.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise RuntimeError("valgrind is not installed; it counts the instructions")
    marks = compiled_marks(folder)
    command = [valgrind, "--tool=callgrind", "--instr-atstart=no", f"--dump-line={'yes' if lines else 'no'}"]
    command += ["--compress-strings=no", "--compress-pos=no"]
    found = {}
    for name, messages in counts.items():
        profile = folder / name
        work = [sys.executable, "-m", "benchmarks.callgrind", str(marks), role, name, str(messages)]
        done = subprocess.run(
            [*command, f"--callgrind-out-file={profile}", *work],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        if done.returncode:
            raise RuntimeError(f"{name} failed under valgrind:\n{done.stdout}{done.stderr}")
        # The first dump is the workload's; that of the program's end has nothing in it.
        text = profile.with_name(f"{name}.1").read_text(encoding="utf-8", errors="replace")
        found[name] = Profile(int(done.stdout), read(text))
    return found


def compiled_marks(folder: Path) -> Path:
    """Compile the library that talks to callgrind; RuntimeError with the compiler's words if that fails."""
    source, library = folder / "marks.c", folder / "marks.so"
    source.write_text(MARKS)
    compiler = shlex.split(os.environ.get("CC", "cc"))
    done = subprocess.run(
        [*compiler, "-O1", "-shared", "-fPIC", str(source), "-o", str(library)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the headers of valgrind or a C compiler are missing:\n{done.stderr}")
    return library


def environment() -> dict[str, str]:
    """Return an environment in which the same work takes the same instructions, whoever runs it."""
    return {
        # The order of sets and dicts.
        "PYTHONHASHSEED": "0",
        # Which memcpy() there is would depend on the processor.
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM",
        "PATH": os.environ.get("PATH", ""),
        "LC_ALL": "C.UTF-8",
        # Threads of NumPy's have memory of their own, which they take when they happen to run.
        "OPENBLAS_NUM_THREADS": "1",
        **{key: os.environ[key] for key in ("PYTHONPATH", "CC", "LD_LIBRARY_PATH") if key in os.environ},
    }


def read(text: str) -> dict[tuple[str, str], Function]:
    """Return the functions in the text of a callgrind file whose names are not compressed."""
    functions: dict[tuple[str, str], Function] = {}
    library, called_library, source = "", "", ""
    function = callee = Function("", "")
    called = False
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if not equals:
            position, _, cost = line.partition(" ")
            if cost and position.isdecimal():
                amount = int(cost)
                function.inclusive += amount
                if called:
                    called = False
                else:
                    function.own += amount
                    place = (source, int(position))
                    function.lines[place] = function.lines.get(place, 0) + amount
        elif key == "ob":
            library = Path(value).name
        elif key in ("fl", "fi", "fe"):
            source = value
        elif key == "fn":
            function = named(functions, library, value)
        elif key == "cob":
            called_library = Path(value).name
        elif key == "cfn":
            callee = named(functions, called_library or library, value)
        elif key == "calls":
            called = True
            callee.calls += int(value.split()[0])
            called_library = ""
    return functions


def named(functions: dict[tuple[str, str], Function], library: str, symbol: str) -> Function:
    """Return the function of a symbol: GCC's copies of a function for some of its uses are that function."""
    name = re.sub(r"(\.(isra|part|constprop|cold)\.?\d*)+$", "", symbol)
    return functions.setdefault((library, name), Function(name, library))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run under callgrind: the part of this module that is started by the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.callgrind", description=__doc__)
    parser.add_argument("marks")
    parser.add_argument("role")
    parser.add_argument("case", type=case)
    parser.add_argument("messages", type=int)
    options = parser.parse_args(arguments)
    marks = ctypes.CDLL(options.marks)
    contender = options.case.roles[options.role]
    if isinstance(contender, Observed):
        raise ValueError(f"{options.case.name} is no workload that can be counted")
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        workload = contender.prepare(Stage(cleanup, folder))
        workload.verify(WARMUP, workload.run(WARMUP))
        # The next collection comes after as many objects, whatever was before.
        gc.collect()
        marks.begin()
        received = workload.run(options.messages)
        marks.end(options.case.name.encode())
        workload.verify(options.messages, received)
        print(options.messages * workload.units)


if __name__ == "__main__":
    main()
