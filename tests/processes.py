"""Python in a process of its own: what a test does to a whole one, and what must end by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["python"]


def python(
    *arguments: str | Path, status: int = 0, timeout: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What it did; its exit status must be `status`."""
    run = subprocess.run(
        [sys.executable, *arguments],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert run.returncode == status, f"{run.stdout[-500:]}\n{run.stderr}"
    return run
