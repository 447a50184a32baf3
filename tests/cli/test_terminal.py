"""What a log, a bus or the name of a file says reaches a terminal as text: no commands to it, no lines of their own."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from isotp.cli.complaints import complain
from isotp.cli.logs import progress_of
from isotp.cli.options.logs import LogOptions
from isotp.cli.shown.lines import TimeKind, TimeText, printable
from tests.capture.pcap import CAN, enhanced, frame, interface, section
from tests.cli.command import isotp_command
from tests.processes import python

ESCAPES = "\x1b]0;pwned\x07\x1b[31mX\x9b1mY"
NAMES = {
    "escapes": ESCAPES,
    "a line": "can0 7E0#00\n(1.0) can0 7E0#021003\r\x85\u2028",
    "markup": "[/red][link=x]can0",
    "from right to left": "can\u202e0",
    "a formula": "$\\frac$",
    "another alphabet": "Кузов 1",
}
SHOWN = {
    "escapes": "\\x1b]0;pwned\\x07\\x1b[31mX\\x9b1mY",
    "a line": "can0 7E0#00\\n(1.0) can0 7E0#021003\\r\\x85\\u2028",
    "from right to left": "can\\u202e0",
}
unix_names = pytest.mark.skipif(sys.platform == "win32", reason="files cannot be called so")


def log_with_a_name(folder: Path, name: str) -> Path:
    """pcapng, whose names of channels may be anything: 30 requests and answers."""
    file = section("<") + interface("<", CAN, name)
    for k in range(30):
        file += enhanced("<", 0, 2_000_000 * k, frame(0x7E0, bytes.fromhex("021003AAAAAAAAAA")))
        file += enhanced("<", 0, 2_000_000 * k + 10_000, frame(0x7E8, bytes.fromhex("065003003201F4AA")))
    path = folder / "log.pcapng"
    path.write_bytes(file)
    return path


def assert_harmless(text: str) -> None:
    for line in text.split("\n"):
        assert all(each.isprintable() for each in line), ascii(line)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", ["table", "csv", "json", "candump"])
def test_names_of_channels_in_messages(tmp_path: Path, name: str, shape: str) -> None:
    path = log_with_a_name(tmp_path, NAMES[name])
    run = isotp_command("decode --format", shape, path)
    assert run.status == 0
    assert_harmless(run.text)
    assert_harmless(run.errors)
    # A line for each message or frame, and the header.
    assert len(run.lines) == 60 + (shape in ("table", "csv"))
    shown = SHOWN.get(name, NAMES[name])
    assert shown in run.errors
    if shape == "json":
        assert {each["channel"] for each in run.json} == {shown}
    elif shape == "candump":
        assert {line.split()[1] for line in run.lines} == {shown.replace(" ", "_")}
    else:
        assert all(shown in line for line in run.lines[1:])


@pytest.mark.parametrize("name", NAMES)
def test_names_of_channels_in_figures(tmp_path: Path, name: str) -> None:
    path = log_with_a_name(tmp_path, NAMES[name])
    run = isotp_command("stats", path)
    assert run.status == 0
    assert_harmless(run.text)
    assert_harmless(run.errors)
    assert SHOWN.get(name, NAMES[name]) in run.text
    assert isotp_command("stats --json", path).json[0]["channel"] == SHOWN.get(name, NAMES[name])


@pytest.mark.parametrize("name", NAMES)
def test_names_of_channels_in_a_picture(tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib")
    picture = tmp_path / "picture.svg"
    assert isotp_command("stats --plot", picture, log_with_a_name(tmp_path, NAMES[name])).status == 0
    assert_harmless(picture.read_text(encoding="utf-8"))


def test_names_of_channels_of_candump(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(f"(1.0) {ESCAPES} 7E0#021003\n".encode())
    run = isotp_command("decode -a 7E0:7E8", path)
    assert SHOWN["escapes"] in run.text
    assert_harmless(run.text + run.errors)


@unix_names
@pytest.mark.parametrize("content", [None, "", b"Dear diary", b"(1.0) can0 123#00\nnonsense\n"])
@pytest.mark.parametrize("command", ["decode", "stats"])
def test_names_of_files(tmp_path: Path, content: bytes | str | None, command: str) -> None:
    """One that is not there, a directory, one that is no log, and one with a problem."""
    path = tmp_path / f"{ESCAPES}\udcff.log"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.mkdir()
    run = isotp_command(command, "-a", "7E0:7E8", path)
    assert run.status != 0
    assert "\\x1b]0;pwned" in run.complaint.replace(" ", "")
    assert_harmless(run.text + run.errors)


@unix_names
def test_names_of_files_beside_a_bar(tmp_path: Path) -> None:
    path = tmp_path / f"[red]{ESCAPES}\n.log"
    path.write_bytes(b"(1.0) can0 123#00\n")
    asked = LogOptions([path]).question()
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=200, color_system=None)
    with progress_of(asked, console, hidden=False) as show:
        assert show is not None
        show(path, 5)
    assert "[red]" + SHOWN["escapes"] + "\\n.log" in screen.getvalue()
    assert "pwned\x07" not in screen.getvalue()


def test_what_drivers_say(capsys: pytest.CaptureFixture[str]) -> None:
    complain(OSError(f"no bus {ESCAPES}\nisotp: all is well"))
    assert_harmless(capsys.readouterr().err)


def test_an_encoding_without_the_characters(tmp_path: Path) -> None:
    path = log_with_a_name(tmp_path, NAMES["another alphabet"])
    code = "from isotp.cli import main; main()"
    run = python("-c", code, "decode", "-a", "7E0:7E8", path, PYTHONIOENCODING="ascii")
    assert r"\u041a\u0443\u0437\u043e\u0432 1" in run.stdout


def test_printable() -> None:
    assert printable("a b é 中 \\ '") == "a b é 中 \\ '"
    assert printable("\0\t\x7f\x9b\u200f\ud800\U000e0001") == "\\x00\\t\\x7f\\x9b\\u200f\\ud800\\U000e0001"


@pytest.mark.parametrize(
    ("seconds", "year"), [(0, 1970), (-12_614_400_000, 1570), (32_600_000_000, 3003), (1 << 62, 146138514283)]
)
def test_dates_without_an_end(seconds: int, year: int) -> None:
    """A driver may give any time; datetime has no year behind 9999, and Windows none behind 3000."""
    shown = TimeText(TimeKind.DATE)((seconds + 86_400 * 100) * 10**9 + 123_456_789)
    assert shown.startswith(f"({year}-")
    assert shown.endswith(".123456) ")
