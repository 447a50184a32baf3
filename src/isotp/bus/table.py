"""Who is a frame for: the sessions on one bus, by the identifiers that they hear."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from isotp._core import CanMessage, frame_from_python_can
from isotp.address import Address, AsymmetricAddress
from isotp.started import TransportLayer

if TYPE_CHECKING:
    import can

__all__ = ["Listener", "Mailbox", "Table", "layers_of", "receive_identifiers", "sent_identifiers"]

# The most frames that wait for a layer that is not polled.
_MOST_WAITING_FRAMES = 4096


def receive_identifiers(addresses: Iterable[Address | AsymmetricAddress]) -> Iterator[int]:
    """Identifiers of the frames for these addresses; those of 29 bits with bit 31 set, as SocketCAN has them."""
    for address in addresses:
        if side := address.rx_side():
            yield from (side.physical_id, side.functional_id)


def sent_identifiers(taker: Taker) -> Iterator[int]:
    """Identifiers of the frames whose echoes somebody waits for."""
    if taker.tx_confirmation:
        for address in taker.receive_addresses[:1]:  # the own one
            if side := address.tx_side():
                yield from {side.physical_id, side.functional_id}


class Taker(Protocol):
    """Whoever takes frames with certain identifiers, or asks for each frame (`_asks_address`) whether it is for him."""

    @property
    def receive_addresses(self) -> tuple[Address | AsymmetricAddress, ...]: ...
    @property
    def _asks_address(self) -> Any: ...
    @property
    def tx_confirmation(self) -> bool: ...
    def _feed(self, message: CanMessage) -> None: ...


class Listener(TransportLayer):
    """A layer that frames are brought to by their identifiers."""

    receive_addresses: tuple[Address | AsymmetricAddress, ...] = ()
    # Held while the addresses change, and with them what brings the frames
    _addressing: AbstractContextManager[object]

    def set_address(self, address: Address | AsymmetricAddress) -> None:
        """Use this address from the next message on; frames are heard on it at once.

        :raises ValueError: if it is not an address, or an address for one direction only.
        """
        with self._addressing:
            super().set_address(address)
            self.receive_addresses = (address, *self.receive_addresses[1:])
            self._addresses_changed()

    def receive_also(self, addresses: Iterable[Address]) -> None:
        """Receive on these addresses too, as an ECU does on its functional one; answers go by the layer's own.

        :raises ValueError: if there are too many, or one is not an address.
        """
        addresses = tuple(addresses)
        with self._addressing:
            super().receive_also(addresses)
            self.receive_addresses = (self.receive_addresses[0], *addresses)
            self._addresses_changed()

    def _share_reader(self) -> None:
        """The reader of the bus reads it for others, too, from now on."""

    def _addresses_changed(self) -> None:
        """Have the frames for `receive_addresses` come."""
        raise NotImplementedError


class Mailbox:
    """Where the frames for a layer on a shared bus come: they go on to the layer, or wait until it is polled."""

    def __init__(self, layer: TransportLayer) -> None:
        self.receive_addresses: tuple[Address | AsymmetricAddress, ...] = ()
        self._asks_address = False
        self.tx_confirmation = False
        self.frames: deque[CanMessage] = deque()
        self._lost = 0
        # A mailbox keeps a layer alive if it works, but not if it waits.
        self._layer = weakref.ref(layer)
        self._started: Listener | None = None
        self._changing = threading.Lock()

    def show(self, layer: Listener) -> None:
        """This is what the layer hears now."""
        self.receive_addresses, self._asks_address = layer.receive_addresses, layer._asks_address
        self.tx_confirmation = layer.tx_confirmation

    def _feed(self, message: CanMessage) -> None:
        layer = self._started
        if layer is None:
            with self._changing:
                layer = self._started
                if layer is None:
                    if len(self.frames) < _MOST_WAITING_FRAMES:
                        self.frames.append(message)
                    else:
                        self._lost += 1
                    return
        layer._feed(message)

    def share_reader(self) -> None:
        """Frames now go to others, too."""
        if self._started is not None:
            self._started._share_reader()

    def forward(self, layer: Listener) -> None:
        """Give the frames that wait to a layer that works by itself now, and all that come."""
        with self._changing:
            while self.frames:
                layer._inbox.put(self.frames.popleft())
            self._started = layer

    def keep(self) -> None:
        """Let frames wait from now on."""
        self._changing = threading.Lock()  # after a fork, who had it may not be there
        self._started = None
        self.frames.clear()

    def works_for(self) -> TransportLayer | None:
        """The layer that frames go on to, with the times when they came. None: they wait, or it has its own clock."""
        layer = self._started
        return layer if layer is not None and layer.clock is None else None

    def newly_lost(self) -> int:
        """How many frames found no room since this was asked last."""
        if self._lost == 0:
            return 0
        with self._changing:
            lost, self._lost = self._lost, 0
        return lost

    @property
    def layer(self) -> TransportLayer | None:
        """The layer, if there is one still."""
        return self._layer()

    def report(self, error: BaseException) -> None:
        """The bus cannot be read."""
        if self._started is not None:
            self._started._report_callback_error(error)


_Taker = TypeVar("_Taker", bound=Taker)


class Table(Generic[_Taker]):
    """Which sessions a frame is for, by its identifier. Its entries are replaced, never changed: no lock to read."""

    def __init__(self) -> None:
        self.sessions: dict[_Taker, frozenset[int]] = {}
        self.by_identifier: dict[int, tuple[_Taker, ...]] = {}
        # A user's class of address may take frames with any identifier.
        self.asked: tuple[_Taker, ...] = ()
        # Those that wait for the echoes of their frames, by the identifiers of these
        self.senders: dict[int, tuple[_Taker, ...]] = {}

    def add(self, session: _Taker) -> None:
        self._add_sender(session)
        if session._asks_address:
            self.sessions[session] = frozenset()
            self._set_asked((*self.asked, session))
            return
        self.sessions[session] = frozenset(receive_identifiers(session.receive_addresses))
        self._begin(session, self.sessions[session])

    def _add_sender(self, session: _Taker) -> None:
        for identifier in sent_identifiers(session):
            self.senders[identifier] = (*self.senders.get(identifier, ()), session)

    def _remove_sender(self, session: _Taker) -> None:
        if session.tx_confirmation:
            for identifier, senders in list(self.senders.items()):
                self.senders[identifier] = tuple(other for other in senders if other is not session)

    def remove(self, session: _Taker) -> None:
        self._remove_sender(session)
        self._end(session, self.sessions.pop(session))
        if session in self.asked:
            self._set_asked(tuple(other for other in self.asked if other is not session))

    def readdress(self, session: _Taker) -> None:
        """The session has another address: it misses no frame of the identifiers that it keeps."""
        self._remove_sender(session)
        self._add_sender(session)
        if session._asks_address and session in self.asked:
            return
        if session._asks_address or session in self.asked:
            self.remove(session)
            self.add(session)
            return
        before = self.sessions[session]
        self.sessions[session] = after = frozenset(receive_identifiers(session.receive_addresses))
        self._begin(session, after - before)
        self._end(session, before - after)

    def _begin(self, session: _Taker, identifiers: Iterable[int]) -> None:
        for identifier in identifiers:
            takers = self.by_identifier.get(identifier, self.asked)
            self.by_identifier[identifier] = (*takers, session)

    def _end(self, session: _Taker, identifiers: Iterable[int]) -> None:
        for identifier in identifiers:
            takers = tuple(taker for taker in self.by_identifier[identifier] if taker is not session)
            if len(takers) > len(self.asked):
                self.by_identifier[identifier] = takers
            else:
                del self.by_identifier[identifier]

    def _set_asked(self, asked: tuple[_Taker, ...]) -> None:
        before, self.asked = self.asked, asked
        for identifier, takers in list(self.by_identifier.items()):
            self.by_identifier[identifier] = asked + tuple(taker for taker in takers if taker not in before)

    def dispatch(self, received: can.Message, but: _Taker | None = None) -> None:
        """Give a frame of python-can to its sessions, except one that has it already."""
        identifier = received.arbitration_id | (0x8000_0000 if received.is_extended_id else 0)
        takers = self.by_identifier.get(identifier, self.asked)
        if self.senders and not received.is_rx:
            senders = self.senders.get(identifier, ())
            takers += tuple(session for session in senders if session not in takers)
        frame = frame_from_python_can(received) if takers else None
        if frame is not None:
            for session in takers:
                if session is not but:
                    session._feed(frame)


def layers_of(
    table: Table[_Taker],
) -> tuple[dict[int, tuple[_Taker, ...]], tuple[_Taker, ...], dict[int, tuple[_Taker, ...]]]:
    """All that decides who a frame is for."""
    return table.by_identifier, table.asked, table.senders
