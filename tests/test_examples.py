"""The examples run as a user runs them: as scripts, and with their warnings turned into errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("can", reason="the examples use python-can")
pytest.importorskip("udsoncan", reason="the examples use udsoncan")

EXAMPLES = Path(__file__).parent.parent / "examples"


def run_example(script: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(script)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_quickstart() -> None:
    run = run_example(EXAMPLES / "quickstart.py")
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    lines = run.stdout.splitlines()
    headings = [line for line in lines if not line.startswith(" ")]
    assert headings[:3] == [
        "Classic CAN, 8 bytes a frame:",
        "CAN FD, 64 bytes a frame:",
        "UDS session of udsoncan's client over CAN FD:",
    ]
    assert headings[3].startswith("All good: isotp ")
    checks = [line for line in lines if line.startswith(" ")]
    assert len(checks) == 9
    assert all(line.startswith("  ok    ") for line in checks)


def test_quickstart_notices_what_is_wrong(tmp_path: Path) -> None:
    source = (EXAMPLES / "quickstart.py").read_text()
    spoilt = source.replace("tester.send(payload,", "tester.send(payload[1:],")
    assert spoilt != source
    (tmp_path / "quickstart.py").write_text(spoilt)
    (tmp_path / "ecu_simulator.py").write_text((EXAMPLES / "ecu_simulator.py").read_text())

    run = run_example(tmp_path / "quickstart.py")
    assert run.returncode == 1
    assert "WRONG 4095 bytes arrived at the ECU" in run.stdout
