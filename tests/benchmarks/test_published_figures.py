"""What the pages say about speed was measured: tables are made from benchmarks/results, none is typed by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import publish
from benchmarks.publish import MARKED, PAGES, ROOT

HOW = "python -m benchmarks.publish --tables"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_tables_are_those_of_the_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == publish.rewritten(text), f"{page.name} is not what {HOW} writes"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_ratio_is_typed_by_hand(page: Path) -> None:
    rest = MARKED.sub("", page.read_text(encoding="utf-8"))
    assert "<!-- benchmarks:" not in rest, "a table begins and does not end, or ends under another name"
    # 60x or 1.5x; not 0x7E0, and not can-isotp 1.x.
    assert not re.findall(r"(?<![\w.])\d+(?:\.\d+)?x(?!\w)", re.sub(r"```.*?```", "", rest, flags=re.DOTALL))


def test_a_table_that_was_touched_is_written_anew() -> None:
    page = next(page for page in PAGES if MARKED.search(page.read_text(encoding="utf-8")))
    text = page.read_text(encoding="utf-8")
    touched = MARKED.sub(lambda found: f"{found[1]}\n1000 times faster\n{found[4]}", text)
    assert touched != text
    assert publish.rewritten(touched) == text
    with pytest.raises(ValueError, match="no table 'dreams'"):
        publish.rewritten("<!-- benchmarks: dreams begin -->\n<!-- benchmarks: dreams end -->\n")


@pytest.mark.parametrize("file", sorted(publish.RESULTS.glob("*.json")), ids=lambda file: file.name)
def test_results_say_what_they_hold_for(file: Path) -> None:
    facts = json.loads(file.read_text(encoding="utf-8"))["machine"]
    assert re.match(r"20\d\d-\d\d-\d\dT", facts["date"])
    assert all(facts[name] for name in ("cpu", "cores", "system", "python", "packages"))


def test_there_are_results() -> None:
    assert publish.SUITE.exists()
    assert publish.SHARES.exists()


def test_what_was_not_measured_says_how_to_measure_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = tmp_path / "nothing.json"
    monkeypatch.setitem(publish.HOW, nothing, "python -m benchmarks.publish --vm")
    text = publish.of_report(nothing, publish.group("kernel"))()
    assert text == "Not measured yet: `python -m benchmarks.publish --vm` does."


def test_every_table_is_shown_somewhere() -> None:
    shown = {found[2] for page in PAGES for found in MARKED.finditer(page.read_text(encoding="utf-8"))}
    assert shown == set(publish.TABLES)
