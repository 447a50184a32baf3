"""Does a frame cost more when there are more sessions on the bus? Measure it from 1 to 1000 sessions.

Our sessions belong to one Hub; those of can-isotp are NotifierBasedCanStack objects, on one notifier:

.. code-block:: sh

    python -m benchmarks.sessions

The workload is that of the cases ``sessions-N``. A thousand sessions of can-isotp, with two threads each and
every frame offered to every one of them, are not measured: a hundred tell enough.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import queue
import random
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import can

import isotp
from benchmarks import machine, peer_env
from benchmarks.cases import case, expect, parameters, raise_error
from benchmarks.rounds import Settings, Side, run_turn
from benchmarks.worker import OURS, PEER, Timing

COUNTS = (1, 10, 100, 1000)
PEER_LIMIT = 100


class OneWayBus(can.BusABC):
    """A python-can bus that only sends: into a queue, beside the notifier whose listeners are to hear it."""

    def __init__(
        self, frames: queue.SimpleQueue[tuple[can.Message, can.Notifier]], heard_by: can.Notifier
    ) -> None:
        super().__init__(channel=None)
        self._frames = frames
        self._heard_by = heard_by
        # There is nothing to shut down.
        self._is_shutdown = True

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        self._frames.put((msg, self._heard_by))


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
        if not 1 <= sessions <= 10_000:
            raise ValueError(f"sessions must be 1 to 10000, not {sessions}")
        self.units = sessions * self.FRAMES
        self.frames: queue.SimpleQueue[tuple[can.Message, can.Notifier]] = queue.SimpleQueue()
        testers, ecus = can.Notifier([], []), can.Notifier([], [])
        self.testers = self.layers(OneWayBus(self.frames, ecus), testers, 0, sessions)
        self.ecus = self.layers(OneWayBus(self.frames, testers), ecus, sessions, 0)
        generator = random.Random(15765)
        self.payloads = [[generator.randbytes(self.SIZE) for _ in range(sessions)] for _ in range(2)]

    def layers(self, bus: OneWayBus, notifier: can.Notifier, tx: int, rx: int) -> list[isotp.TransportLayer]:
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


def table(measured: dict[int, list[tuple[Timing, Timing | None]]]) -> list[str]:
    """Return the lines of the result: medians of nanoseconds a frame, by number of sessions."""
    lines = [f"{'sessions':>8}  {OURS:>20}  {PEER:>12}"]
    for count, turns in measured.items():
        ours = median(ours.ns_per_unit for ours, _ in turns)
        peers = [peer.ns_per_unit for _, peer in turns if peer is not None]
        lines.append(
            f"{count:8}  {ours:17.0f} ns  " + (f"{median(peers):9.0f} ns" if peers else f"{'-':>12}")
        )
    return lines


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(prog="python -m benchmarks.sessions", description=__doc__.split("\n")[0])
    result.add_argument("--rounds", type=int, default=5, help="rounds to run (default: 5)")
    result.add_argument("--peer-version", default=peer_env.DEFAULT_VERSION, help="release of can-isotp")
    result.add_argument("--peer-dir", type=Path, help="where can-isotp is kept (default: ~/.cache)")
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    command_line = parser()
    options = command_line.parse_args(arguments)
    if options.rounds < 1:
        command_line.error(f"rounds must be at least 1, not {options.rounds}")
    ours = Side(OURS, importlib.metadata.version(OURS), Path(sys.executable))
    peer = Side(PEER, options.peer_version, peer_env.make(options.peer_version, options.peer_dir))
    cpu = machine.cores()[-1] if hasattr(os, "sched_setaffinity") else None
    how = Settings(options.rounds, 0.5, 0.2, cpu)
    measured: dict[int, list[tuple[Timing, Timing | None]]] = {count: [] for count in COUNTS}
    for _ in range(options.rounds):
        for count, turns in measured.items():
            chosen = case(f"sessions-{count}")
            first = run_turn(ours, chosen, how)
            turns.append((first, run_turn(peer, chosen, how) if count <= PEER_LIMIT else None))
    print("\n".join(table(measured)))
    print(", ".join(f"{key}: {value}" for key, value in machine.facts().items()))
    print(
        f"nanoseconds a frame, medians of {options.rounds} rounds by turns, every turn a process of its own"
    )


if __name__ == "__main__":
    main()
