"""Random scripts end alike in a layer of ours and in the kernel, or as docs/kernel.md says.

A third party plays the same frames on two buses, one by one: to a SocketCanStack on vcan0, to the kernel's socket
on vcan1. After each frame both must have put the same frames on the bus, received the same messages, met the same
errors, and be sending or not. A frame that docs/kernel.md says is taken differently is recognised before it is
played; what comes of it must be what the page says, and ends the script, as the states differ from then on.

Not made here, as the outcome would depend on when a frame meets the device: frames between the Consecutive Frames
of a block, and several frames at once (test_faults.py has stories of both). Nor what differs by setting: another
BS or STmin in a later Flow Control, classic frames among those of CAN FD, messages near the kernel's limit.

ISOTP_KERNEL_SEEDS: how many scripts. ISOTP_KERNEL_FIRST_SEED: the first one.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import random
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

import isotp
from tests.kernel.conftest import PATIENCE, RawBus
from tests.kernel.ends import FD_LENGTHS, MODES, PAD, Frames, Setup, make_room, payload

pytestmark = pytest.mark.kernel

SEEDS = int(os.environ.get("ISOTP_KERNEL_SEEDS", "100"))
FIRST_SEED = int(os.environ.get("ISOTP_KERNEL_FIRST_SEED", "1"))
SEEDS_OF_A_TEST = 20
OUR_BUS, KERNEL_BUS = "vcan0", "vcan1"
# Its echo says that all before it was heard.
BARRIER = "7FF#"
CAN_DL = (*range(9), *FD_LENGTHS[1:])
# The kernel's N_Bs and N_Cr are 1 s: a script that took so long between two frames, in seconds, is played again.
HALF_OF_TIMEOUT, ATTEMPTS = 0.5, 5
NO_TIME = 0xFFFF_FFFF  # CAN_ISOTP_FRAME_TXTIME_ZERO

WRONG_SN, N_CR, N_BS = "WrongSequenceNumberError", "ConsecutiveFrameTimeoutError", "FlowControlTimeoutError"
OVERFLOW, INVALID = "OverflowError", "InvalidCanDataError"
# What the kernel notes on its socket.
ERRORS = {
    errno.EILSEQ: WRONG_SN,
    errno.ETIMEDOUT: N_CR,
    errno.ECOMM: N_BS,
    errno.EMSGSIZE: OVERFLOW,
    errno.EBADMSG: INVALID,
}


# ---------------------------------------------------------------- scripts


@dataclass(frozen=True)
class Hear:
    """A frame for the device, unless it is foreign."""

    frame: str
    n_pdu: bytes = b""
    foreign: bool = False


@dataclass(frozen=True)
class Send:
    """The device is to send this, unless it is sending."""

    data: bytes


@dataclass(frozen=True)
class Silence:
    """Nothing comes until what the device waits for timed out."""


Step = Hear | Send | Silence


@dataclass
class Script:
    seed: int
    mode: str
    setup: Setup
    strict: bool
    wftmax: int
    steps: list[Step] = field(default_factory=list)

    @property
    def address(self) -> isotp.Address:
        return MODES[self.mode][0]

    @property
    def prefix(self) -> bytes:
        """What the device's peer puts before the N_PCI."""
        address = self.address
        return bytes([address.get_rx_extension_byte()]) if address.requires_rx_extension_byte() else b""

    def __str__(self) -> str:
        kind = "strict" if self.strict else "default"
        return f"seed {self.seed}: {self.mode}, {self.setup}, {kind}, wftmax {self.wftmax}"


def written(script: Script, number: int, wide: bool, data: bytes) -> str:
    """A frame of the kind that the device takes, as candump writes it."""
    name = f"{number:08X}" if wide else f"{number:03X}"
    return f"{name}{'##0' if script.setup.frames.fd else '#'}{data.hex().upper()}"


class Author:
    """Writes the script of a seed."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)
        fd = dice.random() < 0.5
        self.tx_dl = dice.choice(FD_LENGTHS) if fd else 8
        setup = Setup(
            Frames(fd, self.tx_dl, fd and dice.random() < 0.3),
            bs=dice.choice((0, 0, 1, 2, 3, 8)),
            stmin=dice.choice((0, 0, 1, 0xF3)),
            padded=dice.random() < 0.5,
        )
        self.script = Script(
            seed, dice.choice(list(MODES)), setup, dice.random() < 0.5, dice.choice((0, 0, 2))
        )
        # Of the peer. Odd frames end many a script at a known difference: not all scripts have them.
        self.odd = dice.choice((0.0, 0.1, 0.3, 0.6))
        self.peer_dl = dice.choice(FD_LENGTHS) if fd else 8
        self.pads = dice.random() < 0.5
        self.fc = bytes([dice.choice((0, 0, 1, 2, 3, 5)), dice.choice((0, 0, 0, 1, 2, 0xF1, 0xF9))])

    def write(self) -> Script:
        dice, steps = self.dice, self.script.steps
        for _ in range(dice.randrange(2, 7)):
            part = dice.choice(
                (self.single, self.message, self.message, self.transmission, self.transmission)
            )
            steps += self.disturbed(part())
        if dice.random() < 0.02:
            steps.append(Silence())
        # Whatever is still on its way shows, and ends.
        sn, rest = dice.randrange(16), bytes(self.peer_dl - len(self.script.prefix) - 1)
        probes = (
            b"\x30" + self.fc,
            b"\x32" + self.fc,
            bytes([0x20 | sn]) + rest,
            bytes([0x20 | sn ^ 5]) + rest,
        )
        steps += [self.frame(n_pdu) for n_pdu in probes]
        steps += [
            *self.single(),
            Send(payload(5)),
            Send(payload(self.tx_dl + 1)),
            *self.flow_controls(self.tx_dl + 1),
        ]
        return self.script

    # ------------------------------------------------ frames

    def frame(self, n_pdu: bytes, *, pad: bool | None = None, foreign: str = "") -> Hear:
        """As the peer sends it; `pad` to the length of its frames, in place of the shortest one."""
        script, address = self.script, self.script.address
        number, wide = address.get_rx_arbitration_id(), address.is_rx_29bits()
        prefix = script.prefix
        if foreign == "extension" and not prefix:
            foreign = "identifier"
        if foreign == "extension":
            prefix = bytes([prefix[0] ^ 0x11])
        elif foreign == "identifier":
            number ^= 0x10
        elif foreign == "length":
            number, wide = number & 0x7FF, not wide
        data = (prefix + n_pdu)[: 64 if script.setup.frames.fd else 8]
        if self.pads if pad is None else pad:
            data = data.ljust(8, bytes([PAD]))
        data = data.ljust(next(n for n in CAN_DL if n >= len(data)), bytes([PAD]))
        return Hear(written(script, number, wide, data), data[len(prefix) :], bool(foreign))

    def data(self, size: int) -> bytes:
        return self.dice.randbytes(size)

    def single(self) -> list[Step]:
        room = self.peer_dl - len(self.script.prefix) - (1 if self.peer_dl == 8 else 2)
        data = self.data(self.dice.randrange(1, room + 1))
        short = len(self.script.prefix) + 1 + len(data) <= 8
        return [self.frame((bytes([len(data)]) if short else bytes([0, len(data)])) + data)]

    def message(self) -> list[Step]:
        """A segmented message, perhaps with fewer frames than it has."""
        dice, room = self.dice, self.peer_dl - len(self.script.prefix)
        most = dice.choice((3 * room, 3 * room, 3 * room, 18 * room))
        size = dice.randrange(room, room + most)
        if dice.random() < 0.02:
            size = dice.choice((5000, 100_000)) if self.peer_dl >= 48 else 100_000
        data = self.data(size)
        head = bytes([0x10 | size >> 8, size & 0xFF]) if size < 4096 else b"\x10\0" + size.to_bytes(4, "big")
        at = room - len(head)
        steps: list[Step] = [self.frame(head + data[:at])]
        if size > 10_000:
            return steps
        sn = 0
        while at < size:
            sn += 1
            steps.append(self.frame(bytes([0x20 | sn & 15]) + data[at : at + room - 1]))
            at += room - 1
        if dice.random() < 0.15:
            del steps[dice.randrange(1, len(steps) + 1) :]
        return steps

    def transmission(self) -> list[Step]:
        dice = self.dice
        size = dice.choice((dice.randrange(1, 80), dice.randrange(1, 80), dice.randrange(80, 400)))
        if dice.random() < 0.02 and self.fc[1] == 0:
            size = dice.choice((4095, 4096, 5000))
        steps: list[Step] = [Send(payload(size)), *self.flow_controls(size)]
        if dice.random() < 0.4:
            # Duplex: a message from the peer meanwhile.
            other = self.message() if dice.random() < 0.5 else self.single()
            places = sorted(dice.randrange(1, len(steps) + 1) for _ in other)
            for place, step in reversed(list(zip(places, other, strict=True))):
                steps.insert(place, step)
        return steps

    def flow_controls(self, size: int) -> list[Step]:
        """As many as the message needs, most times."""
        room = self.tx_dl - len(self.script.address.get_tx_payload_prefix())
        if size <= room - (1 if self.tx_dl == 8 else 2):
            return []
        left = size - (room - (2 if size < 4096 else 6))
        blocks = math.ceil(math.ceil(left / (room - 1)) / self.fc[0]) if self.fc[0] else 1
        steps: list[Step] = []
        for _ in range(blocks):
            if self.dice.random() < 0.08:
                steps += [self.frame(b"\x31" + self.fc)] * self.dice.randrange(1, 4)
            steps.append(self.frame(b"\x30" + self.fc))
        if self.dice.random() < 0.08:
            steps.insert(self.dice.randrange(len(steps) + 1), self.frame(b"\x32" + self.fc))
        return steps

    # ------------------------------------------------ faults

    def disturbed(self, steps: list[Step]) -> list[Step]:
        """With frames lost, doubled, reordered, changed, and others between them."""
        dice, disturbed = self.dice, list[Step]()
        rate = dice.choice((0.0, 0.03, 0.15))
        for step in steps:
            if not isinstance(step, Hear) or dice.random() >= rate:
                disturbed.append(step)
                continue
            fault = dice.randrange(7)
            if fault == 0:
                continue
            if fault == 1 and disturbed and isinstance(disturbed[-1], Hear):
                disturbed.insert(-1, step)
            elif fault == 2:
                disturbed += [step, step]
            elif fault == 3 and step.n_pdu[0] >> 4 == 2:
                disturbed.append(self.frame(bytes([0x20 | dice.randrange(16)]) + step.n_pdu[1:]))
            elif fault == 4:
                kind = dice.choice(("identifier", "extension", "length"))
                disturbed += [self.frame(step.n_pdu, foreign=kind), step]
            elif fault == 5:
                disturbed += [*dice.choice((self.single, self.message))()[:1], step]
            else:
                disturbed += [self.frame(b"\x30" + self.fc), step]
        if dice.random() < self.odd:
            # The last frame of a message has rules of its own.
            at = (
                len(disturbed) - 1
                if disturbed and dice.random() < 0.3
                else dice.randrange(len(disturbed) + 1)
            )
            disturbed[at:at] = self.odd_frames(disturbed[at] if at < len(disturbed) else None)
        return disturbed

    def odd_frames(self, following: Step | None) -> list[Step]:
        """What no sender should send; most times instead of what follows."""
        dice, room = self.dice, self.peer_dl - len(self.script.prefix)
        some = self.data(dice.randrange(room))
        small = dice.randrange(1, room + 2)
        cf = b"\x21"
        kinds: list[int] = [0, 1, 2, 3, 4]
        if isinstance(following, Hear) and dice.random() < 0.7:
            kinds = [following.n_pdu[0] >> 4]
            cf = following.n_pdu[:1]
        singles: list[tuple[bytes, ...]] = [
            (bytes([dice.randrange(16)]) + some[:6],),
            (bytes([0, dice.randrange(1, 64)]) + some[: room - 2],),
            (b"\0\3" + self.data(3),),
        ]
        firsts: list[tuple[bytes, ...]] = [
            (bytes([0x10, small]) + some[: room - 2],),
            (bytes([0x10, small]) + bytes(room - 2),),
            (b"\x10" + some[:1],),
            (b"\x10\0" + dice.choice((0, small, 300)).to_bytes(4, "big") + bytes(max(0, room - 6)),),
            # Holds a byte more than its message; a short Consecutive Frame follows.
            (bytes([0x10, room - 3]) + bytes(room - 2), b"\x21\0"),
        ]
        any_dl = dice.choice(CAN_DL[8:] if self.script.setup.frames.fd else (8,))
        consecutives: list[tuple[bytes, ...]] = [
            (cf + some,),
            (cf + some[:6],),
            (cf + bytes(any_dl - 2),),
        ]
        flow_controls: list[tuple[bytes, ...]] = [
            (b"\x30" + self.fc[: dice.randrange(2)],),
            (bytes([0x30 | dice.randrange(3, 16)]) + self.fc,),
            (bytes([0x30, self.fc[0], dice.choice((0x80, 0xF0, 0xFA, 0xFF))]),),
        ]
        others: list[tuple[bytes, ...]] = [(b"",), (bytes([dice.randrange(0x40, 0x100)]) + some,)]
        odd = dice.choice((singles, firsts, consecutives, flow_controls, others)[dice.choice(kinds)])
        pad = dice.random() < 0.2
        return [self.frame(n_pdu, pad=pad) for n_pdu in odd]


# ---------------------------------------------------------------- devices


@dataclass(frozen=True)
class Seen:
    """What a step made a device do."""

    frames: tuple[str, ...] = ()
    messages: tuple[bytes, ...] = ()
    errors: tuple[str, ...] = ()
    sending: bool = False

    def effects(self, before: Seen) -> set[str]:
        """What of it is new."""
        found = {name for name in ("frames", "messages", "errors") if getattr(self, name)}
        return found | ({"end"} if before.sending and not self.sending else set())


class Wire(RawBus):
    """The third party on the bus of a device, who hears himself."""

    def __init__(self, interface: str, script: Script) -> None:
        super().__init__(interface)
        self.socket.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_RECV_OWN_MSGS, 1)
        make_room(self.socket)
        number = script.address.get_tx_arbitration_id()
        self.device = f"{number:08X}#" if script.address.is_tx_29bits() else f"{number:03X}#"

    def heard(self, at_least: int = 0) -> tuple[str, ...]:
        """The frames of the device up to now."""
        self.send(BARRIER)
        frames, passed = [], False
        while not passed or len(frames) < at_least:
            try:
                frame = self.recv()
            except TimeoutError:
                break  # fewer than the other device sent: a difference
            passed |= frame == BARRIER
            if frame.startswith(self.device):
                frames.append(frame)
        return tuple(frames)


class OurDevice:
    """A polled layer."""

    def __init__(self, script: Script) -> None:
        n_bs_n_cr = 1000 if Silence() in script.steps else 30_000
        self.reported: list[str] = []
        self.wire = Wire(OUR_BUS, script)
        self.layer = isotp.SocketCanStack(
            OUR_BUS,
            address=script.address,
            error_handler=lambda error: self.reported.append(type(error).__name__),
            params={
                **script.setup.params(),
                "strict": script.strict,
                "wftmax": script.wftmax,
                "rx_flowcontrol_timeout": n_bs_n_cr,
                "rx_consecutive_frame_timeout": n_bs_n_cr,
            },
        )

    def close(self) -> None:
        self.layer.close()
        self.wire.socket.close()

    def begin(self, step: Step) -> None:
        self.was_sending = self.layer.transmitting()
        self.reported.clear()
        if isinstance(step, Hear):
            self.wire.send(step.frame)
        elif isinstance(step, Send):
            self.layer.send(step.data)

    def finish(self, step: Step) -> Seen:
        layer = self.layer
        self.wire.heard()
        busy = True
        while busy:
            done = layer.process(0.001 if layer.is_tx_transmitting_cf() else 0.0)
            busy = bool(done.received or done.sent) or layer.is_tx_transmitting_cf()
            if isinstance(step, Silence):
                busy = layer.is_rx_active() or layer.transmitting()
        messages = []
        while (message := layer.recv()) is not None:
            messages.append(bytes(message))
        sending = layer.transmitting()
        # The kernel notes no other errors; of an Overflow, or of a Flow Control, only if it awaits one.
        noted = {WRONG_SN, N_CR, N_BS}
        if self.was_sending and not sending:
            noted |= {OVERFLOW, INVALID}
        errors = tuple(name for name in self.reported if name in noted)
        return Seen(self.wire.heard(), tuple(messages), errors, sending)


class KernelDevice:
    """The kernel's socket."""

    def __init__(self, script: Script) -> None:
        setup = script.setup
        self.wire = Wire(KERNEL_BUS, script)
        self.end = isotp.socket(PATIENCE)
        self.end.set_fc_opts(bs=setup.bs, stmin=setup.stmin)
        if setup.frames.fd:
            self.end.set_ll_opts(isotp.socket.LinkLayerProtocol.CAN_FD, setup.frames.tx_dl, setup.frames.brs)
        if setup.padded:
            self.end.set_opts(txpad=PAD, frame_txtime=NO_TIME)
        else:
            self.end.set_opts(frame_txtime=NO_TIME)
        self.end.bind(KERNEL_BUS, script.address)
        self.socket = self.end.real_socket()
        self.socket.setblocking(False)

    def close(self) -> None:
        self.end.close()
        self.wire.socket.close()

    def begin(self, step: Step) -> None:
        if isinstance(step, Hear):
            self.wire.send(step.frame)
        elif isinstance(step, Send):
            self.socket.send(step.data)

    def finish(self, expected: Seen) -> Seen:
        """:param expected: what may be waited for."""
        frames = self.wire.heard(len(expected.frames))
        messages, errors = [], []
        while True:
            try:
                messages.append(self.socket.recv(65536))
            except BlockingIOError:
                missing = len(messages) + len(errors) < len(expected.messages) + len(expected.errors)
                if not (missing and self.wait(select.POLLIN, PATIENCE)):
                    break
            except OSError as error:
                errors.append(ERRORS[error.errno])
        sending = not self.wait(select.POLLOUT, 0 if expected.sending else PATIENCE)
        return Seen(frames, tuple(messages), tuple(errors), sending)

    def wait(self, event: int, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self.socket, event)
        return bool(poll.poll(seconds * 1000))


# ---------------------------------------------------------------- known differences


@dataclass
class Reception:
    """A message that both devices receive."""

    left: int
    ll_dl: int
    sn: int = 1
    # Ignored Consecutive Frames stop the kernel's N_Cr.
    timer_runs: bool = True


class View:
    """A frame and the state it meets, as far as the differences depend on them."""

    def __init__(
        self,
        script: Script,
        reception: Reception | None,
        before: Seen,
        waits: int,
        step: Step,
        *,
        reserved_fs_is_an_error: bool,
    ) -> None:
        self.strict, self.wftmax, self.waits, self.step = script.strict, script.wftmax, waits, step
        self.rx, self.awaits_fc, self.ae = reception, before.sending, len(script.prefix)
        heard = isinstance(step, Hear) and not step.foreign
        self.n_pdu = step.n_pdu if heard else b""
        self.heard, self.can_dl = heard, self.ae + len(self.n_pdu)
        self.type = self.n_pdu[0] >> 4 if self.n_pdu else 0 if heard else -1
        self.low = self.n_pdu[0] & 15 if self.n_pdu else 0
        self.reserved_fs_is_an_error = reserved_fs_is_an_error

    # -- Single Frames --

    def escape_sf(self) -> bool:
        return self.type == 0 and self.low == 0 and len(self.n_pdu) > 1

    def sf_for_kernel(self) -> bool | None:
        """True: taken. False: ignored, the message in progress ends. None: ignored."""
        if self.can_dl <= 8:
            return 0 < self.low < len(self.n_pdu)
        if self.low:
            return None
        return 0 < self.n_pdu[1] <= len(self.n_pdu) - 2

    def sf_is_legal(self) -> bool:
        if self.can_dl <= 8:
            return self.can_dl == 8 or self.low == len(self.n_pdu) - 1
        needed = self.ae + 2 + self.n_pdu[1]
        return needed > 9 and next(n for n in CAN_DL if n >= needed) == self.can_dl

    # -- First Frames --

    def first(self) -> tuple[int, int]:
        """FF_DL and the size of the N_PCI."""
        n_pdu = self.n_pdu.ljust(6, b"\0")
        short = self.low << 8 | n_pdu[1]
        return (short, 2) if short else (int.from_bytes(n_pdu[2:6], "big"), 6)

    def ff_for_kernel(self) -> bool:
        ff_dl, pci = self.first()
        return self.can_dl >= 8 and ff_dl + self.ae + (self.can_dl > 8) + pci >= self.can_dl

    def ff_for_ours(self) -> bool:
        ff_dl, pci = self.first()
        if len(self.n_pdu) < pci or ff_dl == 0:
            return False
        if not self.strict:
            return True
        shortest = (8 if self.can_dl == 8 else self.can_dl - 1) - self.ae
        return self.can_dl >= 8 and ff_dl >= shortest and not (pci == 6 and ff_dl <= 4095)

    # -- Consecutive Frames --

    def cf(self) -> bool:
        return self.type == 2 and self.rx is not None

    def right_sn(self) -> bool:
        return self.low == self.rx.sn & 15

    def cf_for_kernel(self) -> bool:
        """Whether the kernel finds nothing wrong with the length."""
        # The kernel has no negative number of bytes left.
        last = 0 <= self.rx.left <= self.rx.ll_dl - self.ae - 1
        return self.can_dl == self.rx.ll_dl or (self.can_dl < self.rx.ll_dl and last)

    def bad_fc(self) -> bool:
        return self.type == 3 and (len(self.n_pdu) < 3 or self.low > 2)

    def silent_fs(self) -> bool:
        """A Flow Control that ends what is sent, of which this kernel says nothing."""
        reserved = self.type == 3 and len(self.n_pdu) > 2 and self.low > 2
        return self.awaits_fc and reserved and not self.reserved_fs_is_an_error


Effects = tuple[set[str], ...]
NOTHING, ANSWER, MESSAGE, ERROR, GIVEN_UP, ENDED = (
    set[str](),
    {"frames"},
    {"messages"},
    {"errors"},
    {"errors", "end"},
    {"end"},
)
GOES_ON = ({"frames"}, {"frames", "end"})
# What becomes of a Consecutive Frame that is taken: nothing yet, a block ends, or the message does.
TAKEN = (NOTHING, ANSWER, MESSAGE)


@dataclass(frozen=True)
class Difference:
    """A row of docs/kernel.md: when it applies, and what may come of it in the kernel and in the layer."""

    applies: Callable[[View], bool]
    kernel: Effects
    ours: Effects
    # Whether the kernel and the layer are receiving a message afterwards, where that follows.
    receiving: tuple[bool, bool] | None = None


DEFAULT = {
    "a reserved N_PCI type in the middle of a message": Difference(
        lambda view: view.type > 3 and view.rx is not None,
        (NOTHING,),
        (NOTHING,),
        (True, False),
    ),
    "a First Frame that holds more than its message": Difference(
        lambda view: view.type == 1 and view.can_dl >= 8 and view.ff_for_ours() and not view.ff_for_kernel(),
        (NOTHING,),
        (ANSWER,),
        (False, True),
    ),
    "a classic First Frame of less than 8 bytes": Difference(
        lambda view: view.type == 1 and view.can_dl < 8 and view.ff_for_ours(),
        (NOTHING,),
        (ANSWER,),
        (False, True),
    ),
    "a Single Frame in the escape form of up to 8 bytes": Difference(
        lambda view: view.escape_sf() and view.can_dl <= 8 and 0 < view.n_pdu[1] <= len(view.n_pdu) - 2,
        (NOTHING,),
        (MESSAGE,),
        (False, False),
    ),
    "a Consecutive Frame of a wrong length with a wrong SN": Difference(
        lambda view: view.cf() and not view.cf_for_kernel() and not view.right_sn(),
        (NOTHING,),
        (ERROR,),
        (True, False),
    ),
    "a classic Consecutive Frame of less than 8 bytes that is not the last": Difference(
        lambda view: view.cf() and view.rx.ll_dl == 8 > view.can_dl and not view.cf_for_kernel(),
        (NOTHING,),
        TAKEN,
    ),
    "a short last Consecutive Frame after a First Frame that holds a byte too much": Difference(
        lambda view: view.cf() and view.rx.left < 0 and not view.cf_for_kernel(), (NOTHING,), (MESSAGE,)
    ),
    "a last Consecutive Frame that is longer than the First Frame": Difference(
        lambda view: view.cf() and view.can_dl > view.rx.ll_dl and view.can_dl >= view.rx.left,
        (NOTHING,),
        (MESSAGE, *TAKEN[:2]),
    ),
    "a last CAN FD Consecutive Frame that lacks bytes": Difference(
        lambda view: (
            view.cf()
            and view.right_sn()
            and view.cf_for_kernel()
            and view.can_dl < view.rx.ll_dl
            and max(8, view.can_dl) < view.rx.left
        ),
        TAKEN[:2],
        (NOTHING,),
        (True, True),
    ),
    "a reserved Flow Status of which this kernel says nothing": Difference(
        View.silent_fs, (ENDED,), (NOTHING,)
    ),
    "a Flow Control that is too short or reserved": Difference(
        lambda view: view.awaits_fc and view.type == 3 and (len(view.n_pdu) < 3 or view.low > 2),
        (GIVEN_UP,),
        (NOTHING,),
    ),
    "such a Flow Control in the middle of a message that comes in": Difference(
        lambda view: view.rx is not None and view.bad_fc(),
        (NOTHING,),
        (NOTHING,),
        (True, False),
    ),
}
STRICT = {
    "what is no N_PDU in the middle of a message": Difference(
        lambda view: (
            view.rx is not None
            and (
                (view.type == 0 and view.sf_for_kernel() is False)
                or (view.type == 1 and not view.ff_for_kernel() and not view.ff_for_ours())
            )
        ),
        (NOTHING,),
        (NOTHING,),
        (False, True),
    ),
    "a Single Frame whose length is not the right one": Difference(
        lambda view: view.type == 0 and bool(view.sf_for_kernel()) and not view.sf_is_legal(),
        (MESSAGE,),
        (NOTHING,),
    ),
    "a First Frame whose FF_DL or form is not the right one": Difference(
        lambda view: view.type == 1 and view.ff_for_kernel() and not view.ff_for_ours(), (ANSWER,), (NOTHING,)
    ),
    "a last Consecutive Frame that lacks bytes": Difference(
        lambda view: (
            view.cf()
            and view.can_dl < view.rx.ll_dl
            and view.cf_for_kernel()
            and len(view.n_pdu) - 1 < view.rx.left
        ),
        (*TAKEN[:2], ERROR),
        (NOTHING,),
    ),
    "a reserved Flow Status of which this kernel says nothing, but strict does": Difference(
        View.silent_fs, (ENDED,), (GIVEN_UP,)
    ),
    "a Flow Control that is too short": Difference(
        lambda view: view.awaits_fc and view.type == 3 and len(view.n_pdu) < 3, (GIVEN_UP,), (NOTHING,)
    ),
}
BOTH = {
    "silence after a Consecutive Frame that was ignored": Difference(
        lambda view: isinstance(view.step, Silence) and view.rx is not None and not view.rx.timer_runs,
        (NOTHING, GIVEN_UP),
        (ERROR, GIVEN_UP),
        (True, False),
    ),
    "more than wftmax wait frames": Difference(
        lambda view: view.awaits_fc and view.n_pdu[:1] == b"\x31" and 0 < view.wftmax <= view.waits,
        (NOTHING,),
        (ENDED,),
    ),
}


def known_difference(view: View) -> str | None:
    for name, difference in {**(STRICT if view.strict else DEFAULT), **BOTH}.items():
        if difference.applies(view):
            return name
    return None


# ---------------------------------------------------------------- the comparison


@dataclass
class Comparison:
    """A script played to both devices."""

    script: Script
    reserved_fs_is_an_error: bool
    difference: str | None = None  # the known one that ended it
    problem: str | None = None
    steps: int = 0
    longest_step: float = 0.0
    played: Counter[str] = field(default_factory=Counter)

    def play(self) -> None:
        with contextlib.ExitStack() as stack:
            ours, kernel = OurDevice(self.script), KernelDevice(self.script)
            stack.callback(ours.close)
            stack.callback(kernel.close)
            before, reception, waits = Seen(), None, 0
            for step in self.script.steps:
                if isinstance(step, Send) and before.sending:
                    continue
                begin = time.monotonic()
                view = View(
                    self.script,
                    reception,
                    before,
                    waits,
                    step,
                    reserved_fs_is_an_error=self.reserved_fs_is_an_error,
                )
                self.difference = known_difference(view)
                # Together, as the kernel's time runs while ours sends.
                ours.begin(step)
                kernel.begin(step)
                our = ours.finish(step)
                if self.difference is not None:
                    theirs = kernel.finish(Seen(sending=True))
                    self.judge_difference(view, before, our, theirs, ours, kernel)
                    return
                theirs = kernel.finish(our)
                self.steps += 1
                if not isinstance(step, Silence):
                    self.longest_step = max(self.longest_step, time.monotonic() - begin)
                self.played.update(frames=len(our.frames), messages=len(our.messages), errors=len(our.errors))
                if our != theirs:
                    self.problem = (
                        f"step {self.steps}, {step}:\nours   {our}\nkernel {theirs}\nwith {reception}"
                    )
                    return
                reception = follow(view, ours)
                waits = (waits + 1 if view.n_pdu[:1] == b"\x31" else 0) if view.type == 3 else waits
                waits = waits if our.sending else 0
                before = our

    def judge_difference(
        self, view: View, before: Seen, our: Seen, theirs: Seen, ours: OurDevice, kernel: KernelDevice
    ) -> None:
        row = (DEFAULT | STRICT | BOTH)[self.difference]
        if our.effects(before) not in row.ours or theirs.effects(before) not in row.kernel:
            self.problem = f"{self.difference}: {view.step}\nours   {our}\nkernel {theirs}\nwith {view.rx}"
        elif row.receiving is not None:
            # Who receives a message complains about this.
            probe = wrong_cf(self.script, view)
            ours.begin(probe)
            kernel.begin(probe)
            after = kernel.finish(Seen(sending=True)), ours.finish(probe)
            receiving = tuple(WRONG_SN in seen.errors for seen in after)
            if receiving != row.receiving:
                self.problem = f"{self.difference}: {view.step}\nthen receiving: {receiving}\nwith {view.rx}"


def wrong_cf(script: Script, view: View) -> Hear:
    """A Consecutive Frame of the right length whose SN cannot be the next one."""
    if view.rx is None or (view.type == 1 and view.ff_for_ours()):
        sn, length = 5, max(8, view.can_dl)
    else:
        sn, length = view.rx.sn + 5, view.rx.ll_dl
    data = script.prefix + bytes([0x20 | sn & 15])
    address = script.address
    data = data.ljust(length, b"\0")
    return Hear(written(script, address.get_rx_arbitration_id(), address.is_rx_29bits(), data))


def follow(view: View, ours: OurDevice) -> Reception | None:
    """What is received after a step that both took alike."""
    if not ours.layer.is_rx_active():
        return None
    reception = view.rx
    if view.type == 1 and view.ff_for_ours():
        ff_dl, pci = view.first()
        return Reception(ff_dl - (len(view.n_pdu) - pci), view.can_dl)
    if reception is not None and view.type == 2:
        if not view.cf_for_kernel():
            reception.timer_runs = False
        else:
            reception.left -= len(view.n_pdu) - 1
            reception.sn += 1
            reception.timer_runs = True
    return reception


def compared(seed: int, reserved_fs_is_an_error: bool) -> Comparison:
    """Again, if the machine slept so long that the kernel's timers may have run out."""
    for _ in range(ATTEMPTS):
        comparison = Comparison(Author(seed).write(), reserved_fs_is_an_error)
        comparison.play()
        if comparison.problem is None or comparison.longest_step < HALF_OF_TIMEOUT:
            break
    return comparison


@dataclass
class Tally:
    """What the scripts of a run came to."""

    seeds: int = 0
    steps: int = 0
    played: Counter[str] = field(default_factory=Counter)
    differences: Counter[str] = field(default_factory=Counter)
    problems: int = 0

    def lines(self) -> Iterator[str]:
        yield (
            f"{self.seeds} scripts of {self.steps} steps against the kernel: {dict(self.played)}; {self.problems} "
            f"unexplained differences, {self.differences.total()} scripts ended at a known one:"
        )
        for name in DEFAULT | STRICT | BOTH:
            yield f"{self.differences[name]:6} {name}"


@pytest.fixture(scope="module")
def tally(pytestconfig):
    tally = Tally()
    yield tally
    with pytestconfig.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        print("", *tally.lines(), sep="\n")


@pytest.mark.parametrize("first", range(FIRST_SEED, FIRST_SEED + SEEDS, SEEDS_OF_A_TEST))
def test_random_scripts(first, tally, reserved_fs_is_an_error):
    problems = []
    for seed in range(first, min(first + SEEDS_OF_A_TEST, FIRST_SEED + SEEDS)):
        comparison = compared(seed, reserved_fs_is_an_error)
        tally.seeds += 1
        tally.steps += comparison.steps
        tally.played += comparison.played
        if comparison.problem is not None:
            problems.append(f"{comparison.script}\n{comparison.problem}")
        elif comparison.difference is not None:
            tally.differences[comparison.difference] += 1
    tally.problems += len(problems)
    assert not problems, "\n\n".join(problems)
