"""Commands that pages of the documentation show, run again: what they print must be what the page says.

A block of text whose first line begins with ``$ `` has commands of a shell in the root of the repository, and their
output. On docs/decode.md each has one command; ``python -m tests.cli.pages`` writes what they print, and the picture,
anew. On docs/command-line.md a command that ends in ``&`` runs in the background from when it listens; what all print
together, in whatever order between them, must be what the block shows. The bus there is the multicast group of the
page, at a port of the test's own.
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

__all__ = ["PICTURE", "played", "shown", "shown_output_of", "transcripts"]

DECODE = DOCS / "decode.md"
PICTURE = DOCS / "drive.png"
SHOWN = re.compile(r"^```text\n\$ (isotp [^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
UNWANTED = ("FORCE_COLOR", "GITHUB_ACTIONS", "NO_COLOR", "PY_COLORS")
PATIENCE = 60.0


def environment(**more: str) -> dict[str, str]:
    values = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**values, "PATH": path, "TERM": "dumb", **more}


def output_of(command: str, **more: str) -> str:
    """What the command prints, errors and summary behind the rest."""
    run = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return run.stdout + run.stderr


# ---------------------------------------------------------------- docs/decode.md


def shown() -> list[tuple[str, str]]:
    """Each command of the page, and the output that the page gives it."""
    return [(match[1], match[2]) for match in SHOWN.finditer(DECODE.read_text())]


def shown_output_of(command: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in output_of(command, COLUMNS="110").splitlines())


def rewrite() -> None:
    DECODE.write_text(
        SHOWN.sub(lambda match: f"```text\n$ {match[1]}\n{shown_output_of(match[1])}```", DECODE.read_text())
    )


# ---------------------------------------------------------------- docs/command-line.md


def transcripts() -> list[str]:
    page = blocks(DOCS / "command-line.md")
    return [block.text for block in page if block.kind == "text" and block.text.startswith("$ ")]


def on_the_bus(port: int) -> dict[str, str]:
    return {
        "CAN_CHANNEL": "239.74.163.2",
        "CAN_CONFIG": json.dumps({"port": port}),
        "CAN_INTERFACE": "udp_multicast",
        "PYTHONUNBUFFERED": "1",
    }


def played(transcript: str, port: int) -> list[list[str]]:
    """The lines that each of its commands prints, errors behind the rest."""
    commands = [line.removeprefix("$ ") for line in transcript.splitlines() if line.startswith("$ ")]
    foreground: list[list[str]] = []
    background: list[tuple[subprocess.Popen[str], str]] = []
    with ExitStack() as stack:
        for command in commands:
            if not command.endswith(" &"):
                foreground.append(output_of(command, **on_the_bus(port)).splitlines())
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
        env=environment(**on_the_bus(port)),
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


if __name__ == "__main__":
    rewrite()
