"""The blocks of the documentation that need the kernel's sockets, run where it has them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.documentation import DOCS, ROOT, Block, blocks
from tests.test_documentation import ON_A_KERNEL

pytestmark = pytest.mark.kernel

BLOCKS = [block for page in sorted(DOCS.glob("*.md")) for block in blocks(page) if block.note == ON_A_KERNEL]


@pytest.mark.parametrize("block", [pytest.param(block, id=block.name) for block in BLOCKS])
def test_block_runs(block: Block) -> None:
    assert block.kind == "python"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", block.text],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert run.stdout, "it shows nothing"
