"""The slips of English that `make lint` looks for: found in comments, docstrings and pages, also across lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.plain_english import main, slips


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It cannot be.\n", []),
        ("It can not be.\n", [(1, "can not", "cannot")]),
        ("It can not only read.\n", []),
        ("One.\n# It can\n# not be.\n", [(2, "can not", "cannot")]),
        ("    It can\n    not be.\n", [(1, "can not", "cannot")]),
        ("is dearer, till then\n", [(1, "dearer", "costs more"), (1, "till", "until")]),
        ("still, untilled\n", []),
    ],
)
def test_slips(text: str, found: list[tuple[int, str, str]]) -> None:
    assert list(slips(text)) == found


def test_a_page_with_a_slip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "good.md").write_text("All is well.\n")
    assert main(tmp_path) == 0
    (tmp_path / "docs" / "bad.md").write_text("\nAll can not be well.\n")
    assert main(tmp_path) == 1
    assert capsys.readouterr().out == "docs/bad.md:2: 'can not': cannot\n"
