"""The blocks of the documentation that need the kernel's sockets, run where it has them."""

from __future__ import annotations

import pytest

from tests.documentation import DOCS, ON_A_KERNEL, Block, blocks, check_block

pytestmark = pytest.mark.kernel

BLOCKS = [block for page in sorted(DOCS.glob("*.md")) for block in blocks(page) if block.note == ON_A_KERNEL]


@pytest.mark.parametrize("block", [pytest.param(block, id=block.name) for block in BLOCKS])
def test_block_runs(block: Block) -> None:
    assert block.output, "the page does not say what it prints"
    check_block(block)
