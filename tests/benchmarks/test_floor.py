"""The layers of benchmarks/floor.py make the calls that ours make, as often and in the same order, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

import isotp
from benchmarks.case import Stage, Workload
from benchmarks.cases import case
from benchmarks.floor import Floor, floor, layer_class, roles
from benchmarks.object_path import Listening, RoundTrip, loopback

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="the floor needs a C compiler")

WORKLOADS = {
    "classic, BS 8": lambda: loopback(4095, blocksize=8, fd=False),
    "FD, longer than a burst": lambda: loopback(20_000, blocksize=0, fd=True),
    "single frames": RoundTrip,
    "listening": lambda: Listening(4095),
}


def watched(workload: Workload, calls: list[object]) -> Workload:
    """The workload, whose layers' calls of rxfn and txfn are noted, with what they were given and gave."""

    def watch(role: str, layer: isotp.TransportLayer) -> None:
        rxfn, txfn = layer._rxfn, layer.txfn

        def watching_rxfn(timeout: float) -> isotp.CanMessage | None:
            message = rxfn(timeout)
            calls.append((role, "rxfn", timeout, type(message)))
            return message

        def watching_txfn(message: isotp.CanMessage) -> None:
            calls.append((role, "txfn", type(message)))
            txfn(message)

        layer._wire_rxfn(watching_rxfn, True)
        layer.txfn = watching_txfn

    for role in roles(workload):
        watch(role, getattr(workload, role))
    return workload


@pytest.mark.parametrize("prepare", WORKLOADS.values(), ids=WORKLOADS.keys())
def test_the_floor_makes_the_calls_of_our_layers(prepare: Callable[[], Workload]) -> None:
    calls: list[object] = []
    ours = watched(prepare(), calls)
    below = floor(lambda: watched(prepare(), calls))
    assert below.units == ours.units
    made = []
    for workload in (ours, below):
        calls.clear()
        workload.verify(3, workload.run(3))
        made.append(list(calls))
    assert len(made[0]) > 3
    assert made[0] == made[1]


def test_the_floor_is_a_role_of_a_case(tmp_path: Path) -> None:
    with ExitStack() as cleanup:
        workload = case("single-frame").roles["floor"].prepare(Stage(cleanup, tmp_path))
    assert isinstance(workload, Floor)
    workload.verify(3, workload.run(3))
    with pytest.raises(RuntimeError, match="did not arrive"):
        workload.verify(3, [bytes(7)] * 6)


def test_a_case_without_a_floor_is_refused() -> None:
    with pytest.raises(ValueError, match="no floor for int"):
        roles(3)  # type: ignore[arg-type]


def test_a_layer_that_is_used_in_another_way_than_on_its_tape_says_so() -> None:
    layer = layer_class()(lambda timeout: None, None, b"r.", ())
    with pytest.raises(RuntimeError, match="out of step"):
        layer.process()
    with pytest.raises(RuntimeError, match="out of step"):
        layer.recv()
