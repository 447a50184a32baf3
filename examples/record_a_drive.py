"""A tester and three ECUs on the two buses of a rig, recorded: the log that the documentation shows.

    python examples/record_a_drive.py drive.log.gz drive.blf

The tester reads an engine, writes new software to a gearbox, and watches the trouble codes of a door behind a gateway,
all at once. Nothing here waits: layers and ECUs take their time from a clock that jumps from event to event, and chance
comes from a seed. So the log is the same each time. BLF is written by python-can.
"""

from __future__ import annotations

import gzip
import heapq
import itertools
import logging
import math
import random
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import isotp
from isotp.testing import Access, Did, Ecu, Lock, Request, Routine, Rule

US, MS, SECOND = 1_000, 1_000_000, 1_000_000_000
START = 1_700_000_000 * SECOND
LENGTH = 8 * SECOND
SEED = 15765
BIT = 2 * US  # 500 kbit/s

Script = Generator[int, "bytes | None", Any]


# ---------------------------------------------------------------- the rig


class Frame(NamedTuple):
    """A frame that was recorded."""

    time: int
    channel: str
    can_id: int
    is_extended: bool
    data: bytes


class World:
    """Time, which goes from one event to the next."""

    def __init__(self) -> None:
        self.now = START
        self._events: list[tuple[int, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    def at(self, time: int, action: Callable[[], object]) -> None:
        heapq.heappush(self._events, (max(time, self.now), next(self._numbers), action))

    def run(self, end: int) -> None:
        while self._events and self._events[0][0] < end:
            self.now, _, action = heapq.heappop(self._events)
            action()


class Bus:
    """One frame after the other; of those that wait, the one with the lowest identifier goes first."""

    def __init__(self, world: World, channel: str) -> None:
        self.world = world
        self.channel = channel
        self.stations: list[Station] = []
        self.frames: list[Frame] = []
        self.loses: Callable[[isotp.CanMessage], bool] = lambda frame: False
        self._is_busy = False

    def go_on(self) -> None:
        waiting = [each for each in self.stations if each.outbox]
        if self._is_busy or not waiting:
            return
        self._is_busy = True
        sender = min(waiting, key=lambda each: each.outbox[0].arbitration_id)
        frame = sender.outbox.popleft()
        bits = 47 + 20 * frame.is_extended_id + 8 * len(frame.data)
        # And every eighth bit or so a stuffed one.
        self.world.at(self.world.now + (bits + bits // 8) * BIT, lambda: self._end(sender, frame))

    def _end(self, sender: Station, frame: isotp.CanMessage) -> None:
        self._is_busy = False
        if not self.loses(frame):
            self.frames.append(
                Frame(
                    self.world.now,
                    self.channel,
                    frame.arbitration_id,
                    frame.is_extended_id,
                    bytes(frame.data),
                )
            )
            for each in self.stations:
                if each is not sender:
                    each.hear(frame)
        self.go_on()


class Station:
    """Whoever has a place on a bus: one layer, polled when something happens."""

    def __init__(
        self,
        bus: Bus,
        address: isotp.Address,
        on_message: Callable[[bytes, bool], object],
        to_all: isotp.Address | None = None,
        **params: Any,
    ) -> None:
        self.world, self.bus = bus.world, bus
        self.inbox: deque[isotp.CanMessage] = deque()
        self.outbox: deque[isotp.CanMessage] = deque()
        self.layer = isotp.TransportLayerLogic(
            rxfn=lambda: self.inbox.popleft() if self.inbox else None,
            txfn=self._send_frame,
            address=address,
            on_reception=lambda what: on_message(bytes(what.payload), what.address is to_all),
            params={"logger_name": "rig", **params},
        )
        self.layer.clock = lambda: self.world.now
        if to_all is not None:
            self.layer.receive_also([to_all])
        bus.stations.append(self)

    def _send_frame(self, frame: isotp.CanMessage) -> None:
        self.outbox.append(frame)
        self.bus.go_on()

    def hear(self, frame: isotp.CanMessage) -> None:
        self.inbox.append(frame)
        self.work()

    def send(self, payload: bytes, kind: isotp.TargetAddressType = isotp.TargetAddressType.Physical) -> None:
        self.layer.send(payload, kind)
        self.work()

    def work(self) -> None:
        self.layer.process()
        deadline = self.layer.deadline_ns()
        if deadline is not None:
            self.world.at(max(deadline, self.world.now + 50 * US), self.work)


class EcuStation(Station):
    """An ECU, whose answers leave with the next turn of its main loop."""

    def __init__(
        self,
        bus: Bus,
        ecu: Ecu,
        address: isotp.Address,
        to_all: isotp.Address,
        turn: int,
        **params: Any,
    ) -> None:
        super().__init__(bus, address, self._asked, to_all, **params)
        self.ecu = ecu
        self._turn = turn
        self._chance = random.Random(turn)
        self._off_until = 0
        self.dies_in_answer = False

    def _asked(self, request: bytes, functional: bool) -> None:
        for answer in self.ecu.answer(request, self.world.now, functional=functional):
            turns = -(-(answer.at - START) // self._turn)
            time = START + turns * self._turn + self._chance.randint(50, 900) * US
            self.world.at(time, lambda payload=answer.payload: self.send(payload))

    def _send_frame(self, frame: isotp.CanMessage) -> None:
        super()._send_frame(frame)
        if self.dies_in_answer and frame.data[0] >> 4 == 1:
            self.dies_in_answer = False
            self._off_until = self.world.now + 350 * MS

    def hear(self, frame: isotp.CanMessage) -> None:
        if self.world.now >= self._off_until:
            super().hear(frame)
        else:
            # Without power it forgets what it was doing.
            self.layer.reset()


class Connection:
    """The tester's side of one ECU, with a script that asks."""

    def __init__(self, bus: Bus, address: isotp.Address) -> None:
        self.world = bus.world
        self.station = Station(bus, address, self._answered, tx_padding=0xCC, rx_flowcontrol_timeout=100)
        self._script: Script | None = None
        self._turn = 0

    def play(self, script: Script, start: int) -> None:
        self._script = script
        self.world.at(start, lambda: self._resume(None))

    def _answered(self, payload: bytes, functional: bool) -> None:
        self._resume(payload)

    def _resume(self, answer: bytes | None) -> None:
        """Go on with what was waited for: an answer, or None when the time is over."""
        assert self._script is not None
        self._turn += 1
        try:
            patience = self._script.send(answer)
        except StopIteration:
            return
        self._wait(patience, self._turn)

    def _wait(self, patience: int, turn: int) -> None:
        """The time of an answer begins when the request is on the bus."""
        if self.station.layer.transmitting():
            self.world.at(self.world.now + MS, lambda: self._wait(patience, turn))
        else:
            end = self.world.now + patience
            self.world.at(end, lambda: self._resume(None) if turn == self._turn else None)

    def ask(self, request: str | bytes) -> Generator[int, bytes | None, bytes | None]:
        """A request and its answer; None if none came. An ECU that is busy is waited for."""
        payload = bytes.fromhex(request) if isinstance(request, str) else request
        self.station.send(payload)
        patience = 50 * MS
        while True:
            answer = yield patience
            if answer is None or answer[0] != 0x7F or answer[2] != 0x78:
                return answer
            patience = 5 * SECOND


# ---------------------------------------------------------------- the ECUs


def speed(now: int) -> float:
    """km/h of the drive that the rig plays."""
    return 60 + 45 * math.sin((now - START) / SECOND / 3)


def rpm(now: int) -> float:
    return 900 + 28 * speed(now)


def coolant(now: int) -> float:
    return 71 + (now - START) / SECOND / 2


def measured(now: int) -> bytes:
    """Speed (0.01 km/h), coolant (degC + 40), engine speed (0.25 rpm), load, throttle, gear."""
    load = round(80 + 60 * math.sin((now - START) / SECOND / 3 + 0.8))
    gear = min(1 + int(speed(now) / 22), 5)
    return (
        round(speed(now) * 100).to_bytes(2, "big")
        + bytes((round(coolant(now)) + 40,))
        + round(rpm(now) * 4).to_bytes(2, "big")
        + bytes((load, round(load * 0.8), gear))
    )


def adaptation(now: int) -> bytes:
    """Sixteen values of two bytes, which hardly move."""
    drift = (now - START) // (400 * MS)
    return b"".join((512 + 7 * k + (drift + k) % 3).to_bytes(2, "big") for k in range(16))


def engine() -> Ecu:
    return Ecu(
        name="engine",
        delay_ms=2,
        dids={
            0xF190: b"WVWZZZ1JZ3W386752",
            0xF187: b"03L906018AB",
            0xF189: b"9978",
            0xF18C: b"BPA0ABN0000000021",
            0x2001: Did(measured),
            0x2002: Did(lambda now: bytes((118 + (now - START) // SECOND % 3, 0x64, 0x02))),
            0x2003: Did(adaptation),
        },
        dtcs={0x011500: 0x28, 0x040100: 0x2F, 0xD01100: 0x08},
    )


class Gearbox(Ecu):
    """Its software has a new version when all of it was written and checked."""

    def handle(self, request: Request) -> bytes | None:
        answer = super().handle(request)
        if request.payload[:4] == b"\x31\x01\xff\x01":
            self.dids[0xF189].value = b"0042"
        return answer


def gearbox() -> Ecu:
    programming = Access([2], security=1)
    return Gearbox(
        name="gearbox",
        delay_ms=4,
        reset_ms=180,
        block_length=1026,
        dids={0xF190: b"WVWZZZ1JZ3W386752", 0xF189: b"0041"},
        security={1: Lock(bytes.fromhex("1A2B3C4D"), bytes.fromhex("BF8E99E8"))},
        routines={0xFF00: Routine(b"\x00", programming), 0xFF01: Routine(b"\x00", programming)},
        services={0x34: programming},
        # To erase takes long, and so does the flash now and then.
        rules=[
            Rule("31 01 FF 00 *", pending=3, every_ms=160),
            Rule("36 05 *", pending=1, every_ms=60),
            Rule("36 0C *", pending=1, every_ms=60),
            Rule("37", pending=1, every_ms=40),
        ],
    )


def door() -> Ecu:
    return Ecu(
        name="door",
        delay_ms=18,
        dids={0xF190: b"WVWZZZ1JZ3W386752", 0x4001: bytes.fromhex("01 00 5A 5A 00 7F")},
        dtcs={0x912300 + 0x100 * k: 0x08 for k in range(3)},
    )


# ---------------------------------------------------------------- what the tester does


def watch_engine(tester: Connection, ecu: EcuStation, chance: random.Random) -> Script:
    """Who it is, and then measured values over and over; once it loses its power amid an answer."""
    for request in ("22F190", "22F187 F189", "22F18C", "22F1A0", "1902FF", "1003"):
        yield from tester.ask(request)
        yield 20 * MS
    for k in itertools.count():
        if k == 24:
            ecu.dies_in_answer = True
        request = "222003" if k % 8 == 0 else "222001 2002" if k % 4 else "222001"
        answer = yield from tester.ask(request)
        if answer is None:
            yield 1200 * MS
            yield from tester.ask("1003")
        yield chance.randint(80, 120) * MS


def program_gearbox(tester: Connection, image: bytes) -> Script:
    """New software: a block that is not answered is sent again."""
    for request in ("1003", "22F189", "8502", "280301", "1002", "2701", "2702 BF8E99E8"):
        yield from tester.ask(request)
        yield 8 * MS
    yield from tester.ask("3101FF00")
    yield from tester.ask(b"\x34\x00\x44\x00\x08\x00\x00" + len(image).to_bytes(4, "big"))
    for k, at in enumerate(range(0, len(image), 1024), 1):
        answer = None
        while answer is None:
            answer = yield from tester.ask(bytes((0x36, k)) + image[at : at + 1024])
    for request in ("37", "3101FF01", "1101"):
        yield from tester.ask(request)
    yield 350 * MS
    for request in ("1003", "22F189", "14FFFFFF"):
        yield from tester.ask(request)
        yield 8 * MS


def watch_door(tester: Connection, ecu: Ecu, chance: random.Random) -> Script:
    """Its trouble codes: it misses messages of the gearbox that is being programmed, and of others behind them."""
    yield from tester.ask("22F190")
    yield from tester.ask("1003")
    for k in itertools.count():
        if 3 < k <= 14:
            ecu.dtcs.update({0xC10000 + 0x1100 * (3 * k + n): 0x2F for n in range(3)})
        yield from tester.ask("224001" if k % 3 == 1 else "1902AC")
        yield chance.randint(250, 500) * MS


def keep_alive(world: World, stations: list[Station]) -> None:
    """TesterPresent to all on each bus, every two seconds, which nobody answers."""
    for each in stations:
        each.send(b"\x3e\x80", isotp.TargetAddressType.Functional)
    world.at(world.now + 2 * SECOND, lambda: keep_alive(world, stations))


class Signals(Station):
    """What else is on the buses: cyclic frames with a counter and a checksum."""

    def __init__(self, bus: Bus, can_id: int, period: int, chance: random.Random) -> None:
        super().__init__(bus, isotp.Address(txid=can_id, rxid=0x7FF), lambda payload, functional: None)
        self._can_id, self._period, self._chance = can_id, period, chance
        self._count = 0
        self.world.at(START + chance.randint(0, period), self._send_signals)

    def hear(self, frame: isotp.CanMessage) -> None:
        """It does not listen."""

    def _send_signals(self) -> None:
        now = self.world.now
        self.world.at(now + self._period + self._chance.randint(-150, 150) * US, self._send_signals)
        values = round(rpm(now) * 4).to_bytes(2, "little") + round(speed(now) * 128).to_bytes(2, "little")
        body = bytes((self._can_id & 0xFF, self._count & 0x0F)) + values + bytes((round(coolant(now)) + 48,))
        self._count += 1
        self._send_frame(isotp.CanMessage(self._can_id, data=bytes((sum(body) & 0xFF,)) + body))


# ---------------------------------------------------------------- all of it


FIXED, EXTENDED = isotp.AddressingMode.NormalFixed_29bits, isotp.AddressingMode.Extended_11bits
# The tester's addresses: of the three ECUs, and to all on each bus.
ENGINE = isotp.Address(txid=0x7E0, rxid=0x7E8)
GEARBOX = isotp.Address(FIXED, target_address=0x18, source_address=0xF1)
DOOR = isotp.Address(EXTENDED, txid=0x6F1, rxid=0x640, target_address=0x40, source_address=0xF1)
EVERYBODY_11 = isotp.Address(txid=0x7DF, rxid=0x7FF)
EVERYBODY_29 = isotp.Address(FIXED, target_address=0x33, source_address=0xF1)
EVERYBODY_ON_CAN1 = isotp.Address(EXTENDED, txid=0x6F1, rxid=0x7FF, target_address=0xEF, source_address=0xF1)
# Instructions of a processor, more or less.
OPCODES = b"\x00\x00\xff\x4e\x71\x20\x3c\x60\x4a\x80\x66\x08\x22\x01\xd0\x81"


def record() -> list[Frame]:
    """The frames, as the recorder of the rig has them."""
    logging.getLogger("rig").addHandler(logging.NullHandler())
    chance = random.Random(SEED)
    world = World()
    can0, can1 = Bus(world, "can0"), Bus(world, "can1")
    can0.loses = one_frame_of_block(8)
    at_engine = EcuStation(can0, engine(), ENGINE.reversed(), EVERYBODY_11.reversed(), 5 * MS)
    EcuStation(
        can0, gearbox(), GEARBOX.reversed(), EVERYBODY_29.reversed(), 10 * MS, blocksize=16, stmin=0xF3
    )
    at_door = EcuStation(
        can1, door(), DOOR.reversed(), EVERYBODY_ON_CAN1.reversed(), 10 * MS, tx_padding=0x00
    )
    image = bytes(chance.choices(OPCODES, k=20 * 1024))
    to_engine, to_gearbox, to_door = (
        Connection(can0, ENGINE),
        Connection(can0, GEARBOX),
        Connection(can1, DOOR),
    )
    # The gateway before the door is slow.
    to_door.station.layer.params.set("stmin", 5)
    to_engine.play(watch_engine(to_engine, at_engine, random.Random(SEED + 1)), START + 12 * MS)
    to_gearbox.play(program_gearbox(to_gearbox, image), START + 1400 * MS)
    to_door.play(watch_door(to_door, at_door.ecu, random.Random(SEED + 2)), START + 350 * MS)
    to_all = ((can0, EVERYBODY_11), (can0, EVERYBODY_29), (can1, EVERYBODY_ON_CAN1))
    stations = [Station(bus, address, lambda payload, functional: None) for bus, address in to_all]
    world.at(START + 600 * MS, lambda: keep_alive(world, stations))
    for bus, can_id, ms in ((can0, 0x0C0, 20), (can0, 0x1A5, 50), (can0, 0x2F1, 100), (can1, 0x3D2, 40)):
        Signals(bus, can_id, ms * MS, chance)
    Signals(can1, 0x5F0, SECOND, chance)
    world.run(START + LENGTH)
    return until_the_last_answer(sorted(can0.frames + can1.frames))


def one_frame_of_block(number: int) -> Callable[[isotp.CanMessage], bool]:
    """Which frame does not get through: the first one with the sequence number B in this block of the download."""
    begin, lost = bytes((0x36, number)), iter([True])
    is_it = False

    def loses(frame: isotp.CanMessage) -> bool:
        nonlocal is_it
        if frame.arbitration_id != GEARBOX.get_tx_arbitration_id():
            return False
        if frame.data[0] >> 4 == 1:
            is_it = bytes(frame.data[2:4]) == begin
        return is_it and frame.data[0] == 0x2B and next(lost, False)

    return loses


def until_the_last_answer(frames: list[Frame]) -> list[Frame]:
    """The recorder is switched off amid the last long answer of the door."""
    begins = [
        frame.time
        for frame in frames
        if frame.can_id == 0x640 and frame.data[1] >> 4 == 1 and frame.data[2] > 60
    ]
    return [frame for frame in frames if frame.time < begins[-1] + 40 * MS]


def candump(frames: list[Frame]) -> Iterator[str]:
    """Lines as candump -L writes them."""
    for frame in frames:
        can_id = f"{frame.can_id:08X}" if frame.is_extended else f"{frame.can_id:03X}"
        seconds, rest = divmod(frame.time // US, 1_000_000)
        yield f"({seconds}.{rest:06}) {frame.channel} {can_id}#{frame.data.hex().upper()}\n"


def write(path: Path, frames: list[Frame]) -> None:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress("".join(candump(frames)).encode(), mtime=0))
        return
    import can

    with can.Logger(path) as log:
        for frame in frames:
            message = can.Message(
                timestamp=frame.time // US / 1e6,
                arbitration_id=frame.can_id,
                is_extended_id=frame.is_extended,
                data=frame.data,
                channel=int(frame.channel[-1]),
            )
            log(message)


if __name__ == "__main__":
    recorded = record()
    for name in sys.argv[1:]:
        write(Path(name), recorded)
    print(f"{len(recorded)} frames in {(recorded[-1].time - recorded[0].time) / SECOND:.1f} s")
