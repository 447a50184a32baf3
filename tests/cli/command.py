"""Runs the command `isotp` in this process, and small logs for it to read."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from isotp.cli.app import app
from tests.processes import python

# A session as the one who asks names it, and as the one who answers does.
PAIR = ("-s", "7E0", "-d", "7E8")
RECEIVER = ("-s", "7E8", "-d", "7E0")
# Nothing of the terminal the tests run in.
ENVIRONMENT = {
    "COLUMNS": "240",
    "FORCE_COLOR": None,
    "GITHUB_ACTIONS": None,
    "NO_COLOR": None,
    "PY_COLORS": None,
    "TERM": "dumb",
}


@dataclass
class Run:
    """What a command did: exit status, and what it wrote."""

    status: int
    output: bytes
    errors: str

    @property
    def text(self) -> str:
        return self.output.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    @property
    def complaint(self) -> str:
        """Standard error without boxes, colours and line breaks."""
        return " ".join(re.sub(r"\x1b\[[0-9;]*m|[\u2500-\u257f]", " ", self.errors).split())


def isotp_command(words: str = "", *more: str | Path, stdin: bytes = b"", **environment: str) -> Run:
    """Run `isotp` with these words, and one more for each argument. What no user should see is raised."""
    runner = CliRunner(env={**ENVIRONMENT, **environment})
    arguments = [*words.split(), *map(str, more)]
    result = runner.invoke(app, arguments, input=stdin, prog_name="isotp")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Run(result.exit_code, result.stdout_bytes, result.stderr)


def without(module: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it where a module is missing: the exit status is 2."""
    code = f"import sys; sys.modules[{module!r}] = None; from isotp.cli import main; sys.exit(main())"
    return python("-c", code, *words, status=2)


def log_of(path: Path, *lines: str, start: int = 1000, step_ms: int = 1) -> Path:
    """A candump log of frames ``"7E0#0322F190"`` or ``"can1 7E0#..."``, `step_ms` apart.

    A line ``"+250"`` is a pause of so many ms more.
    """
    now = start * 1000
    text = ""
    for line in lines:
        if line.startswith("+"):
            now += int(line)
            continue
        channel, _, frame = line.rpartition(" ")
        text += f"({now // 1000:010}.{now % 1000:03}000) {channel or 'can0'} {frame}\n"
        now += step_ms
    path.write_text(text)
    return path


# One message of 20 bytes in each direction, the second without its last frame.
TALK = (
    "7E0#1014000102030405",
    "7E8#30080A",
    "7E0#21060708090A0B0C",
    "7E0#220D0E0F10111213",
    "7E8#1014646566676869",
    "7E0#300000",
    "7E8#216A6B6C6D6E6F70",
)
