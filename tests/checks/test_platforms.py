"""The checks of other platforms: their page is of their last runs, and what they leave out is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.debian_archive import paragraphs
from checks.platforms import left_out, page

TESTS = Path(__file__).parents[1]


def test_the_page_is_made_of_the_last_runs() -> None:
    """After `python -m checks.platforms PLATFORM --store`: `make platforms-page`."""
    assert page.PAGE.read_text(encoding="utf-8") == page.page()


def test_nothing_failed_in_the_runs_that_the_page_shows() -> None:
    failed = {name: page.failures(name) for name in page.RUNS}
    assert not any(failed.values()), failed


@pytest.mark.parametrize("pattern", [each for kind in left_out.LEFT_OUT.values() for each, _ in kind])
def test_what_is_left_out_is_there(pattern: str) -> None:
    file, _, name = pattern.removeprefix("*").partition("::")
    text = "".join(path.read_text(encoding="utf-8") for path in TESTS.rglob(file or "test_*.py"))
    assert f"def {name.rstrip('*')}" in text


def test_sources_of_apt() -> None:
    text = "# mirror\nTypes: deb\nURIs: http://a\n http://b\nSuites: x\n\nTypes: deb-src\n"
    assert list(paragraphs(text)) == [
        {"types": "deb", "uris": "http://a http://b", "suites": "x"},
        {"types": "deb-src"},
    ]
