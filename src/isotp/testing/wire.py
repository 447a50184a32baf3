"""A bus in this process for any number of ends: at the speed of the core, with faults on request, and a recorder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from isotp._core import monotonic_ns
from isotp.address import Address, AsymmetricAddress
from isotp.bus.feed import Audience, HasFeed
from isotp.bus.loop_feeds import LoopFeed
from isotp.bus.table import Listener, Table, layers_of
from isotp.errors import IsoTpError
from isotp.hub import Hub, HubSession
from isotp.started import TransportLayer
from isotp.testing._wire import End, Line
from isotp.testing.clock import HeldClock
from isotp.testing.faults import Faults
from isotp.testing.frames import FATES, Recording, WireFrame
from isotp.threads import timekeeper

__all__ = ["Wire", "WireFeed"]

_EXTENDED = 0x8000_0000


class Wire(Faults, HasFeed):
    """A CAN bus in this process.

    Layers sit on it by :meth:`layer`, a hub by `Hub(wire)`, anything else by an end of its own (:meth:`end`) that has
    a rxfn and a txfn. No thread carries the frames: who sends one brings it to all who hear.

    :param clock: :class:`HeldClock`, the time of the wire and of all layers on it; None: real time.
    :param kept: frames that the recording keeps; beyond, the oldest are forgotten.
    """

    def __init__(self, clock: HeldClock | None = None, kept: int = 65536) -> None:
        super().__init__()
        self.clock = clock
        self.errors: list[IsoTpError] = []
        self._line = Line(clock, kept)
        self._began = clock() if clock is not None else monotonic_ns()
        self._names: dict[int, str] = {}
        self._n_pci: dict[int, int] = {}
        self._cleanup = ExitStack()

    def __repr__(self) -> str:
        time = "real time" if self.clock is None else repr(self.clock)
        return f"<Wire with {len(self._names)} ends, {time}>"

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the layers that :meth:`layer` made, and take the ends off the wire."""
        self._cleanup.close()

    # ------------------------------------------------ who is on it

    def end(self, name: str = "") -> End:
        """A new end: `end.receive(timeout)` is a rxfn, `end.send(frame)` a txfn.

        :param name: what the recording calls it.
        """
        made = End(self._line, name)
        self._names[made.number] = name or f"end {made.number}"
        self._cleanup.callback(made.close)
        return made

    def layer(
        self,
        address: Address | AsymmetricAddress,
        also: Iterable[Address] = (),
        *,
        name: str = "",
        start: bool = True,
        **kwargs: Any,
    ) -> HubSession:
        """A layer on an end of its own, started.

        :param address: its address.
        :param also: further addresses to receive on, say the functional one of an ECU.
        :param name: what the recording calls it; else the identifier that it sends with.
        :param start: whether it is started already.
        :param kwargs: parameters of :class:`isotp.TransportLayer`, but for rxfn and txfn. Without an `error_handler`,
            errors come into the list `errors` of the wire.
        """
        kwargs.setdefault("error_handler", self.errors.append)
        made = Hub(_Place(self, name or _name_of(address))).session(address, also, **kwargs)
        self._cleanup.callback(made.stop)
        if start:
            made.start()
        return made

    def open_feed(self, in_loop: bool = False) -> WireFeed:
        """What brings the frames to a hub, or to layers of `isotp.aio`.

        :raises ValueError: if it is for an event loop, whose time is real, and that of the wire is held.
        """
        return self.feed_at(self.end(), in_loop)

    def feed_at(self, end: End, in_loop: bool) -> WireFeed:
        """The same, by an end that is there."""
        if not in_loop:
            return WireFeed(self, end)
        if self.clock is not None:
            raise ValueError("the time of an event loop is real: its layers need a wire without a HeldClock")
        return LoopWireFeed(self, end)

    def note_address(self, address: Address | AsymmetricAddress) -> None:
        """Frames of this address have N_PCI behind a byte of the address, if they have one."""
        for side in (address.tx_side(), address.rx_side()):
            if side is not None and side.extension_byte is not None:
                self._n_pci[side.physical_id] = self._n_pci[side.functional_id] = 1

    # ------------------------------------------------ its time

    def now(self) -> int:
        """Its time, in ns."""
        return monotonic_ns() if self.clock is None else self.clock()

    def call_at(self, when_ns: int, action: Callable[[], object]) -> None:
        """Have `action` called when it is `when_ns` on this wire. It must not wait."""
        if self.clock is None:
            timekeeper.call_at(when_ns, action)
        else:
            self.clock.call_at(when_ns, action)

    # ------------------------------------------------ what went over it

    @property
    def frames(self) -> Recording:
        """All frames that were sent, in the order in which they came; lost ones too. Print it to see them."""
        return self.frames_since(0)

    @property
    def carried(self) -> int:
        """How many frames went over the wire, lost ones as well."""
        return self._line.carried

    def frames_since(self, number: int) -> Recording:
        """Those from a number on, counted from 0."""
        return Recording(self._frame_of(*entry[:5]) for entry in self._line.entries(number))

    def _frame_of(self, when: int, sender: int, fate: int, can_id: int, data: bytes) -> WireFrame:
        ms = (when - self._began) / 1e6
        return WireFrame(ms, self._names[sender], can_id, data, FATES[fate], self._n_pci.get(can_id, 0))

    # ------------------------------------------------ what is wrong with it

    def _changed(self, has_faults: bool) -> None:
        self._line.judge = self._judge if has_faults else None

    def _set_jammed(self, is_jammed: bool) -> None:
        self._line.jammed = is_jammed

    def _inject_at(self, when: int, passage: tuple[int, int, int, bytes, int]) -> None:
        self.call_at(when, lambda: self._line.inject(*passage))


def _name_of(address: Address | AsymmetricAddress) -> str:
    side = address.tx_side()
    if side is None:
        return ""
    identifier = side.physical_id
    return f"{identifier & 0x1FFF_FFFF:08X}" if identifier & _EXTENDED else f"{identifier:03X}"


class _Place(HasFeed):
    """One place on a wire, for a hub with one session: its end has the name of that."""

    def __init__(self, wire: Wire, name: str) -> None:
        self._wire = wire
        self._name = name

    def open_feed(self, in_loop: bool = False) -> WireFeed:
        return self._wire.feed_at(self._wire.end(self._name), in_loop)

    def __repr__(self) -> str:
        return repr(self._wire)


class WireFeed:
    """Brings the frames of a wire to the sessions of a hub, on the thread that sends them."""

    def __init__(self, wire: Wire, end: End) -> None:
        self._wire = wire
        self.end = end
        end.keeps = False

    def start(self, audience: Audience) -> None:
        """The frames come by themselves."""

    def stop(self) -> Callable[[], object]:
        self.end.listen(None, (), {})
        return lambda: None

    def close(self) -> None:
        """The wire is its owner's to close."""

    def end_in_child(self) -> None:
        self.end.forget_threads()

    def listen_for(self, table: Table[Listener]) -> None:
        self.end.listen(*layers_of(table))

    def connect(self, session: TransportLayer) -> None:
        if session.tx_confirmation:
            self.end.hear_echoes()
        self._wire.note_address(session.address)
        session.clock = self._wire.clock
        session.txfn = self.end.send
        session._port = self.end.port()


class LoopWireFeed(LoopFeed, WireFeed):
    """Brings the frames of a wire to layers in an event loop, on the thread of that."""

    _audience: Audience | None = None
    _is_scheduled = False

    def start(self, audience: Audience) -> None:
        self._audience = audience
        self._loop = asyncio.get_running_loop()
        self.end.on_kept = self._schedule
        self.end.keeps = True

    def stop(self) -> Callable[[], object]:
        self.end.keeps = False
        self.end.on_kept = self._audience = None
        return lambda: None

    def listen_for(self, table: Table[Listener]) -> None:
        """The loop looks into the table."""

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            try:
                self._loop.call_soon_threadsafe(self.deliver)
            except RuntimeError:
                if not self._loop.is_closed():
                    raise
                self.stop()  # it was closed before its layers: they hear no more

    def deliver(self) -> None:
        # Before looking: a frame that comes from here on schedules anew.
        self._is_scheduled = False
        while self.end.wait(0):
            audience = self._audience
            if audience is None:
                self.end.take()
            else:
                self.end.dispatch(*layers_of(audience.table))
