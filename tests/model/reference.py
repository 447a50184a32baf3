"""The protocol of one end of a session in plain Python, by ISO 15765-2: clear and slow, for tests only.

`is_ready` is what takes its messages. With `confirming` a frame was sent when the bus says so, by echo().

`strict` is the standard. Without it, each deviation of can-isotp that the package keeps stands where it is made.
Time is an argument, in nanoseconds. What happens is in lists: `frames` sent, `messages` received, names of `errors`,
and the results of the messages that were to be sent (`confirms`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import isotp

MS = 1_000_000
PHYSICAL, FUNCTIONAL = isotp.TargetAddressType.Physical, isotp.TargetAddressType.Functional
CAN_DL = (*range(9), 12, 16, 20, 24, 32, 48, 64)
EXTENDED_ID = 1 << 31

# FlowStatus
CTS, WAIT, OVERFLOW = range(3)


class Malformed(Exception):
    """A frame that is no N_PDU, or that the standard ignores; the text is the name of the error that is reported."""


@dataclass
class SingleFrame:
    data: bytes


@dataclass
class FirstFrame:
    length: int
    data: bytes
    can_dl: int
    escape: bool


@dataclass
class ConsecutiveFrame:
    sn: int
    data: bytes
    can_dl: int


@dataclass
class FlowControl:
    status: int
    blocksize: int
    stmin: int


@dataclass
class Reception:
    length: int
    rx_dl: int
    data: bytearray
    deadline: int
    source: Any  # the address that it came in on
    own: Any  # the layer's own address then, by which it is answered
    sn: int = 0
    in_block: int = 0
    due: bool = True  # a Flow Control
    held: bool = False  # the last one was Wait
    cleared: bool = False  # one was Continue To Send
    waits: int = 0


@dataclass
class Transmission:
    data: bytes
    sent: int
    state: str  # "WAIT_FC", "TRANSMIT_CF" or "WAIT_CONFIRMATION"
    address: Any  # these two it keeps to its end
    tx_dl: int
    sn: int = 1
    deadline: int = 0  # N_Bs
    due: int = 0  # of the next Consecutive Frame
    cf_sent_at: int | None = None  # the last one
    blocksize: int = 0
    in_block: int = 0
    stmin_ns: int = 0
    waits: int = 0
    longest_stmin: bool = False
    given: int = 0  # frames, where the bus confirms them ...
    confirmed: int = 0  # ... and those that it has


@dataclass
class Given:
    """A frame that the bus has and did not confirm yet."""

    frame: tuple[int, bytes]
    when: int
    sender: Transmission | None = None
    place: int = 0  # of the frame in its message
    reception: Reception | None = None  # that this Flow Control answers, ...
    received: int = 0  # ... when it had so many bytes
    apart: bool = False  # a functional Single Frame between the frames of a message


NEVER = 1 << 62


def stmin_ns(stmin: int) -> int | None:
    """Table of STmin (9.6.5.4); None for the reserved values."""
    if 0x00 <= stmin <= 0x7F:
        return stmin * MS
    if 0xF1 <= stmin <= 0xF9:
        return (stmin - 0xF0) * 100_000
    return None


def shortest_can_dl(size: int) -> int:
    return next(length for length in CAN_DL if length >= size)


def flagged(identifier: int, wide: bool) -> int:
    return identifier | (EXTENDED_ID if wide else 0)


def ears(address: Any) -> tuple[Any, ...]:
    """What tells the frames that an address takes."""
    identifiers = [address.get_rx_arbitration_id(kind) for kind in (PHYSICAL, FUNCTIONAL)]
    prefix = address.get_rx_extension_byte() if address.requires_rx_extension_byte() else None
    return (*identifiers, address.is_rx_29bits(), prefix)


@dataclass
class Reference:
    """One end. `params` has the parameters of a layer by name, and is read whenever one is needed."""

    address: Any
    params: Any
    also: tuple[Any, ...] = ()
    now: int = 0
    confirming: bool = False
    is_ready: bool = True
    reception: Reception | None = None
    transmission: Transmission | None = None
    queue: deque[tuple[bytes, bool]] = field(default_factory=deque)
    ahead: deque[tuple[bytes, bool]] = field(default_factory=deque)  # what goes before it
    given: deque[Given] = field(default_factory=deque)
    confirmed_at: int = -NEVER
    frames: list[tuple[int, bytes]] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    confirms: list[bool] = field(default_factory=list)

    # ------------------------------------------------ what the outside does

    def send(self, data: bytes, functional: bool, priority: bool = False) -> None:
        (self.ahead if priority else self.queue).append((data, functional))

    def resume_reception(self) -> None:
        if self.reception is not None and self.reception.held:
            self.reception.due, self.reception.deadline = True, NEVER

    def stop_sending(self) -> None:
        if self.transmission is not None:
            self.end_transmission(False)

    def stop_receiving(self) -> None:
        self.reception = None

    def clear_tx_queue(self) -> None:
        for queue in (self.ahead, self.queue):
            self.confirms += [False] * len(queue)
            queue.clear()

    def step(self, now: int, frame: tuple[int, bytes] | None = None) -> None:
        """Time is `now`: timers first, then a frame, then what can be sent."""
        if self.params.listen_mode and self.reception is not None and self.reception.held:
            # A layer that only listens asks for nothing any more: the time of the next frame counts.
            self.reception.held = self.reception.due = False
            self.reception.deadline = self.now + self.n_cr()
        self.now = now
        self.expire()
        if frame is not None:
            self.hear(*frame)
        self.transmit()

    def deadline(self) -> int | None:
        """When something is to be done without a frame."""
        times = []
        if self.reception is not None:
            times.append(self.reception.deadline)
        if self.transmission is not None:
            waits = self.transmission.state == "WAIT_FC"
            times.append(self.transmission.deadline if waits else self.transmission.due)
        times.append(self.n_as_ends())
        return min((time for time in times if time < NEVER // 2), default=None)

    # ------------------------------------------------ addresses (10.3)

    def addressed(self, can_id: int, data: bytes) -> tuple[bytes, Any, bool] | None:
        """The N_PDU in a frame, the address that it came on, and whether that is functional there.

        None: it is for somebody else.
        """
        for address in (self.address, *self.also):
            wide = address.is_rx_29bits()
            physical = flagged(address.get_rx_arbitration_id(PHYSICAL), wide)
            functional = flagged(address.get_rx_arbitration_id(FUNCTIONAL), wide)
            if can_id not in (physical, functional):
                continue
            if address.requires_rx_extension_byte() and data[:1] != bytes([address.get_rx_extension_byte()]):
                continue
            # A further address with one identifier only is functional.
            is_functional = can_id == functional and (physical != functional or address is not self.address)
            return data[address.get_rx_prefix_size() :], address, is_functional
        return None

    def stands_apart(self, n_pdu: bytes, address: Any, functional: bool) -> bool:
        """Whether only a Single Frame may come there now, beside a message with another N_AI (9.8.3, 9.9)."""
        if n_pdu and address is self.address and self.belongs_elsewhere(n_pdu[0] >> 4):
            return True
        if functional or not self.params.strict:
            return bool(self.params.strict)
        if n_pdu[:1] and n_pdu[0] >> 4 == 3:
            return address is not self.address
        return self.reception is not None and ears(self.reception.source) != ears(address)

    def belongs_elsewhere(self, kind: int) -> bool:
        """Whether a message that such a frame goes on with began on another address of the layer's own."""
        if kind == 2 and self.reception is not None:
            return ears(self.reception.own) != ears(self.address)
        if kind == 3 and self.transmission is not None and self.transmission.state != "WAIT_CONFIRMATION":
            return ears(self.transmission.address) != ears(self.address)
        return False

    def put(
        self, n_pdu: bytes, functional: bool = False, address: Any = None, tx_dl: int | None = None
    ) -> None:
        """Send a frame, padded as the parameters ask for and CAN FD needs (10.4.2)."""
        params = self.params
        address = address or self.address
        tx_dl = tx_dl or params.tx_data_length
        data = address.get_tx_payload_prefix() + n_pdu
        length = len(data)
        if params.tx_data_min_length is not None:
            length = max(length, min(params.tx_data_min_length, tx_dl))
        elif params.tx_padding is not None and tx_dl == 8:
            length = 8
        filler = 0xCC if params.tx_padding is None else params.tx_padding
        data = data.ljust(shortest_can_dl(length), bytes([filler]))
        identifier = address.get_tx_arbitration_id(FUNCTIONAL if functional else PHYSICAL)
        self.frames.append((flagged(identifier, address.is_tx_29bits()), data))
        if self.confirming:
            self.given.append(Given(self.frames[-1], self.now))

    # ------------------------------------------------ N_PCI (9.6)

    def decode(self, n_pdu: bytes, can_dl: int) -> SingleFrame | FirstFrame | ConsecutiveFrame | FlowControl:
        if can_dl > 64 or not n_pdu:
            raise Malformed("InvalidCanDataError")
        kind, low = n_pdu[0] >> 4, n_pdu[0] & 0x0F
        if kind == 0:
            return self.decode_single(n_pdu, can_dl)
        if kind == 1:
            return self.decode_first(n_pdu, can_dl)
        if kind == 2:
            return ConsecutiveFrame(low, n_pdu[1:], can_dl)
        if kind == 3 and len(n_pdu) >= 3:
            return FlowControl(low, n_pdu[1], n_pdu[2])
        raise Malformed("InvalidCanDataError")

    def decode_single(self, n_pdu: bytes, can_dl: int) -> SingleFrame:
        prefix = can_dl - len(n_pdu)
        escape = n_pdu[0] == 0
        if escape and len(n_pdu) < 2:
            raise Malformed("InvalidCanDataError")
        sf_dl, data = (n_pdu[1], n_pdu[2:]) if escape else (n_pdu[0], n_pdu[1:])
        if not 1 <= sf_dl <= len(data):
            raise Malformed("InvalidCanDataError")
        if can_dl > 8 and not escape:
            raise Malformed("MissingEscapeSequenceError")
        if self.params.strict:
            if can_dl > 8:
                fits_without = prefix + 1 + sf_dl <= 8
                legal = not fits_without and can_dl == shortest_can_dl(prefix + 2 + sf_dl)
            else:
                # padded, or just as long as it must be
                legal = not escape and (can_dl == 8 or sf_dl == len(data))
            if not legal:
                raise Malformed("InvalidCanDataError")
        # can-isotp: with any length that has room, and in the escape form at any CAN_DL
        return SingleFrame(data[:sf_dl])

    def decode_first(self, n_pdu: bytes, can_dl: int) -> FirstFrame:
        prefix = can_dl - len(n_pdu)
        if len(n_pdu) < 2:
            raise Malformed("InvalidCanDataError")
        length, data, escape = (n_pdu[0] & 0x0F) << 8 | n_pdu[1], n_pdu[2:], False
        if length == 0:
            if len(n_pdu) < 6:
                raise Malformed("InvalidCanDataError")
            length, data, escape = int.from_bytes(n_pdu[2:6], "big"), n_pdu[6:], True
        if length == 0:
            raise Malformed("InvalidCanDataError")
        if self.params.strict:
            if can_dl < 8 or can_dl not in CAN_DL:
                raise Malformed("InvalidCanFdFirstFrameRXDL")
            most_of_sf = 8 - 1 - prefix if can_dl == 8 else can_dl - 2 - prefix
            if length <= most_of_sf or (escape and length <= 4095):
                raise Malformed("InvalidCanDataError")
        return FirstFrame(length, data, can_dl, escape)

    # ------------------------------------------------ receiving

    def hear(self, can_id: int, data: bytes) -> None:
        found = self.addressed(can_id, data)
        if found is None:
            return
        n_pdu, address, functional = found
        strict = self.params.strict
        apart = self.stands_apart(n_pdu, address, functional)
        try:
            if apart and n_pdu[:1] and n_pdu[0] >> 4 != 0:
                raise Malformed("InvalidCanDataError")
            pdu = self.decode(n_pdu, len(data))
            if isinstance(pdu, FlowControl) and pdu.status > OVERFLOW and not strict:
                raise Malformed("InvalidCanDataError")
        except Malformed as problem:
            self.errors.append(str(problem))
            # can-isotp: such a frame ends the reception, but for a Single Frame that lacks its escape form.
            if not strict and not apart and str(problem) != "MissingEscapeSequenceError":
                self.reception = None
            return
        if isinstance(pdu, SingleFrame):
            if self.reception is not None and not apart:
                self.errors.append("ReceptionInterruptedWithSingleFrameError")
                self.reception = None
            self.messages.append(pdu.data)
        elif isinstance(pdu, FirstFrame):
            self.on_first_frame(pdu, address)
        elif isinstance(pdu, ConsecutiveFrame):
            self.on_consecutive_frame(pdu)
        else:
            self.on_flow_control(pdu)

    def on_first_frame(self, pdu: FirstFrame, source: Any) -> None:
        rx_dl = max(8, pdu.can_dl)
        if self.reception is not None:
            self.errors.append("ReceptionInterruptedWithFirstFrameError")
            self.reception = None
        if rx_dl not in CAN_DL:
            self.errors.append("InvalidCanFdFirstFrameRXDL")
            return
        if pdu.length > self.params.max_frame_size:
            self.errors.append("FrameTooLongError")
            self.flow_control(OVERFLOW, self.address)
            return
        data = bytearray(pdu.data[: pdu.length])
        self.reception = Reception(pdu.length, rx_dl, data, self.now + self.n_cr(), source, self.address)

    def n_cr(self) -> int:
        return int(self.params.rx_consecutive_frame_timeout * MS)

    def flow_control(self, status: int, address: Any) -> None:
        if not self.params.listen_mode:
            self.put(bytes([0x30 | status, self.params.blocksize, self.params.stmin]), address=address)

    def answer(self, reception: Reception) -> None:
        """The Flow Control that is due: Continue To Send, or Wait up to N_WFTmax times in a row (9.7)."""
        reception.due = False
        if self.params.listen_mode:
            return
        if self.is_ready:
            reception.held, reception.cleared, reception.waits = False, True, 0
            self.flow_control(CTS, reception.own)
        elif reception.waits < self.params.wftmax:
            reception.held, reception.waits = True, reception.waits + 1
            self.flow_control(WAIT, reception.own)
        else:
            self.errors.append("MaximumWaitFrameReachedError")
            self.reception = None
            if not reception.cleared:
                self.flow_control(OVERFLOW, reception.own)
            return
        self.await_frames(reception)
        if self.confirming:
            reception.deadline = NEVER
            self.given[-1].reception, self.given[-1].received = reception, len(reception.data)

    def await_frames(self, reception: Reception) -> None:
        n_br = int(self.params.wait_frame_interval * MS)
        reception.deadline = self.now + (n_br if reception.held else self.n_cr())

    def on_consecutive_frame(self, pdu: ConsecutiveFrame) -> None:
        reception = self.reception
        if reception is None:
            self.errors.append("UnexpectedConsecutiveFrameError")
            return
        left = reception.length - len(reception.data)
        if self.params.strict:
            may_be_last = len(pdu.data) >= left and pdu.can_dl in CAN_DL and pdu.can_dl < reception.rx_dl
            if pdu.can_dl != reception.rx_dl and not may_be_last:
                self.errors.append("ChangingInvalidRXDLError")
                return
        if pdu.sn != (reception.sn + 1) % 16:
            self.errors.append("WrongSequenceNumberError")
            self.reception = None
            return
        if not self.params.strict:
            # can-isotp: CAN_DL up to 8 all count as 8, and as the last frame any will do.
            rx_dl = max(8, pdu.can_dl)
            if rx_dl != reception.rx_dl and rx_dl < left:
                self.errors.append("ChangingInvalidRXDLError")
                return
        reception.sn = pdu.sn
        reception.data += pdu.data[:left]
        if len(reception.data) == reception.length:
            self.messages.append(bytes(reception.data))
            self.reception = None
            return
        reception.deadline = self.now + self.n_cr()
        if self.params.blocksize != 0 and not self.params.listen_mode:
            reception.in_block += 1
            if reception.in_block >= self.params.blocksize:
                reception.in_block = 0
                reception.due = True

    # ------------------------------------------------ timers (9.8.2)

    def expire(self) -> None:
        if self.reception is not None and self.reception.held and self.now >= self.reception.deadline:
            self.reception.due, self.reception.deadline = True, NEVER
        if self.reception is not None and self.now >= self.reception.deadline:
            self.errors.append("ConsecutiveFrameTimeoutError")
            self.reception = None
        sender = self.transmission
        if sender is not None and sender.state == "WAIT_FC" and self.now >= sender.deadline:
            self.fail("FlowControlTimeoutError")
        if self.now >= self.n_as_ends():
            self.give_up_unconfirmed()

    # ------------------------------------------------ what the bus confirms

    def is_waited_for(self, given: Given) -> bool:
        """Whether something depends on the confirmation of this frame."""
        if given.reception is not None:
            return given.reception is self.reception and len(given.reception.data) == given.received
        if given.apart:
            return True
        sender = given.sender
        return sender is not None and sender is self.transmission and given.place > sender.confirmed

    def n_as_ends(self) -> int:
        """N_As, N_Ar (9.8.1): of a frame behind others it runs from when those went."""
        for given in self.given:
            if self.is_waited_for(given):
                return max(given.when, self.confirmed_at) + int(self.params.tx_frame_timeout * MS)
        return NEVER

    def give_up_unconfirmed(self) -> None:
        waited_for = [given for given in self.given if self.is_waited_for(given)]
        self.given.clear()
        self.errors.append("TransmitTimeoutError")
        if any(given.reception is not None for given in waited_for):
            self.reception = None
        if any(given.sender is not None for given in waited_for):
            self.end_transmission(False)
        self.confirms += [False] * sum(given.apart for given in waited_for)

    def echo(self, now: int, frame: tuple[int, bytes]) -> None:
        """A frame of ours has come back: it went, and so did those before it."""
        self.now = now
        self.expire()
        if any(given.frame == frame for given in self.given):
            self.confirmed_at = now
            went = None
            while went is None or went.frame != frame:
                went = self.given.popleft()
                if went.reception is not None and self.is_waited_for(went):
                    self.await_frames(went.reception)
                if went.apart:
                    self.confirms.append(True)
                self.confirm(went)
        self.transmit()

    def confirm(self, went: Given) -> None:
        sender = went.sender
        if sender is None or sender is not self.transmission or went.place <= sender.confirmed:
            return
        sender.confirmed = went.place
        if went.place < sender.given:
            return
        if sender.state == "WAIT_CONFIRMATION":
            self.end_transmission(True)
        elif sender.state == "WAIT_FC":
            self.await_flow_control(sender)
            sender.cf_sent_at = None if sender.given == 1 else self.now
        else:
            sender.cf_sent_at = self.now
            sender.due = self.now + sender.stmin_ns

    def is_full(self) -> bool:
        """Whether the message being sent has to wait: 64 frames are not confirmed."""
        while (
            len(self.given) >= 64
            and not self.given[0].apart
            and (self.given[0].sender is None or self.given[0].sender is not self.transmission)
        ):
            self.given.popleft()
        return len(self.given) >= 64

    # ------------------------------------------------ sending

    def fail(self, error: str) -> None:
        self.errors.append(error)
        self.end_transmission(False)

    def end_transmission(self, success: bool) -> None:
        self.transmission = None
        self.confirms.append(success)

    def transmit(self) -> None:
        burst = 0  # frames in this pass; one ends with a frame that is to be answered, or after 64
        while True:
            if self.reception is not None and self.reception.due:
                self.answer(self.reception)
                burst = 0
            if burst % 64 == 0:
                if self.confirming and self.is_full():
                    return
                self.send_between()
            sender = self.transmission
            if sender is None:
                if not self.ahead and not self.queue:
                    return
                self.begin(*(self.ahead or self.queue).popleft())
                awaits = self.transmission is not None and self.transmission.state == "WAIT_FC"
                burst = 0 if awaits else burst + 1
            elif sender.state == "TRANSMIT_CF" and self.now >= sender.due:
                self.send_consecutive_frame(sender)
                burst = 0 if sender.state == "WAIT_FC" else burst + 1
            else:
                self.send_between()
                return

    def send_between(self) -> None:
        # Functional Single Frames with priority go between the frames of a message (9.9).
        while self.transmission is not None and self.ahead and self.ahead[0][1]:
            data, _ = self.ahead.popleft()
            if len(data) > self.most_of_sf():
                self.confirms.append(False)
                continue
            self.put_single(data, True)
            if self.confirming:
                self.given[-1].apart = True
            else:
                self.confirms.append(True)

    def note_given(self, sender: Transmission) -> None:
        sender.given += 1
        if self.confirming:
            self.given[-1].sender, self.given[-1].place = sender, sender.given

    def room(self) -> int:
        """Bytes of a frame of a new message that are not its address."""
        return int(self.params.tx_data_length) - len(self.address.get_tx_payload_prefix())

    def begin(self, data: bytes, functional: bool) -> None:
        params = self.params
        if len(data) <= self.most_of_sf():
            self.put_single(data, functional)
            if not self.confirming:
                self.confirms.append(True)
                return
            sender = Transmission(
                data, len(data), "WAIT_CONFIRMATION", self.address, params.tx_data_length, due=NEVER
            )
            self.transmission = sender
            self.note_given(sender)
            return
        if functional:
            self.confirms.append(False)
            return
        if len(data) <= 4095:
            head = bytes([0x10 | len(data) >> 8, len(data) & 0xFF])
        else:
            head = b"\x10\x00" + len(data).to_bytes(4, "big")
        first = self.room() - len(head)
        self.put(head + data[:first])
        self.transmission = Transmission(data, first, "WAIT_FC", self.address, params.tx_data_length)
        self.note_given(self.transmission)
        if params.tx_flow_control:
            self.await_flow_control(self.transmission)
        else:
            override = self.override_ns()
            self.transmission.state = "TRANSMIT_CF"
            self.transmission.stmin_ns = 0 if override is None else override
            self.transmission.due = self.after_gap(self.transmission)

    def most_of_sf(self) -> int:
        return self.room() - (1 if self.params.tx_data_length == 8 else 2)

    def put_single(self, data: bytes, functional: bool) -> None:
        prefix = len(self.address.get_tx_payload_prefix())
        # Escape form: if the frame becomes longer than 8 bytes, by its payload or by padding.
        escape = prefix + 1 + len(data) > 8 or (self.params.tx_data_min_length or 0) > 8
        self.put((bytes([0, len(data)]) if escape else bytes([len(data)])) + data, functional)

    def after_gap(self, sender: Transmission) -> int:
        """When the next Consecutive Frame may go. STmin runs from when the last frame was on the bus."""
        return NEVER if self.confirming and sender.stmin_ns != 0 else self.now + sender.stmin_ns

    def await_flow_control(self, sender: Transmission) -> None:
        sender.state = "WAIT_FC"
        is_on_the_bus = not self.confirming or sender.confirmed == sender.given
        sender.deadline = self.now + int(self.params.rx_flowcontrol_timeout * MS) if is_on_the_bus else NEVER

    def send_consecutive_frame(self, sender: Transmission) -> None:
        room = sender.tx_dl - len(sender.address.get_tx_payload_prefix()) - 1
        data = sender.data[sender.sent :][:room]
        self.put(bytes([0x20 | sender.sn]) + data, False, sender.address, sender.tx_dl)
        sender.sent += len(data)
        self.note_given(sender)
        if sender.sent == len(sender.data):
            if not self.confirming:
                self.end_transmission(True)
            else:
                sender.state, sender.due = "WAIT_CONFIRMATION", NEVER
            return
        sender.sn = (sender.sn + 1) % 16
        sender.cf_sent_at = NEVER if self.confirming else self.now
        sender.due = self.after_gap(sender)
        sender.in_block += 1
        if sender.blocksize != 0 and sender.in_block >= sender.blocksize:
            self.await_flow_control(sender)

    def override_ns(self) -> int | None:
        seconds = self.params.override_receiver_stmin
        return None if seconds is None else round(seconds * 1e9)

    def on_flow_control(self, pdu: FlowControl) -> None:
        sender, params = self.transmission, self.params
        awaited = sender is not None and sender.state == "WAIT_FC"
        if not awaited and params.strict:
            if pdu.status > OVERFLOW:
                self.errors.append("InvalidCanDataError")
            elif params.tx_flow_control and not params.listen_mode:
                self.errors.append("UnexpectedFlowControlError")
            return
        if sender is not None and pdu.status > OVERFLOW:
            self.fail("InvalidCanDataError")
            return
        if pdu.status == OVERFLOW:
            # can-isotp: at any time, and told even if nothing is sent
            self.errors.append("OverflowError")
            if sender is not None:
                self.end_transmission(False)
            return
        if not params.tx_flow_control and not awaited:
            return
        if sender is None or sender.state == "WAIT_CONFIRMATION":
            if not params.listen_mode:
                self.errors.append("UnexpectedFlowControlError")
            return
        if awaited:
            sender.confirmed = sender.given  # who answers has received all
        if pdu.status == WAIT:
            self.on_wait(sender)
            return
        sender.waits = 0
        sender.blocksize = pdu.blocksize
        sent_at = sender.due - sender.stmin_ns  # the last Consecutive Frame
        if stmin_ns(pdu.stmin) is None:
            sender.longest_stmin = True
        override = self.override_ns()
        if override is not None:
            sender.stmin_ns = override
        elif sender.longest_stmin:
            sender.stmin_ns = 127 * MS
        else:
            sender.stmin_ns = stmin_ns(pdu.stmin) or 0
        if awaited:
            sender.state = "TRANSMIT_CF"
            sender.in_block = 0
            if not params.strict:
                # can-isotp: STmin is waited after each Flow Control.
                sender.due = self.now + sender.stmin_ns
            elif sender.cf_sent_at is None:
                sender.due = self.now
            elif sender.cf_sent_at == NEVER:
                sender.due = self.now + sender.stmin_ns  # it has come: at the latest it went just now
            else:
                sender.due = sender.cf_sent_at + sender.stmin_ns
        elif sender.confirmed < sender.given and self.confirming:
            sender.due = self.after_gap(sender)
        else:
            # can-isotp: it counts for the gap and the block that go on.
            sender.due = sent_at + sender.stmin_ns

    def on_wait(self, sender: Transmission) -> None:
        limit = self.params.wftmax
        if limit == 0 and not self.params.strict:
            # can-isotp: N_WFTmax is the sender's, and 0 means that N_Bs runs on.
            self.errors.append("UnsupportedWaitFrameError")
            return
        if limit != 0 and sender.waits >= limit:
            self.fail("MaximumWaitFrameReachedError")
            return
        sender.waits += 1
        self.await_flow_control(sender)


def payloads(messages: Iterable[Any]) -> list[bytes]:
    return [bytes(message) for message in messages]
