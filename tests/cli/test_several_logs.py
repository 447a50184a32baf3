"""Several logs: merged, appended in their order or not, with other names of channels; sessions by a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.cli.command import PAIR, isotp_command, log_of


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    """Of two loggers, which call their buses the same."""
    return [
        log_of(tmp_path / "front.log", "7E0#0101", "+8", "7E0#0104", start=1000),
        log_of(tmp_path / "rear.log", "7E0#0102", "7E0#0103", "+100", "7E0#0105", start=1000),
    ]


def told(words: str, *logs: Path) -> list[tuple[str, str]]:
    lines = isotp_command(f"decode -q --json {words}", *PAIR, *logs).json
    return [(line["channel"], line["payload"]) for line in lines]


def test_logs_of_the_same_time(logs: list[Path]) -> None:
    assert told("--merge", *logs) == [("can0", f"0{k}") for k in (1, 2, 3, 4, 5)]
    assert told("--merge --map front.log:can0=front --map can0=all", *logs)[:2] == [
        ("all", "01"),
        ("all", "02"),
    ]
    words = f"--merge --map {logs[0]}:can0=front --map rear.log:can0=rear"
    front, rear = "front", "rear"
    assert told(words, *logs) == [(front, "01"), (rear, "02"), (rear, "03"), (front, "04"), (rear, "05")]
    assert told(words + " -c rear", *logs) == [(rear, "02"), (rear, "03"), (rear, "05")]


def test_other_names_without_merging(logs: list[Path]) -> None:
    assert told("--map rear.log:can0=rear", *logs)[:3] == [("can0", "01"), ("can0", "04"), ("rear", "02")]
    assert told("--map 0=first", log_of(logs[0].parent / "c.log", "can0 7E0#01AA")) == [("can0", "aa")]


@pytest.mark.parametrize("command", ["decode", "stats"])
def test_logs_that_are_not_in_their_order(logs: list[Path], command: str) -> None:
    """It is said, and where; merged, they are."""
    run = isotp_command(f"{command} -q", *PAIR, *logs)
    assert run.errors.splitlines() == [
        f"times run backwards: {logs[1]} begins 9 ms before {logs[0]} ends; --merge reads logs of the same time as one"
    ]
    assert run.status == 0
    assert isotp_command(f"{command} -q --merge", *PAIR, *logs).errors == ""


def test_times_that_run_backwards_within_a_log(tmp_path: Path) -> None:
    log = tmp_path / "back.log"
    log.write_text("(5.0) can0 7E0#0101\n(4.5) can0 7E0#0102\n(9.0) can0 7E0#0103\n(2.0) can0 7E0#0104\n")
    run = isotp_command("decode -q", *PAIR, log)
    assert run.errors.splitlines() == [f"times run backwards in {log}, by 7 s"]
    log.write_text("(5.0) can0 7E0#0101\n(4.5) can0 7E0#0102\n")
    assert isotp_command("decode -q", *PAIR, log).errors == ""


def test_sessions_are_discovered_in_merged_logs(tmp_path: Path) -> None:
    talk = ("7E0#0322F190CCCCCCCC", "7E8#0662F19001020300", "+50") * 20
    logs = [log_of(tmp_path / f"{name}.log", *talk) for name in "ab"]
    run = isotp_command("decode --json --merge --map b.log:can0=body", *logs)
    assert {line["channel"] for line in run.json} == {"can0", "body"}
    assert run.complaint.count("found: 7E0:7E8") == 2


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--map can0", "'can0' is not [LOG:]CHANNEL=NAME"),
        ("--map =body", "'=body' is not"),
        ("--map other.log:can0=body", "'other.log' is none of the logs"),
        ("--merge --follow", "does not go with --merge"),
    ],
)
def test_wrong_options(logs: list[Path], words: str, complaint: str) -> None:
    run = isotp_command(f"decode {words}", *PAIR, *logs)
    assert (run.status, complaint in run.complaint) == (2, True), run.complaint


# ---------------------------------------------------------------- files of addresses

WANTED = ["7E0:7E8", "6F1:640,ext=40:F1", "ta=10,sa=F1", "7DF:", "7E1:7E9"]
CSV = """\
address, tx, rx, ext, ta, sa, channel, name
7E0:7E8,,,,,,,engine
,6F1,640,40:F1,,,,door
,,,,10,F1,,gearbox
,7DF,,,,,,all
,7E1,7E9,,,,can1,brake
"""
OBJECTS = [
    "7E0:7E8",
    {"tx": "6F1", "rx": "640", "ext": "40:F1", "name": "door"},
    {"ta": "10", "sa": "F1"},
    {"address": "7DF:"},
    {"address": "7E1:7E9", "channel": "can1"},
]
TOML = """\
[[addresses]]
address = "7E0:7E8"
[[addresses]]
tx = "6F1"
rx = "640"
ext = "40:F1"
[[addresses]]
ta = "10"
sa = "F1"
[[addresses]]
tx = "7DF"
[[addresses]]
address = "7E1:7E9"
channel = "can1"
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", CSV),
        ("a.json", json.dumps(OBJECTS)),
        ("a.json", json.dumps({"addresses": OBJECTS})),
        pytest.param(
            "a.toml", TOML, marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="it has no tomllib")
        ),
    ],
)
def test_sessions_by_a_file(tmp_path: Path, name: str, text: str) -> None:
    frames = ("7E0#0101", "6F1#400102", "18DA10F1#0103", "7DF#0104", "can1 7E1#0105", "can0 7E1#0106")
    log = log_of(tmp_path / "a.log", *frames)
    (tmp_path / name).write_text("\ufeff" + text, encoding="utf-8")
    run = isotp_command("decode -q --json --addresses", tmp_path / name, log)
    assert [line["session"] for line in run.json] == WANTED
    assert run.status == 0


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.txt", "7E0:7E8", "its name ends in none of .csv, .json, .toml"),
        ("a.csv", "address\n", "has no addresses"),
        ("a.csv", "id\n7E0\n", "address 1: id: there are address, tx, rx"),
        ("a.csv", "tx,rx\n7E0,7E8,9\n", "address 1: more columns"),
        ("a.csv", "tx,rx\n7E0,7E8\nxyz,1\n", "address 2: 'xyz:1' is no address"),
        ("a.json", "{", "a.json: Expecting"),
        ("a.json", "{}", 'there is no list of "addresses"'),
        ("a.json", "[5]", "address 1: 5 is neither a string nor an object"),
        ("a.json", '[{"tx": 2016, "rx": "7E8"}]', "address 1: tx: to be written as text, in hexadecimal"),
        ("a.json", "\xff", "a.json: "),
    ],
)
def test_files_that_have_no_addresses(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("latin-1"))
    run = isotp_command("decode --addresses", path, log_of(tmp_path / "a.log", "7E0#0101"))
    assert (run.status, complaint in run.complaint.replace(f"{path}", name)) == (2, True), run.complaint
