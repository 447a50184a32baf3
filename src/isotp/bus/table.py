"""Who is a frame for: the sessions on one bus, by the identifiers that they hear."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from isotp._core import frame_from_python_can
from isotp.address import Address, AsymmetricAddress
from isotp.started import TransportLayer

if TYPE_CHECKING:
    import can

__all__ = ["Listener", "Table", "receive_identifiers"]


def receive_identifiers(addresses: Iterable[Address | AsymmetricAddress]) -> Iterator[int]:
    """Identifiers of the frames for these addresses; those of 29 bits with bit 31 set, as SocketCAN has them."""
    for address in addresses:
        if side := address.rx_side():
            yield from (side.physical_id, side.functional_id)


class Listener(TransportLayer):
    """A layer that a feed brings frames to."""

    receive_addresses: tuple[Address | AsymmetricAddress, ...] = ()


class Table:
    """Which sessions a frame is for, by its identifier. Its entries are replaced, never changed: no lock to read."""

    def __init__(self) -> None:
        self.sessions: dict[Listener, frozenset[int]] = {}
        self.by_identifier: dict[int, tuple[Listener, ...]] = {}
        # A user's class of address may take frames with any identifier.
        self.asked: tuple[Listener, ...] = ()

    def add(self, session: Listener) -> None:
        if session._asks_address:
            self.sessions[session] = frozenset()
            self._set_asked((*self.asked, session))
            return
        self.sessions[session] = frozenset(receive_identifiers(session.receive_addresses))
        self._begin(session, self.sessions[session])

    def remove(self, session: Listener) -> None:
        self._end(session, self.sessions.pop(session))
        if session in self.asked:
            self._set_asked(tuple(other for other in self.asked if other is not session))

    def readdress(self, session: Listener) -> None:
        """The session has another address: of the identifiers that it keeps, it misses no frame."""
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

    def _begin(self, session: Listener, identifiers: Iterable[int]) -> None:
        for identifier in identifiers:
            takers = self.by_identifier.get(identifier, self.asked)
            self.by_identifier[identifier] = (*takers, session)

    def _end(self, session: Listener, identifiers: Iterable[int]) -> None:
        for identifier in identifiers:
            takers = tuple(taker for taker in self.by_identifier[identifier] if taker is not session)
            if len(takers) > len(self.asked):
                self.by_identifier[identifier] = takers
            else:
                del self.by_identifier[identifier]

    def _set_asked(self, asked: tuple[Listener, ...]) -> None:
        before, self.asked = self.asked, asked
        for identifier, takers in list(self.by_identifier.items()):
            self.by_identifier[identifier] = asked + tuple(taker for taker in takers if taker not in before)

    def dispatch(self, received: can.Message) -> None:
        """Give a frame of python-can to its sessions."""
        identifier = received.arbitration_id | (0x8000_0000 if received.is_extended_id else 0)
        takers = self.by_identifier.get(identifier, self.asked)
        frame = frame_from_python_can(received) if takers else None
        if frame is not None:
            for session in takers:
                session._feed(frame)
