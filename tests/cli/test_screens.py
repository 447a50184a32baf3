"""What is on terminals of 60, 80 and 120 columns: nothing is cut but payloads, and what does not fit stands below."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from isotp.cli.complaints import complain
from isotp.cli.shown.tally import Tally
from tests.cli.command import PAIR, TALK, log_of
from tests.cli.screens import Terminal, screen

WIDTHS = (60, 80, 120)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A message of 20 bytes each way, one that lost a frame, and a request with its answer."""
    lost = ("7E8#1014646566676869", "7E0#300000", "7E8#226A6B6C6D6E6F70")
    return log_of(
        tmp_path / "talk.log", *TALK, "7E8#2271727374757677", *lost, "7E0#0322F190", "7E8#0462F19001"
    )


DECODED = {
    60: """\
       TIME  CHANNEL  FROM  TO   STATUS
    BYTES  PAYLOAD
1000.000000  can0     7E0   7E8  ok
       20  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e ...
1000.004000  can0     7E8   7E0  ok
       20  64 65 66 67 68 69 6a 6b 6c 6d 6e 6f 70 71 72 ...
1000.008000  can0     7E8   7E0  wrong_sequence_number
     6/20  64 65 66 67 68 69
1000.011000  can0     7E0   7E8  ok
        3  22 f1 90
1000.012000  can0     7E8   7E0  ok
        4  62 f1 90 01
""",
    80: """\
       TIME  CHANNEL  FROM  TO   STATUS                 BYTES
    PAYLOAD
1000.000000  can0     7E0   7E8  ok                        20
    00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13
1000.004000  can0     7E8   7E0  ok                        20
    64 65 66 67 68 69 6a 6b 6c 6d 6e 6f 70 71 72 73 74 75 76 77
1000.008000  can0     7E8   7E0  wrong_sequence_number   6/20
    64 65 66 67 68 69
1000.011000  can0     7E0   7E8  ok                         3
    22 f1 90
1000.012000  can0     7E8   7E0  ok                         4
    62 f1 90 01
""",
    120: """\
       TIME  CHANNEL  FROM  TO   STATUS                 BYTES  PAYLOAD
1000.000000  can0     7E0   7E8  ok                        20  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 ...
1000.004000  can0     7E8   7E0  ok                        20  64 65 66 67 68 69 6a 6b 6c 6d 6e 6f 70 71 72 73 74 ...
1000.008000  can0     7E8   7E0  wrong_sequence_number   6/20  64 65 66 67 68 69
1000.011000  can0     7E0   7E8  ok                         3  22 f1 90
1000.012000  can0     7E8   7E0  ok                         4  62 f1 90 01
""",
}
FIGURES = {
    60: """\
can0  7E0:7E8
    sent 2  received 3  total 53 bytes  messages/s 417
    bytes/s 4,417  STmin 0 .. 10 ms  BS 0 .. 8
    response: median, max 1 ms, 1 ms
    broken wrong_sequence_number 1
""",
    80: """\
can0  7E0:7E8
    sent 2  received 3  total 53 bytes  messages/s 417  bytes/s 4,417
    STmin 0 .. 10 ms  BS 0 .. 8  response: median, max 1 ms, 1 ms
    broken wrong_sequence_number 1
""",
}


@pytest.mark.parametrize("columns", WIDTHS)
def test_messages(log: Path, columns: int) -> None:
    assert screen(columns, "decode -q", *PAIR, log) == DECODED[columns].splitlines()


@pytest.mark.parametrize("columns", FIGURES)
def test_figures_below_their_session(log: Path, columns: int) -> None:
    assert screen(columns, "stats -q", *PAIR, log) == FIGURES[columns].splitlines()


def test_figures_as_a_table_where_it_fits(log: Path) -> None:
    header, row = (line.split() for line in screen(160, "stats -q", *PAIR, log) if "s" in line)
    assert header[:3] == ["channel", "session", "sent"]
    assert row[-2:] == ["wrong_sequence_number", "1"]


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("command", ["decode", "decode --uds", "stats", "stats --uds"])
def test_no_line_is_wider_than_the_terminal(log: Path, columns: int, command: str) -> None:
    """A terminal would break it anywhere. What broke is told at each width."""
    lines = screen(columns, f"{command} -q", *PAIR, log)
    assert max(map(len, lines)) <= columns
    assert any("wrong_sequence_number" in line for line in lines)


def test_a_column_widens_for_what_comes(tmp_path: Path) -> None:
    """A log without errors has no room for their names."""
    lines = screen(120, "decode -q", *PAIR, log_of(tmp_path / "a.log", "7E0#0322F190"))
    assert lines == [
        "       TIME  CHANNEL  FROM  TO   STATUS  BYTES  PAYLOAD",
        "1000.000000  can0     7E0   7E8  ok          3  22 f1 90",
    ]


def test_no_message_at_all(tmp_path: Path) -> None:
    lines = screen(80, "decode -q", *PAIR, log_of(tmp_path / "a.log", "123#00"))
    assert lines == ["TIME  CHANNEL  FROM  TO  STATUS  BYTES  PAYLOAD"]


def test_colours_only_where_they_are_wanted(log: Path) -> None:
    """https://no-color.org: not with NO_COLOR, whatever it is set to."""
    for command in ("decode -q", "stats -q"):
        assert any("\x1b[3" in line for line in screen(80, command, *PAIR, log, colours=True))
        for no in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            assert not any("\x1b[3" in line for line in screen(80, command, *PAIR, log, colours=True, **no))


@pytest.mark.parametrize(("setting", "coloured"), [(None, True), ("1", False)])
def test_complaints_have_a_colour_only_where_it_is_wanted(
    setting: str | None, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if setting is not None:
        monkeypatch.setenv("NO_COLOR", setting)
    complain("no bus")
    tally = Tally()
    tally.add_error("TimedOut")
    tally.show()
    assert ("\x1b[31m" in terminal.getvalue()) is coloured
    assert "isotp: no bus" in terminal.getvalue()
