"""Slips of English that were common here: python -m tools.plain_english

It reads pages, docstrings, comments and messages. What codespell and proselint know is not in the list: `make lint`
runs them beside this.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
WHERE = ("*.md", "docs/**/*.md", "docs/**/*.rst", "benchmarks/*.md", "checks/*.md", "src/**/*.py", "src/**/*.py[xi]",
         "src/**/*.px[di]", "examples/*.py", "tools/*.py")  # fmt: skip

# What is wrong, and what to write.
SLIPS = {
    r"can +not(?! only)": "cannot",
    r"dearer": "costs more",
    r"informations": "information",
    r"(?:first|last) of all": "first, last",
    r"allows? to (?!be\b)\w+": "lets you ...",
    r"the both": "both",
    r"is (?:found|given|told) its": "a subject that finds, gives or tells",
    r"like (?:that|this) it": "so it",
    r"since (?:two|three|many|some) (?:years|months|days)": "for ...",
    r"till": "until",
    r"more (?:easy|fast|slow|cheap|dear|small|big)": "easier, faster, ...",
    r"an? (?:own|so-called)": "its own, or no word for it",
}
SLIP = re.compile(rf"\b(?:{'|'.join(f'({each})' for each in SLIPS)})\b", re.IGNORECASE)


def files(root: Path) -> Iterator[Path]:
    found = {path for pattern in WHERE for path in root.glob(pattern)}
    # What was released is left as it was said; this file has the slips.
    return iter(sorted(found - {root / "CHANGELOG.md", Path(__file__)}))


def slips(text: str) -> Iterator[tuple[int, str, str]]:
    """The line, what is wrong there, and what to write; also where a line ends within it."""
    for match in SLIP.finditer(re.sub(r"\n(?:\s*#:? ?|\s*)", lambda end: " " * len(end[0]), text)):
        better = list(SLIPS.values())[match.lastindex - 1] if match.lastindex else ""
        yield text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), better


def main(root: Path = ROOT) -> int:
    found = 0
    for path in files(root):
        for line, wrong, better in slips(path.read_text(encoding="utf-8")):
            print(f"{path.relative_to(root)}:{line}: {wrong!r}: {better}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
