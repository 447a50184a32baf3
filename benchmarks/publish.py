"""Measure, keep what was measured in ``benchmarks/results``, and write the tables of the documentation from it.

.. code-block:: sh

    python -m benchmarks.publish            # seven minutes, on a machine that does nothing else
    python -m benchmarks.publish --vm       # the cases that need vcan0, in the virtual machine
    python -m benchmarks.publish --tables   # measures nothing

A table stands between two comments, ``<!-- benchmarks: NAME begin -->`` and ``<!-- benchmarks: NAME end -->``; what is
typed there by hand is lost, and tests/benchmarks/test_published_figures.py finds it.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import __main__ as suite
from benchmarks import gate, machine, shares
from benchmarks.case import FULL
from benchmarks.cases import choose
from benchmarks.report import Report, Result, load, shown, spread
from benchmarks.rounds import ROOT

RESULTS = ROOT / "benchmarks" / "results"
SUITE, KERNEL, SHARES = (RESULTS / f"{name}.json" for name in ("suite", "kernel", "shares"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]
MARKED = re.compile(r"(<!-- benchmarks: (.+?) begin -->\n)(.*?)(<!-- benchmarks: \2 end -->\n)", re.DOTALL)

# What measures for a file.
HOW = {SUITE: "python -m benchmarks.publish", KERNEL: "python -m benchmarks.publish --vm"}

BUDGET_S = 330

# What docs/performance.md begins with: a case, and how to say it.
SUMMARY = {
    "classic-4095-bs0": "a frame of a long classic message, both sides in one process",
    "fd-4095-bs0": "the same in CAN FD frames",
    "single-frame": "a request and its answer, Single Frames, both sides",
    "listen-4095": "a frame of somebody else's message, listened to",
    "sessions-100": "a frame while 100 sessions send at once",
    "exchange-8-NotifierBasedCanStack": "a request and its answer over threads, python-can's virtual bus",
    "pair-4095-bs8-CanStack": "a frame of a long message on python-can's SocketCAN bus, both sides",
    "stmin-1000-txfn": "how late a frame is with STmin 1 ms",
    "bulk-classic-4095-1": "a frame of a log in memory, decoded",
    "frames-candump": "a frame of a candump file, read",
}

# What README.md shows of these. A bus comes first: on one, ISO-TP is only a part of the cost.
THREE = ("pair-4095-bs8-CanStack", "classic-4095-bs0", "frames-candump")


def facts(report: Report) -> str:
    """Return what has to be known of a run in one line."""
    machine = report.machine
    counts = [len(each.rounds) for each in report.results]
    rounds = f"{min(counts)} to {max(counts)} rounds" if max(counts) > 1 else "one round"
    date = str(machine["date"])[:10]
    sides = " beside ".join(report.sides.values())
    return (
        f"{sides}; {machine['python']}, {machine['packages']}; {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['system']}; {date}; medians of {rounds} by turns, load {machine['load']} at the start."
    )


def summary(report: Report, names: Sequence[str] = tuple(SUMMARY)) -> str:
    """Return a short table of some cases, in words."""
    lines = ["| | ours | beside | | ratio | min..max |", "|---|---:|---|---:|---:|---:|"]
    by_name = {each.name: each for each in report.results}
    for name in names:
        result = by_name[name]
        figure, column = result.figure, result.rival()
        if column is None:
            raise ValueError(f"{name} stands beside nothing")
        unit = re.sub(r"^ns .*", "ns", re.sub(r".*\bus\b.*", "us", figure.name))
        cells = [
            SUMMARY[name],
            f"{shown(figure.value(figure.columns[0]))} {unit}",
            result.names.get(column, column),
        ]
        cells += [f"{shown(figure.value(column))} {unit}", *spread(figure, column)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def group(name: str) -> Callable[[Report], str]:
    """Return what makes the table of a group of cases."""

    def table(report: Report) -> str:
        results: list[Result] = report.groups()[name]
        return report.table(results)

    return table


def of_report(file: Path, make: Callable[[Report], str]) -> Callable[[], str]:
    """Return what makes a table from a report of the suite, with what has to be known of it."""

    def text() -> str:
        if not file.exists():
            return f"Not measured yet: `{HOW[file]}` does."
        report = load(file)
        return f"{make(report)}\n\n{facts(report)} Raw figures: `{file.relative_to(ROOT).as_posix()}`."

    return text


def share_table() -> str:
    """Return the table of instructions, with what has to be known of it."""
    read = json.loads(SHARES.read_text(encoding="utf-8"))
    source = SHARES.relative_to(ROOT).as_posix()
    return (
        f"{shares.table(read['shares'])}\n\n{read['machine']['date'][:10]}; {read['build']}. "
        f"A round trip of single-frame counts as one. Raw figures: `{source}`."
    )


# What can stand between comments, and what makes it.
TABLES: dict[str, Callable[[], str]] = {
    "summary": of_report(SUITE, summary),
    "three figures": of_report(SUITE, lambda report: summary(report, THREE)),
    **{
        name: of_report(SUITE, group(name))
        for name in (
            "object path",
            "payload size",
            "sessions",
            "latency",
            "SocketCAN",
            "STmin",
            "idle",
            "bulk",
            "files",
        )
    },
    "kernel": of_report(KERNEL, group("kernel")),
    "shares": share_table,
}


def text_of(name: str) -> str:
    """Return what has to stand between the comments of this name; ValueError if there is no such table."""
    if name not in TABLES:
        raise ValueError(f"there is no table {name!r}; there are: {', '.join(TABLES)}")
    return f"\n{TABLES[name]()}\n\n"


def rewritten(page: str) -> str:
    """Return a page with its tables as they have to be."""
    return MARKED.sub(lambda found: f"{found[1]}{text_of(found[2])}{found[4]}", page)


def write_tables() -> list[Path]:
    """Rewrite the pages that are not as they have to be, and return them."""
    changed = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (new := rewritten(text)) != text:
            page.write_text(new, encoding="utf-8")
            changed.append(page)
    return changed


def publish_shares() -> None:
    """Count where the instructions go, if this system has callgrind."""
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: where the instructions go stays as it was")
        return
    contents = {"machine": machine.facts(), "build": gate.build(), "shares": shares.measure(shares.CASES)}
    SHARES.write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.publish",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--vm", action="store_true", help="measure what needs vcan0, in the virtual machine if need be"
    )
    parser.add_argument("--tables", action="store_true", help="only write the tables")
    parser.add_argument(
        "--budget", type=float, default=BUDGET_S, help=f"seconds to measure (default: {BUDGET_S})"
    )
    options = parser.parse_args(arguments)
    RESULTS.mkdir(exist_ok=True)
    if options.vm:
        how = ["--vm", "kernel", "--rounds", "3", "--seconds", "1", "--budget", str(options.budget)]
        if status := suite.main([*how, "--json", str(KERNEL)]):
            return status
    elif not options.tables:
        pace = suite.parser().parse_args(["--budget", str(options.budget)])
        report = suite.measure(choose([], FULL), suite.settings(pace))
        report.save(SUITE)
        print(report.text())
        publish_shares()
    for page in write_tables():
        print(f"rewrote {page.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
