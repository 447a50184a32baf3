"""A polled layer with any parameters, any frames in the form of objects, any calls in between, and callbacks that
fail, or change the layer.

Only what the documentation names is raised; afterwards the layer is as good as new.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import isotp
from checks.fuzz.choices import Choices
from checks.fuzz.targets.vocabulary import some_address, some_params, value
from isotp.protocol import PDU

LONGEST = 9000
logging.getLogger("isotp").addHandler(logging.NullHandler())
logging.getLogger("isotp").propagate = False


class Broken(Exception):
    """What a callback of the user raises."""


class Session:
    """One layer, and what the input lets happen to it."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.now = 3_600_000_000_000
        self.sent: list[isotp.CanMessage] = []
        self.waiting: list[Any] = []
        self.fails = 0
        self.address = some_address(choices)
        self.layer = isotp.TransportLayerLogic(
            self.receive, self.transmit, self.address, self.complain, some_params(choices)
        )
        self.layer.clock = lambda: self.now

    def may_fail(self, bit: int) -> None:
        if self.fails >> bit & 1:
            self.fails ^= 1 << bit
            raise Broken

    def may_change(self) -> None:
        """What a callback, or another thread, may do while the layer is amid a frame."""
        if self.fails >> 5 & 1:
            self.fails ^= 1 << 5
            self.address = some_address(self.choices)
            self.layer.set_address(self.address)
        if self.fails >> 6 & 1:
            self.fails ^= 1 << 6
            self.layer.params.tx_data_length = self.choices.pick((8, 12, 64))
            self.layer.make_flow_control()
        if self.fails >> 7 & 1:
            self.fails ^= 1 << 7
            (self.layer.stop_sending, self.layer.stop_receiving, self.layer.reset)[self.choices.byte() % 3]()

    def receive(self, timeout: float = 0.0) -> Any:
        self.may_fail(0)
        return self.waiting.pop(0) if self.waiting else None

    def transmit(self, frame: isotp.CanMessage) -> None:
        self.may_change()
        self.may_fail(1)
        assert len(frame.data) <= 64
        self.sent.append(frame)

    def complain(self, error: Exception) -> None:
        assert str(error)
        self.may_change()
        self.may_fail(2)

    def frame(self) -> Any:
        """One for this layer as a rule; with an attribute that no frame has, or no frame at all, if told so."""
        choices = self.choices
        what = choices.byte()
        can_id = self.address.get_rx_arbitration_id(what & 1)
        extended = self.address.is_rx_29bits()
        prefix = b""
        if self.address.requires_rx_extension_byte():
            prefix = bytes([self.address.get_rx_extension_byte()])
        data = prefix + choices.block(choices.byte() % 80 if what >= 0xE0 else 8 - len(prefix))
        if what & 2 and len(data) > len(prefix):
            number = (self.layer.last_seqnum + 1) & 15
            data = prefix + bytes([0x20 | number]) + data[len(prefix) + 1 :]
        message = isotp.CanMessage(can_id, data=data, extended_id=extended)
        if what == 0xFF:
            name = choices.pick(
                ("arbitration_id", "data", "dlc", "is_extended_id", "is_fd", "bitrate_switch")
            )
            with contextlib.suppress(TypeError, ValueError, OverflowError):
                setattr(message, name, value(choices))
        elif what == 0xFE:
            return value(choices)
        return message

    def payload(self) -> Any:
        choices = self.choices
        kind = choices.byte() % 6
        size = choices.number(2) % LONGEST if choices.flag() else choices.byte() % 20
        if kind < 3:
            return (bytes, bytearray, list)[kind](bytes(size))
        if kind == 3:
            return (self.numbers(size, choices.byte()), size)
        if kind == 4:
            return (self.numbers(max(size - 1, 0), 0), size)
        return value(choices)

    def numbers(self, size: int, item: int) -> Iterator[int]:
        for k in range(size):
            self.may_change()
            self.may_fail(3)
            if item == 0xFF and k == size // 2:
                self.layer.stop_sending()
            yield item * 3 if item == 0xFE else item

    def step(self) -> None:
        choices, layer = self.choices, self.layer
        what = choices.byte() % 16
        if what < 5:
            self.waiting.append(self.frame())
            layer.process()
        elif what < 7:
            layer.process(0, choices.flag(), choices.flag())
        elif what == 7:
            if not layer.params.listen_mode:
                layer.send(self.payload(), choices.pick((None, 0, 1)))
        elif what == 8:
            self.now += choices.number(choices.byte() % 9)
        elif what == 9:
            layer.recv()
        elif what == 10:
            self.fails = choices.byte()
        elif what == 11:
            name = choices.pick(
                ("blocksize", "stmin", "tx_data_length", "tx_data_min_length", "tx_padding", "listen_mode")
            )
            layer.params.set(name, choices.byte(), validate=choices.flag())
        elif what == 12:
            (layer.stop_sending, layer.stop_receiving, layer.reset, layer.clear_rx_queue)[
                choices.byte() & 3
            ]()
        elif what == 13:
            layer.receive_into = choices.pick((None, bytearray, self.into))
        elif what == 14:
            self.look()
        else:
            PDU(self.frame(), choices.byte() & 1)

    def into(self, size: int) -> Any:
        self.may_change()
        self.may_fail(4)
        return bytearray(size if size < LONGEST and not self.choices.flag() else 100)

    def look(self) -> None:
        layer = self.layer
        repr(layer)
        repr(layer.params)
        deadline = layer.deadline_ns()
        assert deadline is None or isinstance(deadline, int)
        assert isinstance(layer.rx_buffer, bytearray)
        layer.next_cf_delay()
        layer.is_tx_throttled()
        layer.available()
        layer.transmitting()
        assert layer.tx_standby_msg is None or len(layer.tx_standby_msg.data) <= 64

    def still_works(self) -> None:
        layer = self.layer
        self.fails = 0
        self.now = 7_200_000_000_000
        self.waiting.clear()
        layer.receive_into = None
        layer.params = isotp.params.Params()
        layer.load_params()
        layer.reset()
        prefix = b""
        if self.address.requires_rx_extension_byte():
            prefix = bytes([self.address.get_rx_extension_byte()])
        self.waiting.append(
            isotp.CanMessage(
                self.address.get_rx_arbitration_id(),
                data=prefix + b"\x02\xca\xfe",
                extended_id=self.address.is_rx_29bits(),
            )
        )
        layer.process()
        assert layer.recv() == b"\xca\xfe", "the layer does not receive any more"
        self.sent.clear()
        layer.send(b"\xbe")
        layer.process()
        assert len(self.sent) == 1, "the layer does not send any more"
        assert not layer.transmitting()


def one_input(data: bytes) -> None:
    choices = Choices(data)
    try:
        session = Session(choices)
    except (ValueError, TypeError):
        return
    while choices.left:
        # What users may meet: their own exception, or that an argument makes no sense.
        with contextlib.suppress(
            Broken, ValueError, TypeError, AttributeError, OverflowError, isotp.IsoTpError
        ):
            session.step()
    session.still_works()
