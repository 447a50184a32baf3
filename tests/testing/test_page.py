"""The six tests of docs/testing.md pass, and each of them fails when what it is about is broken in the client."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import isotp
from isotp.testing import HeldClock, Peer, Wire
from tests.documentation import A_TEST, DOCS, FIRST_LINES, TESTED, blocks

PAGE = blocks(DOCS / "testing.md")
(CLIENT,) = (block.text for block in PAGE if block.note == TESTED)
(BEGINNING,) = (block.text for block in PAGE if block.note == FIRST_LINES)
TESTS = {block.text.split("(")[0].removeprefix("def "): block.text for block in PAGE if block.note == A_TEST}


def test_there_are_six_short_tests() -> None:
    assert len(TESTS) == 6
    assert all(text.count("\n") < 20 for text in TESTS.values())


def test_pytest_runs_them_with_the_plugin(tmp_path: Path) -> None:
    """As a user has them: two files, and fixtures that pytest finds."""
    (tmp_path / "uds_client.py").write_text(CLIENT)
    (tmp_path / "test_uds_client.py").write_text("\n\n".join([BEGINNING, *TESTS.values()]))
    environment = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        # Where the package is that this test uses: a checkout's sources are not compiled, as a rule.
        "PYTHONPATH": os.pathsep.join([str(Path(isotp.__file__).parents[1]), str(tmp_path)]),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "_can_isotp_cython_pytest", "-c", os.devnull, "."]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "6 passed" in run.stdout


def play(name: str, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run one test of the page with this client."""
    module = types.ModuleType("uds_client")
    exec(compile(client, "uds_client.py", "exec"), vars(module))
    monkeypatch.setitem(sys.modules, "uds_client", module)
    names: dict[str, Any] = {}
    exec(compile(BEGINNING + TESTS[name], f"{name}.py", "exec"), names)
    clock = HeldClock()
    peers: list[Peer] = []
    with Wire(clock) as wire:

        def make_peer(*args: Any) -> Peer:
            peers.append(Peer(wire, *args))
            return peers[-1]

        fixtures = {"isotp_wire": wire, "isotp_clock": clock, "isotp_peer": make_peer}
        test = names[name]
        test(**{each: fixtures[each] for each in test.__code__.co_varnames[: test.__code__.co_argcount]})
        for peer in peers:
            peer.check()


# What is broken in the client or the ECU, and the tests that are about it.
MUTATIONS = {
    "it asks once": (
        "tries=2",
        "tries=1",
        {
            "test_a_lost_frame_costs_one_more_try",
            "test_an_answer_with_a_wrong_sequence_number",
            "test_an_ecu_that_is_silent",
        },
    ),
    "it waits too long": ("longest = self.p2\n", "longest = 2 * self.p2\n", {"test_an_ecu_that_is_silent"}),
    "it waits too short": ("longest = self.p2\n", "longest = self.p2 / 2\n", {"test_an_ecu_that_is_silent"}),
    "it never gives up": (
        "raise TimeoutError(",
        "return TimeoutError(",
        {"test_an_ecu_that_is_silent", "test_a_flow_control_that_is_late"},
    ),
    "all may program at once": (
        "not in (None, session)",
        "is self",
        {"test_an_ecu_under_two_testers"},
    ),
    "the wrong tester gets the answer": (
        "to=session: to.send(",
        "to=session: session.send(",
        {"test_an_ecu_under_two_testers"},
    ),
    "it does not look whether an answer breaks off": (
        ", until_begin=True",
        "",
        {"test_an_answer_with_a_wrong_sequence_number"},
    ),
    "an answer that breaks off is the end": (
        "(isotp.BlockingSendFailure, isotp.BlockingReceiveFailure)",
        "isotp.BlockingSendFailure",
        {"test_an_answer_with_a_wrong_sequence_number"},
    ),
    "a request that could not be sent is the end": (
        "(isotp.BlockingSendFailure, isotp.BlockingReceiveFailure)",
        "isotp.BlockingReceiveFailure",
        {"test_a_flow_control_that_is_late", "test_a_lost_frame_costs_one_more_try"},
    ),
    "it does not wait for longer when it is asked to": (
        "longest = self.p2_star",
        "pass",
        {"test_an_ecu_that_is_busy"},
    ),
    "it takes 'wait' for an answer": (
        "bytes([0x7F, service, 0x78])",
        "None",
        {"test_an_ecu_that_is_busy"},
    ),
}


@pytest.mark.parametrize("name", TESTS)
def test_it_passes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    play(name, CLIENT, monkeypatch)


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_it_fails_when_its_behaviour_is_broken(mutation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after, about = MUTATIONS[mutation]
    assert CLIENT.count(before) == 1
    failing = set()
    for name in TESTS:
        try:
            play(name, CLIENT.replace(before, after), monkeypatch)
        except (Exception, pytest.fail.Exception):
            failing.add(name)
    assert failing == about


def test_each_test_fails_for_some_mutation() -> None:
    assert {name for _, _, about in MUTATIONS.values() for name in about} == set(TESTS)
