"""Whatever comes from the bus, memory stays within 64 MiB over what it was, and nothing is dropped without a word.

Each attack of tests/hostile.py runs in a process of its own, whose memory nothing else uses.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests import hostile
from tests.processes import python

BOUND = 64 << 20
TIMEOUT_S = 300  # ends a test that has failed

pytestmark = pytest.mark.skipif(
    not hostile.STATUS.exists(), reason="no /proc/self/status: memory is measured by it, as Linux has it"
)


def outcome(name: str) -> dict[str, Any]:
    """What an attack did, its memory judged."""
    for module, subjects in {"numpy": ("reassembler", "log", "discovery"), "can": ("hub", "loop")}.items():
        if any(subject in name for subject in subjects):
            pytest.importorskip(module)
    facts: dict[str, Any] = json.loads(python("-m", "tests.hostile", name, timeout=TIMEOUT_S).stdout)
    assert facts["growth"] < BOUND, f"{name} took {facts['growth']} bytes"
    return facts


def test_claims_to_single_layers() -> None:
    """Each layer hears 50 first frames that announce 4 GiB."""
    facts = outcome("claims_to_single_layers")
    assert facts["receiving"] == 2_000
    assert facts["claims"] == 100_000


def test_claim_that_goes_on() -> None:
    facts = outcome("claim_that_goes_on")
    assert facts["receiving"] == 1
    assert facts["frames"] == 1_000_000
    assert facts["growth"] > 6_000_000, "what arrived must be there"


def test_claims_to_a_reassembler() -> None:
    """100,000 sessions with a claim of 4 GiB each, three times; every claim that another one ends is a row."""
    facts = outcome("claims_to_a_reassembler")
    assert facts["singles"] == 100_000
    assert facts["messages"] == 200_000


def test_channels_of_a_reassembler() -> None:
    """What an address may have on one channel it has on 16,384 more, all addresses together; the rest is counted."""
    facts = outcome("channels_of_a_reassembler")
    assert facts["open"] == 16_384 + 50
    assert facts["passed_over"] == 50 * 65_536 - facts["open"]


def instructions_of_discovery(ids: Iterable[int], folder: Path) -> int:
    """What the processor does for five frames of each ID."""
    frames = folder / "frames"
    frames.write_bytes(b"".join(struct.pack("=qIBBHQ", 0, each, 8, 0, 0, 1) for each in ids) * 5)
    run = subprocess.run(
        [
            *("valgrind", "--tool=callgrind", f"--callgrind-out-file={folder / 'profile'}"),
            "--toggle-collect=__pyx_pw_*_8Observer_*feed",
            *(sys.executable, "-c"),
            "import isotp, sys; isotp.Discovery().feed(open(sys.argv[1], 'rb').read(), 'classic')",
            str(frames),
        ],
        env=os.environ | {"PYTHONHASHSEED": "15765"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    counted = re.search(r"Collected : (\d+)", run.stderr)
    assert counted is not None, run.stderr
    return int(counted[1])


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind counts the instructions")
def test_ids_that_were_chosen_to_collide(tmp_path: Path) -> None:
    """IDs that would all be for one place of a table, if everybody knew how places are made: see _slots.pxd."""
    extended = range(0x8000_0000, 0xA000_0000)
    chosen = [each for each in extended[: 1 << 23] if each * 0x9E3779B97F4A7C15 >> 52 & 0xFFF == 0][:2_000]
    assert len(chosen) == 2_000
    harmless = instructions_of_discovery(extended[: 1 << 23 : 4_001][:2_000], tmp_path)
    if harmless == 0:
        pytest.skip("these extensions have no symbols")
    assert instructions_of_discovery(chosen, tmp_path) < 1.2 * harmless


def test_claims_to_discovery() -> None:
    """IDs beyond what discovery looks at are counted, and no session comes of it."""
    facts = outcome("claims_to_discovery")
    assert facts["passed_over"] == 100_000 - 8_192
    assert facts["sessions"] == 0


def test_claims_to_a_hub() -> None:
    facts = outcome("claims_to_a_hub")
    assert facts["frames"] == facts["sessions"] + 50_000
    # One wake-up for each session's N_Cr, however often a reception begins
    assert facts["timers"] <= facts["sessions"] + 1


def test_flood_of_first_frames() -> None:
    facts = outcome("flood_of_first_frames")
    assert facts["told"] == facts["stats"]["errors"] == {"ReceptionInterruptedWithFirstFrameError": 49_999}
    assert facts["stats"]["flow_controls_sent"] == 50_000


def test_flood_of_flow_control() -> None:
    """Those that nobody waits for are told; those in time move the message to where the last one says."""
    facts = outcome("flood_of_flow_control")
    assert facts["told"] == facts["stats"]["errors"] == {"UnexpectedFlowControlError": 50_000}
    assert facts["stats"]["flow_controls_received"] == 100_000
    assert facts["stats"]["frames_sent"] == 1
    assert facts["sending"]


def test_flood_of_single_frames_without_a_reader() -> None:
    facts = outcome("flood_of_single_frames_without_a_reader")
    dropped = facts["stats"]["dropped"]["messages"]
    assert facts["taken"] + dropped == facts["stats"]["messages_received"] == 500_000
    assert facts["stats"]["errors"] == {"ReceptionQueueFullError": dropped}
    assert facts["told"] == {"ReceptionQueueFullError": dropped + 1}
    assert facts["answer"].startswith("32")
    assert facts["after"] == "a"


def test_long_messages_without_a_reader() -> None:
    """The sender is told by flow status Overflow, before it sends what would be lost."""
    facts = outcome("long_messages_without_a_reader")
    assert facts["answer"].startswith("32")
    assert facts["stats"]["dropped"] == {"receptions": 1}
    assert facts["stats"]["bytes_received"] + 100 * facts["stats"]["messages_received"] >= 8 << 20
    assert facts["stats"]["bytes_received"] < (8 << 20) + 4095


def test_endless_wait_frames() -> None:
    """wftmax ends a message; without it, wait frames are no reason to wait longer than N_Bs."""
    facts = outcome("endless_wait_frames")
    assert facts["told"] == {"MaximumWaitFrameReachedError": 1, "UnexpectedFlowControlError": 50_000 - 11}
    assert facts["told_ignoring"] == {
        "UnsupportedWaitFrameError": 99,
        "FlowControlTimeoutError": 1,
        "UnexpectedFlowControlError": 50_000 - 99,
    }
    assert facts["waits"] == 50_000
    assert not facts["sending"]
    assert not facts["sending_ignoring"]


def test_endless_wait_frames_in_a_log() -> None:
    facts = outcome("endless_wait_frames_in_a_log")
    assert (facts["rows"], facts["open"]) == (0, 1)
    assert facts["waits"] == 10 * 200_000 - 1


def test_storm_of_errors() -> None:
    """Each is told and counted; the log has 100 of a second, then that it has not all, then how many it has not."""
    facts = outcome("storm_of_errors")
    assert facts["told"] == facts["stats"]["errors"] == {"UnexpectedConsecutiveFrameError": 100_001}
    assert facts["lines"] == 101
    assert facts["later"] == 2


def test_messages_to_send_that_nobody_takes() -> None:
    facts = outcome("messages_to_send_that_nobody_takes")
    # One more is being sent, and waits for its Flow Control.
    waiting = -(-(32 << 20) // 4400)
    assert facts["waiting"] == waiting
    refusal = f"the send queue is full: {waiting} messages wait (parameter tx_queue_limit)"
    assert facts["refusals"] == {refusal: 20_000 - 1 - waiting}


def test_slow_callbacks_of_a_hub() -> None:
    facts = outcome("slow_callbacks_of_a_hub")
    stats = facts["stats"]
    assert facts["calls"]["messages"] + stats["dropped"]["messages"] == stats["messages_received"] == 150_000
    assert facts["calls"]["errors"] + stats["dropped"]["errors"] == sum(stats["errors"].values())
    assert stats["errors"]["UnexpectedConsecutiveFrameError"] == 2_000


def test_frames_while_txfn_does_not_return() -> None:
    facts = outcome("frames_while_txfn_does_not_return")
    lost = facts["stats"]["dropped"]["frames"]
    assert lost + facts["stats"]["frames_received"] == 200_000
    assert facts["stats"]["inbox_most"] == 65_536
    assert facts["told"] == [f"FramesLostError: {lost} received frames were lost: 65536 waited already"]


def test_frames_while_the_loop_does_not_run() -> None:
    facts = outcome("frames_while_the_loop_does_not_run")
    assert facts["taken"] == 65_536
    assert facts["stats"]["dropped"] == {"frames": 150_000 - 65_536}
    assert facts["told"] == ["FramesLostError"]


def test_each_attack_is_judged() -> None:
    assert {f"test_{name}" for name in hostile.ATTACKS} <= set(globals())
