"""The benchmark of discovery judges rightly, and takes a folder of logs."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from benchmarks import discovery
from benchmarks.diagnostics import STALE, Line, Padding, Plan, Sender, Truth, session
from benchmarks.discovery import Count, Result, count_found, folder_results

HERE: Line = (0x7E0, b"")
THERE: Line = (0x7E8, b"")


def test_half_a_session_is_a_false_one() -> None:
    truths = [Truth(frozenset({HERE, THERE}), 3, False, frozenset({frozenset({(0x7DF, b"")})}))]
    count = Count()
    count_found(count, [frozenset({HERE}), frozenset({(0x7DF, b"")})], truths)
    assert count.result() == Result(1, 0, 1)
    count_found(count, [frozenset({HERE, THERE})], truths)
    assert count.result() == Result(2, 1, 1)
    assert (count.result().recall, count.result().precision) == (0.5, 0.5)


def test_frames_of_a_sender() -> None:
    """Each kind of frame has its own padding; old bytes are those of the frame before."""
    sender = Sender((0x641, b"\xf1"), Padding(STALE, None, 0xAA))
    (first, fill), (last, _) = sender.several(bytes(range(1, 10)))
    assert (first.hex(), last.hex(), fill) == ("10090102030405", "2106070809", 0xAA)
    assert sender.flow_control(0, 8, 1).data.hex() == "f1300801"
    sender.single(0, bytes(range(0x11, 0x17)))
    frame = sender.single(0, b"\x50")
    assert frame is not None
    assert frame.data.hex() == "f1 01 50 12 13 14 15 16".replace(" ", "")
    assert sender.single(0, bytes(7)) is None


@pytest.mark.parametrize("direction", ["both", "requests", "responses"])
def test_what_a_recorder_keeps(direction: str) -> None:
    frames, (truth,) = session(random.Random(1), Plan(5, direction), set())
    ids = {frame.can_id for frame in frames}
    assert ids == {can_id for can_id, _ in truth.lines}
    assert (truth.exchanges, truth.one_direction) == (5, direction != "both")


def test_a_folder_of_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("typer", reason="the command reads the addresses of a truth")
    lines = [
        f"({k}.{part}00000) can1 {frame}\n"
        for k, name in enumerate(("F190", "F187", "F188"))
        for part, frame in ((1, f"7E0#0322{name}"), (2, f"7E8#0562{name}3132"))
    ]
    (tmp_path / "one.log.gz").write_bytes(gzip.compress("".join(lines).encode()))
    (tmp_path / "two.log").write_text("(1.000000) can0 123#0102\n")
    (tmp_path / "three").write_bytes(bytes(100))
    truth = {
        "one.log.gz": {"sessions": ["7E0:7E8@can1", "ta=10,sa=F1"]},
        "two.log": {},
        "three": {"sessions": ["7E0:7E8"]},
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    results = dict(folder_results(tmp_path, 0.5))
    assert results == {"one.log.gz": Result(2, 1, 0), "two.log": Result(0, 0, 0)}
    assert "three cannot be read" in capsys.readouterr().out


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    print(discovery.table("logs", [("one", Result(4, 3, 1))]))
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["logs", "sessions", "found", "false", "recall", "precision"]
    assert row.split() == ["one", "4", "3", "1", "0.750", "0.750"]
