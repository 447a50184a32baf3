"""Four ways to move ISO-TP messages over a CAN interface of Linux, in one run: how many frames a second.

.. code-block:: sh

    python -m benchmarks.kernel

runs them on vcan0, in the virtual machine of ``tests/kernel/run.py`` where this system has no such bus. The
CPU of that machine is emulated: its times mean nothing in themselves, only ratios within one run do, and they
favour whatever an emulator does well.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import machine, peer_env
from benchmarks.cases import CLIENT_ID, SERVER_ID, Workload, expect, parameters, payloads, raise_error
from benchmarks.rounds import ROOT, Side, report_of
from benchmarks.worker import OURS, PEER, Timing, identify, measure, positive

INTERFACE = "vcan0"
RUNNER = ROOT / "tests" / "kernel" / "run.py"
# Only a failing run waits so long.
PATIENCE_S = 120.0
TURN_TIMEOUT_S = 600
# linux/socket.h; Python has no name for it. Room for whole messages that come without STmin.
SO_RCVBUFFORCE, ROOM = 33, 8 << 20


@dataclass(frozen=True)
class Transfer:
    """What is sent: the same by all who take part."""

    length: int
    blocksize: int
    fd: bool
    frames: int
    """Frames on the bus for one message, Flow Control included."""


TRANSFERS = {
    # FF with 6 bytes, 585 CFs with 7, one FC; with BS 8 another after every 8 CFs but the last.
    "classic-4095-bs0": Transfer(4095, 0, False, 1 + 585 + 1),
    "classic-4095-bs8": Transfer(4095, 8, False, 1 + 585 + 1 + 73),
    # FF with 62 bytes, 65 CFs with 63.
    "fd-4095-bs0": Transfer(4095, 0, True, 1 + 65 + 1),
    "single-frame": Transfer(7, 0, False, 1),
}
SESSIONS = {"sessions-1": 1, "sessions-10": 10, "sessions-100": 100, "sessions-1000": 1000}
SESSION_SIZE, SESSION_FRAMES = 20, 4


class OneWay:
    """Messages from one end to the other, one after the other."""

    def __init__(self, send: Callable[[bytes], Any], recv: Callable[[], Any], transfer: Transfer) -> None:
        self.units = transfer.frames
        self.send, self.recv = send, recv
        self.payloads = payloads(transfer.length)

    def run(self, messages: int) -> list[Any]:
        received = []
        for payload in islice(cycle(self.payloads), messages):
            self.send(payload)
            received.append(self.recv())
        return received

    def verify(self, messages: int, received: list[Any]) -> None:
        expect(cycle(self.payloads), received, messages)


class AllAtOnce:
    """Messages of many sessions to their ECUs, all sent before the first is taken."""

    def __init__(self, testers: Sequence[Any], ecus: Sequence[Any]) -> None:
        self.testers, self.ecus = testers, ecus
        self.units = len(testers) * SESSION_FRAMES
        both = payloads(SESSION_SIZE - 2)
        self.payloads = [[k.to_bytes(2, "big") + each for k in range(len(testers))] for each in both]

    def run(self, messages: int) -> list[Any]:
        received = []
        for batch in islice(cycle(self.payloads), messages):
            for tester, payload in zip(self.testers, batch, strict=True):
                tester.send(payload)
            received.append([ecu.recv(block=True, timeout=PATIENCE_S) for ecu in self.ecus])
        return received

    def verify(self, messages: int, received: list[Any]) -> None:
        expect(cycle(self.payloads), received, messages)


def open_bus(cleanup: ExitStack, fd: bool = False) -> Any:
    """Return python-can's bus, with the room that isotp's own sockets ask for."""
    import can

    bus = cleanup.enter_context(can.Bus(interface="socketcan", channel=INTERFACE, fd=fd))
    bus.socket.setsockopt(1, SO_RCVBUFFORCE, ROOM)
    return bus


def kernel_sockets(cleanup: ExitStack, transfer: Transfer) -> Workload:
    """The kernel's own ISO-TP, by the sockets of this package."""
    import isotp

    ends = []
    for txid, rxid in ((CLIENT_ID, SERVER_ID), (SERVER_ID, CLIENT_ID)):
        end = cleanup.enter_context(isotp.socket(PATIENCE_S))
        end.set_fc_opts(stmin=0, bs=transfer.blocksize)
        # The sender is not told of an end unless it asks for it, and would overrun the receiver's queue.
        end.set_opts(optflag=isotp.socket.flags.WAIT_TX_DONE)
        if transfer.fd:
            end.set_ll_opts(mtu=isotp.socket.LinkLayerProtocol.CAN_FD, tx_dl=64)
        end.bind(INTERFACE, isotp.Address(txid=txid, rxid=rxid))
        ends.append(end)
    return OneWay(ends[0].send, ends[1].recv, transfer)


def stacks(make: Callable[..., Any], cleanup: ExitStack, transfer: Transfer) -> Workload:
    """Two started layers."""
    import isotp

    params = parameters(transfer.blocksize, transfer.fd, transfer.length)
    ends = []
    for txid, rxid in ((CLIENT_ID, SERVER_ID), (SERVER_ID, CLIENT_ID)):
        address = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=txid, rxid=rxid)
        end = make(cleanup, transfer.fd, address=address, params=params, error_handler=raise_error)
        end.start()
        cleanup.callback(end.stop)
        ends.append(end)
    return OneWay(ends[0].send, partial(ends[1].recv, block=True, timeout=PATIENCE_S), transfer)


def socketcan_stack(cleanup: ExitStack, fd: bool, **kwargs: Any) -> Any:
    import isotp

    return cleanup.enter_context(isotp.SocketCanStack(INTERFACE, **kwargs))


def can_stack(cleanup: ExitStack, fd: bool, **kwargs: Any) -> Any:
    import isotp

    return isotp.CanStack(open_bus(cleanup, fd), **kwargs)


def many(make_session: Callable[..., Any], cleanup: ExitStack, sessions: int) -> Workload:
    """Started sessions of a tester and their ECUs; `make_session(side)` gives what makes one."""
    import isotp

    params = parameters(blocksize=0, fd=False, length=SESSION_SIZE)
    sides: list[list[Any]] = []
    for tx, rx in ((0x10000, 0x20000), (0x20000, 0x10000)):
        make = make_session(cleanup)
        sides.append([])
        for k in range(sessions):
            address = isotp.Address(isotp.AddressingMode.Normal_29bits, txid=tx + k, rxid=rx + k)
            sides[-1].append(make(address=address, params=params, error_handler=raise_error))
            sides[-1][-1].start()
            cleanup.callback(sides[-1][-1].stop)
    return AllAtOnce(*sides)


def raw_hub(cleanup: ExitStack) -> Callable[..., Any]:
    import isotp

    session: Callable[..., Any] = cleanup.enter_context(isotp.Hub(INTERFACE)).session
    return session


def python_can_hub(cleanup: ExitStack) -> Callable[..., Any]:
    import isotp

    session: Callable[..., Any] = cleanup.enter_context(isotp.Hub(open_bus(cleanup))).session
    return session


def notifier_based(cleanup: ExitStack) -> Callable[..., Any]:
    import can

    import isotp

    bus = open_bus(cleanup)
    notifier = can.Notifier(bus, [])
    cleanup.callback(notifier.stop)
    return partial(isotp.NotifierBasedCanStack, bus, notifier)


@dataclass(frozen=True)
class Contender:
    """One of those that are measured."""

    distribution: str
    prepare: Callable[[ExitStack, Any], Workload]
    most_sessions: int = 1000


TRANSFER_CONTENDERS = {
    "can-isotp CanStack": Contender(PEER, partial(stacks, can_stack)),
    "CanStack": Contender(OURS, partial(stacks, can_stack)),
    "SocketCanStack": Contender(OURS, partial(stacks, socketcan_stack)),
    "kernel ISO-TP": Contender(OURS, kernel_sockets),
}
SESSION_CONTENDERS = {
    # Under emulation a hundred of them, two threads each, take minutes for one frame each.
    "can-isotp NotifierBased": Contender(PEER, partial(many, notifier_based), most_sessions=10),
    "Hub on python-can": Contender(OURS, partial(many, python_can_hub)),
    "Hub": Contender(OURS, partial(many, raw_hub)),
}


def contenders(case: str) -> dict[str, Contender]:
    """Return who takes part in a case; ValueError if there is no such case."""
    if case in TRANSFERS:
        return TRANSFER_CONTENDERS
    if case not in SESSIONS:
        raise ValueError(f"no case is called {case!r}; there are: {', '.join((*TRANSFERS, *SESSIONS))}")
    sessions = SESSIONS[case]
    return {name: each for name, each in SESSION_CONTENDERS.items() if sessions <= each.most_sessions}


@contextmanager
def workload(case: str, name: str) -> Iterator[Workload]:
    """Set the workload of a contender up, and take it down."""
    with ExitStack() as cleanup:
        yield contenders(case)[name].prepare(cleanup, TRANSFERS.get(case) or SESSIONS[case])


def take_turn(case: str, name: str, version: str, seconds: float) -> None:
    """Measure one contender in this process, and print its timing."""
    identify(contenders(case)[name].distribution, version)
    with workload(case, name) as each:
        print(json.dumps(asdict(measure(each, seconds, seconds / 4))), flush=True)


def turn(side: Side, case: str, name: str, seconds: float) -> Timing:
    """Have a contender measured in a process of its own; RuntimeError with its error output if it fails."""
    command = [str(side.python), "-m", "benchmarks.kernel", "--turn", name, "--seconds", str(seconds)]
    command += ["--version", side.version, case]
    return Timing(**report_of(side, command, f"{name} in {case}", TURN_TIMEOUT_S))


def lines(case: str, timings: dict[str, list[Timing]]) -> list[str]:
    """Return the result of a case: frames a second, and how many times those of can-isotp they are."""
    names = list(timings)
    peer = next((name for name in names if contenders(case)[name].distribution == PEER), None)
    result = [case]
    for name in names:
        rate = median(1e9 / each.ns_per_unit for each in timings[name])
        line = f"  {name:24} {rate:10.0f} frames/s"
        if peer is not None:
            ratios = [
                before.ns_per_unit / each.ns_per_unit
                for before, each in zip(timings[peer], timings[name], strict=True)
            ]
            line += f"  {median(ratios):6.1f}x can-isotp ({min(ratios):.1f}..{max(ratios):.1f})"
        result.append(line)
    return result


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(prog="python -m benchmarks.kernel", description=__doc__.split("\n")[0])
    result.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join((*TRANSFERS, *SESSIONS))}")
    result.add_argument("--rounds", type=int, default=3, help="rounds to run (default: 3)")
    result.add_argument("--seconds", type=positive, default=2.0, help="time of a measurement (default: 2)")
    result.add_argument("--timeout", type=float, default=1800, help="seconds for everything (default: 1800)")
    result.add_argument("--peer-version", default=peer_env.DEFAULT_VERSION, help="release of can-isotp")
    result.add_argument("--json", type=Path, metavar="FILE", help="write everything measured into a file")
    # What the command runs itself with, in the virtual machine and for each turn.
    result.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    result.add_argument("--turn", help=argparse.SUPPRESS)
    result.add_argument("--version", help=argparse.SUPPRESS)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    command_line = parser()
    options = command_line.parse_args(arguments)
    chosen = options.cases or [*TRANSFERS, *SESSIONS]
    try:
        for case in chosen:
            contenders(case)
        if options.rounds < 1:
            raise ValueError(f"rounds must be at least 1, not {options.rounds}")
    except ValueError as error:
        command_line.error(str(error))
    if options.turn is not None:
        take_turn(chosen[0], options.turn, options.version, options.seconds)
        return 0
    peer = Side(PEER, options.peer_version, peer_env.make(options.peer_version))
    if not options.here and runpy.run_path(str(RUNNER))["lacking"]() is not None:
        again = [sys.executable, "-m", "benchmarks.kernel", "--here", *(arguments or sys.argv[1:])]
        runner = [sys.executable, str(RUNNER), "--timeout", str(options.timeout), "--", *again]
        return subprocess.run(runner, cwd=ROOT, check=False).returncode
    ours = Side(OURS, importlib.metadata.version(OURS), Path(sys.executable))
    sides = {PEER: peer, OURS: ours}
    measured: dict[str, dict[str, list[Timing]]] = {}
    for case in chosen:
        timings: dict[str, list[Timing]] = {name: [] for name in contenders(case)}
        for _ in range(options.rounds):
            for name, turns in timings.items():
                side = sides[contenders(case)[name].distribution]
                turns.append(turn(side, case, name, options.seconds))
        measured[case] = timings
        print("\n".join(lines(case, timings)), flush=True)
    facts = machine.facts()
    print(", ".join(f"{key}: {value}" for key, value in facts.items()))
    if options.here:
        print("in a virtual machine with an emulated CPU: only ratios within this run mean something")
    if options.json is not None:
        raw = {
            case: {name: [asdict(each) for each in turns] for name, turns in timings.items()}
            for case, timings in measured.items()
        }
        options.json.write_text(
            json.dumps({"machine": facts, "timings": raw}, indent=1) + "\n", encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
