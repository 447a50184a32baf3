"""The pages of the documentation, and what is in them: blocks, headings, links."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "A_TEST",
    "BY_A_NEWCOMER",
    "DOCS",
    "FIRST_LINES",
    "ON_A_KERNEL",
    "PAGES",
    "ROOT",
    "SHOWN",
    "TERMINAL",
    "TESTED",
    "Block",
    "anchors",
    "blocks",
    "check_block",
    "links",
    "play_terminals",
]

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted(DOCS.rglob("*.md")),
    ROOT / "benchmarks" / "README.md",
]

# What comments on the line above a block may say of it.
ON_A_KERNEL = "runs where the kernel has ISO-TP and vcan0"  # tests/kernel/test_documentation.py
BY_A_NEWCOMER = "runs in checks/packaging/newcomer.py"
TESTED, FIRST_LINES, A_TEST = "tested below", "of each test below", "a test"  # tests/testing/test_page.py
TERMINAL, SHOWN = "terminal", "shown by terminal 2"  # play_terminals()

_FENCED = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*) -->\n)?(?P<fence>```+|:::+)(?P<kind>[^\n]*)\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
# [text](target), ![text](target), <https://...>
_LINK = re.compile(r"\]\(([^)\s]+)\)|<(https?://[^>\s]+)>")


@dataclass(frozen=True)
class Block:
    """A fenced block: its kind, what is in it, and what a comment on the line above says of it."""

    page: Path
    number: int
    kind: str
    text: str
    note: str | None
    # The text block that follows a block of Python with nothing between them: what it prints.
    output: str | None

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}-{self.number}"


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in their order; each kind is counted by itself."""
    text = page.read_text(encoding="utf-8")
    found = list(_FENCED.finditer(text))
    numbers: dict[str, int] = {}
    result = []
    for this, after in zip(found, [*found, None][1:], strict=True):
        kind = this["kind"]
        numbers[kind] = numbers.get(kind, 0) + 1
        prints = (
            kind == "python"
            and after is not None
            and after["kind"] == "text"
            and not text[this.end() : after.start()].strip()
        )
        result.append(
            Block(page, numbers[kind], kind, this["text"], this["note"], after["text"] if prints else None)
        )
    return result


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page may end in, as GitHub and MyST make it of the heading."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.strip().lower())
        found.add(words.replace(" ", "-"))
    return found


def links(page: Path) -> list[str]:
    """The targets of the links of a page."""
    return [target or bare for target, bare in _LINK.findall(prose(page))]


def check_block(block: Block) -> None:
    """Run a block of Python or of shell commands: it succeeds; Python prints what the page says, with no warning."""
    environment = dict(os.environ)
    if block.kind == "sh":
        command = ["bash", "-euo", "pipefail", "-c", block.text]
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    else:
        assert block.kind == "python"
        command = [sys.executable, "-W", "error", "-c", block.text]
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    if block.kind == "python":
        assert run.stderr == "", run.stderr
    if block.output is not None:
        assert run.stdout == block.output, f"it prints\n{run.stdout}not\n{block.output}"


def play_terminals(checkout: Path, scripts: Path) -> tuple[str, list[str]]:
    """Run what docs/start.md has for three terminals, with the programs of this folder.

    The first two are an ECU and a dump, which say when they are ready; the third asks the ECU. Returns what the third
    one shows, and as many lines of the dump as the page has.
    """
    page = blocks(DOCS / "start.md")
    commands = [block.text for block in page if block.note == TERMINAL]
    (shown,) = (block.text for block in page if block.note == SHOWN)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "110", "TERM": "dumb"}
    environment["PATH"] = f"{scripts}{os.pathsep}{os.environ['PATH']}"

    def terminal(command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=checkout,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    with terminal(commands[0]) as ecu, terminal(commands[1]) as dump:
        try:
            for started in (ecu, dump):
                line = started.stdout.readline()
                assert "istening on" in line, line + started.stdout.read()
            with terminal(commands[2]) as tester:
                answer, _ = tester.communicate(timeout=100)
            return answer, [dump.stdout.readline() for _ in shown.splitlines()]
        finally:
            for started in (ecu, dump):
                started.terminate()
