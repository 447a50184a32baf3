"""The gate: does anything cost more instructions than when its counts were stored? Noise can't fool it.

Fixed workloads run under callgrind. What is compared with ``benchmarks/instruction_counts.json``, for each workload and
a frame: all instructions, those of this package's own code, and those of each of its hot functions with all that
it calls. More than the tolerance is a failure; less is told.

.. code-block:: sh

    python -m benchmarks.gate
    python -m benchmarks.gate --update --reason "an event for each frame sent"

Counts hold for one build: interpreter, processor architecture, Cython and compiler. Exit status: 0 good, 1 something
grew, 3 no counts are stored for this build, 2 bad usage.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import isotp
from benchmarks import callgrind
from benchmarks.callgrind import Profile
from benchmarks.cases import case

FILE = Path(__file__).with_name("instruction_counts.json")

# Case and messages: some ten thousand frames of each, or as many calls.
WORKLOADS = {
    "classic-4095-bs0": 20,
    "classic-4095-bs8": 20,
    "fd-4095-bs0": 150,
    "fd-4095-bs8": 150,
    "single-frame": 3000,
    "listen-4095": 20,
    "bulk-classic-7-1": 1,
    "bulk-classic-4095-1": 1,
    "bulk-fd-4095-1": 1,
    "bulk-one-by-one": 30,
    "encode-classic-4095": 5,
    "encode-fd-4095": 20,
}

# Runs of one build differ by up to 0.3 percent in all instructions, and not at all in this package's code.
TOLERANCE_OF_ALL = 0.01
TOLERANCE = 0.005
# A function's 5 percent must be seen, the shifts that a compiler makes around a change elsewhere need not be.
FUNCTION_TOLERANCE = 0.03
# Such a share of all instructions the memory functions that it calls may take more, by where their blocks happen to
# lie. It is what 5 percent of the least of the hot functions are.
FUNCTION_NOISE = 0.0015
# Shares of a workload's instructions below which a function is not hot.
HOT = 0.03

GOOD, GREW, UNKNOWN_BUILD = 0, 1, 3


@dataclass(frozen=True)
class Counts:
    """Instructions for a frame, or for what else a case counts."""

    unit: str
    total: float
    own: float
    """In this package's compiled code."""
    functions: Mapping[str, float]
    """Of its hot functions, with all that they call."""


@dataclass(frozen=True)
class Change:
    """A count that is not what it was."""

    workload: str
    what: str
    before: float
    now: float
    tolerance: float

    @property
    def growth(self) -> float:
        return self.now / self.before - 1

    @property
    def grew(self) -> bool:
        return self.growth > self.tolerance

    @property
    def shrank(self) -> bool:
        return self.growth < -self.tolerance

    def __str__(self) -> str:
        return f"{self.workload}: {self.what} {self.growth:+.1%}, {self.before:.1f} -> {self.now:.1f} instructions"


def counts_of(name: str, profile: Profile) -> Counts:
    """Return what the gate looks at in a profile."""
    ours = [each for each in profile.functions.values() if is_ours(each.library)]
    hot = [each for each in ours if each.inclusive >= HOT * profile.total and each.name.startswith("__pyx_")]
    return Counts(
        case(name).unit,
        round(profile.total / profile.units, 2),
        round(sum(each.own for each in ours) / profile.units, 2),
        {readable(each.name): round(each.inclusive / profile.units, 2) for each in hot},
    )


LIBRARIES = {
    path.name for path in Path(isotp.__file__).parent.rglob("_*") if path.suffix in (".so", ".pyd", ".dylib")
}


def is_ours(library: str) -> bool:
    return library in LIBRARIES


def readable(name: str) -> str:
    """Return a C name of Cython's without what says the same for all of them: ``_core.Engine._take``."""
    found = re.fullmatch(r"__pyx_(\w+?)_5isotp_(.+)", name)
    if found is None:
        return name
    # 5_core_6Engine__take is _core, Engine, and the rest; in 5_core_6Engine_29process, 29 is no length but a
    # number that changes with each method that is added before.
    parts, rest = [], found[2]
    while counted := re.match(r"(\d+)", rest):
        start, end = counted.end(), counted.end() + int(counted[1])
        if rest[end : end + 1] != "_":
            rest = rest[start:]
            break
        parts.append(rest[start:end])
        rest = rest[end + 1 :]
    # f is a C function; tp_dealloc of a type, or pw, what Python calls, may have the same name.
    return ".".join([*parts, rest]) + (f" [{found[1]}]" if found[1] != "f" else "")


def changes(before: Mapping[str, Counts], now: Mapping[str, Counts]) -> Iterator[Change]:
    """Yield every count that both have, and those workloads' functions that are no longer hot are not among them."""
    for name, counts in now.items():
        if name not in before:
            continue
        old = before[name]
        yield Change(name, "all", old.total, counts.total, TOLERANCE_OF_ALL)
        yield Change(name, "this package's code", old.own, counts.own, TOLERANCE)
        for function, instructions in counts.functions.items():
            if function in old.functions:
                stored = old.functions[function]
                tolerance = max(FUNCTION_TOLERANCE, FUNCTION_NOISE * old.total / stored)
                yield Change(name, function, stored, instructions, tolerance)


def build() -> str:
    """Return what counts hold for."""
    core = b"".join(
        path.read_bytes() for path in Path(isotp.__file__).parent.glob("_core*") if path.name in LIBRARIES
    )
    # Compilers leave their names in what they make; Cython, in that of a module for what all its extensions share.
    compilers = {each.decode() for each in re.findall(rb"GCC: \([^)]*\) [\d.]+|clang version [\d.]+", core)}
    compiler = (
        ", ".join(re.sub(r"GCC: .*\) ", "GCC ", each) for each in sorted(compilers)) or "unknown compiler"
    )
    cython = {each.decode().replace("_", ".") for each in re.findall(rb"_cython_(\d+_\d+_\w+)", core)}
    threads = ", free-threaded" if not getattr(sys, "_is_gil_enabled", lambda: True)() else ""
    return (
        f"{platform.python_implementation()} {platform.python_version()}{threads} {platform.machine()}, "
        f"Cython {', '.join(sorted(cython)) or 'unknown'}, {compiler}"
    )


def measure(names: Sequence[str] = tuple(WORKLOADS)) -> dict[str, Counts]:
    """Count these workloads, each in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        profiles = callgrind.run({name: WORKLOADS[name] for name in names}, Path(folder))
    return {name: counts_of(name, profiles[name]) for name in names}


def stored(file: Path = FILE) -> dict[str, Any]:
    """Return the file's contents: builds, each with its counts and the reasons why they are what they are."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def counts_in(entry: Mapping[str, Any]) -> dict[str, Counts]:
    return {name: Counts(**counts) for name, counts in entry["workloads"].items()}


def update(file: Path, key: str, now: Mapping[str, Counts], reason: str) -> None:
    """Store the counts of this build, and why they changed."""
    contents = stored(file)
    entry = contents.setdefault(key, {"reasons": [], "workloads": {}})
    old = counts_in(entry)
    entry["reasons"].append({"date": date.today().isoformat(), "reason": reason, **difference(old, now)})
    entry["workloads"].update({name: asdict(counts) for name, counts in now.items()})
    file.write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")


def difference(old: Mapping[str, Counts], now: Mapping[str, Counts]) -> dict[str, dict[str, str]]:
    """Return how the totals changed, for the record."""
    found = {
        name: f"{now[name].total / old[name].total - 1:+.1%}"
        for name in now
        if name in old and now[name].total != old[name].total
    }
    return {"totals": found} if found else {}


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(
        prog="python -m benchmarks.gate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)}")
    result.add_argument("--update", action="store_true", help="store the counts in place of those before")
    result.add_argument("--reason", help="why they may change; kept in the file")
    result.add_argument(
        "--file", type=Path, default=FILE, help="where the counts are (default: beside this module)"
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    command_line = parser()
    options = command_line.parse_args(arguments)
    names = options.workloads or list(WORKLOADS)
    if unknown := set(names) - set(WORKLOADS):
        command_line.error(
            f"no workload is called {', '.join(sorted(unknown))}; there are: {', '.join(WORKLOADS)}"
        )
    if options.update and not (options.reason or "").strip():
        command_line.error("--update needs a --reason, which is kept")
    key = build()
    entry = stored(options.file).get(key)
    if entry is None and not options.update:
        print(f"no counts are stored for this build: {key}")
        print(
            'store those of a state that is known to be good: python -m benchmarks.gate --update --reason "..."'
        )
        print(f"there are counts for: {'; '.join(stored(options.file)) or 'none'}")
        return UNKNOWN_BUILD
    now = measure(names)
    if not any(counts.functions for counts in now.values()):
        print("the extensions have no symbols, so functions are not looked at: setup.py build_ext --inplace")
    found = list(changes(counts_in(entry), now)) if entry is not None else []
    for name in names:
        print(
            f"{name:22} {now[name].total:9.1f} instructions a {now[name].unit}, {now[name].own:8.1f} in this package"
        )
    grown = [each for each in found if each.grew]
    for each in found:
        if each.shrank:
            print(f"less: {each}")
    if options.update:
        for each in grown:
            print(f"more: {each}")
        update(options.file, key, now, options.reason)
        print(f"stored for {key}: {options.reason}")
        return GOOD
    for each in grown:
        print(f"MORE: {each} (tolerance {each.tolerance:.1%})")
    missing = [name for name in names if entry is not None and name not in entry["workloads"]]
    if missing:
        print(f"no counts are stored for {', '.join(missing)}: --update")
    print(f"{len(grown)} of {len(found)} counts grew; {key}")
    return GREW if grown or missing else GOOD


if __name__ == "__main__":
    sys.exit(main())
