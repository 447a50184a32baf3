"""`isotp decode`: every log in, every format out, and what it says of logs and messages that are broken."""

from __future__ import annotations

import gzip
import importlib.metadata
import io
import json
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from isotp import MessageStatus, capture
from isotp.bulk._address_text import address_text
from isotp.cli.logs import LogFiles, messages_of, reassembler_for, sessions_of
from isotp.cli.options.logs import LogOptions
from isotp.cli.shown.tables import ParquetWriter
from tests.cli.command import PAIR, TALK, Run, isotp_command, log_of, without
from tests.processes import python
from tests.recorded_traffic import (
    CAPTURES,
    NAMES,
    Message,
    address_of,
    by_session,
    expected_messages,
    truth,
    write_as,
)

NS = 1_000_000_000


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return log_of(tmp_path / "talk.log", *TALK)


@pytest.fixture
def whole_talk(tmp_path: Path) -> Path:
    return log_of(tmp_path / "whole.log", *TALK, "7E8#2271727374757677")


def address_options(name: str) -> list[str]:
    """What names the pairs of a capture to the command."""
    addresses = [address_of(pair, forward=False) for pair in truth(name)["pairs"]]
    return [word for address in addresses for word in ("--address", address_text(address))]


def said(run: Run, name: str) -> dict[tuple[int, bool], list[bytes]]:
    """The messages of a run with address_options()."""
    addresses = address_options(name)[1::2]
    return by_session(
        Message(addresses.index(line["session"]), line["direction"] == "tx", bytes.fromhex(line["payload"]))
        for line in run.json
    )


# ---------------------------------------------------------------- logs in


@pytest.mark.parametrize("name", NAMES)
def test_traffic_of_the_kernel(name: str) -> None:
    run = isotp_command("decode --json", *address_options(name), CAPTURES / f"{name}.log")
    assert said(run, name) == by_session(expected_messages(name))
    assert {line["status"] for line in run.json} == {"ok"}
    assert run.status == 0
    assert "96 messages" in run.complaint
    assert "8 sessions" in run.complaint
    assert "broken" not in run.complaint


@pytest.mark.parametrize("suffix", [".asc", ".blf", ".csv", ".log", ".trc"])
def test_logs_that_python_can_wrote(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("can")
    name = NAMES[0]
    path = tmp_path / f"capture{suffix}"
    write_as(path, name)
    run = isotp_command("decode --json", *address_options(name), path)
    pairs = truth(name)["pairs"]
    written = [each for each in expected_messages(name) if suffix != ".trc" or not pairs[each.pair]["fd"]]
    assert said(run, name) == by_session(written)
    assert run.status == 0


def test_a_message_that_runs_across_rotated_files(tmp_path: Path) -> None:
    parts = [log_of(tmp_path / "a.log", *TALK[:3]), log_of(tmp_path / "b.log", TALK[3], start=1001)]
    run = isotp_command("decode --json", *PAIR, *parts)
    assert [line["payload"] for line in run.json] == [bytes(range(20)).hex()]
    assert run.status == 0


def test_standard_input(whole_talk: Path) -> None:
    run = isotp_command("decode --json -", *PAIR, stdin=whole_talk.read_bytes())
    assert [line["length"] for line in run.json] == [20, 20]


@pytest.mark.parametrize("letters", ["-x 55 -X AA", "-x 55:AA"])
def test_can_utils_letters_for_extended_addresses(tmp_path: Path, letters: str) -> None:
    log = log_of(tmp_path / "x.log", "600#5501AA", "601#AA01BB", "600#4401CC")
    run = isotp_command(f"decode --json -s 600 -d 601 {letters}", log)
    assert [(line["can_id"], line["payload"]) for line in run.json] == [("600/55", "aa"), ("601/AA", "bb")]


def test_functional_requests_as_a_session_of_their_own(tmp_path: Path) -> None:
    log = log_of(tmp_path / "f.log", "7DF#023E00", "7E8#027E00")
    run = isotp_command("decode --json -a 7E0:7E8 -a 7DF:7E8", log)
    found = [(line["session"], line["can_id"]) for line in run.json]
    assert found == [("7DF:7E8", "7DF"), ("7E0:7E8", "7E8")]


def test_functional_target_type_in_29_bits(tmp_path: Path) -> None:
    log = log_of(tmp_path / "f.log", "18DB10F1#023E00", "18DAF110#027E00")
    run = isotp_command("decode --json -a ta=10,sa=F1", log)
    assert [line["target_type"] for line in run.json] == ["functional", "physical"]


# ---------------------------------------------------------------- what is not there

LOG_OF_THREE = ("7E0#0322F190", "7E8#0362F190", "can1 123#00", "can1 123#00")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("-a 7E0:7E8", []),
        ("-a 7E0:7E8@can0", []),
        ("-a 7E0:", []),
        ("-a 700:708", ["no frames of 700:708", "busiest identifiers: 123 (2), 7E0 (1), 7E8 (1)"]),
        ("-a 7E0:7E8@can1", ["no frames of 7E0:7E8@can1", "busiest identifiers: 123 (2), 7E0 (1), 7E8 (1)"]),
        ("-a 7E0:7E8 -a 700:708", ["no frames of 700:708", "busiest identifiers: 123 (2), 7E0 (1), 7E8 (1)"]),
        ("-a 7E0:7E8 -c can7", ["there are no frames on these channels", "other channels: can0, can1"]),
        (
            "-a 7E0:7E8 -c can1",
            ["no frames of 7E0:7E8", "other channels: can0", "busiest identifiers: 123 (2)"],
        ),
    ],
)
@pytest.mark.parametrize("command", ["decode", "stats"])
def test_what_was_asked_for_and_is_not_there(
    tmp_path: Path, command: str, words: str, told: list[str]
) -> None:
    """It is said, with what there is; also without the summary."""
    log = log_of(tmp_path / "log.log", *LOG_OF_THREE)
    run = isotp_command(f"{command} -q {words}", log)
    assert run.errors.splitlines() == told
    assert run.status == 0


def test_the_format_may_be_said(tmp_path: Path) -> None:
    """Where the beginning of a log does not tell it."""
    log = tmp_path / "log"
    log.write_text("nothing that is known\n" * 4_000 + "(1.0) can0 7E0#0322F190\n")
    run = isotp_command("decode -q --json", *PAIR, log)
    assert (run.status, run.json) == (1, [])
    run = isotp_command("decode -q --json --log-format candump", *PAIR, log)
    assert [line["payload"] for line in run.json] == ["22f190"]
    run = isotp_command("decode --log-format word", *PAIR, log)
    assert run.status == 2
    assert "none of asc, blf" in run.complaint


def test_logs_without_frames(tmp_path: Path) -> None:
    empty, other = tmp_path / "empty.log", tmp_path / "other.asc"
    empty.touch()
    other.write_text("base hex  timestamps absolute\n0.1 Start of measurement\n0.2 Li 33 Rx 1 00\n")
    run = isotp_command("decode -q", *PAIR, empty)
    assert (run.status, run.errors.splitlines()[0]) == (1, "there are no frames")
    assert f"{empty} is empty" in run.complaint
    run = isotp_command("decode", *PAIR, other)
    assert run.status == 0
    assert run.errors.splitlines()[1:] == ["beside frames: LIN 1, status 1", "there are no frames"]


# ---------------------------------------------------------------- discovery


@pytest.mark.parametrize("options", [(), ("--discover",)])
def test_sessions_are_discovered_if_none_is_named(options: tuple[str, ...]) -> None:
    run = isotp_command("decode --json", *options, CAPTURES / f"{NAMES[0]}.log")
    # Which side asks is not to be seen in this traffic.
    assert sorted(line["payload"] for line in run.json) == sorted(
        m["data"] for m in truth(NAMES[0])["messages"]
    )
    assert run.complaint.count("found: ") == 8
    assert run.status == 0


def test_discovery_beside_named_sessions(tmp_path: Path) -> None:
    source = CAPTURES / f"{NAMES[0]}.log"
    run = isotp_command("decode --json -a 61F:61E@vcan0 --discover", source)
    assert len(run.json) == 96
    assert {line["session"] for line in run.json if line["can_id"] in ("61E", "61F")} == {"61F:61E"}
    assert run.complaint.count("found: ") == 7
    named_only = isotp_command("decode --json -a 61F:61E", source)
    assert len(named_only.json) == 12
    assert "found" not in named_only.complaint


def test_nothing_is_discovered_in_signals(tmp_path: Path) -> None:
    log = log_of(tmp_path / "signals.log", *(f"0C0#{k % 256:02X}{k * 7 % 256:02X}00FF" for k in range(2000)))
    run = isotp_command("decode", log)
    assert (len(run.lines), run.status) == (1, 0)
    assert "0 messages, 0 bytes, of 0 sessions in 2,000 frames" in run.complaint


def test_frames_of_discovered_sessions(tmp_path: Path) -> None:
    output = tmp_path / "frames.log"
    isotp_command("decode -o", output, CAPTURES / f"{NAMES[0]}.log")
    assert frames_of(output) == frames_of_pairs(NAMES[0])


# ---------------------------------------------------------------- which messages


def test_channels(tmp_path: Path) -> None:
    log = log_of(tmp_path / "c.log", "can0 7E0#01AA", "can1 7E0#01BB", "can2 7E0#01CC")

    def payloads(*options: str) -> list[str]:
        return [line["payload"] for line in isotp_command("decode --json", *options, log).json]

    assert payloads(*PAIR) == ["aa", "bb", "cc"]
    assert payloads(*PAIR, "-c", "can1") == ["bb"]
    assert payloads(*PAIR, "-c", "can0", "-c", "2") == ["aa", "cc"]
    assert payloads("-a", "7E0:7E8@can2") == ["cc"]


@pytest.mark.parametrize(
    ("options", "payloads"),
    [
        ((), ["aa", "bb", "cc"]),
        (("--since", "1000.001"), ["bb", "cc"]),
        (("--until", "1000.001"), ["aa"]),
        (("--since", "1000.0005", "--until", "1000.002"), ["bb"]),
        (("--since", "1970-01-01T00:16:40.002Z"), ["cc"]),
        (("--until", "1970-01-01T01:16:40.001000+01:00"), ["aa"]),
    ],
)
def test_times(options: tuple[str, ...], payloads: list[str], tmp_path: Path) -> None:
    log = log_of(tmp_path / "t.log", "7E0#01AA", "7E0#01BB", "7E0#01CC")
    run = isotp_command("decode --json", *PAIR, *options, log)
    assert [line["payload"] for line in run.json] == payloads


def test_statuses(tmp_path: Path) -> None:
    lines = ("7E0#01AA", "7E0#1008BB", "7E0#22CC", "7E0#1009DD", "+2000", "7E0#01EE", "7E8#100AFF")
    log = log_of(tmp_path / "s.log", *lines)

    def statuses(*options: str) -> list[str]:
        return [line["status"] for line in isotp_command("decode --json", *PAIR, *options, log).json]

    assert statuses() == ["ok", "wrong_sequence_number", "timed_out", "ok", "open"]
    assert statuses("--status", "ok") == ["ok", "ok"]
    assert statuses("--status", "OPEN") == ["open"]
    assert statuses("--status", "timed-out", "--status", "open") == ["timed_out", "open"]
    assert statuses("--status", "broken") == ["wrong_sequence_number", "timed_out"]


def test_n_cr(tmp_path: Path) -> None:
    log = log_of(tmp_path / "n.log", "7E0#1008AABBCCDDEEFF", "+50", "7E0#210102")
    assert [line["status"] for line in isotp_command("decode --json", *PAIR, log).json] == ["ok"]
    run = isotp_command("decode --json --n-cr 20", *PAIR, log)
    assert [line["status"] for line in run.json] == ["timed_out"]
    assert run.status == 1


# ---------------------------------------------------------------- formats out


def test_json(talk: Path) -> None:
    """What the columns are: tests/test_schema.py."""
    run = isotp_command("decode --json", *PAIR, talk)
    start, ms = 1000 * NS, 1_000_000
    assert [(line["start"], line["end"], line["status"], line["payload"]) for line in run.json] == [
        (start, start + 3 * ms, "ok", bytes(range(20)).hex()),
        (start + 4 * ms, start + 6 * ms, "open", bytes(range(100, 113)).hex()),
    ]
    # The log ends before the message does: that is no error of the bus.
    assert run.status == 0
    assert "open at the end: 1" in run.complaint


def test_parquet_of_real_traffic_says_the_same_as_json(tmp_path: Path) -> None:
    """In groups of some rows each, whose words differ."""
    parquet = pytest.importorskip("pyarrow.parquet")
    output = tmp_path / "messages.parquet"
    options = address_options(NAMES[0])
    log = CAPTURES / f"{NAMES[0]}.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ParquetWriter, "ROWS_IN_GROUP", 10)
        patch.setattr(capture, "open", partial(capture.open, block_size=4096))
        assert isotp_command("decode", *options, "-o", output, log).status == 0
    assert parquet.ParquetFile(output).num_row_groups > 1
    rows = parquet.read_table(output).to_pylist()
    lines = isotp_command("decode --json", *options, log).json
    assert len(rows) == len(lines) == 96
    for row, line in zip(rows, lines, strict=True):
        assert row["payload"].hex() == line["payload"]
        assert all(row[name] == line[name] for name in ("start", "session", "can_id", "status", "blocksize"))


def test_parquet_without_messages_has_a_schema(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    log = log_of(tmp_path / "none.log", "123#00")
    assert isotp_command("decode", *PAIR, "-o", tmp_path / "none.parquet", log).status == 0
    table = parquet.read_table(tmp_path / "none.parquet")
    assert table.num_rows == 0
    assert "payload" in table.column_names


def test_parquet_to_a_pipe(talk: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    run = isotp_command("decode --format parquet", *PAIR, talk)
    assert parquet.read_table(io.BytesIO(run.output))["length"].to_pylist() == [20, 20]


def test_table(talk: Path) -> None:
    run = isotp_command("decode", *PAIR, talk)
    assert [line.split() for line in run.lines] == [
        ["TIME", "CHANNEL", "FROM", "TO", "STATUS", "BYTES", "PAYLOAD"],
        ["1000.000000", "can0", "7E0", "7E8", "ok", "20", *bytes(range(20)).hex(" ").split()],
        ["1000.004000", "can0", "7E8", "7E0", "open", "13/20", *bytes(range(100, 113)).hex(" ").split()],
    ]


def test_table_cuts_long_payloads_unless_told_not_to(tmp_path: Path) -> None:
    log = CAPTURES / f"{NAMES[0]}.log"
    cut = isotp_command("decode -a 61E:61F", log)
    whole = isotp_command("decode -a 61E:61F --full", log)
    assert any(line.endswith(" ...") for line in cut.lines)
    assert not any(line.endswith(" ...") for line in whole.lines)
    assert max(len(line) for line in cut.lines) <= 160
    longest = max((m["data"] for m in truth(NAMES[0])["messages"] if m["pair"] == 1), key=len)
    assert any(line.endswith(bytes.fromhex(longest).hex(" ")) for line in whole.lines)


UDS = (
    "7E0#021083",
    "7E0#0322F190",
    "7E8#037F2278",
    "7E8#037F2278",
    "7E8#037F2231",
    "7E0#021101",
    "7E8#025101",
)


def test_table_with_uds(tmp_path: Path) -> None:
    pytest.importorskip("udsoncan", reason="names are udsoncan's")
    run = isotp_command("decode --uds", *PAIR, log_of(tmp_path / "uds.log", *UDS))
    header, *lines = run.lines
    told = [line[header.index("UDS") :].split("  ")[0] for line in lines]
    assert told == [
        "[SRQ] DiagnosticSessionControl 03",
        "[SRQ] ReadDataByIdentifier F190",
        *["[NRC] ReadDataByIdentifier: RequestCorrectlyReceived_ResponsePending"] * 2,
        "[NRC] ReadDataByIdentifier: RequestOutOfRange, 3 ms",
        "[SRQ] ECUReset 01",
        "[PSR] ECUReset 01, 1 ms",
    ]
    assert (
        "UDS: 3 requests, 1 positive response, 1 negative, 2 times response pending, 0 unanswered"
        in run.complaint
    )


def test_uds_of_chosen_messages(tmp_path: Path) -> None:
    """A response has its request also where that is left out."""
    log = log_of(tmp_path / "uds.log", *UDS, "7E0#1008", "7E0#023E00")
    run = isotp_command("decode --uds --json --since 1000.004", *PAIR, log)
    told = [(line["uds_kind"], line["uds_exchange"], line["uds_response_ns"]) for line in run.json]
    assert told[:3] == [("negative", 2, 3_000_000), ("request", 3, None), ("response", 3, 1_000_000)]
    run = isotp_command("decode --uds --json --status broken", *PAIR, log)
    assert [(line["status"], line["uds_kind"]) for line in run.json] == [
        ("interrupted_by_single_frame", None)
    ]
    run = isotp_command("decode --uds --json --until 1000.002", *PAIR, log)
    assert [line["uds_service"] for line in run.json] == ["10", "22"]


def test_requests_that_nobody_answered(tmp_path: Path) -> None:
    """They are named; who filters the answers away is told no nonsense."""
    pytest.importorskip("udsoncan", reason="names are udsoncan's")
    log = log_of(tmp_path / "uds.log", *UDS, *(f"7E0#0322F1{k:02X}" for k in range(7)))
    run = isotp_command("decode --uds", *PAIR, log)
    assert (
        "10 requests, 1 positive response, 1 negative, 2 times response pending, 7 unanswered"
        in run.complaint
    )
    told = [line for line in run.errors.splitlines() if line.startswith("unanswered: ")]
    assert len(told) == 5
    assert told[0] == "unanswered: [SRQ] ReadDataByIdentifier F100, 7E0:7E8 on channel can0 at 1000.007000"
    run = isotp_command("decode --uds --until 1000.002", *PAIR, log)
    assert (
        "2 requests, 0 positive responses, 0 negative, 0 times response pending, 0 unanswered"
        in run.complaint
    )
    assert "unanswered: " not in run.errors


def test_uds_without_udsoncan(tmp_path: Path) -> None:
    """Codes in place of names."""
    code = "import sys; sys.modules['udsoncan'] = None; from isotp.cli import main; sys.exit(main())"
    run = python("-c", code, "decode", "--uds", *PAIR, log_of(tmp_path / "uds.log", *UDS))
    header, *lines = run.stdout.splitlines()
    told = [line[header.index("UDS") :].split("  ")[0] for line in lines]
    assert told[1:5] == ["[SRQ] 22 F190", *["[NRC] service 22: 78"] * 2, "[NRC] service 22: 31, 3 ms"]


def test_uds_is_not_for_frames(tmp_path: Path) -> None:
    run = isotp_command("decode --uds -f candump", *PAIR, log_of(tmp_path / "uds.log", *UDS))
    assert run.status == 2
    assert "which say nothing in UDS" in run.complaint


def test_table_has_colours_on_a_terminal_only(talk: Path) -> None:
    assert "\x1b" not in isotp_command("decode", *PAIR, talk).text
    coloured = isotp_command("decode", *PAIR, talk, FORCE_COLOR="1", TERM="xterm-256color").text
    assert "\x1b[33mopen" in coloured


@pytest.mark.parametrize(
    ("name", "first"),
    [("a.json", "{"), ("a.jsonl", "{"), ("a.csv", "start,"), ("a.log", "("), ("a.txt", " ")],
)
def test_the_name_of_the_output_chooses_the_format(name: str, first: str, talk: Path, tmp_path: Path) -> None:
    run = isotp_command("decode", *PAIR, "-o", tmp_path / name, talk)
    assert run.output == b""
    assert (tmp_path / name).read_text().startswith(first)


def frames_of(path: Path) -> list[tuple[Any, ...]]:
    with capture.open(path) as log:
        assert not log.problems
        return [
            (frame.timestamp, str(log.channels[frame.channel]), frame.can_id, frame.flags, frame.data)
            for records in log
            for frame in records
        ]


def prefix_of(pair: dict[str, Any], position: int) -> bytes:
    return b"" if pair["ext"] is None else bytes([pair["ext"][position]])


def frames_of_pairs(name: str) -> list[tuple[Any, ...]]:
    """The frames of the capture that belong to its pairs, by a look at each."""
    pairs = truth(name)["pairs"]
    wide = 0x80000000
    known = {
        (pair[key] | (wide if pair["extended_id"] else 0), prefix_of(pair, position))
        for pair in pairs
        for position, key in enumerate(("tx", "rx"))
    }
    with_prefix = {can_id for can_id, prefix in known if prefix}
    return [
        frame
        for frame in frames_of(CAPTURES / f"{name}.log")
        if (frame[2], frame[4][:1] if frame[2] in with_prefix else b"") in known
    ]


@pytest.mark.parametrize("suffix", [".log", ".pcapng"])
@pytest.mark.parametrize("name", NAMES)
def test_frames_of_the_sessions(name: str, suffix: str, tmp_path: Path) -> None:
    output = tmp_path / f"frames{suffix}"
    source = CAPTURES / f"{name}.log"
    run = isotp_command("decode", *address_options(name), "-o", output, source)
    assert frames_of(output) == frames_of_pairs(name)
    assert 0 < len(frames_of(output)) < len(frames_of(source))
    assert "96 messages" in run.complaint


def test_pcapng_is_read_by_scapy(tmp_path: Path) -> None:
    scapy = pytest.importorskip("scapy.utils")
    source = CAPTURES / f"{NAMES[0]}.log"
    output = tmp_path / "frames.pcapng"
    isotp_command("decode", *address_options(NAMES[0]), "-o", output, source)
    with scapy.RawPcapNgReader(str(output)) as reader:
        packets = list(reader)
    frames = frames_of_pairs(NAMES[0])
    assert len(packets) == len(frames)
    for (data, metadata), (time, _, can_id, _, payload) in zip(packets, frames, strict=True):
        assert metadata.linktype == 227
        assert metadata.tshigh << 32 | metadata.tslow == time
        assert (metadata.tsresol, metadata.ifname) == (NS, b"vcan0")
        assert int.from_bytes(data[:4], "big") == can_id
        assert data[4] == len(payload)
        assert data[8:] == payload


def test_frames_of_broken_messages_only(tmp_path: Path) -> None:
    good = ["7E0#1008AABBCCDDEEFF", "7E8#300000", "7E0#210102"]
    bad = ["7E0#1009AABBCCDDEEFF", "7E8#300000", "7E0#22010203"]
    log = log_of(tmp_path / "b.log", *good, "123#00", *bad[:1], "123#01", *bad[1:], *good)
    run = isotp_command("decode --status broken --format candump", *PAIR, log)
    assert [line.split()[2] for line in run.lines] == bad
    assert run.status == 1


def test_candump_of_every_kind_of_frame(tmp_path: Path) -> None:
    lines = ("7E0#01AA", "18DA10F1#01BB", "7E0##1000101", "can1 7E0##3020202")
    log = log_of(tmp_path / "k.log", *lines)
    run = isotp_command("decode -a 18DA10F1:18DAF110 --format candump", *PAIR, log)
    assert run.text == log.read_text()


# ---------------------------------------------------------------- what is broken, and the exit status


def test_a_cut_and_damaged_log(tmp_path: Path) -> None:
    log = log_of(tmp_path / "cut.log", *TALK[:4], "7E0#01AA", "7E0#01BB")
    lines = log.read_text().splitlines(keepends=True)
    lines[4] = "(1000.00400\0) can0 gibberish\n"
    log.write_text("".join(lines)[:-3])
    run = isotp_command("decode --json", *PAIR, log)
    assert [line["payload"] for line in run.json] == [bytes(range(20)).hex()]
    assert f"{log}: line 5: " in run.complaint
    assert f"{log}: line 6: " in run.complaint
    assert "unreadable: 2 parts" in run.complaint
    assert run.status == 1


@pytest.mark.parametrize("output_format", ["json", "candump"])
def test_channels_beyond_those_that_are_followed(tmp_path: Path, output_format: str) -> None:
    log = tmp_path / "channels.asc"
    lines = (f"{k / 1000:.3f} {k + 1} 7E8 Rx d 2 01 02\n" for k in range(16_390))
    log.write_text("base hex timestamps absolute\n" + "".join(lines))
    run = isotp_command("decode --format", output_format, *PAIR, "--status", "ok", log)
    assert run.status == 1
    assert "16,385 messages" in run.complaint
    assert "5 frames were on more channels than their addresses are followed on" in run.complaint


def test_a_cut_blf(tmp_path: Path) -> None:
    can = pytest.importorskip("can")
    path = tmp_path / "cut.blf"
    with can.Logger(path, max_container_size=2000) as writer:
        for k in range(400):
            writer.on_message_received(
                can.Message(timestamp=1e9 + k, arbitration_id=0x7E0, data=[1, k & 0xFF])
            )
    path.write_bytes(path.read_bytes()[:-200])
    run = isotp_command("decode --json -a 000007E0:000007E8", path)
    assert 0 < len(run.json) < 400
    assert [line["payload"] for line in run.json] == [f"{k & 0xFF:02x}" for k in range(len(run.json))]
    assert f"{path}: byte " in run.complaint
    assert run.status == 1


def test_a_file_that_is_no_log_does_not_stop_the_others(talk: Path, tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing\n")
    run = isotp_command("decode --json", *PAIR, tmp_path / "readme.txt", talk)
    assert len(run.json) == 2
    assert "readme.txt is no log in a known format" in run.complaint
    assert run.status == 1


def test_broken_messages(tmp_path: Path) -> None:
    log = log_of(tmp_path / "b.log", "7E0#1014AABBCCDDEEFF", "7E8#300000", "7E0#2201020304050607")
    run = isotp_command("decode --json", *PAIR, log)
    assert [line["status"] for line in run.json] == ["wrong_sequence_number"]
    assert "broken: 1 message (wrong_sequence_number 1)" in run.complaint
    assert "lost: 14 bytes" in run.complaint
    assert run.status == 1
    assert isotp_command("decode -q --status ok", *PAIR, log).status == 0


def test_quiet_still_tells_what_could_not_be_read(talk: Path) -> None:
    assert isotp_command("decode -q", *PAIR, talk).errors == ""
    with talk.open("a") as log:
        log.write("(x\n")
    assert "line 8" in isotp_command("decode -q", *PAIR, talk).errors


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--address", "7E0"), "'7E0' is no address: there is no colon"),
        (("-s", "7E0"), "-s and -d need each other"),
        (("-d", "7E0"), "-s and -d need each other"),
        (("-s", "7E0", "-d", "7E8", "-X", "11"), "it goes with -x"),
        (("-s", "7E0", "-d", "7E8x"), "'7E8x' is no CAN ID"),
        (("--status", "bad", *PAIR), "'bad' is none of broken, ok, "),
        (("--since", "yesterday", *PAIR), "'yesterday' is neither seconds nor a time in ISO 8601"),
        (("--json", "--format", "csv", *PAIR), "it does not go with --format csv"),
        (("--format", "xml", *PAIR), "'xml' is not one of"),
        (("--n-cr", "-1", *PAIR), "Invalid value for '--n-cr'"),
        (("-a", "7E0:7E8", "-a", "7E0:7E9,ext=1"), "with and without an extension byte"),
        (("--wrong",), "No such option"),
    ],
)
def test_wrong_options(options: tuple[str, ...], reason: str, talk: Path) -> None:
    run = isotp_command("decode", *options, talk)
    assert run.status == 2
    assert reason in run.complaint
    assert run.output == b""


def test_missing_and_wrong_files(talk: Path, tmp_path: Path) -> None:
    run = isotp_command("decode", *PAIR, tmp_path / "none.log")
    assert run.status == 2
    assert "none.log" in run.complaint
    before = talk.read_bytes()
    run = isotp_command("decode --format candump", *PAIR, "-o", talk, talk)
    assert (run.status, talk.read_bytes()) == (2, before)
    assert "is one of the logs" in run.complaint
    run = isotp_command("decode - -", *PAIR)
    assert (run.status, "standard input can be read only once" in run.complaint) == (2, True)


@pytest.mark.parametrize(
    "options",
    [(*PAIR, "--status", "ok", "--format", "candump"), ("--json",), (*PAIR, "--discover", "--json"), ()],
)
@pytest.mark.parametrize("packed", [False, True])
def test_standard_input_is_kept_where_it_is_read_twice(
    talk: Path, options: tuple[str, ...], packed: bool
) -> None:
    data = gzip.compress(talk.read_bytes()) if packed else talk.read_bytes()
    run, of_file = isotp_command("decode", *options, "-", stdin=data), isotp_command("decode", *options, talk)
    assert (run.status, run.text, run.complaint) == (of_file.status, of_file.text, of_file.complaint)
    assert run.lines


def test_progress_on_a_terminal_only(talk: Path) -> None:
    assert "talk.log" not in isotp_command("decode", *PAIR, talk).errors
    shown = isotp_command("decode", *PAIR, talk, FORCE_COLOR="1", TERM="xterm-256color").errors
    assert "talk.log" in shown
    hidden = isotp_command("decode -q", *PAIR, talk, FORCE_COLOR="1", TERM="xterm-256color").errors
    assert "talk.log" not in hidden


# ---------------------------------------------------------------- as a program


def test_program_in_a_pipe(program: str, whole_talk: Path) -> None:
    """Frames come one by one, and each message is told before the next frame is there."""
    command = [program, "decode", "--json", "-q", *PAIR, "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told: list[dict[str, Any]] = []
        for number, line in enumerate(whole_talk.read_bytes().splitlines(keepends=True)):
            process.stdin.write(line)
            process.stdin.flush()
            if number in (3, 7):
                told.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        assert process.stdout.read() == b""
    assert [line["direction"] for line in told] == ["tx", "rx"]
    assert process.returncode == 0


@pytest.mark.parametrize("piped", [True, False])
def test_program_finds_sessions_in_standard_input(program: str, whole_talk: Path, piped: bool) -> None:
    """A pipe can be read once, and a file from where it is now, which need not be its beginning."""
    log = whole_talk.with_name("behind.log")
    log.write_bytes(b"not of it\n" + whole_talk.read_bytes())
    command = [program, "decode", "--json", "-q", "-"]
    with log.open("rb") as file:
        file.seek(len(b"not of it\n"))
        if piped:
            run = subprocess.run(command, input=file.read(), capture_output=True, timeout=60, check=False)
        else:
            # A program goes on where the descriptor is, not Python's buffer.
            os.lseek(file.fileno(), file.tell(), os.SEEK_SET)
            run = subprocess.run(command, stdin=file, capture_output=True, timeout=60, check=False)
    assert run.stderr == b""
    named = isotp_command("decode --json", *PAIR, whole_talk)
    assert [json.loads(line) for line in run.stdout.splitlines()] == named.json
    assert len(named.json) >= 2


def test_program_tells_of_errors_by_its_exit_status(program: str, tmp_path: Path) -> None:
    log = log_of(tmp_path / "b.log", "7E0#1014AABBCCDDEEFF", "7E0#2201020304050607")
    for options, status in (((), 1), (("--status", "ok"), 0), (("--status", "?"), 2)):
        run = subprocess.run(
            [program, "decode", *PAIR, *options, log], capture_output=True, timeout=60, check=False
        )
        assert run.returncode == status


def test_version(program: str) -> None:
    run = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == f"isotp {importlib.metadata.version('can-isotp-cython')}\n"


@pytest.mark.parametrize("module", ["typer", "rich", "numpy"])
def test_without_the_extra(module: str, talk: Path) -> None:
    run = without(module, "decode", *PAIR, "-f", "candump", talk)
    assert module in run.stderr
    assert "pip install 'can-isotp-cython[cli]'" in run.stderr
    assert run.stdout == ""


def test_help_names_each_status_and_has_examples() -> None:
    run = isotp_command("decode --help")
    words = " ".join(run.text.replace("│", " ").split())
    assert run.status == 0
    assert {status.name for status in MessageStatus if status.name.lower() not in words} == set()
    assert "isotp decode drive.blf" in words
    assert "Exit status" in words


def tables_of(log: Path) -> Iterator[int]:
    asked = LogOptions([log], addresses=["7E0:7E8"]).question()
    files = LogFiles(asked)
    reassembler = reassembler_for(asked, sessions_of(asked, files))
    return (len(messages) for messages in messages_of(files, reassembler))


def test_a_long_log_is_read_in_pieces(tmp_path: Path) -> None:
    log = log_of(tmp_path / "long.log", *["7E0#01AA"] * 100_000)
    sizes = list(tables_of(log))
    assert sum(sizes) == 100_000
    assert max(sizes) < 50_000
