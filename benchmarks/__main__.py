"""The command ``python -m benchmarks``: measure this package beside can-isotp and print the table."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from benchmarks import machine, peer_env
from benchmarks.cases import CASES, Case
from benchmarks.report import Comparison, Report
from benchmarks.rounds import Settings, Side, interleave
from benchmarks.worker import OURS, PEER, positive

FULL = {"rounds": 7, "seconds": 0.4, "warmup": 0.15}
QUICK = {"rounds": 3, "seconds": 0.1, "warmup": 0.05}


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    result.add_argument("cases", nargs="*", metavar="CASE", help="cases to run, such as fd-* (default: all)")
    result.add_argument("--list", action="store_true", help="say what the cases mean and stop")
    result.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    result.add_argument("--rounds", type=int, help=f"rounds to run (default: {FULL['rounds']})")
    result.add_argument(
        "--seconds", type=positive, help=f"time of a measurement (default: {FULL['seconds']})"
    )
    result.add_argument("--cpu", type=int, help="core to run on (default: the last one, if possible)")
    result.add_argument("--peer-version", default=peer_env.DEFAULT_VERSION, help="release of can-isotp")
    result.add_argument("--peer-dir", type=Path, help="where can-isotp is kept (default: ~/.cache)")
    result.add_argument("--null-test", action="store_true", help="can-isotp against itself: only noise")
    result.add_argument("--json", type=Path, metavar="FILE", help="write everything measured into a file")
    result.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    return result


def choose(patterns: Sequence[str]) -> list[Case]:
    """Return the cases that match any pattern, or all; ValueError for a pattern that matches none."""
    for pattern in patterns:
        if not any(fnmatchcase(case.name, pattern) for case in CASES):
            raise ValueError(
                f"no case matches {pattern!r}; there are: {', '.join(case.name for case in CASES)}"
            )
    return [case for case in CASES if not patterns or any(fnmatchcase(case.name, each) for each in patterns)]


def settings(options: argparse.Namespace) -> Settings:
    """Return the settings that the options ask for; ValueError for fewer than one round."""
    defaults = QUICK if options.quick else FULL
    rounds = int(defaults["rounds"]) if options.rounds is None else options.rounds
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, not {rounds}")
    cpu = options.cpu
    if cpu is None and hasattr(os, "sched_setaffinity"):
        cpu = machine.cores()[-1]
    return Settings(rounds, options.seconds or defaults["seconds"], defaults["warmup"], cpu)


def progress(text: str) -> None:
    """Show on a terminal what is going on, in one line that is overwritten."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text:<60}")
        sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    command_line = parser()
    options = command_line.parse_args(arguments)
    if options.list:
        for case in CASES:
            print(f"{case.name:18} {case.meaning}")
        return
    try:
        chosen = choose(options.cases)
        how = settings(options)
        peer_env.environment(options.peer_version, Path())
    except ValueError as error:
        command_line.error(str(error))
    progress(f"preparing can-isotp {options.peer_version}")
    peer = Side(PEER, options.peer_version, peer_env.make(options.peer_version, options.peer_dir))
    first = peer if options.null_test else Side(OURS, importlib.metadata.version(OURS), Path(sys.executable))
    facts = machine.facts()
    pairs = interleave((first, peer), chosen, how, progress)
    progress("")
    progress("\r")
    report = Report((first, peer), how, facts, [Comparison(case, pairs[case.name]) for case in chosen])
    print(report.markdown() if options.markdown else report.text())
    if options.json is not None:
        options.json.write_text(json.dumps(report.json(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
