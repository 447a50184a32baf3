"""Started layers on the wire of `isotp.testing`, beside the same on python-can's virtual bus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import isotp
from benchmarks.case import FULL, QUICK, Case, Measured, Observed, Stage
from benchmarks.object_path import raise_error
from benchmarks.started import (
    ECU,
    TESTER,
    Pair,
    can_stack,
    exchange,
    running,
    stream,
    tester_and_ecu,
)


@contextmanager
def layers_on_a_wire() -> Iterator[tuple[isotp.TransportLayer, isotp.TransportLayer, ExitStack]]:
    """Two layers of a wire, on real time."""
    from isotp.testing import Wire

    with ExitStack() as cleanup:
        wire = cleanup.enter_context(Wire())
        tester, ecu = (
            wire.layer(address, error_handler=raise_error, params={"blocksize": 8})
            for address in (TESTER, ECU)
        )
        yield tester, ecu, cleanup


@contextmanager
def stacks_on_its_bus() -> Iterator[tuple[isotp.TransportLayer, isotp.TransportLayer, ExitStack]]:
    """Two CanStacks, as a rig has them that opens another interface of python-can."""
    from isotp.testing.can_bus import WireBus

    with ExitStack() as cleanup:
        tester, ecu = (
            running(can_stack(cleanup.enter_context(WireBus("timing")), address, cleanup), cleanup)
            for address in (TESTER, ECU)
        )
        yield tester, ecu, cleanup


WHERE = {"Wire": layers_on_a_wire, "WireBus": stacks_on_its_bus}


def role(measure: Callable[[Pair, float], Measured], pair: Pair) -> Observed:
    def observe(stage: Stage, seconds: float) -> Measured:
        return measure(pair, seconds)

    return Observed(observe, needs=("can",))


def messages_of_8(pair: Pair, seconds: float) -> Measured:
    return exchange(pair, 8, False, seconds)


def cases() -> Iterator[Case]:
    """Yield every case."""
    virtual = partial(tester_and_ecu, can_stack)
    for place, pair in WHERE.items():
        what = {
            "exchange-8": (
                messages_of_8,
                "A request of 8 bytes and its answer: how long does a test wait for it?",
            ),
            "stream-4095": (
                stream,
                "Messages of 4095 bytes one after the other, BS 8: how fast can a rig be?",
            ),
        }
        for name, (measure, meaning) in what.items():
            yield Case(
                f"wire-{name}-{place}",
                "wire",
                meaning,
                {"ours": role(measure, pair), "beside": role(measure, virtual)},
                names={"ours": f"isotp.testing.{place}", "beside": "virtual bus"},
                mode=QUICK if place == "Wire" else FULL,
                pinned=False,
            )


CASES = tuple(cases())
