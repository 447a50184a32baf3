"""docs/decode.md, command-line.md and commands.md show what the commands really print, draw and take."""

from __future__ import annotations

import html
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.cli import pages
from tests.cli.command import isotp_command
from tests.documentation import ROOT
from tools import commands_page

COMMANDS = pages.shown()


@pytest.mark.skipif(
    shutil.which("bash") is None or sys.platform == "win32", reason="the commands are those of a shell"
)
@pytest.mark.parametrize(("command", "output"), [each for each in COMMANDS if "--plot" not in each[0]])
def test_command_prints_what_the_page_says(command: str, output: str) -> None:
    assert pages.shown_output_of(command) == output


def test_picture_of_the_page(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra plot")
    (command,) = (command for command, _ in COMMANDS if "--plot" in command)
    name, *options = shlex.split(command)
    place = options.index("--plot") + 1
    assert (name, ROOT / options[place]) == ("isotp", pages.PICTURE)
    drawn = tmp_path / "drive.png"
    options = [str(drawn) if k == place else each for k, each in enumerate(options)]
    options[-1] = str(ROOT / options[-1])
    assert isotp_command(*options).status == 1
    # Fonts and versions draw each pixel a little differently: it is the size that must be that of the page.
    size = slice(16, 24)
    assert drawn.read_bytes()[size] == pages.PICTURE.read_bytes()[size]
    assert pages.PICTURE.stat().st_size < 150_000


def numbers_hidden(line: str) -> str:
    """The line without what differs from one time to the next: how fast it was."""
    hidden = re.sub(r"\d[\d.,]*(?= (m?s|us|bytes/s)\b)|(?<=least |edian | most )\d[\d.,]*", "#", line)
    return re.sub(" +", " ", hidden) if hidden != line else line


def free_port() -> int:
    """A port for a multicast bus of this process; skips the test where there is no multicast."""
    can = pytest.importorskip("can", reason="the bus is one of python-can")
    pytest.importorskip("msgpack", reason="python-can's multicast bus needs it")
    port = 30_000 + os.getpid() % 2_000
    try:
        can.Bus(interface="udp_multicast", channel="239.74.163.2", port=port).shutdown()
    except (can.CanError, OSError) as error:
        pytest.skip(f"no multicast here: {error}")
    return port


@pytest.mark.skipif(
    shutil.which("bash") is None or sys.platform == "win32", reason="the commands are those of a shell"
)
@pytest.mark.parametrize("transcript", pages.transcripts())
def test_transcript_can_be_played_again(transcript: str) -> None:
    if ".toml" in transcript and sys.version_info < (3, 11):
        pytest.skip("TOML is read by Python 3.11 and later")
    port = free_port()
    shown = [numbers_hidden(line) for line in transcript.splitlines() if not line.startswith("$ ")]
    streams = [[numbers_hidden(line) for line in lines] for lines in pages.played(transcript, port)]
    assert sorted(shown) == sorted(line for lines in streams for line in lines)
    for lines in streams:
        assert [line for line in shown if line in lines] == lines


def lines_of_svg(picture: Path) -> list[str]:
    """What is to be read in a picture of a terminal, but for its title."""
    lines: dict[float, str] = {}
    for y, text in re.findall(
        r'<text class="dump-r\d+" x="\S+" y="([\d.]+)"[^>]*>(.*?)</text>', picture.read_text()
    ):
        lines[float(y)] = lines.get(float(y), "") + html.unescape(text).replace("\xa0", " ")
    return [lines[y].rstrip() for y in sorted(lines)]


def test_picture_of_the_dump() -> None:
    dump_picture = pytest.importorskip("tools.dump_picture", reason="it is drawn on a bus of python-can")
    port = free_port()

    def without_times_and_colours(line: str) -> str:
        return re.sub(r"\x1b\[[\d;]*m|\(\d+\.\d+\) ", "", line).rstrip()

    shown = [without_times_and_colours(line) for line in dump_picture.shown(port).splitlines()]
    drawn = [without_times_and_colours(line) for line in lines_of_svg(dump_picture.PICTURE)]
    assert drawn == [f"$ {dump_picture.COMMAND} can0", *shown]


def test_page_of_all_options_is_that_of_the_commands() -> None:
    assert commands_page.PAGE.read_text(encoding="utf-8") == commands_page.page(), (
        "python -m tools.commands_page writes it anew"
    )
