"""A tiny notation for frames, and a bench that runs one layer on it with the time in the test's hand.

A frame is written as candump does: identifier, `#`, data in hexadecimal; an identifier of eight digits has 29
bits. Without `#` it is a frame of the session at hand: ``"10 0A 00 01"``. ``"00*5"`` repeats a byte.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import isotp

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000

# For layers on real time whose N_As, N_Bs and N_Cr are not what is tested: an emulated CPU is slow, and other work
# on the machine may hold a thread for longer than the second that they have.
SLOW = {
    "tx_frame_timeout": 60_000,
    "rx_flowcontrol_timeout": 60_000,
    "rx_consecutive_frame_timeout": 60_000,
}

# Layers on the bench send on 0x123 and hear 0x456, unless they get another address.
HERE = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x123, rxid=0x456)
THERE = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x456, rxid=0x123)


def octets(text: str) -> bytes:
    """Bytes of ``"10 0A CC*3"``."""
    data = bytearray()
    for word in text.split():
        byte, _, times = word.partition("*")
        data += bytes([int(byte, 16)]) * int(times or 1)
    return bytes(data)


def frame(text: str, identifier: int = 0x456, extended: bool = False) -> isotp.CanMessage:
    """A received frame; the identifier holds where `text` has none."""
    head, separator, tail = text.rpartition("#")
    if separator:
        identifier, extended = int(head, 16), len(head) == 8
    return isotp.CanMessage(identifier, data=octets(tail), extended_id=extended)


def words(data: Iterable[int]) -> str:
    """Bytes as the notation has them, without repetitions."""
    return " ".join(f"{byte:02X}" for byte in data)


def counted(size: int) -> bytes:
    """A payload in which each position can be told: 00 01 02 ... FA 00 01 ..."""
    return bytes(k % 251 for k in range(size))


class Clock:
    """Time that only moves when told to; an hour after the epoch, so that nothing depends on zero."""

    def __init__(self) -> None:
        self.ns = 3600 * SECOND

    def __call__(self) -> int:
        return self.ns


class Bench:
    """One layer; frames go in and come out as text, and no time passes by itself.

    `params` are those of the layer. `errors` holds what the error handler was given, `messages` the frames
    that txfn was given and nobody looked at yet.
    """

    def __init__(
        self,
        address: isotp.Address | isotp.AsymmetricAddress = HERE,
        *,
        layer_class: type[isotp.TransportLayerLogic] = isotp.TransportLayerLogic,
        rxfn: Callable[..., Any] | None = None,
        txfn: Callable[[isotp.CanMessage], Any] | None = None,
        error_handler: Callable[[Exception], Any] | None = None,
        **params: Any,
    ) -> None:
        self.clock = Clock()
        self.incoming: deque[Any] = deque()
        self.messages: list[isotp.CanMessage] = []
        self.errors: list[Exception] = []
        self.address = address
        self.layer = layer_class(
            rxfn or self.next_frame,
            txfn or self.messages.append,
            address,
            error_handler or self.errors.append,
            params,
        )
        self.layer.clock = self.clock

    def next_frame(self) -> Any:
        return self.incoming.popleft() if self.incoming else None

    def wait(self, ns: int) -> None:
        self.clock.ns += ns

    def frame(self, text: str) -> isotp.CanMessage:
        """A frame with the identifier that this layer hears."""
        return frame(text, self.address.get_rx_arbitration_id(), self.address.is_rx_29bits())

    def arrive(self, *frames: str | isotp.CanMessage) -> None:
        """Frames that rxfn will give."""
        self.incoming.extend(self.frame(f) if isinstance(f, str) else f for f in frames)

    def run(self, **kwargs: Any) -> list[str]:
        """One process(); returns what was sent."""
        self.layer.process(**kwargs)
        return self.sent()

    def hear(self, *frames: str | isotp.CanMessage) -> list[str]:
        """Frames arrive and are processed; returns what was sent."""
        self.arrive(*frames)
        return self.run()

    def say(self, data: Any, *args: Any) -> list[str]:
        """A message is queued and processed; returns what was sent."""
        self.layer.send(data, *args)
        return self.run()

    def sent(self) -> list[str]:
        """What was sent since the last look; the identifier is left out where it is the physical one."""
        messages, self.messages[:] = list(self.messages), []
        return [self.text(message) for message in messages]

    def text(self, message: isotp.CanMessage) -> str:
        own = self.address.get_tx_arbitration_id(), self.address.is_tx_29bits()
        if (message.arbitration_id, message.is_extended_id) == own:
            return words(message.data)
        digits = 8 if message.is_extended_id else 3
        return f"{message.arbitration_id:0{digits}X}#{words(message.data)}"

    def received(self) -> list[bytes]:
        """The messages received since the last look."""
        payloads = []
        while (payload := self.layer.recv()) is not None:
            payloads.append(bytes(payload))
        return payloads

    def complaints(self) -> list[type[Exception]]:
        """Classes of the errors reported since the last look."""
        errors, self.errors[:] = list(self.errors), []
        return [type(error) for error in errors]

    def still_works(self) -> bool:
        """A message each way: whatever happened before, the layer is as good as new."""
        self.layer.reset()
        self.incoming.clear()
        self.sent()
        self.complaints()
        prefix_in = (
            [self.address.get_rx_extension_byte()] if self.address.requires_rx_extension_byte() else []
        )
        self.hear(words([*prefix_in, 0x02, 0xCA, 0xFE]))
        heard = self.received() == [b"\xca\xfe"]
        prefix_out = self.address.get_tx_payload_prefix()
        said = self.say(b"\xbe")
        return heard and len(said) == 1 and octets(said[0])[: len(prefix_out) + 2] == prefix_out + b"\x01\xbe"


class Link:
    """Two layers with each other's frames as input; time stands still but for `wait`."""

    def __init__(
        self,
        here: isotp.Address | isotp.AsymmetricAddress = HERE,
        there: isotp.Address | isotp.AsymmetricAddress = THERE,
        *,
        params_here: dict[str, Any] | None = None,
        params_there: dict[str, Any] | None = None,
    ) -> None:
        self.here = Bench(here, **(params_here or {}))
        self.there = Bench(there, **(params_there or {}))
        self.there.clock = self.here.clock
        self.there.layer.clock = self.here.clock
        self.here.messages = self.there.incoming  # type: ignore[assignment]  # a deque serves as the wire
        self.there.messages = self.here.incoming  # type: ignore[assignment]
        self.here.layer.txfn = self.there.incoming.append
        self.there.layer.txfn = self.here.incoming.append

    def wait(self, ns: int) -> None:
        self.here.wait(ns)

    def busy(self) -> bool:
        return any(
            bench.layer.transmitting() or bench.layer.is_rx_active() or bench.incoming
            for bench in (self.here, self.there)
        )

    def run(self, step_ns: int = 0, rounds: int = 100_000) -> None:
        """Both sides in turn until nothing is left to do."""
        for _ in range(rounds):
            self.here.layer.process()
            self.there.layer.process()
            if not self.busy():
                return
            self.wait(step_ns)
        raise TimeoutError(f"still busy after {rounds} rounds: {self.here.layer!r}, {self.there.layer!r}")
