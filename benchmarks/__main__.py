"""How this package stands beside can-isotp, and beside its own floor, on this machine: measure it, print a table."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine, peer_env
from benchmarks.case import ALL, BESIDE_ROLE, FLOOR_ROLE, FULL, OURS_ROLE, PEER_ROLE, QUICK, Case
from benchmarks.cases import CASES, choose
from benchmarks.report import Report, result_of
from benchmarks.rounds import ROOT, Contender, Settings, Side, interleave
from benchmarks.worker import OURS, PEER, positive

VM_RUNNER = ROOT / "checks" / "kernel" / "run.py"


@dataclass(frozen=True)
class Pace:
    """How long a mode measures; what it takes to make the environment of can-isotp comes on top once."""

    rounds: int
    seconds: float
    warmup: float
    budget: float


PACES = {
    QUICK: Pace(rounds=5, seconds=0.1, warmup=0.05, budget=30),
    FULL: Pace(rounds=9, seconds=0.25, warmup=0.1, budget=130),
    ALL: Pace(rounds=9, seconds=0.4, warmup=0.15, budget=600),
}


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    result.add_argument("cases", nargs="*", metavar="CASE", help="names, groups or patterns such as 'fd-*'")
    result.add_argument("--list", action="store_true", help="say what the cases mean and stop")
    size = result.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a few cases of each group, in less than a minute")
    size.add_argument("--all", action="store_true", help="every case there is, in ten minutes or so")
    result.add_argument("--rounds", type=int, help="rounds of a case, at most")
    result.add_argument("--seconds", type=positive, help="time of a turn")
    result.add_argument(
        "--budget", type=positive, help="seconds after which no round begins, but for the first"
    )
    result.add_argument("--cpu", type=int, help="core to run on (default: the last one, if possible)")
    result.add_argument("--peer-version", default=peer_env.DEFAULT_VERSION, help="release of can-isotp")
    result.add_argument("--peer-dir", type=Path, help="where can-isotp is kept (default: ~/.cache)")
    result.add_argument("--null-test", action="store_true", help="can-isotp against itself: only noise")
    result.add_argument(
        "--vm", action="store_true", help="run in the virtual machine of checks/kernel, which has vcan0"
    )
    result.add_argument("--json", type=Path, metavar="FILE", help="write everything measured into a file")
    result.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    return result


def mode_of(options: argparse.Namespace) -> str:
    return QUICK if options.quick else ALL if options.all else FULL


def settings(options: argparse.Namespace) -> Settings:
    """Return the settings that the options ask for; ValueError for fewer than one round."""
    pace = PACES[mode_of(options)]
    rounds = pace.rounds if options.rounds is None else options.rounds
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, not {rounds}")
    cpu = options.cpu
    if cpu is None and hasattr(os, "sched_setaffinity"):
        cpu = machine.cores()[-1]
    return Settings(rounds, options.seconds or pace.seconds, pace.warmup, cpu, options.budget or pace.budget)


def progress(text: str) -> None:
    """Show on a terminal what is going on, in one line that is overwritten."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text:<70}")
        sys.stderr.flush()


def listing() -> str:
    """Return the cases with their meanings, by group."""
    lines = []
    groups = dict.fromkeys(each.group for each in CASES)
    for group in groups:
        lines.append(f"-- {group} --")
        for each in CASES:
            if each.group == group:
                lacking = each.lacking()
                lines.append(f"{each.name:36} {each.meaning}" + (f" ({lacking})" if lacking else ""))
    return "\n".join(lines)


def measure(
    chosen: Sequence[Case],
    how: Settings,
    peer_version: str = peer_env.DEFAULT_VERSION,
    peer_dir: Path | None = None,
    null_test: bool = False,
    progress: Callable[[str], None] = progress,
) -> Report:
    """Make the environment of can-isotp if need be, and measure these cases."""
    progress(f"preparing can-isotp {peer_version}")
    peer = Side(PEER, peer_version, peer_env.make(peer_version, peer_dir))
    if null_test:
        sides = {"one": peer, "other": peer}
        contenders = [Contender(column, PEER_ROLE, peer) for column in sides]
        chosen = [each for each in chosen if PEER_ROLE in each.roles]
    else:
        ours = Side(OURS, importlib.metadata.version(OURS), Path(sys.executable))
        sides = {OURS_ROLE: ours, PEER_ROLE: peer}
        contenders = [Contender(OURS_ROLE, OURS_ROLE, ours), Contender(PEER_ROLE, PEER_ROLE, peer)]
        contenders += [Contender(role, role, ours) for role in (BESIDE_ROLE, FLOOR_ROLE)]
    facts = machine.facts()
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        rounds = interleave(contenders, chosen, how, Path(folder), progress)
    progress("")
    progress("\r")
    names = {column: str(side) for column, side in sides.items()}
    results = [result_of(each, rounds[each.name], names) for each in chosen]
    return Report(facts, how, names, results)


def in_virtual_machine(arguments: Sequence[str]) -> int:
    """Run this command again in the virtual machine of checks/kernel, unless this system has what it has."""
    command = [sys.executable, "-m", "benchmarks", *(each for each in arguments if each != "--vm")]
    if runpy.run_path(str(VM_RUNNER))["lacking"]() is not None:
        command = [sys.executable, str(VM_RUNNER), "--timeout", "3000", "--", *command]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    command_line = parser()
    options = command_line.parse_args(arguments)
    if options.list:
        print(listing())
        return 0
    try:
        how = settings(options)
        peer_env.environment(options.peer_version, Path())
        if options.vm:
            # It writes to the checkout only; the environment has to be there before.
            peer_env.make(options.peer_version, options.peer_dir)
            return in_virtual_machine(arguments)
        chosen = choose(options.cases, mode_of(options))
    except ValueError as error:
        command_line.error(str(error))
    report = measure(chosen, how, options.peer_version, options.peer_dir, options.null_test)
    output(report, options)
    return 0


def output(report: Report, options: argparse.Namespace) -> None:
    """Print and write a report as the options say."""
    print(report.markdown() if options.markdown else report.text())
    if options.json is not None:
        report.save(options.json)


if __name__ == "__main__":
    sys.exit(main())
