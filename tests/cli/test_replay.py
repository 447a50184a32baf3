"""What docs/command-line.md says of playing a log again: the frames that `isotp decode` chose are on the bus again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.command import isotp_command, log_of
from tests.cli.live_command import PATIENCE, LiveBus, can


def test_requests_of_a_log_are_played_again(
    bus: LiveBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = pytest.importorskip("can.player")
    log = log_of(tmp_path / "drive.log", "7E0#0322F190", "7E8#0462F19001", "123#0102", "7E0#023E00")
    requests = tmp_path / "requests.log"
    assert isotp_command("decode -q -a 7E0: -f candump -o", requests, log).status == 0
    words = ["can.player", "-i", "virtual", "-c", bus.channel, str(requests)]
    monkeypatch.setattr(sys, "argv", words)
    with can.Bus(interface="virtual", channel=bus.channel) as listener:
        player.main()
        heard = [listener.recv(PATIENCE) for _ in range(2)]
        assert listener.recv(0) is None
    assert [(it.arbitration_id, it.data.hex()) for it in heard] == [(0x7E0, "0322f190"), (0x7E0, "023e00")]
