"""`isotp sniff`: messages of both directions between others, whole and broken; it sends nothing."""

from __future__ import annotations

import re
import signal

import pytest

from isotp.cli.commands import sniff
from tests.cli.command import PAIR
from tests.cli.live_command import EXCHANGE, LiveBus

SAID = (*EXCHANGE, "7E8#2257333836373532", "7E0#037F2231")


def test_lines_are_those_of_isotpsniffer_and_more(bus: LiveBus) -> None:
    run = bus.hearing(SAID, "sniff -n 3 --stats", *PAIR)
    assert run.status == 0
    assert [line.removeprefix(bus.channel) for line in run.lines] == [
        "  7E0  [3]  22 F1 90 - '\"..'  [SRQ] ReadDataByIdentifier",
        "  7E8  [20]  62 F1 90 57 56 57 5A 5A 5A 31 4A 5A 33 57 33 38 36 37 35 32 - 'b..WVWZZZ1JZ3W386752'"
        "  [PSR] ReadDataByIdentifier",
        "  7E0  [3]  7F 22 31 - '.\"1'  [NRC] ReadDataByIdentifier: requestOutOfRange",
    ]
    assert run.complaint.startswith("3 messages, 26 bytes in ")


def test_json_has_the_fields_of_decode(bus: LiveBus) -> None:
    run = bus.hearing(SAID, "sniff -n 2 --json", *PAIR)
    answer = run.json[1]
    assert answer["payload"] == "62f1905756575a5a5a314a5a335733383637" + "3532"
    assert answer["end"] >= answer["start"] > run.json[0]["start"]
    fixed = "session direction can_id status length frames blocksize stmin_us flow_controls"
    assert [answer[name] for name in fixed.split()] == ["7E0:7E8", "rx", "7E8", "ok", 20, 3, 8, 100, 1]


def test_what_broke_off(bus: LiveBus) -> None:
    frames = (*SAID[1:4], "7E8#2400000000000000")
    run = bus.hearing(frames, "sniff -n 1 --no-uds -f 1 --stats", *PAIR)
    assert run.status == 1
    assert [line.removeprefix(bus.channel) for line in run.lines] == [
        "  7E8  [13/20]  62 F1 90 57 56 57 5A 5A 5A 31 4A 5A 33  wrong_sequence_number"
    ]
    assert "broken: 1 message (wrong_sequence_number 1)" in run.complaint


def test_ctrl_c_while_a_line_is_shown(bus: LiveBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is whole, and what was open then is shown as at any other time."""
    write_line = sniff.write_line

    def write_line_amid_ctrl_c(line: str) -> None:
        signal.raise_signal(signal.SIGINT)
        write_line(line)
        monkeypatch.setattr(sniff, "write_line", write_line)

    monkeypatch.setattr(sniff, "write_line", write_line_amid_ctrl_c)
    before = signal.getsignal(signal.SIGINT)
    run = bus.hearing(SAID[1::-1], "sniff --no-uds -f 1", *PAIR)
    assert run.status == 0
    assert [line.removeprefix(bus.channel) for line in run.lines] == [
        "  7E0  [3]  22 F1 90",
        "  7E8  [6/20]  62 F1 90 57 56 57  open",
    ]
    assert signal.getsignal(signal.SIGINT) is before


def test_parts_of_messages_in_ascii(bus: LiveBus) -> None:
    run = bus.hearing(("7E0#0568656C6C6F",), "sniff -n 1 -f 2 --no-uds --head 4 -t z", *PAIR)
    assert run.text == f"(000.000000) {bus.channel}  7E0  [5]  'hell' ...\n"


def test_two_sessions_have_two_colours(bus: LiveBus) -> None:
    frames = ("7E0#013E", "640#F1017E", "7E8#017E", "6F1#40013E")
    run = bus.hearing(frames, "sniff -n 4 --color always -a 7E0:7E8 -a 6F1:640,ext=40:F1")
    colours = [re.findall(r"\x1b\[([\d;]+)m", line)[0].split(";")[-1] for line in run.lines]
    assert (colours[0], colours[1]) == (colours[2], colours[3])
    assert colours[0] != colours[1]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("-a", "7E0:7E8", "--timeout", "0.01"), "isotp: no message within 0.01 s"),
        ((), "name a session, say -s 7E0 -d 7E8"),
        (("-a", "7E0:7E8", "--kernel"), "name it, say can0"),
    ],
)
def test_what_is_told_instead(arguments: tuple[str, ...], complaint: str, bus: LiveBus) -> None:
    run = bus.run("sniff", *arguments)
    assert run.status in (1, 2)
    assert complaint in run.complaint
