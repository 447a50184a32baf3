"""`isotp stats`: the figures of sessions, as a table, as JSON lines and as a picture."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

import isotp
from isotp import capture
from isotp.bulk import _uds_figures as uds_figures
from isotp.bulk._figures import MessageColumns
from tests.cli.command import PAIR, TALK, isotp_command, log_of, without
from tests.drive import LOG
from tests.recorded_traffic import CAPTURES

MS = 1_000_000
NS = 1_000_000_000
DRIVE = ("-a", "7E0:7E8", "-a", "ta=18,sa=F1", "-a", "6F1:640,ext=40:F1")


def test_figures_of_a_session(tmp_path: Path) -> None:
    log = log_of(tmp_path / "a.log", *TALK, "7E8#2271727374757677", "7E0#01AA", "+99", "7E8#01BB", "7E8#01CC")
    run = isotp_command("stats --json", *PAIR, log)
    assert run.json == [
        {
            "channel": "can0",
            "session": "7E0:7E8",
            "first": 1000 * NS,
            "last": 1000 * NS + 109 * MS,
            "messages": 5,
            "bytes": 43,
            "tx": {"messages": 2, "bytes": 21, "frames": 4},
            "rx": {"messages": 3, "bytes": 22, "frames": 5},
            "statuses": {"ok": 5},
            "messages_per_second": pytest.approx(5 / 0.109),
            "bytes_per_second": pytest.approx(43 / 0.109),
            "stmin_us": [0, 10_000],
            "blocksize": [0, 8],
            "waits": 0,
            # From the last frame of a request to the first of the first answer.
            "response_times": {
                "count": 2,
                "min": MS,
                "median": 50 * MS + MS // 2,
                "p95": 95 * MS + MS // 20,
                "max": 100 * MS,
            },
        }
    ]
    assert run.status == 0


def test_a_single_message_has_no_rates(tmp_path: Path) -> None:
    run = isotp_command("stats --json", *PAIR, log_of(tmp_path / "a.log", "7E0#01AA"))
    (figures,) = run.json
    assert figures["messages_per_second"] is None
    assert figures["response_times"] == {"count": 0, "min": None, "median": None, "p95": None, "max": None}
    assert figures["stmin_us"] == figures["blocksize"] == []


def test_sessions_by_channel_the_busiest_first(tmp_path: Path) -> None:
    lines = ("can0 7E0#01AA", "can1 7E0#01AA", "can1 7E8#01BB", *["can0 700#01AA"] * 3)
    log = log_of(tmp_path / "a.log", *lines)
    run = isotp_command("stats --json -a 700:701", *PAIR, log)
    assert [(line["channel"], line["session"], line["messages"]) for line in run.json] == [
        ("can0", "700:701", 3),
        ("can1", "7E0:7E8", 2),
        ("can0", "7E0:7E8", 1),
    ]


def test_only_complete_requests_have_response_times(tmp_path: Path) -> None:
    log = log_of(tmp_path / "a.log", "7E0#1008AABBCCDDEEFF", "7E0#2201", "7E8#01BB", "7E8#01BB")
    run = isotp_command("stats --json", *PAIR, log)
    assert run.json[0]["response_times"]["count"] == 0
    assert run.json[0]["statuses"] == {"ok": 2, "wrong_sequence_number": 1}
    assert run.status == 1


def test_times_of_day(tmp_path: Path) -> None:
    log = log_of(tmp_path / "a.log", "7E0#01AA", "7E0#01AA", "7E0#01AA")
    run = isotp_command("stats --json --since 1000.001 --until 1000.002", *PAIR, log)
    assert [line["messages"] for line in run.json] == [1]


def test_table() -> None:
    run = isotp_command("stats", *DRIVE, LOG)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in run.lines if line.startswith("|")
    ]
    assert rows[0][:4] == ["channel", "session", "sent", "received"]
    assert [row[:4] for row in rows[1:]] == [
        ["can0", "7E0:7E8", "67", "67"],
        ["can0", "ta=18,sa=F1", "36", "41"],
        ["can1", "6F1:640,ext=40:F1", "33", "33"],
    ]
    assert [row[-1] for row in rows[1:]] == ["timed_out 1", "wrong_sequence_number 1", "open 1"]
    assert [row[7:9] for row in rows[1:]] == [["0", "8"], ["300 us", "16"], ["5 ms", "8"]]
    assert run.status == 1
    assert "277 messages" in run.complaint
    assert "busiest: 7E0:7E8 on channel can0, 134 messages" in run.complaint


def test_damaged_logs_are_told_of(tmp_path: Path) -> None:
    log = log_of(tmp_path / "a.log", "7E0#01AA", "7E0#01AA")
    log.write_bytes(log.read_bytes()[:-2])
    run = isotp_command("stats --json", *PAIR, log)
    assert [line["messages"] for line in run.json] == [1]
    assert "a.log: line 2: " in run.complaint
    assert run.status == 1


# ---------------------------------------------------------------- pictures


def words_of(svg: Path) -> set[str]:
    return {word.strip() for word in re.findall(r">([^<>]+)</text>", svg.read_text())}


def picture(tmp_path: Path, *options: str | Path, name: str = "picture.svg") -> Path:
    pytest.importorskip("matplotlib", reason="pictures need the extra plot")
    path = tmp_path / name
    assert isotp_command("stats --plot", path, *options).status in (0, 1)
    return path


def test_picture_of_a_drive(tmp_path: Path) -> None:
    words = words_of(picture(tmp_path, *DRIVE, LOG))
    assert "277 messages of 3 sessions" in words
    assert {"can0 7E0:7E8", "can0 ta=18,sa=F1", "can1 6F1:640,ext=40:F1"} <= {
        " ".join(w.split()) for w in words
    }
    assert {"broken", "complete", "open", "300 µs", "5 ms", "length of messages"} <= words
    assert "response times by session" in words
    assert "response pending (0x78)" in words
    assert any(word.startswith("median 4.88 ms, 95 % ") for word in words), words


def test_picture_tells_how_busy_a_session_was(tmp_path: Path) -> None:
    """Half an hour with a message each 100 ms, and with one each second for the last ten minutes: no solid bar."""
    picture_module = pytest.importorskip("isotp.cli.shown.picture", reason="pictures need the extra plot")
    ticks = [k * 100 for k in range(12_000)] + [k * 1000 for k in range(1200, 1800)]
    log = tmp_path / "long.log"
    log.write_text("".join(f"({1000 + ms / 1000:.3f}) can0 7E0#0322F190\n" for ms in ticks))
    columns = MessageColumns()
    with capture.decode(log, [isotp.Address(txid=0x7E0, rxid=0x7E8)]) as decoding:
        columns.add(decoding.table())
    (session,) = columns.sessions(str)
    seconds = 1_799 / picture_module.BINS
    shares = picture_module.occupancy(session, isotp.Direction.TX, 1000 * 10**9, seconds * 1e9)
    frame = picture_module.FRAME_NS / 1e9
    assert shares[100:700].mean() == pytest.approx(frame / 0.1, rel=0.02)
    assert shares[900:1100].mean() == pytest.approx(frame / 1, rel=0.05)
    words = words_of(picture(tmp_path, *PAIR, log))
    assert {"5:00 min", "25:00 min"} <= words
    assert any("full height: 0.25 %" in word for word in words)


def test_picture_marks_responses_that_are_pending(tmp_path: Path) -> None:
    log = log_of(tmp_path / "a.log", "7E0#0322F190", "7E8#037F2278", "7E8#0462F19001")
    assert "response pending (0x78)" in words_of(picture(tmp_path, *PAIR, log))
    log = log_of(tmp_path / "b.log", "7E0#0322F190", "7E8#037F2231", "7E8#0462F19078")
    assert "response pending (0x78)" not in words_of(picture(tmp_path, *PAIR, log, name="b.svg"))


def test_picture_for_a_dark_page(tmp_path: Path) -> None:
    light, dark = (picture(tmp_path, *how, *DRIVE, LOG, name=f"{len(how)}.svg") for how in ((), ("--dark",)))
    assert "#14181d" in dark.read_text()
    assert "#14181d" not in light.read_text()
    run = isotp_command("stats --dark", *DRIVE, LOG)
    assert (run.status, "it goes with --plot" in run.complaint) == (2, True)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(600, "10:00 min"), (59, "0:59 min"), (3_661, "61:01 min"), (7_260, "121:00 min")]
)
def test_times_of_the_axis(seconds: int, shown: str) -> None:
    picture_module = pytest.importorskip("isotp.cli.shown.picture", reason="pictures need the extra plot")
    assert picture_module.clock_text(seconds, False) == shown
    assert picture_module.clock_text(9_000, True) == "2:30 h"


def test_the_same_log_gives_the_same_picture(tmp_path: Path) -> None:
    first = picture(tmp_path, *DRIVE, LOG, name="a.svg")
    assert picture(tmp_path, *DRIVE, LOG, name="b.svg").read_bytes() == first.read_bytes()


def test_png_of_a_readable_size(tmp_path: Path) -> None:
    data = picture(tmp_path, *DRIVE, LOG, name="a.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    assert width >= 1200
    assert 400 <= height <= width
    assert len(data) < 150_000


def test_picture_of_no_messages(tmp_path: Path) -> None:
    words = words_of(picture(tmp_path, *PAIR, log_of(tmp_path / "a.log", "123#00")))
    assert {"no messages", "no flow control seen", "no message was answered"} <= words
    assert "0 messages of 0 sessions" in words


def test_picture_of_one_message_at_one_moment(tmp_path: Path) -> None:
    words = words_of(picture(tmp_path, *PAIR, log_of(tmp_path / "a.log", "7E0#01AA")))
    assert "1 message of 1 session" in words
    assert "broken" not in words


def test_picture_of_many_sessions_and_messages(tmp_path: Path) -> None:
    """However much there was, the picture stays small: neither rows nor bars grow without bound."""
    lines = [f"{0x400 + k % 60:03X}#01AA" for k in range(30_000)]
    addresses = [word for k in range(60) for word in ("-a", f"{0x400 + k:03X}:{0x500 + k:03X}")]
    path = picture(tmp_path, *addresses, log_of(tmp_path / "a.log", *lines))
    assert "30,000 messages of 60 sessions; the 24 busiest" in words_of(path)
    assert path.stat().st_size < 3_000_000


def test_picture_of_an_unknown_kind(tmp_path: Path) -> None:
    run = isotp_command("stats --plot", tmp_path / "a.bmp", *PAIR, CAPTURES / "kernel-mixed-1.log")
    assert run.status == 2
    assert "a.bmp does not end in .png, .svg, .pdf" in run.complaint


def test_without_matplotlib(tmp_path: Path) -> None:
    log = log_of(tmp_path / "a.log", "7E0#01AA")
    run = without("matplotlib", "stats", *PAIR, "--plot", tmp_path / "a.png", log)
    assert "can-isotp-cython[plot]" in run.stderr
    assert not (tmp_path / "a.png").exists()


# ---------------------------------------------------------------- UDS

FLASH = (
    *("7E0#021083", "7E0#0322F190", "7E8#037F2278", "7E8#037F2231", "7E0#0322F190", "+1", "7E8#0462F19001"),
    *("7E0#0322F18C", "7DF#023E00", "7E8#027E00", "7E8#027E00"),
)


def test_services_of_uds(tmp_path: Path) -> None:
    pytest.importorskip("udsoncan", reason="names are udsoncan's")
    run = isotp_command("stats --uds --json", *PAIR, "-a", "7DF:", log_of(tmp_path / "a.log", *FLASH))
    by_session = {line["session"]: {each.pop("service"): each for each in line["uds"]} for line in run.json}
    nothing = {"suppressed": 0, "positive": 0, "negative": {}, "pending": 0, "unanswered": 0, "unasked": 0}
    no_times = {"count": 0, "min": None, "median": None, "p95": None, "max": None}
    read = by_session["7E0:7E8"]["22"]
    assert read.pop("response_times") == {
        "count": 2,
        **dict.fromkeys(("min", "median", "p95", "max"), 2 * MS),
    }
    assert read == nothing | {
        **{"name": "ReadDataByIdentifier", "requests": 3, "positive": 1, "pending": 1, "unanswered": 1},
        "negative": {"RequestOutOfRange": 1},
        "unasked": 0,
    }
    # A request that wants no response is not unanswered; the second response to a functional one is to nobody.
    assert by_session["7E0:7E8"]["10"] == nothing | {
        **{"name": "DiagnosticSessionControl", "requests": 1, "suppressed": 1, "response_times": no_times}
    }
    assert by_session["7E0:7E8"]["3E"]["unasked"] == 1
    functional = by_session["7DF:"]["3E"]
    assert (functional["requests"], functional["positive"], functional["unanswered"]) == (1, 1, 0)


def test_requests_that_nobody_answered_long_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are counted, and not kept."""
    monkeypatch.setattr(uds_figures, "MOST_ASKED", 2)
    asked = [f"7E0#0322F1{k:02X}" for k in range(9)]
    log = log_of(tmp_path / "a.log", asked[0], "7E8#0462F10001", *asked[1:], "7E8#0462F10801")
    (line,) = isotp_command("stats --uds --json", *PAIR, log).json
    (read,) = line["uds"]
    assert (read["requests"], read["positive"], read["unanswered"]) == (9, 2, 7)


def test_table_and_picture_of_services(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra plot")
    pytest.importorskip("udsoncan", reason="names are udsoncan's")
    picture = tmp_path / "uds.svg"
    run = isotp_command("stats --uds --plot", picture, *PAIR, log_of(tmp_path / "a.log", *FLASH))
    (line,) = [line for line in run.lines if "22 ReadDataByIdentifier" in line]
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        *("can0", "7E0:7E8", "22 ReadDataByIdentifier", "3", "1", "1", "1", "2 ms, 2 ms"),
        "RequestOutOfRange 1",
    ]
    drawn = picture.read_text()
    assert "can0  7E0:7E8  22 ReadDataByIdentifier" in drawn
    for word in ("positive", "negative", "unanswered"):
        assert word in drawn
