"""Many sessions on one bus: does a frame cost more when there are more of them?

Our sessions belong to a Hub on either side; those of can-isotp are NotifierBasedCanStack objects, on one notifier.
"""

from __future__ import annotations

import queue
import random
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import isotp
from benchmarks.case import FULL, QUICK, Case, Repeated, Stage, Workload
from benchmarks.object_path import expect, parameters, raise_error

if TYPE_CHECKING:
    import can

# What can-isotp needs for one payload of each grows with their square.
PEER_LIMIT = 100


def one_way_bus(
    frames: queue.SimpleQueue[tuple[can.Message, can.Notifier]], heard_by: can.Notifier
) -> can.BusABC:
    """Return a bus of python-can that only sends: into a queue, beside the notifier whose listeners are to hear it."""
    import can

    class OneWayBus(can.BusABC):
        def __init__(self) -> None:
            super().__init__(channel=None)
            # There is nothing to shut down.
            self._is_shutdown = True

        def send(self, msg: can.Message, timeout: float | None = None) -> None:
            frames.put((msg, heard_by))

    return OneWayBus()


class Sessions:
    """Many sessions of a tester and their ECUs on one bus; all send at once, one payload each.

    On can-isotp a session is a NotifierBasedCanStack, which is what that package has for it; on this package
    it belongs to a Hub. The notifiers have no bus of their own: run() takes each frame from the senders' side
    and gives it to the listeners of the other, as python-can's thread would.
    """

    SIZE = 20
    # FF, two CFs, FC
    FRAMES = 4
    # Only a failing run waits so long.
    PATIENCE_S = 120.0

    def __init__(self, sessions: int) -> None:
        import can

        if not 1 <= sessions <= 10_000:
            raise ValueError(f"sessions must be 1 to 10000, not {sessions}")
        self.units = sessions * self.FRAMES
        self.frames: queue.SimpleQueue[tuple[can.Message, can.Notifier]] = queue.SimpleQueue()
        testers, ecus = can.Notifier([], []), can.Notifier([], [])
        self.testers = self.layers(one_way_bus(self.frames, ecus), testers, 0, sessions)
        self.ecus = self.layers(one_way_bus(self.frames, testers), ecus, sessions, 0)
        generator = random.Random(15765)
        self.payloads = [[generator.randbytes(self.SIZE) for _ in range(sessions)] for _ in range(2)]

    def layers(self, bus: can.BusABC, notifier: can.Notifier, tx: int, rx: int) -> list[isotp.TransportLayer]:
        """Return one started session for each pair of identifiers from `tx` and `rx` on."""
        sessions = tx or rx
        params = parameters(blocksize=0, fd=False, length=self.SIZE)
        make: Callable[..., isotp.TransportLayer]
        if hasattr(isotp, "Hub"):
            make = isotp.Hub(bus, notifier).session
        else:
            make = partial(isotp.NotifierBasedCanStack, bus, notifier)
        layers = []
        for k in range(sessions):
            address = isotp.Address(isotp.AddressingMode.Normal_29bits, txid=tx + k, rxid=rx + k)
            layers.append(make(address=address, error_handler=raise_error, params=params))
            layers[-1].start()
        return layers

    def run(self, messages: int) -> list[Any]:
        received = []
        for payloads in islice(cycle(self.payloads), messages):
            for tester, payload in zip(self.testers, payloads, strict=True):
                tester.send(payload)
            for _ in range(self.units):
                message, notifier = self.frames.get(timeout=self.PATIENCE_S)
                for listener in notifier.listeners:
                    listener(message)
            received.append([ecu.recv(block=True, timeout=self.PATIENCE_S) for ecu in self.ecus])
        return received

    def verify(self, messages: int, received: list[Any]) -> None:
        expect(cycle(self.payloads), received, messages)
        if not self.frames.empty():
            raise RuntimeError(f"there are more frames on the bus than the {self.FRAMES} a session")


def sessions_case(sessions: int, goal: float | None, mode: str) -> Case:
    """Return the case of so many sessions."""

    def prepare(stage: Stage) -> Workload:
        return Sessions(sessions)

    role = Repeated(prepare, needs=("can",))
    return Case(
        f"sessions-{sessions}",
        "sessions",
        f"{sessions} sessions on one bus, all sending at once: is a frame dearer when there are more?",
        {"ours": role, **({"peer": role} if sessions <= PEER_LIMIT else {})},
        goal=goal,
        mode=mode,
        waits=True,
        x=sessions,
    )


CASES = (
    sessions_case(1, 5, mode=QUICK),
    sessions_case(10, 20, mode=QUICK),
    sessions_case(100, 100, mode=FULL),
    sessions_case(1000, None, mode=QUICK),
)
