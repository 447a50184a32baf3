"""A drive with a tester on two buses as a log: real layers on time that the story moves, and some faults.

``python -m tests.cli.recorded_drive`` writes docs/drive.log.gz, which docs/decode.md shows.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import isotp
from tests.documentation import DOCS
from tests.frames import MS, SECOND, US, Bench, counted

LOG = DOCS / "drive.log.gz"
START = 1_700_000_000 * SECOND
FRAME_TIME = 240 * US  # on a bus with 500 kbit/s


class Frame(NamedTuple):
    time: int
    channel: str
    can_id: str
    data: bytes


class Talk:
    """A tester and an ECU on one bus; their frames are recorded, all but those that `lose` names."""

    def __init__(self, channel: str, tester: isotp.Address, **ecu_params: Any) -> None:
        self.channel = channel
        self.frames: list[Frame] = []
        self.lose: Callable[[Frame], bool] = never
        self.tester = Bench(tester, txfn=lambda message: self.pass_on(message, self.ecu), tx_padding=0xCC)
        self.ecu = Bench(
            tester.reversed(), txfn=lambda message: self.pass_on(message, self.tester), **ecu_params
        )
        self.ecu.clock = self.tester.clock
        self.ecu.layer.clock = self.tester.clock
        self.tester.clock.ns = START

    def pass_on(self, message: isotp.CanMessage, to: Bench) -> None:
        self.wait(FRAME_TIME)
        digits = 8 if message.is_extended_id else 3
        can_id = f"{message.arbitration_id:0{digits}X}"
        frame = Frame(self.tester.clock.ns, self.channel, can_id, bytes(message.data))
        if not self.lose(frame):
            self.frames.append(frame)
        to.incoming.append(message)

    def wait(self, ns: int) -> None:
        self.tester.wait(ns)

    def run(self) -> None:
        while True:
            self.tester.layer.process()
            self.ecu.layer.process()
            if not any(
                side.layer.transmitting() or side.layer.is_rx_active() for side in (self.tester, self.ecu)
            ):
                return
            self.wait(50 * US)

    def ask(self, request: bytes, answer: bytes, after: int) -> None:
        """A request, and its answer `after` ns later."""
        self.tester.layer.send(request)
        self.run()
        self.wait(after)
        self.ecu.layer.send(answer)
        self.run()


def never(frame: Frame) -> bool:
    return False


def is_consecutive(frame: Frame) -> bool:
    return frame.data[0] >> 4 == 2


def engine(chance: random.Random) -> list[Frame]:
    """Identification and measured values, over and over; once the ECU falls silent in the middle of an answer."""
    talk = Talk("can0", isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x7E0, rxid=0x7E8))
    talk.ask(b"\x22\xf1\x90", b"\x62\xf1\x90WVWZZZ1JZ3W386752", 6 * MS)
    for k in range(50):
        talk.wait(chance.randint(80, 130) * MS)
        talk.lose = is_consecutive if k == 25 else never
        size = 48 if k == 25 else chance.randint(4, 60)
        talk.ask(b"\x22\x20\x01\x20\x02", b"\x62" + counted(size), chance.randint(3, 12) * MS)
        if k == 25:
            talk.wait(1200 * MS)
    return talk.frames


def download(chance: random.Random) -> list[Frame]:
    """New software for the gearbox: blocks of 1 KiB, some of which wait for the flash."""
    fixed = isotp.AddressingMode.NormalFixed_29bits
    tester = isotp.Address(fixed, target_address=0x18, source_address=0xF1)
    talk = Talk("can0", tester, blocksize=16, stmin=0xF3)
    talk.wait(1400 * MS)
    talk.ask(b"\x10\x02", b"\x50\x02\x00\x32\x01\xf4", 25 * MS)
    talk.ask(b"\x34\x00\x44" + bytes(8), b"\x74\x20\x04\x02", 40 * MS)
    for k in range(1, 13):
        if k == 8:
            # One frame does not reach the recorder.
            lost = iter([True])
            talk.lose = lambda frame, lost=lost: frame.data[0] == 0x2B and next(lost, False)
        talk.ask(
            bytes([0x36, k]) + chance.randbytes(1024), bytes([0x76, k]), chance.choice([9, 11, 14, 60]) * MS
        )
    talk.ask(b"\x37", b"\x77", 30 * MS)
    return talk.frames


def door(chance: random.Random) -> list[Frame]:
    """A slow ECU behind a gateway, in extended addressing, asked for its trouble codes; the log ends amid the last."""
    extended = isotp.AddressingMode.Extended_11bits
    tester = isotp.Address(extended, txid=0x6F1, rxid=0x640, target_address=0x40, source_address=0xF1)
    talk = Talk("can1", tester)
    talk.tester.layer.params.set("stmin", 5)
    talk.wait(350 * MS)
    for count in (12, 3, 7, 22, 4, 30, 16, 2, 9, 25, 13, 40):
        talk.ask(b"\x19\x02\x0c", b"\x59\x02\xff" + chance.randbytes(4 * count), chance.randint(25, 45) * MS)
        talk.wait(chance.randint(200, 600) * MS)
    return talk.frames


def signals(chance: random.Random) -> list[Frame]:
    """What else is on the buses: cyclic frames that have nothing to do with ISO-TP."""
    frames = []
    for channel, can_id, period in (("can0", "0C0", 20), ("can0", "1A5", 50), ("can1", "3D2", 40)):
        for k in range(8000 // period):
            time = START + k * period * MS + chance.randint(0, 900) * US
            frames.append(Frame(time, channel, can_id, bytes([k % 15, *chance.randbytes(7)])))
    return frames


def drive() -> str:
    """The log, as candump -L writes it."""
    chance = random.Random(15765)
    frames = sorted(engine(chance) + download(chance) + door(chance) + signals(chance))
    end = max(frame.time for frame in frames if frame.can_id == "640") - 60 * MS
    return "".join(
        f"({frame.time // SECOND}.{frame.time % SECOND // US:06}) {frame.channel} {frame.can_id}#"
        f"{frame.data.hex().upper()}\n"
        for frame in frames
        if frame.time < end
    )


def unpacked() -> str:
    """The log in docs/."""
    return gzip.decompress(LOG.read_bytes()).decode()


if __name__ == "__main__":
    LOG.write_bytes(gzip.compress(drive().encode(), mtime=0))
