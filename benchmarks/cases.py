"""The registry: every case there is. Each is defined in the module of its subject, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from benchmarks import bulk, commands, files, kernel, polled, sessions, socketcan_pair, started, wire
from benchmarks.case import FULL, MODES, Case

CASES = (
    *polled.CASES,
    *sessions.CASES,
    *started.CASES,
    *wire.CASES,
    *socketcan_pair.CASES,
    *bulk.CASES,
    *files.CASES,
    *commands.CASES,
    *kernel.CASES,
)


def case(name: str) -> Case:
    """Return the case of that name; ValueError if there is none."""
    for candidate in CASES:
        if candidate.name == name:
            return candidate
    raise ValueError(f"no case is called {name!r}; there are: {', '.join(each.name for each in CASES)}")


def choose(patterns: Sequence[str], mode: str = FULL) -> list[Case]:
    """Return the cases whose name or group matches any pattern; ValueError for a pattern that matches none.

    Without patterns these are all of a mode that this system can run. A case that is asked for by its name must
    run: ValueError if it can't.
    """
    if not patterns:
        modes = MODES[: MODES.index(mode) + 1]
        return [each for each in CASES if each.mode in modes and each.lacking() is None]
    chosen = []
    for pattern in patterns:
        found = [each for each in CASES if fnmatchcase(each.name, pattern) or each.group == pattern]
        if not found:
            known = ", ".join(each.name for each in CASES)
            raise ValueError(f"no case matches {pattern!r}; there are: {known}")
        runnable = [each for each in found if each.lacking() is None]
        if not runnable:
            raise ValueError(f"{found[0].name} can't run here: {found[0].lacking()}")
        chosen += runnable
    return [each for each in CASES if each in chosen]
