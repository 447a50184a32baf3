"""Writes the second half of docs/platforms.md: what the last runs on each platform have shown.

    python -m checks.platforms.page

The runs left their summaries in checks/platforms/last_runs (python -m checks.platforms PLATFORM --store).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs/platforms.md"
LAST_RUNS = Path(__file__).with_name("last_runs")

# In the order of the page: name of the run, what it is of, how it runs here.
RUNS = {
    "windows": ("Windows, x86-64, CPython 3.13", "wine 8, compiled by mingw-w64"),
    "windows-3.14": ("Windows, x86-64, CPython 3.14", "wine 8, compiled by mingw-w64"),
    "windows-3.14t": ("Windows, x86-64, CPython 3.14 without the GIL", "wine 8, compiled by mingw-w64"),
    "aarch64": ("Linux, ARM 64 bits, CPython 3.11", "qemu, packages of Debian"),
    "armhf": ("Linux, ARM 32 bits (Raspberry Pi OS), CPython 3.11", "qemu, packages of Debian"),
    "python3.14": ("Linux, x86-64, CPython 3.14", "packages of Debian"),
    "python3.15": ("Linux, x86-64, CPython 3.15", "packages of Debian"),
    "musl": ("Linux with musl (Alpine)", "`zig cc`"),
    "macos": ("macOS, Intel and Apple silicon", "`zig cc`"),
}

HEADING = "## What the last runs have shown\n"


def failures(name: str) -> list[str]:
    """What failed in the last run there."""
    file = LAST_RUNS / f"{name}.json"
    found: list[str] = json.loads(file.read_text(encoding="utf-8")).get("failed", []) if file.exists() else []
    return found


def row(name: str, run: dict[str, Any]) -> str:
    what, how = RUNS[name]
    sizes = ", ".join(f"{size / 1e6:.2f} MB" for size in run["wheels"].values())
    if "passed" not in run:
        return f"| {what} | {how} | {sizes} | no | | | | {run['when']} |"
    skipped = sum(run["skipped"].values())
    if "note" in run:
        how += f"; {run['note']}"
    if run["not_begun"]:
        how += f"; not run there yet: {', '.join(run['not_begun'])}"
    return (
        f"| {what} | {how} | {sizes} | {run['python'].strip()} | {run['passed']} | {skipped} | {len(run['failed'])} |"
        f" {run['when']} |"
    )


def page() -> str:
    runs = {
        name: json.loads(file.read_text(encoding="utf-8"))
        for name in RUNS
        if (file := LAST_RUNS / f"{name}.json").exists()
    }
    lines = [
        "",
        "`make platform-windows` and the others (`make help` has all) build a wheel and use it. They make what they",
        "need from the packages of Debian and of PyPI, once.",
        "",
        "| platform | how | wheel | imported | passed | skipped | failed | when |",
        "|---|---|---|---|---:|---:|---:|---|",
        *(row(name, run) for name, run in runs.items()),
        "",
    ]
    digests = {name: run["digests"] for name, run in runs.items() if "digests" in run}
    if digests:
        lines += [
            "The same input gives the same everywhere. Digests of the frames, messages and sessions of the captures,",
            "of frames that carry the messages again, and of what random scripts do to a layer:",
            "",
            "| platform | scripts | frames | messages | sessions | encoded |",
            "|---|---|---|---|---|---|",
        ]
        for name, found in digests.items():
            parts = (f"`{found[part]}`" for part in ("frames", "messages", "sessions", "encoded"))
            lines.append(
                f"| {RUNS[name][0]} | {found['seeds']}: `{found['scripts']}` | {' | '.join(parts)} |"
            )
        lines.append("")
    reasons: dict[str, list[str]] = {}
    for name, run in runs.items():
        for reason in run.get("skipped", {}):
            reasons.setdefault(reason, []).append(name)
    if reasons:
        lines += ["Why tests are skipped there:", ""]
        lines += [f"- {reason} ({', '.join(names)})" for reason, names in sorted(reasons.items())]
        lines.append("")
    written, heading, _ = PAGE.read_text(encoding="utf-8").partition(HEADING)
    return written + heading + "\n".join(lines)


def main() -> int:
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
