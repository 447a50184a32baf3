"""A pytest plugin that runs the collected tests on each mutant of a build, in a fork for each.

First all tests run on the package as it is, which must pass, and note which mutants each of them reaches. In a fork
they must pass again: one that cannot run twice, or not there, would fail for each mutant that it reaches. A mutant
then faces the tests that reach it, the quick ones first, until one fails. Results go as JSON lines to the end of the
file that ISOTP_MUTATION_OUTCOMES names.
"""

from __future__ import annotations

import faulthandler
import functools
import json
import os
import resource
import select
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from _pytest.runner import runtestprotocol

from isotp import _core
from isotp.bulk import _reassembler
from tests.conformance import paths

# A test hangs that takes so much of the processor's time, and so many times what it took on the package as it is,
CPU_S, CPU_TIMES = 2.0, 20.0
# or so long altogether. Time in which this process did not run, on a machine that was stopped, does not count.
PATIENCE_S = 30.0
LOOK_S = 0.5
MEMORY = 4 << 30
# The compiler of types does not know what the build adds.
MODULES: tuple[Any, ...] = (_core, _reassembler)

_register = hypothesis.settings.register_profile


def without_shrinking(name: str, *arguments: Any, **settings: Any) -> None:
    """That a test fails is enough, and it must fail for the same mutants in each run."""
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    _register(name, *arguments, **{**settings, "phases": phases, "derandomize": True, "database": None})


# Its own class refuses an assignment.
type.__setattr__(hypothesis.settings, "register_profile", staticmethod(without_shrinking))
without_shrinking("mutation")
hypothesis.settings.load_profile("mutation")

_build_native = paths.build_native


@functools.cache
def build_native_once() -> Any:
    """Each test runs as if it were the last one of its module, whose driver is not to be built each time."""
    return _build_native(Path(tempfile.mkdtemp(dir=os.environ["ISOTP_MUTATION_FOLDER"])))


paths.build_native = lambda folder: build_native_once()


@dataclass
class Child:
    """A fork that runs tests on one mutant."""

    mutant: int
    pid: int
    pipe: int
    silent_s: float = 0.0
    test: str = ""


def passes(item: pytest.Item) -> bool:
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    reaching = tests_by_mutant(session.items)
    require_that_they_pass_again(reaching)
    mutants: list[int] = json.loads(os.environ["ISOTP_MUTANTS"])
    with Path(os.environ["ISOTP_MUTATION_OUTCOMES"]).open("a") as report:
        for outcome in run_all(mutants, reaching):
            print(json.dumps(outcome), file=report, flush=True)
    return True


def tests_by_mutant(items: list[pytest.Item]) -> dict[int, list[tuple[float, pytest.Item]]]:
    """The tests that reach each mutant, with the time that each took, on the package as it is."""
    reaching: dict[int, list[tuple[float, pytest.Item]]] = {}
    for item in items:
        for module in MODULES:
            module.isotp_forget_reached()
        start = time.perf_counter()
        if not passes(item):
            raise pytest.UsageError(f"fails on the package as it is: {item.nodeid}")
        taken = time.perf_counter() - start
        for mutant in {mutant for module in MODULES for mutant in module.isotp_reached_mutants()}:
            reaching.setdefault(mutant, []).append((taken, item))
    return reaching


def require_that_they_pass_again(reaching: dict[int, list[tuple[float, pytest.Item]]]) -> None:
    """In the same way as on a mutant, but on none."""
    tests = {item.nodeid: (taken, item) for pairs in reaching.values() for taken, item in pairs}
    child = start_child(0, list(tests.values()))
    while child not in wait_for([child]):
        """It says which test it is at."""
    killed = ended(child)["killed"]
    if killed:
        raise pytest.UsageError(f"a second time, on the package as it is, {killed}")


def run_all(
    mutants: list[int], reaching: dict[int, list[tuple[float, pytest.Item]]]
) -> Iterator[dict[str, Any]]:
    for mutant in mutants:
        if mutant not in reaching:
            yield {"mutant": mutant, "killed": None, "reached": 0}
    waiting = [mutant for mutant in mutants if mutant in reaching]
    running: list[Child] = []
    while waiting or running:
        while waiting and len(running) < int(os.environ["ISOTP_MUTATION_JOBS"]):
            mutant = waiting.pop()
            running.append(start_child(mutant, sorted(reaching[mutant], key=lambda pair: pair[0])))
        for child in wait_for(running):
            running.remove(child)
            yield {**ended(child), "reached": len(reaching[child.mutant])}


def start_child(mutant: int, tests: list[tuple[float, pytest.Item]]) -> Child:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return Child(mutant, pid, reader)
    status = 2
    try:
        # A crash is told by the status.
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        for module in MODULES:
            module.isotp_choose_mutant(mutant)
        status = 0
        for taken, item in tests:
            # Ends the process by SIGPROF
            signal.setitimer(signal.ITIMER_PROF, CPU_S + CPU_TIMES * taken)
            os.write(writer, item.nodeid.encode() + b"\n")
            if not passes(item):
                status = 1
                break
    finally:
        os._exit(status)


def wait_for(running: list[Child]) -> list[Child]:
    """The children that ended, or that hang, of which there are some."""
    while True:
        before = time.monotonic()
        readable, _, _ = select.select([child.pipe for child in running], [], [], LOOK_S)
        looked_s = min(time.monotonic() - before, 2 * LOOK_S)
        done = []
        for child in running:
            if child.pipe in readable:
                words = os.read(child.pipe, 65536)
                if not words:
                    done.append(child)
                    continue
                child.silent_s = 0.0
                child.test = words.decode().split("\n")[-2]
            else:
                child.silent_s += looked_s
                if child.silent_s > PATIENCE_S:
                    done.append(child)
        if done:
            return done


def ended(child: Child) -> dict[str, Any]:
    hangs = child.silent_s > PATIENCE_S
    if hangs:
        os.kill(child.pid, signal.SIGKILL)
    os.close(child.pipe)
    _, status = os.waitpid(child.pid, 0)
    hangs |= os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF
    how = "hangs" if hangs else "crashes" if os.WIFSIGNALED(status) else "fails" if status else None
    return {"mutant": child.mutant, "killed": how and f"{how}: {child.test}"}
