"""`isotp decode --follow`: a log that is being written, message by message, until Ctrl-C."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from isotp.cli.growing import GrowingFile
from tests.cli.command import PAIR, isotp_command, log_of

PATIENCE = 60.0
by_signal = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")


class Follower:
    """The command on a log, and its lines as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told

    def end(self) -> tuple[str, str, int]:
        """By Ctrl-C: what it wrote since, on both streams, and the exit status."""
        self.process.send_signal(signal.SIGINT)
        output, errors = self.process.communicate(timeout=PATIENCE)
        return output, errors, self.process.returncode


@pytest.fixture
def follow(program: str) -> Iterator[Callable[..., Follower]]:
    with ExitStack() as stack:

        def start(*words: str | Path) -> Follower:
            process = subprocess.Popen(
                [program, "decode", "--follow", *map(str, words)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return Follower(process)

        yield start


def write_on(log: Path, text: str) -> None:
    with log.open("a") as stream:
        stream.write(text)


@by_signal
def test_messages_are_shown_as_they_are_written(tmp_path: Path, follow: Callable[..., Follower]) -> None:
    log = log_of(tmp_path / "a.log", "7E0#0322F190")
    following = follow("--json", *PAIR, log)
    assert following.line()["payload"] == "22f190"
    write_on(log, "(0000001000.100000) can0 7E8#1008")
    write_on(log, "62F190010203\n(0000001000.101000) can0 7E0#300000\n(0000001000.102000) can0 7E8#210405\n")
    assert following.line()["payload"] == "62f1900102030405"
    write_on(log, "(0000001000.200000) can0 7E0#1008AABBCCDDEEFF\n(0000001000.300000) can0 7E8#013E\n")
    assert following.line()["payload"] == "3e"
    output, errors, status = following.end()
    assert json.loads(output)["status"] == "open"
    assert errors.startswith("4 messages, 18 bytes, of 1 session in 6 frames")
    assert status == 0


@by_signal
def test_a_log_that_has_not_begun(tmp_path: Path, follow: Callable[..., Follower]) -> None:
    log = tmp_path / "a.log"
    log.touch()
    following = follow("-q", "--json", *PAIR, log)
    write_on(log, "(0000001002.000000) can0 7E0#0101\n")
    assert following.line()["payload"] == "01"
    assert following.end() == ("", "", 0)


@by_signal
def test_rotated_logs_end_in_the_one_that_is_followed(
    tmp_path: Path, follow: Callable[..., Follower]
) -> None:
    logs = [
        log_of(tmp_path / "a.log", "7E0#1008AABBCCDDEEFF", "7E8#300000"),
        log_of(tmp_path / "b.log", "7E0#210102", start=1001),
    ]
    following = follow("-q", "--json", *PAIR, *logs)
    assert following.line()["payload"] == "aabbccddeeff0102"
    write_on(logs[1], "(0000001002.000000) can0 7E0#0101\n")
    assert following.line()["payload"] == "01"
    assert following.end() == ("", "", 0)


@by_signal
def test_sessions_are_found_in_what_is_there(tmp_path: Path, follow: Callable[..., Follower]) -> None:
    talk = ("7E0#0322F190CCCCCCCC", "7E8#0662F19001020300", "+50") * 20
    log = log_of(tmp_path / "a.log", *talk)
    following = follow("--json", log)
    assert [following.line()["session"] for _ in range(40)] == ["7E0:7E8"] * 40
    write_on(log, "(0000001009.000000) can0 7E0#023E00CCCCCCCCCC\n")
    assert following.line()["payload"] == "3e00"
    assert "found: 7E0:7E8" in following.end()[1]


@by_signal
def test_a_file_that_is_another_one_now(tmp_path: Path, follow: Callable[..., Follower]) -> None:
    log = log_of(tmp_path / "a.log", "7E0#0322F190")
    following = follow("-q", "--json", *PAIR, log)
    following.line()
    os.replace(log_of(tmp_path / "b.log", "7E0#0322F191"), log)
    output, errors = following.process.communicate(timeout=PATIENCE)
    assert (output, following.process.returncode) == ("", 1)
    assert "is another file now" in errors


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda path: path.write_bytes(b"x"), "became shorter"),
        (lambda path: path.unlink(), "was removed"),
    ],
)
@by_signal
def test_what_becomes_of_a_file(tmp_path: Path, change: Callable[[Path], object], told: str) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"123")
    file = GrowingFile(path, threading.Event())
    assert file.read(2) == b"12"
    assert file.read(2) == b"3"
    change(path)
    assert file.read(2) == b""
    assert told in str(file.problem)
    file.close()


def test_what_was_written_before_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"123")
    stop = threading.Event()
    stop.set()
    file = GrowingFile(path, stop)
    assert [file.read(2), file.read(2), file.read(2)] == [b"12", b"3", b""]
    assert file.problem is None
    file.close()


def test_what_can_not_be_followed(tmp_path: Path) -> None:
    log = log_of(tmp_path / "a.log", "7E0#0322F190")
    packed = tmp_path / "a.log.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    run = isotp_command("decode --follow", *PAIR, packed)
    assert (run.status, "gz is read as a whole" in run.complaint) == (2, True)
    run = isotp_command("decode --follow", log)
    assert (run.status, "no session was found so far" in run.complaint) == (2, True)
    run = isotp_command("decode --follow -f candump --status ok", *PAIR, log)
    assert (run.status, "a second reading" in run.complaint) == (2, True)
