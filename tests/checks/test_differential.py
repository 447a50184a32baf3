"""The comparison with can-isotp on random scripts: a few of them here, all by `python -m checks.differential`."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.differential import comparison
from checks.differential.__main__ import shrunk
from checks.differential.comparison import Peer, compare_seeds, play_ours
from checks.differential.differences import DIFFERENCES
from checks.differential.scripts import script_of

COMPATIBILITY = Path(__file__).parents[2] / "docs" / "compatibility.md"


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    try:
        peer = Peer()
    except (RuntimeError, OSError, importlib.metadata.PackageNotFoundError) as error:
        pytest.skip(f"no environment with can-isotp can be made here: {error}")
    with peer:
        yield peer


def test_no_difference_without_a_reason(peer: Peer) -> None:
    report = compare_seeds(peer, range(200))
    assert [case.seed for case in report.unexplained] == []
    assert report.seeds == 200
    assert report.steps > 20 * report.seeds


def test_a_difference_without_a_reason_is_found(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "DIFFERENCES", ())
    report = compare_seeds(peer, range(60))
    assert report.unexplained
    case = report.unexplained[0]
    shorter = shrunk(peer, case)
    assert len(shorter.script["steps"]) <= len(case.script["steps"])
    assert shorter.fields


def test_a_seed_is_one_script() -> None:
    script = script_of(4711)
    assert script == script_of(4711) != script_of(4712)
    assert play_ours([script]) == play_ours([script])


def test_scripts_reach_every_state_and_error() -> None:
    seen = [step for observations in play_ours(map(script_of, range(1000))) for step in observations]
    assert {step["rx"] for step in seen} == {"IDLE", "WAIT_CF"}
    assert {step["tx"] for step in seen} == {
        "IDLE",
        "WAIT_FC",
        "TRANSMIT_CF",
        "TRANSMIT_SF_STANDBY",
        "TRANSMIT_FF_STANDBY",
    }
    assert {error for step in seen for error in step["errors"]} == {
        "BadGeneratorError",
        "ChangingInvalidRXDLError",
        "ConsecutiveFrameTimeoutError",
        "FlowControlTimeoutError",
        "FrameTooLongError",
        "InvalidCanDataError",
        "InvalidCanFdFirstFrameRXDL",
        "MaximumWaitFrameReachedError",
        "MissingEscapeSequenceError",
        "OverflowError",
        "ReceptionInterruptedWithFirstFrameError",
        "ReceptionInterruptedWithSingleFrameError",
        "UnexpectedConsecutiveFrameError",
        "UnexpectedFlowControlError",
        "UnsupportedWaitFrameError",
        "WrongSequenceNumberError",
    }


def test_the_documentation_lists_the_explained_differences() -> None:
    page = COMPATIBILITY.read_text()
    rows = [f"| {each.name} | {each.theirs} | {each.ours} | {each.reason} |" for each in DIFFERENCES]
    section = page.partition("## What random traffic shows")[2].partition("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("| ")][1:] == rows
