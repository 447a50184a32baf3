"""Started layers on python-can's SocketCAN bus, on a system that need have no CAN.

The sockets are not those of a CAN interface but a pair of connected UDP sockets on loopback. They carry the same frames
and the same time stamps of the kernel through the same system calls, so whoever uses them does not see a difference,
and both packages run the same bus of python-can. The figures are those of the layers and of what a datagram costs, not
of a driver, nor of a wire.

One thread sends at one end and receives at the other; the layers are started, and have threads of their own.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import cycle
from statistics import median
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import isotp
from benchmarks import pair_floor, started
from benchmarks.case import FLOOR_ROLE, FULL, QUICK, Case, Measured, Observed, Stage, percentiles
from benchmarks.kernel import SO_RCVBUFFORCE, TRANSFERS, Transfer
from benchmarks.object_path import parameters, payloads, raise_error
from benchmarks.started import ECU, PATIENCE_S, TESTER, microseconds, running

if TYPE_CHECKING:
    import can

GROUP = "SocketCAN"
INTERFACE = "pair"
# linux/can.h; Python has no name for it where there is no CAN.
SOL_CAN_RAW = 101
# Room for whole messages that come without STmin; the kernel counts some 800 bytes for a frame.
ROOM, ROOM_OF_A_FRAME = 8 << 20, 1024
# However slow, so many messages make a figure.
FEWEST = 10

# Returns a layer on an end of a pair; it is given the socket, whether it is CAN FD, and what a layer is made with.
MakeLayer = Callable[..., isotp.TransportLayer]
# Lets a payload go from the tester to the ECU, and back if it does; returns what arrived on the way.
Exchange = Callable[[isotp.TransportLayer, isotp.TransportLayer, bytes], "list[Any]"]


# --- the pair ---


class PairedSocket(socket.socket):
    """A datagram socket in place of a raw CAN socket."""

    def setsockopt(self, level: int, *arguments: Any) -> None:
        # Filters and the like: all frames are for who gets them, of either kind.
        if level != SOL_CAN_RAW:
            super().setsockopt(level, *arguments)


def room(opened: socket.socket) -> int:
    """Give a socket as much room for what it receives as the system lets it have; return how much that is."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
    return opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def pair() -> tuple[PairedSocket, PairedSocket]:
    """Return two sockets, each of which receives what the other sends."""
    one, other = (PairedSocket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for each in (one, other):
        each.bind(("127.0.0.1", 0))
        room(each)
    one.connect(other.getsockname())
    other.connect(one.getsockname())
    return one, other


def lacking(frames: int) -> str | None:
    """What this system lacks for a pair that holds so many frames, None if nothing."""
    if sys.platform != "linux":
        return "only Linux has SocketCAN"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        if room(opened) < frames * ROOM_OF_A_FRAME:
            return f"net.core.rmem_max lets a socket hold less than {frames} frames"
    return None


# --- layers on it ---


def python_can_bus(opened: socket.socket, fd: bool, cleanup: ExitStack) -> can.BusABC:
    """Return python-can's own bus, on this socket."""
    import can
    from can.interfaces.socketcan import socketcan

    def bind_socket(sock: socket.socket, channel: str = INTERFACE) -> None:
        """It is bound."""

    with patch.multiple(socketcan, create_socket=lambda: opened, bind_socket=bind_socket):
        bus = can.Bus(interface="socketcan", channel=INTERFACE, fd=fd)
    cleanup.callback(bus.shutdown)
    return bus


def can_stack(cleanup: ExitStack, opened: socket.socket, fd: bool, **kwargs: Any) -> isotp.TransportLayer:
    return isotp.CanStack(python_can_bus(opened, fd, cleanup), **kwargs)


def notifier_stack(
    cleanup: ExitStack, opened: socket.socket, fd: bool, **kwargs: Any
) -> isotp.TransportLayer:
    """Return a NotifierBasedCanStack with a notifier of its own."""
    import can

    bus = python_can_bus(opened, fd, cleanup)
    # It sees only after this time that it is to stop.
    notifier = can.Notifier(bus, [], timeout=0.1)
    cleanup.callback(notifier.stop)
    return isotp.NotifierBasedCanStack(bus, notifier, **kwargs)


def without_native_path(
    cleanup: ExitStack, opened: socket.socket, fd: bool, **kwargs: Any
) -> isotp.TransportLayer:
    """Return a CanStack that uses the bus by python-can's recv() and send(), as it does every other bus."""
    cleanup.enter_context(patch.dict(os.environ, ISOTP_NATIVE="0"))
    return can_stack(cleanup, opened, fd, **kwargs)


def socketcan_stack(
    cleanup: ExitStack, opened: socket.socket, fd: bool, **kwargs: Any
) -> isotp.TransportLayer:
    # can-isotp has neither.
    from isotp import socketcan
    from isotp._socketcan import CanSocket

    def open_can_socket(interface: str) -> CanSocket:
        return CanSocket(interface, opened)

    with patch.object(socketcan, "open_can_socket", open_can_socket):
        return cleanup.enter_context(isotp.SocketCanStack(INTERFACE, **kwargs))


@contextmanager
def two_ends(
    make: MakeLayer, transfer: Transfer
) -> Iterator[tuple[isotp.TransportLayer, isotp.TransportLayer]]:
    """A started tester and a started ECU, with what they need for such a transfer."""
    params = {**parameters(transfer.blocksize, transfer.fd, transfer.length), "blocking_send": True}
    with ExitStack() as cleanup:
        tester, ecu = (
            running(
                make(cleanup, opened, transfer.fd, address=address, error_handler=raise_error, params=params),
                cleanup,
            )
            for opened, address in zip(pair(), (TESTER, ECU), strict=True)
        )
        yield tester, ecu


# --- what is measured ---


def one_way(tester: isotp.TransportLayer, ecu: isotp.TransportLayer, payload: bytes) -> list[Any]:
    tester.send(payload, send_timeout=PATIENCE_S)
    return [ecu.recv(block=True, timeout=PATIENCE_S)]


def there_and_back(tester: isotp.TransportLayer, ecu: isotp.TransportLayer, payload: bytes) -> list[Any]:
    tester.send(payload, send_timeout=PATIENCE_S)
    request = ecu.recv(block=True, timeout=PATIENCE_S)
    ecu.send(payload[::-1], send_timeout=PATIENCE_S)
    return [request, tester.recv(block=True, timeout=PATIENCE_S)]


def durations_ns(exchange: Exchange, make: MakeLayer, transfer: Transfer, seconds: float) -> list[int]:
    """Let one payload after the other go, compare what arrived, and return how long each took."""
    durations = []
    with two_ends(make, transfer) as (tester, ecu):
        end = time.perf_counter() + seconds
        for payload in cycle(payloads(transfer.length)):
            start = time.perf_counter_ns()
            arrived = exchange(tester, ecu, payload)
            durations.append(time.perf_counter_ns() - start)
            if arrived != [payload, payload[::-1]][: len(arrived)]:
                raise RuntimeError(f"a message did not arrive as it was sent: {arrived!r:.80}")
            if time.perf_counter() >= end and len(durations) >= FEWEST:
                break
    return warmed_up(durations)


def warmed_up(durations: list[int]) -> list[int]:
    """The first ones meet cold caches, and threads that begin."""
    return durations[len(durations) // 10 :]


def each_frame(durations: list[int], transfer: Transfer) -> Measured:
    each = sorted(ns / 1000 / transfer.frames for ns in durations)
    return Measured({"us a frame": median(each)}, work=transfer.frames, distribution=percentiles(each))


def messages(make: MakeLayer, transfer: Transfer, seconds: float) -> Measured:
    """Time a frame of a message, from send() to the end of recv() at the other end."""
    return each_frame(durations_ns(one_way, make, transfer, seconds), transfer)


def round_trips(make: MakeLayer, transfer: Transfer, seconds: float) -> Measured:
    """Time a request and its answer, from send() to the end of recv() of the same end."""
    return microseconds(durations_ns(there_and_back, make, transfer, seconds))


def blocks_of(transfer: Transfer) -> list[int]:
    """Return how many frames go before the other end sends one, again and again: the FF, and the blocks of CFs."""
    others = transfer.frames - 1
    consecutive = others - (1 if transfer.blocksize == 0 else -(-others // (transfer.blocksize + 1)))
    size = transfer.blocksize or consecutive
    return [1, *(min(size, consecutive - sent) for sent in range(0, consecutive, size))]


def system_calls(transfer: Transfer, stage: Stage, seconds: float) -> Measured:
    """Time what the system calls of such a transfer take by themselves, those of a message or of a round trip."""
    is_round_trip = transfer.frames == 1
    blocks = [1] if is_round_trip else blocks_of(transfer)
    ends = [stage.cleanup.enter_context(end) for end in pair()]
    durations = warmed_up(
        pair_floor.durations_ns(ends, transfer.fd, blocks, is_round_trip, seconds, stage.folder)
    )
    return microseconds(durations) if is_round_trip else each_frame(durations, transfer)


def python_can_alone(transfer: Transfer, stage: Stage, seconds: float) -> Measured:
    """Time what python-can takes for a frame of such a transfer: one send() and one recv(), by one thread."""
    import can

    here, there = (python_can_bus(opened, transfer.fd, stage.cleanup) for opened in pair())
    frame = can.Message(
        arbitration_id=TESTER.get_tx_arbitration_id(),
        is_extended_id=False,
        is_fd=transfer.fd,
        data=bytes(64 if transfer.fd else 8),
    )
    durations = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter_ns()
        for _ in range(transfer.frames):
            here.send(frame)
            there.recv(PATIENCE_S)
        durations.append(time.perf_counter_ns() - start)
    return each_frame(warmed_up(durations), transfer)


def udsoncan_reads(seconds: float) -> Measured:
    """Time reads of udsoncan's client by a CanStack."""

    def buses(cleanup: ExitStack) -> Sequence[can.BusABC]:
        return [python_can_bus(opened, False, cleanup) for opened in pair()]

    return started.read_data_by_identifier(started.can_stack, seconds, buses)


# --- the cases ---

MESSAGES = {
    "4095-bs8": (
        TRANSFERS["classic-4095-bs8"],
        "A message of 4095 bytes with a Flow Control every 8 frames, as most ECUs ask for: what is a frame of a long "
        "transfer over SocketCAN?",
    ),
    "4095-bs0": (
        TRANSFERS["classic-4095-bs0"],
        "The same at one go, BS 0: what does a frame cost where nobody waits for a Flow Control?",
    ),
    # FF with 62 bytes, 65 CFs with 63, one FC, and another after every 8 CFs but the last.
    "fd-4095": (
        Transfer(4095, 8, True, 1 + 65 + 1 + 8),
        "A message of 4095 bytes in 64-byte CAN FD frames, BS 8: how fast can an ECU be flashed at best?",
    ),
}
ROUND_TRIP = (
    TRANSFERS["single-frame"],
    "A request of 7 bytes and its answer: what do the layers add to the time that the ECU takes?",
)
# How many times can-isotp a CanStack is to be
GOALS = {"4095-bs8": 6.0, "4095-bs0": 10.0, "fd-4095": 6.0, "7": 4.0}


def role(measure: Callable[[float], Measured], *needs: str) -> Observed:
    def observe(stage: Stage, seconds: float) -> Measured:
        return measure(seconds)

    return Observed(observe, needs)


def pair_case(
    name: str,
    meaning: str,
    roles: dict[str, Observed],
    frames_at_once: int,
    goal: float | None = None,
    mode: str = FULL,
    beside: str = "",
    pinned: bool = False,
    floor: str = "one send() and one recvmmsg() a frame, in C",
) -> Case:
    names = {"beside": beside, FLOOR_ROLE: floor}
    return Case(
        f"pair-{name}",
        GROUP,
        meaning,
        roles,
        goal=goal,
        names={role: name for role, name in names.items() if role in roles},
        mode=mode,
        pinned=pinned,
        lacks=partial(lacking, frames_at_once),
    )


def layer_cases(
    name: str,
    measure: Callable[[MakeLayer, Transfer, float], Measured],
    transfer: Transfer,
    meaning: str,
) -> Iterator[Case]:
    """Yield what is measured with each of the layers on python-can; SocketCanStack and the floor beside CanStack."""
    frames_at_once = transfer.blocksize or transfer.frames
    stack, notifier = (role(partial(measure, make, transfer), "can") for make in (can_stack, notifier_stack))
    roles = {
        "ours": stack,
        "peer": stack,
        "beside": role(partial(measure, socketcan_stack, transfer)),
        FLOOR_ROLE: Observed(partial(system_calls, transfer)),
    }
    mode = QUICK if name != "4095-bs0" else FULL
    yield pair_case(
        f"{name}-CanStack", meaning, roles, frames_at_once, GOALS[name], mode, beside="SocketCanStack"
    )
    yield pair_case(
        f"{name}-one-core",
        "The same CanStack with all threads on one core: what do the layers cost, wherever the system runs them?",
        roles,
        frames_at_once,
        beside="SocketCanStack",
        pinned=True,
    )
    yield pair_case(
        f"{name}-NotifierBasedCanStack", meaning, {"ours": notifier, "peer": notifier}, frames_at_once, 3.0
    )


def cases() -> Iterator[Case]:
    """Yield every case."""
    for name, (transfer, meaning) in MESSAGES.items():
        yield from layer_cases(name, messages, transfer, meaning)
    yield from layer_cases("7", round_trips, *ROUND_TRIP)
    for name in ("4095-bs8", "fd-4095"):
        transfer, _ = MESSAGES[name]
        as_usual = role(partial(messages, can_stack, transfer), "can")
        yield pair_case(
            f"{name}-not-native",
            "A CanStack that reads and sends by python-can, as it does on every other bus: what is the native path to "
            "SocketCAN worth?",
            {
                "ours": role(partial(messages, without_native_path, transfer), "can"),
                "peer": as_usual,
                "beside": as_usual,
                FLOOR_ROLE: Observed(partial(python_can_alone, transfer), ("can",)),
            },
            transfer.blocksize,
            goal=1.5,
            beside="native path",
            floor="python-can alone: a send() and a recv() a frame, by one thread",
        )
    reads = role(udsoncan_reads, "can", "udsoncan")
    yield pair_case(
        "udsoncan-CanStack",
        "udsoncan reads a VIN in a loop by a CanStack on SocketCAN: what of it all does a tester feel?",
        {"ours": reads, "peer": reads},
        8,
    )


CASES = tuple(cases())
