"""Runs the table of cases: on the object path, on the native path of the sockets, and on records in bulk.

One test for each rule and path; it names the cases that failed.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.cases import CASES, RULES
from tests.conformance.count import PAGE, page, rows
from tests.conformance.paths import NativePath, ObjectPath, check, play, play_in_bulk
from tests.conformance.story import Rule

by_rule = pytest.mark.parametrize("rule", RULES, ids=str)


@by_rule
def test_object_path(rule: Rule) -> None:
    check(rule, lambda case, mode: play(ObjectPath(case, mode), case.lines(mode)))


@pytest.fixture(scope="module")
def native_path(native_driver: Any) -> type[NativePath]:
    class Built(NativePath):
        native = native_driver

    return Built


@by_rule
def test_native_path(native_path: type[NativePath], rule: Rule) -> None:
    check(rule, lambda case, mode: play(native_path(case, mode), case.lines(mode)))


@by_rule
def test_bulk_path(rule: Rule) -> None:
    check(rule, play_in_bulk, in_bulk=True)


def test_each_rule_has_cases() -> None:
    assert {case.rule for case in CASES} == set(RULES)
    names = [(case.rule, case.name) for case in CASES]
    assert len(set(names)) == len(names)


def test_the_page_has_the_number_of_cases() -> None:
    assert sum(count for _, _, count, _ in rows()) == len(CASES)
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.conformance.count --page"
