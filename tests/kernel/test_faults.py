"""What goes wrong on a bus ends alike in our layers and in the kernel, or as docs/kernel.md says.

Each story is told to the kernel and to each of our layers by a peer that misbehaves. Its lines are

    > FRAME    the peer sends this
    < FRAME    the peer sees this, and nothing else before it
    error      an error shows, without further frames

The device under test receives with ID 7E8 and sends with 7E0, unless the story has an address of its own.
Every story ends with a Single Frame, which must come through whatever happened before.
"""

from __future__ import annotations

import queue
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

import isotp
from isotp.tpsock import SocketError
from tests.kernel.ends import LAYERS, MODES, Frames, Setup, our_end

pytestmark = pytest.mark.kernel

KERNEL = "kernel"
PATIENCE = 30.0
NORMAL = isotp.Address(txid=0x7E0, rxid=0x7E8)
EXTENDED = MODES["Extended_11bits"][0]
CLASSIC_SHORT, FD64 = Setup(), Setup(Frames(fd=True, tx_dl=64))
STILL_ALIVE = b"\xa1\x1f\xe5"
REMOTE_FRAME = struct.pack("=IB3x8s", 0x4000_07E8, 8, b"")

FF = "> 7E8#1014000102030405"
CF1, CF2 = "> 7E8#21060708090A0B0C", "> 7E8#220D0E0F10111213"
CTS = "< 7E0#300000"
WHOLE = bytes(range(20))

# More than any kernel takes, whatever its limit.
FAR_TOO_LONG = "7FFFFFFF"

CALL = bytes(range(27))
FIRST = "< 7E0#101B000102030405"
REST = ("< 7E0#21060708090A0B0C", "< 7E0#220D0E0F10111213", "< 7E0#231415161718191A")

WRONG_SN, N_CR, N_BS = "WrongSequenceNumberError", "ConsecutiveFrameTimeoutError", "FlowControlTimeoutError"
UNEXPECTED_CF, UNEXPECTED_FC = "UnexpectedConsecutiveFrameError", "UnexpectedFlowControlError"
INTERRUPTED_BY_SF = "ReceptionInterruptedWithSingleFrameError"
INTERRUPTED_BY_FF = "ReceptionInterruptedWithFirstFrameError"
INVALID, TOO_LONG, OVERFLOW = "InvalidCanDataError", "FrameTooLongError", "OverflowError"
SHORT_CF, WAIT = "ChangingInvalidRXDLError", "UnsupportedWaitFrameError"


@dataclass(frozen=True)
class Outcome:
    """What the user of a device sees: messages, errors, and how his own message ended."""

    messages: tuple[bytes, ...] = ()
    errors: tuple[str, ...] = ()
    sent: str | None = None


@dataclass(frozen=True)
class Story:
    """A script, and how it ends.

    :param ends: for the kernel, and for ours too unless one of the next two says otherwise.
    :param reported: errors that only our error handler hears of, the kernel being silent about them.
    :param ours: how it ends for ours, where that is something else.
    """

    script: tuple[str | bytes, ...]
    ends: Outcome = Outcome()
    reported: tuple[str, ...] | None = None
    ours: Outcome | None = None
    our_script: tuple[str | bytes, ...] | None = None
    setup: Setup = CLASSIC_SHORT
    address: isotp.Address = NORMAL
    params: dict[str, Any] = field(default_factory=dict)

    def told_to(self, device: str) -> tuple[str | bytes, ...]:
        return self.script if device == KERNEL or self.our_script is None else self.our_script

    def end_for(self, device: str) -> Outcome:
        if device == KERNEL:
            return self.ends
        if self.ours is not None:
            return self.ours
        errors = self.ends.errors if self.reported is None else self.reported
        return Outcome(self.ends.messages, errors, self.ends.sent)


RECEPTIONS = {
    "nothing wrong": Story((FF, CTS, CF1, CF2), Outcome((WHOLE,))),
    # -- the same for both --
    "lost consecutive frame": Story((FF, CTS, CF2), Outcome(errors=(WRONG_SN,))),
    "lost last consecutive frame": Story((FF, CTS, CF1, "error"), Outcome(errors=(N_CR,))),
    "sender goes silent after the first frame": Story((FF, CTS, "error"), Outcome(errors=(N_CR,))),
    "sixteen lost consecutive frames, which the sequence number cannot show": Story(
        (
            "> 7E8#1099000000000000",
            CTS,
            "> 7E8#2100000000000000",
            *(f"> 7E8#2{sn & 15:X}00000000000000" for sn in range(18, 22)),
            "error",
        ),
        Outcome(errors=(N_CR,)),
    ),
    "doubled single frame": Story(("> 7E8#0101",) * 2, Outcome((b"\1", b"\1"))),
    "foreign frames": Story(
        (
            FF,
            "> 7E9#0101",
            REMOTE_FRAME,
            "> 000007E8#0101",
            "> 7E0#0101",
            "> 7E9#300000",
            CTS,
            CF1,
            "> 7E9#230D0E0F10111213",
            "> 000007E8#230D0E0F10111213",
            CF2,
        ),
        Outcome((WHOLE,)),
    ),
    "foreign extension byte": Story(
        (
            "> 123#AA10080001020304",
            "< 456#55300000",
            "> 123#AB0101",
            "> 123#AB22050607",
            "> 123#AA21050607",
        ),
        Outcome((bytes(range(8)),)),
        address=EXTENDED,
    ),
    "consecutive frame before the flow control": Story(
        (FF, CF1, "< 7E0#300100", "< 7E0#300100", CF2), Outcome((WHOLE,)), setup=Setup(bs=1)
    ),
    "first frame for what a single frame holds": Story(
        ("> 7E8#1007707172737475", CTS, "> 7E8#2176"), Outcome((b"pqrstuv",))
    ),
    # -- our error handler hears of more --
    "lost first frame": Story((CF1, CF2), reported=(UNEXPECTED_CF,) * 2),
    "doubled first frame": Story(
        (FF, CTS, FF, CTS, CF1, CF2), Outcome((WHOLE,)), reported=(INTERRUPTED_BY_FF,)
    ),
    "doubled consecutive frame": Story(
        (FF, CTS, CF1, CF1, CF2), Outcome(errors=(WRONG_SN,)), reported=(WRONG_SN, UNEXPECTED_CF)
    ),
    "doubled last consecutive frame": Story(
        (FF, CTS, CF1, CF2, CF2), Outcome((WHOLE,)), reported=(UNEXPECTED_CF,)
    ),
    "reordered consecutive frames": Story(
        (FF, CTS, CF2, CF1), Outcome(errors=(WRONG_SN,)), reported=(WRONG_SN, UNEXPECTED_CF)
    ),
    "consecutive frame overtakes the first frame": Story(
        (CF1, FF, CTS, CF2), Outcome(errors=(WRONG_SN,)), reported=(UNEXPECTED_CF, WRONG_SN)
    ),
    "late consecutive frames": Story(
        (FF, CTS, "error", CF1, CF2), Outcome(errors=(N_CR,)), reported=(N_CR, UNEXPECTED_CF, UNEXPECTED_CF)
    ),
    "single frame in the middle": Story(
        (FF, CTS, CF1, "> 7E8#0101", CF2), Outcome((b"\1",)), reported=(INTERRUPTED_BY_SF, UNEXPECTED_CF)
    ),
    "other first frame in the middle": Story(
        (FF, CTS, CF1, "> 7E8#1008707172737475", CTS, "> 7E8#217677"),
        Outcome((b"pqrstuvw",)),
        reported=(INTERRUPTED_BY_FF,),
    ),
    "flow control in the middle": Story(
        (FF, CTS, CF1, "> 7E8#300000", "> 7E8#310000", CF2),
        Outcome((WHOLE,)),
        reported=(UNEXPECTED_FC, UNEXPECTED_FC),
    ),
    "overflow that nobody asked for": Story(("> 7E8#320000",), reported=(OVERFLOW,)),
    "short consecutive frame that is not the last, CAN FD": Story(
        (
            f"> 7E8##010BC{'11' * 62}",
            "< 7E0##0300000",
            f"> 7E8##021{'22' * 47}",
            f"> 7E8##021{'33' * 63}",
            f"> 7E8##022{'44' * 63}",
        ),
        Outcome((b"\x11" * 62 + b"\x33" * 63 + b"\x44" * 63,)),
        reported=(SHORT_CF,),
        setup=FD64,
    ),
    "single frame of no bytes in the middle": Story(
        (FF, CTS, CF1, "> 7E8#00", CF2), reported=(INVALID, UNEXPECTED_CF)
    ),
    "single frame longer than its CAN frame in the middle": Story(
        (FF, CTS, CF1, "> 7E8#070102", CF2), reported=(INVALID, UNEXPECTED_CF)
    ),
    "message beyond the limit": Story(
        (f"> 7E8#1000{FAR_TOO_LONG}0001", "< 7E0#320000"), reported=(TOO_LONG,)
    ),
    "empty frames": Story(("> 7E8#",), reported=(INVALID,)),
    # -- different --
    "reserved N_PCI type in the middle": Story(
        (FF, CTS, CF1, "> 7E8#40", CF2), Outcome((WHOLE,)), ours=Outcome(errors=(INVALID, UNEXPECTED_CF))
    ),
    "short consecutive frame that is not the last, classic": Story(
        (FF, CTS, "> 7E8#210607", CF1, CF2), Outcome((WHOLE,)), ours=Outcome(errors=(WRONG_SN, UNEXPECTED_CF))
    ),
    "first frame that holds all": Story(
        ("> 7E8#1005707172737400", "> 7E8#2175"),
        our_script=("> 7E8#1005707172737400", CTS, "> 7E8#2175"),
        ours=Outcome((b"pqrst",)),
    ),
    "message of the greatest FF_DL": Story(
        ("> 7E8#1000FFFFFFFF0001",),
        our_script=("> 7E8#1000FFFFFFFF0001", "< 7E0#320000"),
        ours=Outcome(errors=(TOO_LONG,)),
    ),
    "first frame that does not fill its CAN frame": Story(
        ("> 7E8#10087071727374", "> 7E8#21757677"),
        our_script=("> 7E8#10087071727374", CTS, "> 7E8#21757677"),
        ours=Outcome((b"pqrstuvw",)),
    ),
    "CAN FD frame for who sends classic ones": Story(("> 7E8##00101",), ours=Outcome((b"\1",))),
    "classic frame for who sends CAN FD": Story(("> 7E8#0101",), ours=Outcome((b"\1",)), setup=FD64),
}

SENDINGS = {
    "nothing wrong": Story((FIRST, "> 7E8#300000", *REST), Outcome(sent="done")),
    # -- the same for both --
    "no receiver": Story((FIRST,), Outcome(sent=N_BS)),
    "foreign flow control": Story(
        (FIRST, "> 7E9#300000", "> 000007E8#300000", REMOTE_FRAME, "> 7E0#300000"), Outcome(sent=N_BS)
    ),
    "overflow": Story((FIRST, "> 7E8#320000"), Outcome(sent=OVERFLOW)),
    "overflow after a block": Story((FIRST, "> 7E8#300100", REST[0], "> 7E8#320000"), Outcome(sent=OVERFLOW)),
    "receiver goes silent after a block": Story((FIRST, "> 7E8#300200", *REST[:2]), Outcome(sent=N_BS)),
    "wait frames": Story(
        (FIRST, *["> 7E8#310000"] * 3, "> 7E8#300000", *REST), Outcome(sent="done"), params={"wftmax": 3}
    ),
    "wait frames after a block": Story(
        (FIRST, "> 7E8#300100", REST[0], "> 7E8#310000", "> 7E8#300100", REST[1], "> 7E8#300100", REST[2]),
        Outcome(sent="done"),
        params={"wftmax": 1},
    ),
    "wait frame, then silence": Story((FIRST, "> 7E8#310000"), Outcome(sent=N_BS), params={"wftmax": 1}),
    "doubled flow control": Story((FIRST, *["> 7E8#30007F"] * 2, *REST), Outcome(sent="done")),
    "single frame from the other side": Story(
        (FIRST, "> 7E8#0101", "> 7E8#300000", *REST), Outcome((b"\1",), sent="done")
    ),
    "whole message from the other side": Story(
        (FIRST, FF, CTS, CF1, CF2, "> 7E8#300000", *REST), Outcome((WHOLE,), sent="done")
    ),
    # -- our error handler hears of more --
    "consecutive frame from the other side": Story(
        (FIRST, CF1, "> 7E8#300000", *REST), Outcome(sent="done"), reported=(UNEXPECTED_CF,)
    ),
    "wait frames without wftmax": Story(
        (FIRST, *["> 7E8#310000"] * 2, "> 7E8#300000", *REST), Outcome(sent="done"), reported=(WAIT, WAIT)
    ),
    "flow control after the message": Story(
        (FIRST, "> 7E8#300000", *REST, "> 7E8#300000"), Outcome(sent="done"), reported=(UNEXPECTED_FC,)
    ),
    # -- different --
    "more wait frames than wftmax": Story(
        (FIRST, *["> 7E8#310000"] * 2, "> 7E8#300000", *REST),
        Outcome(sent="done"),
        our_script=(FIRST, *["> 7E8#310000"] * 2),
        ours=Outcome(sent="MaximumWaitFrameReachedError"),
        params={"wftmax": 1},
    ),
    "short flow control": Story(
        (FIRST, "> 7E8#3000"), Outcome(sent=INVALID), ours=Outcome(errors=(INVALID,), sent=N_BS)
    ),
    "reserved flow status": Story(
        (FIRST, "> 7E8#330000"),
        Outcome(sent=INVALID),
        ours=Outcome(errors=(INVALID,), sent=N_BS),
    ),
    "reserved STmin": Story(
        (FIRST, "> 7E8#3000FA", *REST),
        Outcome(sent="done"),
    ),
    "overflow between consecutive frames": Story(
        (FIRST, "> 7E8#30007F", REST[0], "> 7E8#320000", *REST[1:]),
        Outcome(sent="done"),
        our_script=(FIRST, "> 7E8#30007F", REST[0], "> 7E8#320000"),
        ours=Outcome(sent=OVERFLOW),
    ),
}


class KernelDevice:
    """The kernel's socket, whose send() waits for the end of the transmission."""

    def __init__(self, end: isotp.socket) -> None:
        self.end = end
        self.messages: list[bytes] = []
        self.errors: list[str] = []

    def send(self, data: bytes) -> str:
        try:
            self.end.send(data)
        except SocketError as error:
            return self._name(error)
        return "done"

    def meet_error(self) -> None:
        with pytest.raises(SocketError) as caught:
            self.end.recv()
        self.errors.append(self._name(caught.value))

    def receive_until(self, last: bytes) -> None:
        while True:
            try:
                message = bytes(self.end.recv())
            except SocketError as error:
                self.errors.append(self._name(error))
                continue
            if message == last:
                return
            self.messages.append(message)

    @staticmethod
    def _name(error: SocketError) -> str:
        # The class that our layers have for the same event.
        return type(error).__mro__[1].__name__


class OurDevice:
    """A layer of ours, whose send() waits for the end of the transmission."""

    def __init__(self, layer: isotp.TransportLayer) -> None:
        self.layer = layer
        self.messages: list[bytes] = []
        self.errors: list[str] = []
        self._reported: queue.Queue[str] = queue.Queue()
        layer.error_handler = lambda error: self._reported.put(type(error).__name__)

    def send(self, data: bytes) -> str:
        try:
            self.layer.send(data, send_timeout=PATIENCE)
        except isotp.BlockingSendFailure as error:
            # It is reported too; here it counts once.
            reason = type(error.__cause__).__name__
            while (reported := self._reported.get(timeout=PATIENCE)) != reason:
                self.errors.append(reported)
            return reason
        return "done"

    def meet_error(self) -> None:
        self.errors.append(self._reported.get(timeout=PATIENCE))

    def receive_until(self, last: bytes) -> None:
        while (message := self.layer.recv(block=True, timeout=PATIENCE)) != last:
            assert message is not None
            self.messages.append(bytes(message))
        # Ends its thread, so that no error is on its way.
        self.layer.stop()
        while not self._reported.empty():
            self.errors.append(self._reported.get())


@pytest.fixture(params=[KERNEL, *LAYERS])
def device_kind(request) -> str:
    return request.param


def tell(bus, device, script: tuple[str | bytes, ...]) -> None:
    for line in script:
        if isinstance(line, bytes):
            bus.socket.send(line)
        elif line == "error":
            device.meet_error()
        elif line.startswith("> "):
            bus.send(line[2:])
        else:
            assert f"< {bus.recv()}" == line


def play(story: Story, kind: str, bus, device, sends: bytes | None) -> Outcome:
    """Tell the story; the device sends meanwhile, if it has something to send."""
    sent = None
    with ThreadPoolExecutor(1) as executor:
        sending = None if sends is None else executor.submit(device.send, sends)
        tell(bus, device, story.told_to(kind))
        if sending is not None:
            sent = sending.result()
    extension = "AA" if story.address is EXTENDED else ""
    fd = "##0" if story.setup.frames.fd else "#"
    bus.send(f"{story.address.get_rx_arbitration_id():03X}{fd}{extension}03{STILL_ALIVE.hex()}")
    device.receive_until(STILL_ALIVE)
    assert bus.quiet()
    return Outcome(tuple(device.messages), tuple(device.errors), sent)


def outcome_of(story: Story, kind: str, bus, sends: bytes | None = None) -> Outcome:
    if kind == KERNEL:
        with isotp.socket(PATIENCE) as end:
            story.setup.apply(end)
            # Frames of a misbehaving peer are to be judged by the protocol, not by their padding.
            end.set_opts(optflag=isotp.socket.flags.WAIT_TX_DONE)
            end.bind("vcan0", story.address)
            return play(story, kind, bus, KernelDevice(end), sends)
    params = {
        "blocking_send": True,
        # The kernel's, which cannot be changed.
        "rx_flowcontrol_timeout": 1000,
        "rx_consecutive_frame_timeout": 1000,
        **story.params,
    }
    with our_end(kind, story.address, story.setup, **params) as our:
        return play(story, kind, bus, OurDevice(our.layer), sends)


@pytest.mark.parametrize("name", RECEPTIONS)
def test_reception(name, device_kind, bus):
    story = RECEPTIONS[name]
    assert outcome_of(story, device_kind, bus) == story.end_for(device_kind)


@pytest.mark.parametrize("name", SENDINGS)
def test_transmission(name, device_kind, reserved_fs_is_an_error, bus):
    story = SENDINGS[name]
    expected = story.end_for(device_kind)
    if (device_kind, name) == (KERNEL, "reserved flow status") and not reserved_fs_is_an_error:
        expected = Outcome(sent="done")
    assert outcome_of(story, device_kind, bus, CALL) == expected
