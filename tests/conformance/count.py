"""How many cases there are, by rule: python -m tests.conformance.count (--page: into docs/standard.md)."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from tests.conformance.cases import CASES, RULES
from tests.conformance.story import MODES

PAGE = Path(__file__).parents[2] / "docs" / "standard.md"
BEGIN, END = "<!-- cases: python -m tests.conformance.count --page -->\n", "<!-- end of cases -->\n"


def rows() -> list[tuple[str, str, int, int]]:
    """Clause, title, cases, and those of them in which strict and default differ."""
    cases = Counter(case.rule for case in CASES)
    differing = Counter(case.rule for case in CASES if case.differs())
    return [(rule.clause, rule.title, cases[rule], differing[rule]) for rule in RULES]


def runs() -> int:
    """How often a case is played without a kernel: on each path, in both modes."""
    return sum(len(MODES) * (3 if case.alone is None else 2) for case in CASES)


def runs_on_a_kernel() -> int:
    """How often tests/kernel plays one on a CAN interface: by a stack and by a hub, in both modes."""
    return 2 * len(MODES) * sum(not case.confirming for case in CASES)


def table() -> str:
    lines = ["| clause | rule | cases | strict differs in |", "|---|---|---:|---:|"]
    lines += [
        f"| {clause} | {title} | {count} | {differ or '-'} |" for clause, title, count, differ in rows()
    ]
    total, differ = len(CASES), sum(case.differs() for case in CASES)
    played = (
        f"played {runs()} times: on each path, in both modes; on a kernel {runs_on_a_kernel()} times more"
    )
    lines.append(f"| | all, {played} | {total} | {differ} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The text of docs/standard.md with the table in its place."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + "\n" + table() + "\n" + END + rest.partition(END)[2]


def main() -> None:
    if sys.argv[1:] == ["--page"]:
        PAGE.write_text(page(), encoding="utf-8")
        return
    print("number of conformance cases by rule")
    for clause, title, count, differ in rows():
        print(f"{count:5}  {clause:8} {title}" + (f" ({differ} differ with strict)" if differ else ""))
    print(f"{len(CASES):5}  cases of {len(RULES)} rules, {runs()} runs on three paths in both modes")
    print(
        f"{sum(not case.confirming for case in CASES):5}  of them on the kernel's CAN too, all but those in which the"
        f" story says when a frame went: {runs_on_a_kernel()} runs by SocketCanStack and Hub"
        " (tests/kernel/test_conformance.py)"
    )


if __name__ == "__main__":
    main()
