"""ISO-TP over a CAN interface of Linux: the layers, can-isotp's, and the kernel's own ISO-TP sockets.

They need vcan0. Where the CPU is emulated, as in the virtual machine of ``checks/kernel/run.py``, times mean nothing in
themselves, only ratios within one run do, and they favour whatever an emulator does well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Any

from benchmarks.case import Case, Repeated, Workload
from benchmarks.object_path import CLIENT_ID, SERVER_ID, expect, parameters, payloads, raise_error

INTERFACE = "vcan0"
# Only a failing run waits so long.
PATIENCE_S = 120.0
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


def transfer_role(
    make: Callable[[ExitStack, Transfer], Workload], transfer: Transfer, *needs: str
) -> Repeated:
    return Repeated(lambda stage: make(stage.cleanup, transfer), needs)


def sessions_role(make: Callable[[ExitStack], Callable[..., Any]], sessions: int, *needs: str) -> Repeated:
    return Repeated(lambda stage: many(make, stage.cleanup, sessions), needs)


def transfer_cases(name: str, transfer: Transfer) -> list[Case]:
    """Return the cases of one kind of transfer: both of our layers for it."""
    stack = partial(stacks, can_stack)
    kernel = transfer_role(kernel_sockets, transfer)
    peer = transfer_role(stack, transfer, "can")
    return [
        Case(
            f"vcan-{name}-{layer}",
            "kernel",
            f"{text} over vcan0 by {layer}, started, beside can-isotp's CanStack and the kernel's ISO-TP sockets.",
            {"ours": role, "peer": peer, "beside": kernel},
            names={"beside": "kernel ISO-TP"},
            pinned=False,
            waits=True,
            interface=INTERFACE,
        )
        for layer, role, text in (
            ("SocketCanStack", transfer_role(partial(stacks, socketcan_stack), transfer), "Messages"),
            ("CanStack", peer, "The same"),
        )
    ]


def hub_cases(sessions: int) -> list[Case]:
    """Return the cases of so many sessions: a hub on a socket, and one on python-can."""
    # Under emulation a hundred of can-isotp's, two threads each, take minutes for one frame each.
    peer = {"peer": sessions_role(notifier_based, sessions, "can")} if sessions <= 10 else {}
    return [
        Case(
            f"vcan-sessions-{sessions}-{name}",
            "kernel",
            f"{sessions} sessions of a Hub on {what}, beside can-isotp's NotifierBasedCanStack objects.",
            {"ours": role, **peer},
            pinned=False,
            waits=True,
            x=sessions,
            interface=INTERFACE,
        )
        for name, what, role in (
            ("Hub", "a raw socket", sessions_role(raw_hub, sessions)),
            ("Hub-python-can", "python-can", sessions_role(python_can_hub, sessions, "can")),
        )
    ]


CASES = (
    *(case for name, transfer in TRANSFERS.items() for case in transfer_cases(name, transfer)),
    *(case for sessions in (1, 10, 100, 1000) for case in hub_cases(sessions)),
)
