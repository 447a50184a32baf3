"""What a case is: a thing to measure, who can take part in it, and what a turn reports.

A *role* is a way to do what a case asks for. Every case has the role `ours`; the others are what it stands beside:

- `peer`: can-isotp, which runs the same code in an environment of its own;
- `beside`: something else that does the same job, which the case names;
- `floor`: what remains if the package did nothing, or a plain C loop: less is not to be had.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

OURS_ROLE, PEER_ROLE, BESIDE_ROLE, FLOOR_ROLE = ROLES = ("ours", "peer", "beside", "floor")

# From the fewest cases to all of them.
QUICK, FULL, ALL = MODES = ("quick", "full", "all")


class Workload(Protocol):
    """Work that can be repeated; one repetition is called a message."""

    @property
    def units(self) -> int:
        """Units (frames on the bus, or round trips) in one message."""

    def run(self, messages: int) -> list[Any]:
        """Do the work `messages` times; return what was received. Only this is timed."""

    def verify(self, messages: int, received: list[Any]) -> None:
        """Raise RuntimeError unless `received` is exactly what run(messages) had to deliver."""


@dataclass(frozen=True)
class Stage:
    """What a turn is given to work with."""

    cleanup: ExitStack
    """Takes down, at the end of the turn, what was set up."""
    folder: Path
    """Kept for all turns of a run: what is dear to make, such as logs, is made once."""


@dataclass(frozen=True)
class Measured:
    """What one turn found out. Every figure is a time or a cost: less is better."""

    figures: Mapping[str, float]
    """By name, with the unit; the first one is the one that counts most."""
    work: int | None = None
    """Units in a message: sides that do the same work agree on it."""
    core_share: float | None = None
    """How much of its core the turn had; None where waiting is part of the work."""
    distribution: Sequence[float] = ()
    """The first figure at 0, 1, ... 100 percent of the events, where it is one of single events."""


Prepare = Callable[[Stage], Workload]
Observe = Callable[[Stage, float], Measured]


@dataclass(frozen=True)
class Repeated:
    """A role that is a workload: it is repeated for as long as asked for, and the sum is timed."""

    prepare: Prepare
    needs: tuple[str, ...] = ()
    """Packages that it imports besides isotp."""


@dataclass(frozen=True)
class Observed:
    """A role that measures itself, for about as many seconds as it is given."""

    observe: Observe
    needs: tuple[str, ...] = ()
    """Packages that it imports besides isotp."""


@dataclass(frozen=True)
class Case:
    """One thing to measure."""

    name: str
    group: str
    meaning: str
    """What the figures say to a user, in one sentence."""
    roles: Mapping[str, Repeated | Observed]
    unit: str = "frame"
    """What the time of a workload is divided by."""
    goal: float | None = None
    """Ratio to can-isotp 2.0.7 that the project has set itself."""
    limit: float | None = None
    """How many times the floor it may take at most, by the project's own goal."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What the roles `ours`, `beside` and `floor` are called here."""
    mode: str = FULL
    """The first of MODES that it is part of."""
    pinned: bool = True
    """Runs on one core; threads of a user run on all of them."""
    waits: bool = False
    """Waiting is part of the work, so the wall clock counts; else the CPU's, which other programs can't spoil."""
    same_work: bool = True
    """All roles have the same units in a message."""
    x: float = math.nan
    """Where the case stands on the scale of its group, such as a size."""
    interface: str | None = None
    """The CAN interface of Linux that it needs."""
    lacks: Callable[[], str | None] | None = None
    """Tells what else this system lacks for the case, None if nothing."""

    def lacking(self) -> str | None:
        """What this system lacks for the case, None if nothing."""
        if self.interface is not None and not Path("/sys/class/net", self.interface).exists():
            return f"there is no CAN interface {self.interface}"
        if self.lacks is not None and (lack := self.lacks()) is not None:
            return lack
        absent = missing(self.roles[OURS_ROLE].needs)
        return f"{' and '.join(absent)} cannot be imported" if absent else None

    def present(self) -> list[str]:
        """Return the roles that this system has what they need for."""
        return [role for role in ROLES if role in self.roles and not missing(self.roles[role].needs)]


def missing(needs: Sequence[str]) -> list[str]:
    """Return those of the needed modules that are not installed."""
    return [name for name in needs if importlib.util.find_spec(name) is None]


def percentiles(ordered: Sequence[float]) -> list[float]:
    """Return the values at 0, 1, ... 100 percent of a sorted sequence."""
    return [ordered[round(k * (len(ordered) - 1) / 100)] for k in range(101)]
