"""Transcripts of docs/command-line.md, played again: commands of a shell, and what they print.

A block of text whose first line begins with ``$ `` is one. A command that ends in ``&`` runs in the background from
when it listens; what all print together, in whatever order between them, must be what the block shows. The bus is the
multicast group of the page, at a port of the test's own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.documentation import DOCS, ROOT, blocks

__all__ = ["PAGE", "played", "transcripts"]

PAGE = DOCS / "command-line.md"
PATIENCE = 60.0
UNWANTED = ("FORCE_COLOR", "GITHUB_ACTIONS", "NO_COLOR", "PY_COLORS")


def transcripts() -> list[str]:
    return [block.text for block in blocks(PAGE) if block.kind == "text" and block.text.startswith("$ ")]


def environment(port: int) -> dict[str, str]:
    values = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    return values | {
        "CAN_CHANNEL": "239.74.163.2",
        "CAN_CONFIG": json.dumps({"port": port}),
        "CAN_INTERFACE": "udp_multicast",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "TERM": "dumb",
    }


def played(transcript: str, port: int) -> list[list[str]]:
    """The lines that each of its commands prints, errors behind the rest."""
    commands = [line.removeprefix("$ ") for line in transcript.splitlines() if line.startswith("$ ")]
    foreground: list[list[str]] = []
    background: list[tuple[subprocess.Popen[str], str]] = []
    with ExitStack() as stack:
        for command in commands:
            if not command.endswith(" &"):
                run = subprocess.run(
                    ["bash", "-c", command],
                    cwd=ROOT,
                    env=environment(port),
                    capture_output=True,
                    text=True,
                    timeout=PATIENCE,
                    check=False,
                )
                foreground.append((run.stdout + run.stderr).splitlines())
                continue
            process = start(command.removesuffix(" &"), port)
            stack.enter_context(process)
            stack.callback(process.kill)
            background.append((process, command))
        # Others than isotp serve until they are killed.
        streams = [
            each.communicate(timeout=PATIENCE)[0].splitlines()
            for each, command in background
            if command.startswith("isotp ")
        ]
    return [*foreground, *streams]


def start(command: str, port: int) -> subprocess.Popen[str]:
    """A command in the background that listens."""
    words = shlex.split(command)
    if words[0] == "isotp":
        words.append("--ready")
    process = subprocess.Popen(
        words,
        cwd=ROOT,
        env=environment(port),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stream = process.stderr if words[0] == "isotp" else process.stdout
    assert stream is not None
    line = stream.readline()
    assert re.match("listening on", line, re.IGNORECASE), line + (
        process.stderr.read() if process.stderr else ""
    )
    return process
