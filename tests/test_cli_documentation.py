"""docs/decode.md shows what the commands really print, and a picture as they really draw it."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests import recorded_drive, shown_commands
from tests.command import isotp_command

COMMANDS = shown_commands.shown()


@pytest.mark.skipif(
    shutil.which("bash") is None or sys.platform == "win32", reason="the commands are those of a shell"
)
@pytest.mark.parametrize(("command", "output"), [each for each in COMMANDS if "--plot" not in each[0]])
def test_command_prints_what_the_page_says(command: str, output: str) -> None:
    assert shown_commands.output_of(command) == output


def test_the_log_of_the_page_is_the_drive() -> None:
    assert recorded_drive.unpacked() == recorded_drive.drive()


def test_picture_of_the_page(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra plot")
    (command,) = (command for command, _ in COMMANDS if "--plot" in command)
    name, *options = shlex.split(command)
    place = options.index("--plot") + 1
    assert (name, shown_commands.ROOT / options[place]) == ("isotp", shown_commands.PICTURE)
    drawn = tmp_path / "drive.png"
    options = [str(drawn) if k == place else each for k, each in enumerate(options)]
    options[-1] = str(shown_commands.ROOT / options[-1])
    assert isotp_command(*options).status == 1
    # Fonts and versions draw each pixel a little differently: it is the size that must be that of the page.
    size = slice(16, 24)
    assert drawn.read_bytes()[size] == shown_commands.PICTURE.read_bytes()[size]
    assert shown_commands.PICTURE.stat().st_size < 150_000
