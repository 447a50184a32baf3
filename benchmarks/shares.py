"""Where each instruction of the object path goes: to Python, to memory, to the boundary, to the protocol.

.. code-block:: sh

    python -m benchmarks.shares
    python -m benchmarks.shares --lines 20 classic-4095-bs0      # the dearest lines of our source

Callgrind counts the instructions of each line of C, and Cython's comments in the C files tell which line of ``.pyx`` or
``.pxi`` it was made from. This needs extensions with line numbers, that is, built in place: ``pip install -e`` or
``setup.py build_ext --inplace``.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import isotp
from benchmarks import callgrind
from benchmarks.callgrind import Function, Profile
from benchmarks.case import FLOOR_ROLE, OURS_ROLE
from benchmarks.cases import case
from benchmarks.gate import WORKLOADS, is_ours

CASES = ("classic-4095-bs0", "classic-4095-bs8", "fd-4095-bs0", "single-frame", "listen-4095")
PYTHON, MEMORY, BOUNDARY, PROTOCOL = PLACES = ("Python", "memory", "boundary", "protocol")

# In the interpreter, the C library and what Cython makes: functions that make, fill and free.
OF_MEMORY = re.compile(
    r"malloc|calloc|realloc|_free|^free|Alloc|_Free|dealloc|PyObject_Init|NewReference|PyByteArray_From|mem(cpy|set|move)|"
    r"_tp_new_|PyObject_GC_|gc_|_PyFrame_Clear"
)
# "isotp/_protocol/reception.pxd":45 in a comment over what was made from that line.
MADE_FROM = re.compile(r'^\s*/\* "(?:[^"]*/)?isotp/([^"]+)":(\d+)$')


@functools.cache
def lines_of(c_file: str) -> list[tuple[str, int] | None]:
    """Return, for each line of a C file of Cython's, the file and line that it was made from, None for its helpers."""
    found: list[tuple[str, int] | None] = [None]
    place: tuple[str, int] | None = None
    module = False
    for line in (Path(isotp.__file__).parent / c_file).read_text(encoding="utf-8").splitlines():
        if section := re.match(r"/\* #### Code section: (\w+)", line):
            module, place = section[1] == "module_code", None
        elif module and (comment := MADE_FROM.match(line)):
            place = (comment[1], int(comment[2]))
        found.append(place)
    return found


def origins(function: Function) -> Iterator[tuple[str | None, int, int]]:
    """Yield source file, line, and instructions of one of our functions; no file for what Cython added."""
    for (source, line), instructions in function.lines.items():
        name = source.rpartition("isotp/")[2]
        if name.endswith(".c") and (Path(isotp.__file__).parent / name).exists():
            made = lines_of(name)
            place = made[line] if line < len(made) else None
            yield (*place, instructions) if place else (None, 0, instructions)
        else:
            yield None, 0, instructions


def shares(profile: Profile) -> dict[str, float]:
    """Return the instructions of a frame by place."""
    found: Counter[str] = Counter(dict.fromkeys(PLACES, 0))
    for each in profile.functions.values():
        if is_ours(each.library):
            if OF_MEMORY.search(each.name):
                found[MEMORY] += each.own
                continue
            for source, _, instructions in origins(each):
                found[PROTOCOL if source and source.startswith("_protocol/") else BOUNDARY] += instructions
        elif each.library.startswith("floor_layer"):
            found[BOUNDARY] += each.own
        else:
            found[MEMORY if OF_MEMORY.search(each.name) else PYTHON] += each.own
    return {place: round(instructions / profile.units, 1) for place, instructions in found.items()}


def measure(names: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the shares of these cases and of their floors: case, role, place."""
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in names}
    for role in (OURS_ROLE, FLOOR_ROLE):
        chosen = {name: WORKLOADS[name] for name in names if role in case(name).present()}
        if not chosen:
            continue
        with tempfile.TemporaryDirectory(prefix="shares-") as folder:
            for name, profile in callgrind.run(chosen, Path(folder), role, lines=True).items():
                found[name][role] = shares(profile)
    return found


def table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return the shares as Markdown."""
    lines = [
        f"| case | instructions a frame | {' | '.join(PLACES)} | of the floor | times the floor |",
        f"|---|---:|{'---:|' * len(PLACES)}---:|---:|",
    ]
    for name, roles in found.items():
        ours = roles[OURS_ROLE]
        total = sum(ours.values())
        cells = [f"{ours[place]:.0f} ({ours[place] / total:.0%})" for place in PLACES]
        floor = sum(roles.get(FLOOR_ROLE, {}).values())
        cells += [f"{floor:.0f}", f"{total / floor:.2f}"] if floor else ["", ""]
        lines.append(f"| {name} | {total:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def dearest(profile: Profile, count: int) -> list[str]:
    """Return the lines of our source that cost most, with their text."""
    found: Counter[tuple[str, int]] = Counter()
    for each in profile.functions.values():
        if is_ours(each.library):
            for source, line, instructions in origins(each):
                found[(source or f"({each.library.split('.')[0]}: made by Cython)", line)] += instructions
    rows = []
    for (source, line), instructions in found.most_common(count):
        path = Path(isotp.__file__).parent / source
        text = (
            path.read_text(encoding="utf-8").splitlines()[line - 1].strip() if path.is_file() and line else ""
        )
        rows.append(f"{instructions / profile.units:8.1f}  {source}:{line}  {text}")
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.shares",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(WORKLOADS)} (default: {', '.join(CASES)})")
    parser.add_argument(
        "--lines", type=int, metavar="N", help="show the N dearest lines of our source instead"
    )
    options = parser.parse_args(arguments)
    names = options.cases or list(CASES)
    if unknown := set(names) - set(WORKLOADS):
        parser.error(f"no workload is called {', '.join(sorted(unknown))}; there are: {', '.join(WORKLOADS)}")
    if options.lines is not None:
        with tempfile.TemporaryDirectory(prefix="shares-") as folder:
            counts = {name: WORKLOADS[name] for name in names}
            for name, profile in callgrind.run(counts, Path(folder), lines=True).items():
                print(
                    f"{name}: instructions a {case(name).unit}, line",
                    *dearest(profile, options.lines),
                    sep="\n",
                )
        return 0
    print(table(measure(names)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
