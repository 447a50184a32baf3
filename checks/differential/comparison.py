"""Has both packages play scripts, and has every difference in what can be seen explained or counted as unexplained."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import isotp
from benchmarks import peer_env
from checks.differential.differences import DIFFERENCES, Case, Difference
from checks.differential.play import Clock, play
from checks.differential.scripts import script_of

Script = dict[str, Any]
Observations = list[dict[str, Any]]


class Peer:
    """can-isotp in a process and an environment of its own."""

    def __init__(self, version: str = peer_env.DEFAULT_VERSION) -> None:
        python = peer_env.make(version)
        self.process = subprocess.Popen(
            [str(python), str(Path(__file__).with_name("worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=peer_env.isolated(),
        )
        hello = self._answer()
        if hello["version"] != version or Path(hello["file"]).parent == Path(isotp.__file__).parent:
            self.close()
            raise RuntimeError(f"the peer is not can-isotp {version}: {hello}")

    def begin(self, scripts: Sequence[Script]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(scripts, separators=(",", ":")) + "\n")
        self.process.stdin.flush()

    def end(self) -> list[Observations]:
        """What came of the scripts that were begun."""
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer's process ended with status {self.process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def play_ours(scripts: Iterable[Script]) -> list[Observations]:
    clock = Clock()

    def attach(layer: isotp.TransportLayerLogic) -> None:
        layer.clock = clock

    return [list(play(isotp, clock, attach, script)) for script in scripts]


def play_both(peer: Peer, scripts: Sequence[Script]) -> Iterator[tuple[Observations, Observations]]:
    peer.begin(scripts)
    ours = play_ours(scripts)
    return zip(ours, peer.end(), strict=True)


def first_difference(script: Script, ours: Observations, theirs: Observations) -> int | None:
    """The first step after which something differs that no explanation was accepted for."""
    accepted = script.get("accepted", {})
    for step, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        if our != their:
            fields = accepted.get(str(step), ())
            if any(our[name] != their[name] for name in our if name not in fields):
                return step
    return None


@dataclass(frozen=True)
class Trial:
    """A changed script, and the explanations that led to it; `last` is the step up to which nothing may differ."""

    script: Script
    case: Case
    last: int
    explanations: tuple[Difference, ...]

    def holds(self, at: int | None, ours: Observations) -> bool:
        """Whether the difference is gone, as all its explanations say."""
        return (at is None or at > self.last) and self.explanations[-1].confirm(self.case, ours, self.last)


def proposals(case: Case, before: tuple[Difference, ...] = ()) -> list[Trial]:
    """What may explain the difference, beside the explanations that did so in part."""
    found = []
    for difference in DIFFERENCES:
        if difference not in before and (proposal := difference.explain(case)) is not None:
            found.append(Trial(proposal[0], case, proposal[1], (*before, difference)))
    return found


# At the most so many differences come together in one step.
TOGETHER = 3


@dataclass
class Run:
    """A script on its way; `case` is a difference to be explained, `trials` what is to be tried for it yet."""

    seed: int
    script: Script
    case: Case | None = None
    trials: list[Trial] = field(default_factory=list)


@dataclass
class Report:
    steps: int = 0
    seeds: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    unexplained: list[Case] = field(default_factory=list)


def compare(peer: Peer, scripts: Iterable[tuple[int, Script]], report: Report) -> None:
    """Play the scripts; go on after each difference that is explained, so that it hides no other one."""
    runs = [Run(seed, script) for seed, script in scripts]
    report.seeds += len(runs)
    while runs:
        tried = [run.trials.pop(0) if run.trials else None for run in runs]
        playing = [trial.script if trial else run.script for run, trial in zip(runs, tried, strict=True)]
        going_on = []
        played = play_both(peer, playing)
        for run, trial, script, (ours, theirs) in zip(runs, tried, playing, played, strict=True):
            at = first_difference(script, ours, theirs)
            if trial is not None and trial.holds(at, ours):
                report.explained.update(difference.name for difference in trial.explanations)
                run.script, run.case, run.trials = script, None, []
            elif (
                trial is not None
                and at is not None
                and at <= trial.last
                and len(trial.explanations) < TOGETHER
            ):
                # Perhaps explained in part: the rest of it must have an explanation of its own.
                rest = Case(run.seed, script, at, ours, theirs)
                run.trials = proposals(rest, trial.explanations) + run.trials
            if run.case is None:
                if at is None:
                    report.steps += len(ours)
                    continue
                run.case = Case(run.seed, script, at, ours, theirs)
                run.trials = proposals(run.case)
            if run.trials:
                going_on.append(run)
            else:
                report.steps += run.case.at
                report.unexplained.append(run.case)
        runs = going_on


def compare_seeds(peer: Peer, seeds: Sequence[int], batch: int = 200) -> Report:
    report = Report()
    for start in range(0, len(seeds), batch):
        compare(peer, ((seed, script_of(seed)) for seed in seeds[start : start + batch]), report)
    return report
