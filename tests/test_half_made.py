"""Objects whose ``__init__()`` never ran raise exceptions when they are used, and do not take the process with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import half_made

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 300  # ends a test that has failed


def test_no_use_of_what_is_half_made_ends_the_process() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.half_made"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert run.returncode == 0, (run.stdout.splitlines()[-1:], run.stderr[-2000:])
    assert run.stdout.splitlines()[-1] == "all used"


def test_all_compiled_classes_are_used() -> None:
    assert {"Engine", "CanMessage", "Reassembler", "Messages", "Records", "Observer", "PcapParser"} <= {
        kind.__name__ for kind in half_made.classes()
    }
