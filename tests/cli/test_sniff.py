"""`isotp sniff`: messages of both directions between others, whole and broken; it sends nothing."""

from __future__ import annotations

import re
import signal

import pytest

from isotp.bulk._address_text import address_text
from isotp.cli import follow
from isotp.cli.commands import sniff
from isotp.cli.follow import Follower
from tests.bulk import logs
from tests.cli.command import PAIR, isotp_command
from tests.cli.live_command import EXCHANGE, LiveBus
from tests.frames import SECOND

SAID = (*EXCHANGE, "7E8#2257333836373532", "7E0#037F2231")


def test_lines_are_those_of_isotpsniffer_and_more(bus: LiveBus) -> None:
    run = bus.hearing(SAID, "sniff -n 3 --stats", *PAIR)
    assert run.status == 0
    assert [line.removeprefix(bus.channel) for line in run.lines] == [
        "  7E0  [3]  22 F1 90 - '\"..'  [SRQ] ReadDataByIdentifier",
        "  7E8  [20]  62 F1 90 57 56 57 5A 5A 5A 31 4A 5A 33 57 33 38 36 37 35 32 - 'b..WVWZZZ1JZ3W386752'"
        "  [PSR] ReadDataByIdentifier",
        "  7E0  [3]  7F 22 31 - '.\"1'  [NRC] ReadDataByIdentifier: RequestOutOfRange",
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


# ---------------------------------------------------------------- sessions that nobody named


def test_sessions_are_found_as_they_speak(bus: LiveBus) -> None:
    """Also the messages that came before are shown, each once."""
    second = ("7E0#0322F187", "7E8#0662F187313233", "7E0#0322F188", "7E8#0662F188343536")
    run = bus.hearing((*SAID, *second), "sniff --discover -n 7 --no-uds -f 1")
    assert [line.removeprefix(bus.channel).strip() for line in run.lines] == [
        "7E0  [3]  22 F1 90",
        "7E8  [20]  62 F1 90 57 56 57 5A 5A 5A 31 4A 5A 33 57 33 38 36 37 35 32",
        "7E0  [3]  7F 22 31",
        "7E0  [3]  22 F1 87",
        "7E8  [6]  62 F1 87 31 32 33",
        "7E0  [3]  22 F1 88",
        "7E8  [6]  62 F1 88 34 35 36",
    ]
    assert "found: 7E0:7E8, score " in run.complaint


def test_a_direction_that_was_found_first_is_not_shown_again() -> None:
    """Requests alone are a session until somebody answers them."""
    names = ("F1 87", "F1 88", "F1 89", "F1 8A", "F1 8B", "F1 8C")
    alone = [f"7E0#03 22 {name}" for name in names] + ["7E0#02 10 03", "7E0#02 3E 00", "7E0#02 19 01"]
    both = ["7E0#03 22 F1 90", "7E8#06 62 F1 90 31 32 33", "7E0#03 22 F1 91", "7E8#06 62 F1 91 31 32 33"]
    told: list[str] = []
    follower = Follower([], 1000, 0.5, lambda found: told.append(address_text(found.address)))
    pieces = [logs.log(*alone, layout="fd"), logs.log(*both, layout="fd", start=SECOND)]
    shown = [heard.message.payload.hex() for heard in follower.messages(pieces)]
    assert told == [":7E0", "7E0:7E8"]
    assert sorted(shown) == sorted(frame.split("#")[1].replace(" ", "")[2:].lower() for frame in alone + both)


def test_only_the_latest_frames_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow while nothing is found."""
    monkeypatch.setattr(follow, "MOST_KEPT", 3)
    follower = Follower([], 1000, 0.5, lambda found: None)
    first = [logs.log(f"123#{k:02X}", layout="fd") for k in range(9)]
    talk = logs.log("7E0#03 22 F1 90", "7E8#06 62 F1 90 31 32 33", layout="fd", start=SECOND)
    shown = [heard.message.payload[0] for heard in follower.messages([*first, talk])]
    assert shown == [0x22, 0x62]
    assert sum(map(len, follower._kept)) <= 3


def test_named_sessions_beside_those_found(bus: LiveBus) -> None:
    run = bus.hearing((*SAID, "321#0122"), "sniff --discover -n 4 --json -a 321: ", *PAIR)
    assert {line["session"] for line in run.json} == {"7E0:7E8", "321:"}
    assert "found" not in run.complaint


def test_what_was_nearly_found(bus: LiveBus) -> None:
    run = bus.hearing(("321#021003", "322#065003003201F4"), "sniff --discover --timeout 0.5")
    assert run.status == 1
    assert "nearly found: 321:322, score 0." in run.complaint
    assert run.complaint.endswith("isotp: no message within 0.5 s")


def test_the_kernel_discovers_nothing() -> None:
    run = isotp_command("sniff --kernel --discover can0")
    assert run.status == 2
    assert "the kernel's sockets hear sessions that are named" in run.complaint
