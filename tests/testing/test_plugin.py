"""The pytest plugin: what its fixtures do at the end of a test, seen from outside."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

TESTS = """
import isotp

TESTER = isotp.Address(txid=0x7E0, rxid=0x7E8)


def test_good(isotp_wire, isotp_peer):
    isotp_peer(TESTER.reversed(), "get 3E 00")
    isotp_wire.layer(TESTER).send(b"\\x3e\\x00")


def test_story_not_over(isotp_wire, isotp_peer):
    isotp_peer(TESTER.reversed(), "get 3E 00")


def test_fails(isotp_wire, isotp_peer):
    isotp_peer(TESTER.reversed(), "get 3E 00")
    isotp_wire.layer(TESTER).send(b"\\x3e\\x01")
    assert isotp_wire.errors


def test_one_clock(isotp_wire, isotp_clock):
    assert isotp_wire.clock is isotp_clock
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says of these tests."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "test_it.py").write_text(TESTS)
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "_can_isotp_cython_pytest", "-c", os.devnull, "-rA", "."]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert run.stderr == ""
    return run.stdout


def test_a_story_that_is_not_over_is_an_error(told: str) -> None:
    assert "ERROR test_it.py::test_story_not_over - AssertionError: peer:" in told
    assert "the story did not come to its end, it is at line 1: get 3E 00" in told


def test_a_test_that_failed_is_no_error_besides(told: str) -> None:
    assert "1 failed, 3 passed, 1 error" in told


def test_the_frames_are_shown_where_a_test_failed(told: str) -> None:
    shown = told.partition("frames on isotp_wire:")[2]
    assert "|-- 7E0  SF  02 3E 01 ---" in shown
    assert told.count("frames on isotp_wire:") == 1


def test_the_plugin_imports_nothing_of_isotp() -> None:
    """It is loaded in each run of pytest, wherever the package is installed."""
    program = "import sys, _can_isotp_cython_pytest; print([name for name in sys.modules if name.startswith('isotp')])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


@pytest.mark.parametrize("name", ["isotp", "_can_isotp_cython"])
def test_what_may_be_there_before_pytest_is_no_warning(name: str) -> None:
    """A wheel has its guard run at each start; and a program may have used the package."""
    assert "PYTEST_DONT_REWRITE" in (importlib.import_module(name).__doc__ or "")
