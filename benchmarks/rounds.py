"""Let those who take part in a case take turns (A B A B ...), every turn a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import peer_env
from benchmarks.case import Case, Measured

ROOT = Path(__file__).resolve().parent.parent

# A turn takes a second or so; one that takes this long hangs. Under emulation they are slower.
TURN_TIMEOUT_S = 600


@dataclass(frozen=True)
class Side:
    """A package and the interpreter that has it."""

    distribution: str
    version: str
    python: Path

    def environ(self) -> dict[str, str]:
        """Return the environment variables for its processes."""
        return dict(os.environ) if self.python == Path(sys.executable) else peer_env.isolated()

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class Contender:
    """One column of the result: what of a case is run, and by whom."""

    column: str
    role: str
    side: Side


@dataclass(frozen=True)
class Settings:
    """How long and how often to measure."""

    rounds: int
    seconds: float
    warmup: float
    cpu: int | None
    budget: float
    """Seconds after which no further round begins; the first one is run in any case."""


# What the contenders of one case had to say, by column.
Round = dict[str, Measured]
RunTurn = Callable[[Contender, Case, Settings, Path], Measured]


def worker_command(side: Side, case: Case, role: str) -> list[str]:
    """Return the command that runs a role of a case on a side."""
    return [
        *(str(side.python), "-m", "benchmarks.worker", "--case", case.name, "--role", role),
        *("--distribution", side.distribution, "--version", side.version),
    ]


def report_of(side: Side, command: Sequence[str], what: str) -> Any:
    """Run a process of a side; return the JSON that it prints. RuntimeError with its error output if it fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=side.environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=TURN_TIMEOUT_S,
    )
    if done.returncode:
        raise RuntimeError(f"{what} on {side} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def run_turn(contender: Contender, case: Case, settings: Settings, folder: Path) -> Measured:
    """Run one process; RuntimeError with its error output if it fails."""
    command = worker_command(contender.side, case, contender.role)
    command += ["--seconds", str(settings.seconds), "--warmup", str(settings.warmup), "--folder", str(folder)]
    if settings.cpu is not None:
        command += ["--cpu", str(settings.cpu)]
    return Measured(**report_of(contender.side, command, f"case {case.name}")["measured"])


def interleave(
    contenders: Sequence[Contender],
    cases: Sequence[Case],
    settings: Settings,
    folder: Path,
    progress: Callable[[str], None],
    turn: RunTurn = run_turn,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, list[Round]]:
    """Return, for every case, its rounds; in a round all contenders of the case run directly after one another.

    Next is always the case that has had the least time: so the rounds of a case are spread over the whole run, a
    noisy minute spoils one round of each and not all rounds of one, and a slow case has fewer of them.

    Raises RuntimeError if contenders did not do the same work.
    """
    rounds: dict[str, list[Round]] = {case.name: [] for case in cases}
    spent = dict.fromkeys(rounds, 0.0)
    end = clock() + settings.budget
    while True:
        ready = [
            case for case in cases if wants_more(rounds[case.name], spent[case.name], settings, end - clock())
        ]
        if not ready:
            return rounds
        case = min(ready, key=lambda each: spent[each.name])
        progress(f"{case.name}, round {len(rounds[case.name]) + 1} of {settings.rounds} at most")
        began = clock()
        roles = case.present()
        measured = {
            each.column: turn(each, case, settings, folder) for each in contenders if each.role in roles
        }
        spent[case.name] += clock() - began
        works = {column: each.work for column, each in measured.items() if each.work is not None}
        if len(set(works.values())) > 1:
            said = ", ".join(f"{work} with {column}" for column, work in works.items())
            raise RuntimeError(
                f"case {case.name} is not the same work: {case.unit}s in a message were {said}"
            )
        rounds[case.name].append(measured)


def wants_more(rounds: Sequence[Round], spent: float, settings: Settings, left: float) -> bool:
    """Tell whether there is to be, and can be, another round that takes as long as those before."""
    if not rounds:
        return True
    return len(rounds) < settings.rounds and spent / len(rounds) <= left
