"""The commands that docs/decode.md shows, with what they really print.

A block of text that begins with ``$ isotp`` is a command and its output, as a shell in the root of the repository
gives it. ``python -m tests.shown_commands`` writes the outputs and the picture anew.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "decode.md"
PICTURE = ROOT / "docs" / "drive.png"
BLOCK = re.compile(r"^```text\n\$ (isotp [^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
UNWANTED = ("FORCE_COLOR", "GITHUB_ACTIONS", "NO_COLOR", "PY_COLORS")


def shown() -> list[tuple[str, str]]:
    """Each command of the page, and the output that the page gives it."""
    return [(match[1], match[2]) for match in BLOCK.finditer(PAGE.read_text())]


def output_of(command: str) -> str:
    """What the command prints, errors and summary behind the rest."""
    environment = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    environment |= {
        "COLUMNS": "110",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TERM": "dumb",
    }
    run = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return "".join(f"{line.rstrip()}\n" for line in (run.stdout + run.stderr).splitlines())


def rewrite() -> None:
    text = BLOCK.sub(lambda match: f"```text\n$ {match[1]}\n{output_of(match[1])}```", PAGE.read_text())
    PAGE.write_text(text)


if __name__ == "__main__":
    rewrite()
