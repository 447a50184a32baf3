#!/usr/bin/env python3
"""Mixed traffic with faults, for as long as asked: every payload is checked, and nothing may go on growing.

    python checks/soak/run.py [--minutes N] [--bus vcan0|virtual] [--seed N]
    python checks/kernel/run.py --timeout 4000 -- python checks/soak/run.py --minutes 60

On one bus there are at the same time

- *steady* pairs of layers of every kind: each payload arrives once, whole and in order, and the counters of both ends
  agree with what went in and came out;
- *lossy* pairs, whose frames are dropped, doubled, refused for want of room, or raise: what arrives is whole. On vcan
  so is a pair with a socket of the kernel, whose time-outs are not ours;
- *hostile* frames: random ones, and First Frames of 4 GiB, to layers that must work when it is over, and to nobody;
- layers that come and go all the time.

Payloads end with a CRC-32. Memory (Linux) is looked at from the first quarter of the time on, threads and descriptors
when everything is closed. The last line is the verdict; the exit status is 1 unless it says GOOD.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import logging
import os
import random
import select
import socket
import statistics
import sys
import threading
import time
import traceback
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import can

import isotp
import isotp.aio
from isotp.protocol import TryAgain

# Only what hangs takes so long, on the slowest machine.
PATIENCE = 240.0
# Payloads of one direction that are on their way at a time
WINDOW = 2
# Seconds between two of them, at the least: as long as the one before needed, so that the machine is never flooded.
PAUSE = 0.01
# Looks at the memory
SAMPLES = 40
# Bytes by which it may grow from some looks to those behind them without a leak. One of 52 KiB from look to look is
# more: that are 210 KiB a minute in a run of ten minutes, 35 KiB in one of an hour.
NOISE = 256 << 10
# Bytes of kernel memory for frames that wait to be read, and the option for that (linux/socket.h)
ROOM, SO_RCVBUFFORCE = 8 << 20, 33
# Threads of the package that stay for whoever needs them next
STAYING = ("isotp timekeeper", "isotp callbacks")

STEADY = dict.fromkeys(
    ("rx_flowcontrol_timeout", "rx_consecutive_frame_timeout", "tx_frame_timeout"), 240_000
)
# Shorter, for layers that come and go: the timekeeper's entry for a deadline outlives a layer until that time.
PASSING = dict.fromkeys(STEADY, 30_000)
HASTY = {"rx_flowcontrol_timeout": 300, "rx_consecutive_frame_timeout": 300, "tx_frame_timeout": 300}


class End(Protocol):
    """What sends and receives: a layer, or a socket of the kernel."""

    def send(self, data: bytes) -> object: ...
    def recv(self, block: bool, timeout: float) -> bytearray | bytes | None: ...


class Report:
    """What the threads found: numbers, and what is wrong."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.counted: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.latency = 0.5  # seconds that steady payloads need, of late
        self._changing = threading.Lock()

    def count(self, **numbers: int) -> None:
        with self._changing:
            self.counted.update(numbers)

    def took(self, seconds: float) -> None:
        with self._changing:
            self.latency = max(PAUSE, 0.9 * self.latency + 0.1 * seconds)

    def complain(self, text: str) -> None:
        with self._changing:
            if len(self.wrong) < 100:
                self.wrong.append(text)
        print(f"WRONG: {text}", flush=True)

    def require(self, holds: bool, text: str) -> None:
        if not holds:
            self.complain(text)


def sealed(number: int, size: int, chance: random.Random) -> bytes:
    """A payload of `size` bytes, 8 at least: its number, random bytes, a checksum."""
    body = number.to_bytes(4, "little") + chance.randbytes(max(size, 8) - 8)
    return body + zlib.crc32(body).to_bytes(4, "little")


def number_in(payload: bytes | bytearray) -> int | None:
    """The number of a payload that is whole, else None."""
    if len(payload) < 8 or zlib.crc32(payload[:-4]) != int.from_bytes(payload[-4:], "little"):
        return None
    return int.from_bytes(payload[:4], "little")


def any_size(chance: random.Random) -> int:
    smallest, largest = chance.choices(((8, 60), (60, 500), (500, 4095)), (70, 28, 2))[0]
    return chance.randint(smallest, largest)


# -- Traffic -----------------------------------------------------------------------------------------------------


class Steady:
    """One direction of a steady pair."""

    def __init__(self, name: str, sender: End, receiver: End, report: Report, chance: random.Random) -> None:
        self.name = name
        self.sender, self.receiver = sender, receiver
        self.report, self.chance = report, chance
        self.sent = self.sent_bytes = self.received = self.received_bytes = 0
        self.room = threading.Semaphore(WINDOW)
        self.over = threading.Event()
        self.times: deque[float] = deque()  # when they were sent

    def send(self, ended: threading.Event) -> None:
        while not ended.is_set():
            if not self.room.acquire(timeout=PATIENCE):
                self.report.complain(f"{self.name}: payload {self.received} did not come within {PATIENCE} s")
                break
            payload = sealed(self.sent, any_size(self.chance), self.chance)
            self.sent += 1
            self.sent_bytes += len(payload)
            self.times.append(time.monotonic())
            self.sender.send(payload)
            ended.wait(self.report.latency)
        self.over.set()

    def receive(self, ended: threading.Event) -> None:
        while not self.over.is_set() or self.received < self.sent:
            over = self.over.is_set()
            payload = self.receiver.recv(True, PATIENCE if over else 0.2)
            if payload is None:
                if over:
                    self.report.complain(f"{self.name}: {self.sent - self.received} payloads did not come")
                    return
                continue
            number = number_in(payload)
            if number != self.received:
                self.report.complain(
                    f"{self.name}: payload {self.received} came as {number}, {len(payload)} bytes"
                )
            self.received += 1
            self.received_bytes += len(payload)
            self.report.count(messages=1, bytes=len(payload))
            self.report.took(time.monotonic() - self.times.popleft())
            self.room.release()


class Lossy:
    """One direction of a lossy pair: what comes is whole, and some of it does come."""

    def __init__(self, name: str, sender: Any, receiver: Any, report: Report, chance: random.Random) -> None:
        self.name = name
        self.sender, self.receiver = sender, receiver
        self.report, self.chance = report, chance
        self.sent = self.received = 0
        self.over = threading.Event()
        if not isinstance(sender, KernelSocket) and not isinstance(receiver, KernelSocket):
            self._wrap()

    def _wrap(self) -> None:
        self.sender._port = None  # of a raw socket: it would send past txfn
        txfn, chance, over = self.sender.txfn, self.chance, self.over

        def faulty(message: isotp.CanMessage) -> None:
            fate = 1.0 if over.is_set() else chance.random()
            if fate < 0.002:
                return
            if fate < 0.006:
                raise TryAgain("no room, says the soak")
            if fate < 0.0063:
                raise OSError("no bus, says the soak")
            txfn(message)
            if fate > 0.9995 and not over.is_set():
                txfn(message)

        self.sender.txfn = faulty

    def send(self, ended: threading.Event) -> None:
        while not ended.is_set():
            if isinstance(self.sender, KernelSocket) or self.sender.tx_queue.qsize() < WINDOW:
                self.sender.send(sealed(self.sent, any_size(self.chance), self.chance))
                self.sent += 1
            ended.wait(self.report.latency)
        self.over.set()

    def receive(self, ended: threading.Event) -> None:
        latest = -1
        while not ended.is_set():
            payload = self.receiver.recv(True, 0.2)
            if payload is None:
                continue
            number = number_in(payload)
            if number is None or number < latest:
                self.report.complain(
                    f"{self.name}: after payload {latest} came {number}, {len(payload)} bytes"
                )
            else:
                latest = number
            self.received += 1
            self.report.count(lossy_messages=1)


def throw_hostile_frames(
    send: Callable[[can.Message], object],
    identifiers: list[int],
    chance: random.Random,
    report: Report,
    ended: threading.Event,
) -> None:
    """Frames that no honest sender makes, in bursts, to sessions and to nobody."""
    while not ended.is_set():
        burst = chance.randint(1, 30)
        for _ in range(burst):
            identifier = chance.choice((*identifiers, 0x7F0, 0x7F1))
            data = chance.choice(
                (
                    bytes.fromhex("1000FFFFFFFF0102"),
                    bytes((0x20 | chance.randrange(16),)) + bytes(7),
                    bytes((0x30 | chance.randrange(4), chance.randrange(256), chance.randrange(256))),
                    chance.randbytes(chance.randint(0, 8)),
                    chance.randbytes(8),
                )
            )
            send(can.Message(arbitration_id=identifier, is_extended_id=False, data=data))
        report.count(hostile_frames=burst)
        ended.wait(2 * report.latency)


# -- Places: what there is on a bus ------------------------------------------------------------------------------


class KernelSocket:
    """A socket of the kernel, as an end. Its time-outs are one second, whatever the machine is busy with."""

    def __init__(self, interface: str, address: isotp.Address, report: Report) -> None:
        self.socket = isotp.socket(timeout=PATIENCE)
        self.socket.set_fc_opts(bs=8, stmin=0)
        self.socket.bind(interface, address)
        self.report = report

    def send(self, data: bytes) -> None:
        try:
            self.socket.send(data)
        except (isotp.IsoTpError, OSError):
            self.report.count(kernel_gave_up=1)

    def recv(self, block: bool, timeout: float) -> bytes | None:
        # Not by the time-out of the socket, which send() has too
        if not select.select([self.socket._socket], [], [], timeout)[0]:
            return None
        try:
            return self.socket.recv()
        except (isotp.IsoTpError, OSError):
            self.report.count(kernel_gave_up=1)
            return None


def make_room(descriptor: int) -> None:
    """Let a raw socket hold more frames than Python can be late; beyond rmem_max for root only."""
    with socket.socket(fileno=os.dup(descriptor)) as raw:
        try:
            raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
        except PermissionError:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)


class Place:
    """One bus, and how layers are made on it; what is opened is closed by `stack`.

    There are two of what many layers share, hubs and notifiers: those of one do not hear each other.
    """

    def __init__(self, stack: ExitStack, interface: str) -> None:
        self.interface = interface
        self.real = interface != "virtual"
        self.hubs = [
            stack.enter_context(isotp.Hub(interface if self.real else self.open_bus(stack))) for _ in range(2)
        ]
        if self.real:
            for hub in self.hubs:
                make_room(hub._feed._can.fileno())  # type: ignore[attr-defined]
        self.heard: list[set[int]] = [{0x7FF}, {0x7FF}]
        self._filtering = threading.Lock()
        self.notified = [self.open_bus(stack) for _ in range(2)]
        self.notifiers = [can.Notifier(bus, [], timeout=0.1) for bus in self.notified]
        for notifier in self.notifiers:
            stack.callback(notifier.stop)
        self.kinds = ["CanStack", "NotifierBasedCanStack", "Hub", *(["SocketCanStack"] if self.real else [])]

    def open_bus(self, stack: ExitStack, identifier: int | None = None) -> can.BusABC:
        """A bus of one's own; with an identifier, it is all that is heard."""
        channel, kind = (self.interface, "socketcan") if self.real else ("soak", "virtual")
        filters = None
        if identifier is not None:
            filters = [{"can_id": identifier, "can_mask": 0x1FFFFFFF}]
        bus = can.Bus(channel, interface=kind, can_filters=filters)
        stack.callback(bus.shutdown)
        if self.real:
            make_room(bus.fileno())
        return bus

    def _let_through(self, stack: ExitStack, side: int, identifier: int) -> None:
        """The bus of a notifier hears those frames only that its layers are there for."""

        def change(identifiers: set[int]) -> None:
            self.heard[side] = identifiers
            self.notified[side].set_filters(
                [{"can_id": each, "can_mask": 0x1FFFFFFF} for each in identifiers]
            )

        with self._filtering:
            change(self.heard[side] | {identifier})

        def no_more() -> None:
            with self._filtering:
                change(self.heard[side] - {identifier})

        stack.callback(no_more)

    def _make(
        self, stack: ExitStack, kind: str, side: int, address: isotp.Address, params: dict[str, Any]
    ) -> Any:
        if kind == "Hub":
            return self.hubs[side].session(address, params=params)
        if kind == "NotifierBasedCanStack":
            self._let_through(stack, side, address.get_rx_arbitration_id())
            return isotp.NotifierBasedCanStack(
                self.notified[side], self.notifiers[side], address=address, params=params
            )
        if kind == "CanStack":
            bus = self.open_bus(stack, address.get_rx_arbitration_id())
            return isotp.CanStack(bus, address=address, params=params)
        layer = isotp.SocketCanStack(self.interface, address=address, params=params)
        stack.callback(layer.close)
        make_room(layer.fileno())
        return layer

    def layer(
        self, stack: ExitStack, kind: str, side: int, address: isotp.Address, params: dict[str, Any]
    ) -> Any:
        """A layer that is started."""
        layer = self._make(stack, kind, side, address, params)
        layer.start()
        stack.callback(layer.stop)
        return layer

    def pair(
        self,
        stack: ExitStack,
        kinds: tuple[str, str],
        number: int,
        params: dict[str, Any],
        report: Report | None,
    ) -> tuple[Any, Any]:
        """Two layers that are started; with a report, any error of theirs is wrong."""
        layers = []
        for side, (kind, address) in enumerate(zip(kinds, ends(number), strict=True)):
            layer = self.layer(stack, kind, side, address, params)
            if report is not None:
                layer.error_handler = _complainer(report, f"{kind} {address.get_content_str()}")
            layers.append(layer)
        return layers[0], layers[1]


def _complainer(report: Report, name: str) -> Callable[[isotp.IsoTpError], None]:
    return lambda error: report.complain(f"{name}: {type(error).__name__}: {error}")


def ends(number: int) -> tuple[isotp.Address, isotp.Address]:
    """The addresses of the two ends of session `number`; from 256 on those of 29 bits."""
    mode = isotp.AddressingMode.Normal_11bits if number < 256 else isotp.AddressingMode.Normal_29bits
    one, other = 0x100 + 2 * number, 0x101 + 2 * number
    address = isotp.Address(mode, txid=one, rxid=other)
    return address, address.reversed()


async def _asyncio_traffic(
    bus: str | can.BusABC,
    other: str | can.BusABC,
    addresses: tuple[isotp.Address, isotp.Address],
    report: Report,
    chance: random.Random,
    ended: threading.Event,
) -> None:
    async with (
        isotp.aio.Layer(bus, addresses[0], params=STEADY) as here,
        isotp.aio.Layer(other, addresses[1], params=STEADY) as there,
    ):
        number = 0
        while not ended.is_set():
            payload = sealed(number, any_size(chance), chance)
            _, echoed = await asyncio.wait_for(asyncio.gather(here.send(payload), _echo(there)), PATIENCE)
            back = await asyncio.wait_for(here.recv(), PATIENCE)
            report.require(payload == echoed == back, f"asyncio: payload {number} was not echoed whole")
            report.count(messages=2, bytes=2 * len(payload))
            number += 1
            await asyncio.sleep(report.latency)
        one, two = here.stats, there.stats
        report.require(
            one.messages_sent
            == one.messages_received
            == two.messages_sent
            == two.messages_received
            == number,
            f"asyncio: {number} payloads, but {one} and {two}",
        )
        report.require(not one.errors and not two.errors, f"asyncio: errors in {one} and {two}")


async def _echo(layer: isotp.aio.Layer) -> bytes:
    payload = bytes(await layer.recv())
    await layer.send(payload)
    return payload


def come_and_go(place: Place, report: Report, chance: random.Random, ended: threading.Event) -> None:
    """Layers are made, say something to each other, and are gone."""
    # Never twice the same IDs: what the ones before said may still wait on a bus that is read late.
    for passed in itertools.count():
        if ended.is_set():
            return
        kind, other = chance.choices(place.kinds, k=2)
        payload = sealed(passed, any_size(chance), chance)
        with ExitStack() as stack:
            here, there = place.pair(stack, (kind, other), 256 + passed, PASSING, None)
            here.send(payload)
            got = there.recv(True, PATIENCE)
            report.require(got == payload, f"{kind} and {other} that pass by: {got!r} instead of {payload!r}")
        report.count(pairs=1, messages=1, bytes=len(payload))
        ended.wait(0.05)


# -- Looking at the process --------------------------------------------------------------------------------------


def resident() -> int:
    """Bytes of memory; 0 where the system does not tell (other than Linux)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def descriptors() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


def threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name not in STAYING)


@contextmanager
def running(report: Report, ended: threading.Event) -> Iterator[Callable[..., None]]:
    """Gives what runs a function on a thread until it is over; what it raises is wrong."""
    started: list[threading.Thread] = []

    def run(function: Callable[..., object], *arguments: Any) -> None:
        def work() -> None:
            try:
                function(*arguments)
            except Exception as error:
                traceback.print_exc()
                report.complain(f"{getattr(function, '__qualname__', function)} raised {error!r}")

        thread = threading.Thread(target=work, name="soak", daemon=True)
        started.append(thread)
        thread.start()

    try:
        yield run
    finally:
        ended.set()
        for thread in started:
            thread.join(2 * PATIENCE)
            report.require(not thread.is_alive(), "a thread of the traffic hangs")


def watch(seconds: float) -> list[int]:
    """Memory, at regular times, of the last three quarters."""
    began = time.monotonic()
    sizes = []
    for k in range(SAMPLES):
        time.sleep(max(0.0, began + seconds * (k + 1) / SAMPLES - time.monotonic()))
        gc.collect()
        if k >= SAMPLES // 4:
            sizes.append(resident())
    return sizes


def still_grows(sizes: list[int]) -> bool:
    """Whether the memory grows at the end, from each sixth of the looks to the next.

    A step that ends, by an allocator or a cache, raises one sixth only, wherever it is; a leak raises all behind it.
    """
    sixth = len(sizes) // 6
    ends = range(len(sizes) - 2 * sixth, len(sizes) + 1, sixth)
    before, between, last = (statistics.median(sizes[end - sixth : end]) for end in ends)
    return min(between - before, last - between) > NOISE


# -- All of it ---------------------------------------------------------------------------------------------------


def soak(seconds: float, interface: str, report: Report) -> list[int]:
    chance = random.Random(report.seed)

    def own_chance() -> random.Random:
        return random.Random(chance.getrandbits(64))

    ended = threading.Event()
    with ExitStack() as stack:
        place = Place(stack, interface)
        numbers = itertools.count()
        steady: list[tuple[Any, Any, Steady, Steady]] = []

        def add(names: tuple[str, str], here: Any, there: Any) -> None:
            out = Steady(f"{names[0]} to {names[1]}", here, there, report, own_chance())
            back = Steady(f"{names[1]} to {names[0]}", there, here, report, own_chance())
            steady.append((here, there, out, back))

        for kinds in _couples(place.kinds):
            params = {
                **STEADY,
                "blocksize": chance.choice((0, 1, 8, 32)),
                "tx_padding": chance.choice((None, 0xAA)),
            }
            add(kinds, *place.pair(stack, kinds, next(numbers), params, report))
        lossy = [
            Lossy(
                f"lossy {kind}",
                *place.pair(stack, (kind, kind), next(numbers), HASTY, None),
                report,
                own_chance(),
            )
            for kind in place.kinds
        ]
        if place.real:
            one, two = ends(next(numbers))
            layer = place.layer(stack, "SocketCanStack", 0, one, STEADY)
            end = KernelSocket(interface, two, report)
            stack.callback(end.socket.close)
            lossy.append(Lossy("SocketCanStack to kernel", layer, end, report, own_chance()))
            lossy.append(Lossy("kernel to SocketCanStack", end, layer, report, own_chance()))
        greedy = {**HASTY, "max_frame_size": 0xFFFFFFFF, "rx_queue_limit": 100_000}
        victims = [
            (kind, *place.pair(stack, (kind, kind), next(numbers), greedy, None)) for kind in place.kinds
        ]
        # Filters of a virtual bus let recv(0) end at a frame that they drop: not all would be read.
        thrower = place.open_bus(stack, 0x7FF if place.real else None)

        def throw(message: can.Message) -> None:
            thrower.send(message, timeout=PATIENCE)
            while thrower.recv(0) is not None:
                """What others say to the victims is not the thrower's to keep."""

        with running(report, ended) as run:
            for _, _, there_flow, back_flow in steady:
                for flow in (there_flow, back_flow):
                    run(flow.send, ended)
                    run(flow.receive, ended)
            for faulty in lossy:
                run(faulty.send, ended)
                run(faulty.receive, ended)
            identifiers = [layer.address.get_rx_arbitration_id() for _, *pair in victims for layer in pair]
            run(throw_hostile_frames, throw, identifiers, own_chance(), report, ended)
            run(come_and_go, place, report, own_chance(), ended)
            buses = (interface, interface) if place.real else (place.open_bus(stack), place.open_bus(stack))
            run(
                lambda: asyncio.run(
                    _asyncio_traffic(*buses, ends(next(numbers)), report, own_chance(), ended)
                )
            )
            sizes = watch(seconds)
        for here, there, there_flow, back_flow in steady:
            _check_counters(report, here, there, there_flow, back_flow)
        for faulty in lossy:
            _check_lossy(report, faulty)
        for kind, *pair in victims:
            _check_victims(report, kind, pair)
    return sizes


def _couples(kinds: list[str]) -> list[tuple[str, str]]:
    """Each kind with itself and with the next one."""
    return [(kind, other) for k, kind in enumerate(kinds) for other in (kind, kinds[(k + 1) % len(kinds)])]


def _check_counters(report: Report, here: Any, there: Any, out: Steady, back: Steady) -> None:
    # A payload may be there before the thread that sent its last frame has counted it.
    deadline = time.monotonic() + PATIENCE
    while here.transmitting() or there.transmitting():
        if time.monotonic() > deadline:
            report.require(False, f"{out.name}: still sends")
            return
        time.sleep(0.01)
    for layer, sends, receives in ((here, out, back), (there, back, out)):
        stats = layer.stats
        counted = (stats.messages_sent, stats.bytes_sent, stats.messages_received, stats.bytes_received)
        true = (sends.sent, sends.sent_bytes, receives.received, receives.received_bytes)
        report.require(counted == true, f"{sends.name}: counted {counted}, but it was {true}")
        report.require(not stats.errors and not stats.dropped, f"{sends.name}: {stats}")
    one, two = here.stats, there.stats
    report.require(
        (one.frames_sent, two.frames_sent, one.flow_controls_sent, two.flow_controls_sent)
        == (two.frames_for_us, one.frames_for_us, two.flow_controls_received, one.flow_controls_received),
        f"{out.name}: the ends do not agree: {one} and {two}",
    )


def _check_lossy(report: Report, faulty: Lossy) -> None:
    if not isinstance(faulty.sender, KernelSocket):
        report.errors.update(faulty.sender.stats.errors)
        report.count(retries=faulty.sender.stats.retries)
    if not isinstance(faulty.receiver, KernelSocket):
        stats, waiting = _at_rest(faulty.receiver)
        report.errors.update(stats.errors)
        report.require(
            faulty.received + waiting == stats.messages_received,
            f"{faulty.name}: {faulty.received} payloads and {waiting} that wait, but {stats}",
        )
    report.require(faulty.received > 0 or faulty.sent < 100, f"{faulty.name}: nothing came of {faulty.sent}")


def _at_rest(layer: Any) -> tuple[isotp.Stats, int]:
    """What a layer counted and how many messages wait, at a moment at which none comes in between."""
    while True:
        before = layer.stats
        waiting = layer.rx_queue.qsize()
        if layer.stats.messages_received == before.messages_received:
            return before, waiting


def _check_victims(report: Report, kind: str, pair: list[Any]) -> None:
    """They were not harmed: a new start, and they are as good as new."""
    for layer in pair:
        report.errors.update(layer.stats.errors)
        report.require(layer.stats.frames_for_us > 0, f"hostile to {kind}: nothing came")
        report.require(
            layer.rx_queue.qsize() <= 1000, f"hostile to {kind}: {layer.rx_queue.qsize()} messages wait"
        )
        layer.stop()
    for layer in pair:
        layer.start()
    pair[0].send(b"are you well, after all that?")
    answer = pair[1].recv(True, PATIENCE)
    report.require(answer == b"are you well, after all that?", f"hostile to {kind}: heard {answer!r}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument(
        "--bus", help="a CAN interface of Linux, or virtual; unless given, vcan0 if it is there"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args()
    interface = options.bus or ("vcan0" if Path("/sys/class/net/vcan0").exists() else "virtual")
    print(f"soak of {options.minutes} minutes on {interface}, seed {options.seed}", flush=True)
    # Errors are what this is about; they are counted.
    logging.getLogger("isotp").setLevel(logging.CRITICAL)
    report = Report(options.seed)
    began = time.monotonic()
    # What the first use of everything leaves behind: imports, caches, threads that stay.
    soak(2.0, interface, Report(options.seed))
    gc.collect()
    before = threads(), descriptors()
    sizes = soak(options.minutes * 60, interface, report)
    gc.collect()
    after = threads(), descriptors()
    report.require(before[0] == after[0], f"threads stay behind: {set(after[0]) - set(before[0])}")
    report.require(before[1] == after[1], f"{after[1] - before[1]} descriptors stay behind")
    report.require(not still_grows(sizes), f"memory grows: {sizes}")
    print("memory (MiB):", *(f"{size / 2**20:.1f}" for size in sizes))
    numbers = report.counted
    print("errors of lossy and hostile traffic:", dict(sorted(report.errors.items())))
    print(
        f"soak {'NOT GOOD' if report.wrong else 'GOOD'}: {time.monotonic() - began:.0f} s on {interface}, seed"
        f" {report.seed}: {numbers['messages']} payloads ({numbers['bytes'] / 1e6:.1f} MB) arrived once, whole and in"
        f" order, {numbers['lossy_messages']} whole ones of lossy traffic, {numbers['retries']} retries,"
        f" {numbers['hostile_frames']} hostile frames, {numbers['pairs']} pairs came and went;"
        f" memory {(sizes[-1] - sizes[0]) / 2**20:+.2f} MiB, threads {len(after[0]) - len(before[0]):+d},"
        f" descriptors {after[1] - before[1]:+d}; {len(report.wrong)} wrong"
    )
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
