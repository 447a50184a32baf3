"""The other end of a session, played by a story: frames that it waits for, frames that it sends, and times."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from isotp._core import CanMessage, SendRequest
from isotp.address import Address, AsymmetricAddress
from isotp.bus.table import Listener, Table, layers_of
from isotp.errors import IsoTpError
from isotp.hub import Hub, HubSession
from isotp.params import Parameters
from isotp.testing.frames import Pattern, octets, parse_id, words
from isotp.testing.wire import Wire, WireFeed

__all__ = ["Peer"]

_EXTENDED = 0x8000_0000
_STATUS = {"CTS": 0x30, "WAIT": 0x31, "OVFLW": 0x32}
_FLOW_CONTROL = re.compile(r"(CTS|WAIT|OVFLW)(?:\s+bs=(\d+))?(?:\s+stmin=(\d+|0x[0-9A-Fa-f]{1,2}))?")
_TIMES = re.compile(r"(.*\S)\s+x(\d+)")
_VERBS = ("<", ">", "get", "send", "wait", "silent", "again")


@dataclass(frozen=True)
class _Line:
    number: int
    verb: str
    text: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.verb} {self.text}".rstrip()


def _lines_of(story: str) -> list[_Line]:
    """:raises ValueError: if a line begins with no verb."""
    lines = []
    for number, text in enumerate(story.strip("\n").splitlines(), 1):
        verb, _, rest = text.partition("//")[0].strip().partition(" ")
        if not verb:
            continue
        if verb not in _VERBS:
            raise ValueError(f"line {number}, {text.strip()!r}, begins with none of {', '.join(_VERBS)}")
        times = _TIMES.fullmatch(rest) if verb == "<" else None
        rest, count = (times[1], int(times[2])) if times else (rest, 1)
        lines += [_Line(number, verb, rest.strip())] * count
    return lines


class _Voice(WireFeed):
    """Frames for the layer that does whole messages, while it does one."""

    table: Table[Listener] | None = None

    def listen_for(self, table: Table[Listener]) -> None:
        self.table = table

    def open(self) -> None:
        if self.table is not None:
            self.end.listen(*layers_of(self.table))

    def shut(self) -> None:
        self.end.listen(None, (), {})


class Peer:
    """The other end of a session, which does what a story says and nothing else.

    :param wire: what it sits on.
    :param address: its own, as that of an ECU: `tester.reversed()`.
    :param story: a line for each step, in the order of time, as below.
    :param also: further addresses to hear, as the functional one of an ECU.
    :param name: what the recording calls it.
    :param params: those of the layer that does `get` and `send`.

    The lines of a story are::

        < FF                  wait for a frame: SF, FF, CF, FC, CTS, WAIT, OVFLW, or bytes as 10 14 .. *
        < CF x4               for four of them
        < 7DF# 02 3E 00       one with another identifier than its address hears
        > 30 04 01            send a frame: bytes, or CTS bs=4 stmin=1, WAIT, OVFLW
        > 7EA# 01 7E          one with another identifier than its address sends
        wait 5                let so many milliseconds pass
        get 22 F1 90          receive a message, of any length, with the Flow Control that it needs
        send 62 F1 90 41*17   send a message, of any length, as Flow Control lets it
        silent                hear and say nothing from here on, as at the end of the story
        again                 begin anew

    A frame that the story does not wait for is noted in `problems`, and :meth:`check` complains of it. `received` has
    the messages of `get`, `errors` what went wrong with messages.

    :raises ValueError: if a line is none of these, or the address is for one direction only.
    """

    def __init__(
        self,
        wire: Wire,
        address: Address | AsymmetricAddress,
        story: str = "",
        *,
        also: Iterable[Address] = (),
        name: str = "peer",
        params: Parameters | None = None,
    ) -> None:
        also = tuple(also)
        tx = address.tx_side()
        heard = [side for each in (address, *also) if (side := each.rx_side()) is not None]
        if tx is None or not heard:
            raise ValueError(f"a peer sends and hears, which this address does not: {address!r}")
        self.wire = wire
        self.name = name
        self.problems: list[str] = []
        self.errors: list[IsoTpError] = []
        self.received: list[bytes] = []
        self._tx = tx
        self._n_pci = 0 if heard[0].extension_byte is None else 1
        self._extension = heard[0].extension_byte
        self._own_ids = {each for side in heard for each in (side.physical_id, side.functional_id)}
        self._heard_ids = self._own_ids
        self._lines: list[_Line] = []
        self._at = 0
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._rests = self._transfers = self._goes_on = False
        # Its thread may be any that sends a frame, or the one that keeps deadlines.
        self._changing = threading.RLock()
        self._voice = _Voice(wire, wire.end(name))
        self._layer = self._make_layer(address, also, params or {})
        self._voice.end.on_frame = self._hear
        self.play(story)

    def _make_layer(
        self, address: Address | AsymmetricAddress, also: Iterable[Address], params: Parameters
    ) -> HubSession:
        layer = Hub(self).session(
            address, also, on_message=self._take, error_handler=self.errors.append, params=params
        )
        layer.start()
        layer._set_courier(None)  # the story goes on where the message ends
        return layer

    def open_feed(self, in_loop: bool = False) -> WireFeed:
        """What brings frames to the layer that does whole messages."""
        return self._voice

    def __repr__(self) -> str:
        return f"<Peer {self.name}, {'at the end of its story' if self._is_over else self._lines[self._at]}>"

    def close(self) -> None:
        """Hear nothing any more."""
        self._voice.end.on_frame = None
        self._layer.stop()

    # ------------------------------------------------ what the test asks

    @property
    def is_done(self) -> bool:
        """Whether it has come to the end of its story."""
        return self._is_over and not self._rests and not self._transfers

    @property
    def _is_over(self) -> bool:
        return self._at >= len(self._lines)

    def play(self, story: str) -> None:
        """Begin a story, in place of the one that it was amid."""
        lines = _lines_of(story)
        for line in lines:
            _check(line, self)
        if any(line.verb == "again" for line in lines) and all(line.verb in (">", "again") for line in lines):
            raise ValueError("a story that begins anew waits for something: it would never end")
        with self._changing:
            named = {
                parse_id(line.text.partition("#")[0])
                for line in lines
                if line.verb == "<" and "#" in line.text
            }
            self._heard_ids = self._own_ids | named
            self._lines, self._at = lines, 0
            self._waiting.clear()
            self._rests = False
            self._end_transfer()
            self._go_on()

    def check(self) -> None:
        """The story was played to its end, and nothing came that is not in it.

        :raises AssertionError: if it was otherwise, with the frames that went over the wire.
        """
        __tracebackhide__ = True
        problems = list(self.problems)
        if not self.is_done:
            line = self._lines[self._at] if not self._is_over else self._lines[-1]
            problems.append(f"the story did not come to its end, it is at {line}")
        if problems:
            raise AssertionError(
                "\n".join([f"{self.name}:", *problems, "", self.wire.frames.picture_of_last])
            )

    # ------------------------------------------------ the story

    def _go_on(self) -> None:
        """Do what is to be done, up to the next line that waits for something. Called with `_changing` held."""
        if self._goes_on:
            return  # a frame that was sent here had an answer at once
        self._goes_on = True
        try:
            while not self._is_over and not self._rests and not self._transfers and self._step():
                pass
        finally:
            self._goes_on = False

    def _step(self) -> bool:
        """Do one line; False: it waits for a frame that has not come."""
        line = self._lines[self._at]
        if line.verb == "<":
            return self._take_frame(line)
        self._at += 1
        if line.verb == ">":
            self._voice.end.send_raw(*self.frame_of(line.text))
        elif line.verb == "wait":
            self._rests = True
            self.wire.call_at(self.wire.now() + round(float(line.text) * 1e6), lambda: self._end_rest(line))
        elif line.verb == "again":
            self._at = 0
        elif line.verb == "silent":
            self._at = len(self._lines)
        else:
            self._begin_transfer(line)
        return True

    def _take_frame(self, line: _Line) -> bool:
        if not self._waiting:
            return False
        can_id, data = self._waiting.popleft()
        if Pattern.parse(line.text).matches(can_id, data, self._n_pci):
            self._at += 1
        else:
            self.problems.append(f"{line}; but {words(data)} came")
        return True

    def _end_rest(self, line: _Line) -> None:
        with self._changing:
            # Unless another story was begun meanwhile
            if self._rests and self._at and self._lines[self._at - 1] is line:
                self._rests = False
                self._go_on()

    def frame_of(self, text: str) -> tuple[int, bytes]:
        """Identifier and data of what a line sends."""
        head, mark, tail = text.rpartition("#")
        found = _FLOW_CONTROL.fullmatch(tail.strip())
        if found is None:
            data = octets(tail)
        else:
            extension = () if self._tx.extension_byte is None else (self._tx.extension_byte,)
            data = bytes([*extension, _STATUS[found[1]], int(found[2] or 0), int(found[3] or "0", 0)])
        return (parse_id(head.strip()) if mark else self._tx.physical_id), data

    # ------------------------------------------------ whole messages

    def _begin_transfer(self, line: _Line) -> None:
        self._transfers = True
        self._voice.open()
        if line.verb == "get":
            self._at -= 1  # until it has come
            # What came while the story rested is part of it.
            while self._waiting and self._transfers:
                can_id, data = self._waiting.popleft()
                is_extended = bool(can_id & _EXTENDED)
                self._layer._feed(CanMessage(can_id & 0x1FFF_FFFF, 0, data, is_extended))
        else:
            self._layer._submit(octets(line.text), None, lambda request: self._sent(line, request))

    def _end_transfer(self) -> None:
        self._transfers = False
        self._voice.shut()

    def _sent(self, line: _Line, request: SendRequest) -> None:
        with self._changing:
            if not request.success:
                self.problems.append(f"{line}; but it was not sent: {request.failure!r}")
            self._end_transfer()
            self._go_on()

    def _take(self, payload: bytes, address: object, when: int) -> None:
        with self._changing:
            self.received.append(bytes(payload))
            line = None if self._is_over else self._lines[self._at]
            if line is None or line.verb != "get":
                self.problems.append(f"the message {words(payload)} came amid another one")
                return
            if not Pattern.parse(line.text or "*").matches(0, bytes(payload)):
                self.problems.append(f"{line}; but {words(payload)} came")
            self._at += 1
            self._end_transfer()
            self._go_on()

    # ------------------------------------------------ what it hears

    def _hear(self, when: int, can_id: int, data: bytes, flags: int) -> None:
        with self._changing:
            is_mine = can_id in self._heard_ids and (
                self._n_pci == 0 or can_id not in self._own_ids or data[:1] == bytes([self._extension or 0])
            )
            if not is_mine or self._is_over or self._transfers:
                return
            self._waiting.append((can_id, data))
            self._go_on()


def _check(line: _Line, peer: Peer) -> None:
    """:raises ValueError: if nobody could do what the line says."""
    try:
        if line.verb in ("<", "get"):
            Pattern.parse(line.text)
        elif line.verb == ">":
            peer.frame_of(line.text)
        elif line.verb == "send":
            octets(line.text)
        elif line.verb == "wait":
            float(line.text)
    except ValueError as error:
        raise ValueError(f"{line}: {error}") from error
