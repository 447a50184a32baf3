"""The pages of the documentation, and what is in them: blocks, headings, links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DOCS", "PAGES", "ROOT", "Block", "anchors", "blocks", "links"]

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(DOCS.rglob("*.md")),
    ROOT / "benchmarks" / "README.md",
]

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
