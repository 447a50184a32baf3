"""Let two sides take turns (A B A B ...), every turn a process of its own, and collect what they report."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import peer_env
from benchmarks.cases import Case
from benchmarks.worker import PEER, Timing

ROOT = Path(__file__).resolve().parent.parent

# A turn takes a second or so; one that takes this long hangs.
TURN_TIMEOUT_S = 300


@dataclass(frozen=True)
class Side:
    """One of the two competitors: a package and the interpreter that has it."""

    distribution: str
    version: str
    python: Path

    def environ(self) -> dict[str, str]:
        """Return the environment variables for its processes."""
        return peer_env.isolated() if self.distribution == PEER else dict(os.environ)

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class Settings:
    """How long and how often to measure."""

    rounds: int
    seconds: float
    warmup: float
    cpu: int | None


RunTurn = Callable[[Side, Case, Settings], Timing]


def worker_command(side: Side, case: Case) -> list[str]:
    """Return the command that runs a case on a side."""
    return [
        *(str(side.python), "-m", "benchmarks.worker", "--case", case.name),
        *("--distribution", side.distribution, "--version", side.version),
    ]


def report_of(side: Side, command: Sequence[str], what: str, timeout: float = TURN_TIMEOUT_S) -> Any:
    """Run a process of a side; return the JSON that it prints. RuntimeError with its error output if it fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=side.environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    if done.returncode:
        raise RuntimeError(f"{what} on {side} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def run_turn(side: Side, case: Case, settings: Settings) -> Timing:
    """Run one process; RuntimeError with its error output if it fails."""
    command = worker_command(side, case)
    command += ["--seconds", str(settings.seconds), "--warmup", str(settings.warmup)]
    if settings.cpu is not None:
        command += ["--cpu", str(settings.cpu)]
    return Timing(**report_of(side, command, f"case {case.name}")["timing"])


def interleave(
    sides: tuple[Side, Side],
    cases: Sequence[Case],
    settings: Settings,
    progress: Callable[[str], None],
    turn: RunTurn = run_turn,
) -> dict[str, list[tuple[Timing, Timing]]]:
    """Return, for every case, one pair of turns a round.

    A round goes through all cases, so that a noisy minute spoils one round of each case and not all rounds of
    one; within a case the two sides run directly after one another, which is what makes them a pair.

    Raises RuntimeError if the two sides did not do the same work.
    """
    pairs: dict[str, list[tuple[Timing, Timing]]] = {case.name: [] for case in cases}
    for number in range(1, settings.rounds + 1):
        for case in cases:
            progress(f"round {number} of {settings.rounds}: {case.name}")
            first, second = (turn(side, case, settings) for side in sides)
            if first.units != second.units:
                raise RuntimeError(
                    f"case {case.name} is not the same work: {case.unit}s in a message were {first.units} "
                    f"with {sides[0]}, {second.units} with {sides[1]}"
                )
            pairs[case.name].append((first, second))
    return pairs
