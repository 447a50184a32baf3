"""One reader for each python-can bus of this process, whatever uses it: each frame goes to everyone it is for.

All who ask for a bus get the same `SharedBus`. At any time one thread has the turn to read: the bus's own, which
exists while somebody needs it, or one that waits for a frame anyway, such as one that polls a layer. It gives each
frame to all others, so nobody takes a frame away from anybody else, and the order stays.
"""

from __future__ import annotations

import os
import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from logging import getLogger
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from isotp._core import CanMessage, frame_from_python_can
from isotp.bus.doorbell import Doorbell
from isotp.bus.feed import ThreadedFeed
from isotp.bus.native import Native, native_bus
from isotp.bus.notifier import add_listener, remove_listener
from isotp.bus.python_can import Sender, check_bus, descriptor_of, python_can
from isotp.bus.stand_ins import read, stand_in
from isotp.bus.table import Mailbox, Table, layers_of
from isotp.bus.turn import Turn
from isotp.started import TransportLayer

if TYPE_CHECKING:
    import can

__all__ = ["Hearer", "Layers", "SharedBus", "shared_bus"]

# Seconds to wait for a frame if a doorbell ends the wait.
_NO_POLLING = 3600.0
# Error and remote frames that one read passes over before it gives others a turn.
_PASSED_OVER_AT_ONCE = 1000
# Frames that wait for a reader of its own. If nobody fetches that many, nobody reads any more.
_MOST_FOR_GUESTS = 10_000


_Found = TypeVar("_Found")
# Layers by identifier, those that ask for every frame whether it is theirs, and those that wait for echoes
ByIdentifier: TypeAlias = Mapping[int, tuple[TransportLayer, ...]]
Layers: TypeAlias = tuple[ByIdentifier, tuple[TransportLayer, ...], ByIdentifier]


class Hearer(Protocol):
    """Somebody who gets all frames of a bus: a hub, or an event loop."""

    def hear(self, received: can.Message) -> None: ...
    def layers(self) -> Layers | None:
        """His layers, if they may take frames on the thread that reads, with the times at which they came."""

    def report(self, error: BaseException) -> None: ...


class SharedBus(ThreadedFeed):
    """A python-can bus, as all in this process share it; made by :func:`shared_bus`."""

    def __init__(self, bus: can.BusABC, face: can.BusABC) -> None:
        super().__init__()
        self.bus = bus
        self.table: Table[Mailbox] = Table()
        self.sender = Sender()
        # Reentrant: the methods of a user's class of address may look at the layer.
        self.changing = threading.RLock()
        self._hearers: tuple[Hearer, ...] = ()
        # Those that need the thread: they do not read the bus themselves.
        self._users: dict[object, float] = {}
        self._doorbell: Doorbell | None = None
        self.native = native_bus(bus) if "recv" not in vars(bus) else None
        # The table as the native way takes it, as long as nobody needs python-can's messages; made when it is asked for
        self._engines: Layers | None = None
        self.turn = Turn(self._is_read_by_notifier)
        self._guests: deque[can.Message] | None = None  # frames for those who call recv() of the bus
        # The bus, and the ThreadSafeBus objects around it: what a notifier may have been made for
        self._faces: tuple[can.BusABC, ...] = (face,)
        # Python-can has it since 4.5.
        self._find_notifiers = getattr(python_can().Notifier, "find_instances", None)
        self._notifiers: list[can.Notifier] = []
        self.may_have_notifier = True
        stand_in(self)
        self._joined = self._join_notifiers()

    def use_as(self, face: can.BusABC) -> None:
        """Somebody uses the bus, by this object."""
        with self.changing:
            if not any(known is face for known in self._faces):
                self._faces = (*self._faces, face)
                self.may_have_notifier = True

    # ------------------------------------------------ who is on the bus

    def add_user(self, user: object, read_timeout: float) -> None:
        """Have a thread read the bus, as long as there are users.

        :param read_timeout: seconds that one read may wait, where it cannot be woken; the smallest one counts.
        :raises OSError: if the system has no more descriptors.
        :raises RuntimeError: if it has no more threads.
        """
        with self.changing:
            is_first = not self._users
            self._tell_if_shared()
            self._users[user] = read_timeout
            self._read_timeout = min(self._users.values())
            try:
                if is_first:
                    self.start(self)
            except BaseException:
                del self._users[user]
                raise

    def _tell_if_shared(self) -> None:
        """Called with `changing` held, when somebody comes: whoever works on the bus is not alone any more."""
        is_shared = (
            len(self.table.sessions) > 1
            or self._hearers
            or self._guests is not None
            or self._is_read_by_notifier()
        )
        if is_shared:
            for mailbox in self.table.sessions:
                mailbox.share_reader()

    def remove_user(self, user: object) -> Callable[[], object] | None:
        """What this returns waits until the thread has ended, if it was the last one."""
        with self.changing:
            if user not in self._users:
                return None
            del self._users[user]
            if not self._users:
                return self.stop()
            self._read_timeout = min(self._users.values())
            return None

    def add(self, mailbox: Mailbox) -> None:
        """Have frames come to a mailbox."""
        if mailbox not in self.table.sessions:
            with self.changing:
                # Each new layer clears up those that nobody references any more.
                for other in [other for other in self.table.sessions if other.layer is None]:
                    self.table.remove(other)
                if mailbox not in self.table.sessions:
                    self.table.add(mailbox)
                self._tell_if_shared()
                self.changed()

    def remove(self, mailbox: Mailbox) -> None:
        with self.changing:
            if mailbox in self.table.sessions:
                self.table.remove(mailbox)
                self.changed()

    def readdress(self, mailbox: Mailbox) -> None:
        """Called with `changing` held: the layer's address and the table go together."""
        if mailbox in self.table.sessions:
            self.table.readdress(mailbox)
            self.changed()

    def add_hearer(self, hearer: Hearer) -> None:
        with self.changing:
            self._hearers = (*self._hearers, hearer)
            self._tell_if_shared()
            self.changed()

    def remove_hearer(self, hearer: Hearer) -> None:
        with self.changing:
            self._hearers = tuple(other for other in self._hearers if other is not hearer)
            self.changed()

    def report(self, error: BaseException) -> None:
        """The bus cannot be read: all on it are concerned."""
        for mailbox in tuple(self.table.sessions):
            mailbox.report(error)
        for hearer in self._hearers:
            hearer.report(error)

    # ------------------------------------------------ the thread

    def start(self, audience: Any) -> None:
        if self.native is None:
            self._watch_descriptor()
        super().start(audience)

    def _watch_descriptor(self) -> None:
        descriptor = descriptor_of(self.bus)
        # A read without a descriptor cannot be interrupted, so each lasts only a while.
        self._doorbell = Doorbell(descriptor) if descriptor >= 0 and hasattr(select, "poll") else None

    def end(self) -> None:
        """The bus was shut down: a thread that waits for its descriptor would wait for ever."""
        native = self.native
        self.use_python_can()
        doorbell, self._doorbell = self._doorbell, None
        if doorbell is not None:
            doorbell.ring()
        if native is not None:
            native.can.close()

    def use_python_can(self) -> None:
        """Read by python-can's means from now on."""
        with self.changing:
            native, self.native = self.native, None
            if native is None:
                return
            if self._users:
                self._watch_descriptor()
            native.can.wake()

    def _wake(self) -> None:
        if self._doorbell is not None:
            self._doorbell.ring()
        if self.native is not None:
            self.native.can.wake()
        self.turn.wake_all()

    def _read(self, audience: Any) -> None:
        stop_requested = self._stop_requested
        if not self.turn.take_as_thread(stop_requested):
            return
        has_read = False
        try:
            while True:
                native = self.native
                found = self._read_one() if native is None else self._read_natively(native, _NO_POLLING)
                has_read = has_read or (found and not self.turn.is_led)
                is_over = not found or stop_requested.is_set() or self.turn.is_wanted()
                if is_over or self._is_read_by_notifier():
                    break
        finally:
            self.turn.end_as_thread(has_read)

    def _read_one(self) -> bool:
        """Wait for a frame by python-can's means, and share it; True if there was one."""
        doorbell = self._doorbell
        received = read(self.bus, self._read_timeout if doorbell is None else 0)
        if received is not None:
            self._share(received)
        elif doorbell is not None:
            # Only now: frames that a driver has read ahead do not make its descriptor readable.
            doorbell.wait(_NO_POLLING)
        return received is not None

    def _read_natively(self, native: Native, timeout: float) -> bool:
        """Wait for frames, and read them; True if there were any."""
        if not native.can.wait(timeout):
            return False
        # Only now: a user that came during the wait must hear what came then.
        engines = None if self._is_read_by_notifier() else self._engines or self._find_engines()
        if engines is None:
            for received in native.take_messages():
                self._share(received)
        else:
            native.can.dispatch(*engines)
        return True

    def _find_engines(self) -> Layers | None:
        """All layers on the bus; None where somebody needs messages of python-can."""
        with self.changing:
            if self._guests is not None:
                return None
            if self._hearers:
                # A stack that is stopping still has a thread, which must not run the layers of a loop.
                hearer = self._hearers[0]
                is_alone = (
                    len(self._hearers) == 1 and not self.table.sessions and self._users.keys() <= {hearer}
                )
                self._engines = hearer.layers() if is_alone else None
                return self._engines
            layers = {mailbox: mailbox.works_for() for mailbox in self.table.sessions}
            if not all(layers.values()):
                return None

            def of(mailboxes: tuple[Mailbox, ...]) -> tuple[TransportLayer, ...]:
                return tuple(layer for mailbox in mailboxes if (layer := layers[mailbox]))

            by_identifier, asked, senders = layers_of(self.table)
            self._engines = (
                {key: of(mailboxes) for key, mailboxes in by_identifier.items()},
                of(asked),
                {key: of(mailboxes) for key, mailboxes in senders.items()},
            )
            return self._engines

    def changed(self) -> None:
        """Something is not as it was when the table was made for the native way."""
        self._engines = None

    # ------------------------------------------------ others who wait for a frame

    def read_for(self, mailbox: Mailbox, timeout: float) -> CanMessage | None:
        """The next data frame for the owner of the mailbox; frames for others that this reads meanwhile go to them.

        Frames for nobody else also come here, whatever their identifier: who polls a bus sees all of it.
        """

        def take(received: can.Message) -> CanMessage | None:
            self._share(received, mailbox)
            return frame_from_python_can(received)

        return self._read_as(mailbox.frames, timeout, take)

    def read_for_hearer(self, hearer: Hearer) -> bool:
        """Read without waiting, for a hearer that was told that there is something. True: there may be more."""
        if self.turn.is_mine() or not self.turn.take_at_once(is_guest=False):
            return False
        try:
            if self.native is not None:
                return self._read_natively(self.native, 0)
            received = read(self.bus, 0)
            if received is not None:
                self._share(received)
            return received is not None
        finally:
            self.turn.end()

    def read_for_guest(self, timeout: float | None) -> can.Message | None:
        """What recv() of the bus gives to others than the package."""
        waiting = self._guests
        if waiting is None:
            waiting = self._expect_guests()

        def take(received: can.Message) -> can.Message:
            self._share(received, to_guests=False)
            return received

        return self._read_as(waiting, timeout, take, is_guest=True)

    def _read_as(
        self,
        found: deque[_Found],
        timeout: float | None,
        take: Callable[[can.Message], _Found | None],
        is_guest: bool = False,
    ) -> _Found | None:
        """What was found for who asks, or what there is to take of the bus."""
        if found and (first := _first_of(found)) is not None:
            return first
        if not self.turn.take_at_once(is_guest):
            if self.turn.is_mine():
                # A callback during a frame: the frames that were read with it come first.
                for received in () if self.native is None else self.native.take_messages():
                    self._share(received)
                return _first_of(found) or self._read_and_take(timeout, take)
            began = time.monotonic()
            if timeout == 0 or not self.turn.take(lambda: bool(found), timeout, is_guest):
                return _first_of(found)
            timeout = timeout and max(0.0, timeout - (time.monotonic() - began))
        try:
            # The last one to have the turn may just have left something.
            return (found and _first_of(found)) or self._read_and_take(timeout, take)
        finally:
            self.turn.end()

    def _read_and_take(
        self, timeout: float | None, take: Callable[[can.Message], _Found | None]
    ) -> _Found | None:
        for _ in range(_PASSED_OVER_AT_ONCE):
            received = read(self.bus, timeout)
            if received is None:
                return None
            taken = take(received)
            if taken is not None:
                return taken
        return None

    # ------------------------------------------------ who leads

    def lead(self, is_over: Callable[[], bool], timeout: float | None) -> None:
        """Read the bus in place of its thread, until it is over or the time is: then no other thread has to wake the
        one that waits for a message. This works only natively and for the only user of the bus; else it returns at
        once.

        :meth:`follow` makes the leader look whether it is over.
        """
        native = self.native
        if native is None or len(self.table.sessions) != 1 or self._find_engines() is None:
            return
        until = None if timeout is None else time.monotonic() + timeout
        if not self.turn.lead(is_over, timeout):
            return
        try:
            while not is_over() and native is self.native and not self._is_read_by_notifier():
                left = _NO_POLLING if until is None else until - time.monotonic()
                if left <= 0:
                    break
                self._read_natively(native, left)
        except Exception as error:
            self.report(error)
        finally:
            self.turn.end_lead()

    def follow(self, *_: object) -> None:
        """Something has happened that the leader may wait for."""
        native = self.native
        if self.turn.is_led and native is not None and not self.turn.is_mine():
            native.can.wake()

    # ------------------------------------------------ who a frame is for

    def _share(self, received: can.Message, but: Mailbox | None = None, to_guests: bool = True) -> None:
        """Give a frame to all whom it is for, except those who know it already."""
        self.table.dispatch(received, but)
        for hearer in self._hearers:
            hearer.hear(received)
        if to_guests:
            self._keep_for_guests(received)
        self.turn.tell()

    def _expect_guests(self) -> deque[can.Message]:
        with self.changing:
            guests = self._guests
            if guests is None:
                guests = self._guests = deque()
                self._tell_if_shared()
                self.changed()
        return guests

    def _keep_for_guests(self, received: can.Message) -> None:
        guests = self._guests
        if guests is None:
            # A notifier is in the list before its thread first calls recv().
            if self.is_heard_by_notifier() or not self._is_read_by_notifier():
                return
            guests = self._expect_guests()
        guests.append(received)
        if len(guests) > _MOST_FOR_GUESTS:
            self._guests = None
            getLogger("isotp").info(
                "%s: nobody fetched %d frames by recv() of the bus; they are forgotten", self.bus, len(guests)
            )

    # ------------------------------------------------ notifiers

    def _join_notifiers(self) -> list[can.Notifier]:
        """Be a listener of a notifier that reads the bus already: it may be amid a read that began before."""
        shared = weakref.ref(self)

        def listener(received: can.Message) -> None:
            bus = shared()
            if bus is not None:
                bus._share(received)

        found = self._find()
        for notifier in found:
            add_listener(notifier, listener)
            weakref.finalize(self, remove_listener, notifier, listener).atexit = False
        return found

    def _find(self) -> list[can.Notifier]:
        self.may_have_notifier = False  # before looking: what comes from here on is for the next look
        find = self._find_notifiers
        if find is not None:
            self._notifiers = [n for face in self._faces for n in find(face) if not n.stopped]
        return self._notifiers

    def is_heard_by_notifier(self) -> bool:
        """A notifier that was there before brings all frames that anybody reads."""
        return bool(self._joined) and not all(notifier.stopped for notifier in self._joined)

    def _is_read_by_notifier(self) -> bool:
        # A notifier that was made later calls recv(), which shares what it reads, so nobody else needs to read.
        notifiers = self._find() if self.may_have_notifier else self._notifiers
        return bool(notifiers) and not all(notifier.stopped for notifier in notifiers)

    # ------------------------------------------------ a fork

    def end_in_child(self) -> None:
        """After a fork, in the child: the threads are gone, and with them whoever had a lock."""
        super().end_in_child()
        self.sender = Sender()
        self.changing = threading.RLock()
        self.turn = Turn(self._is_read_by_notifier)
        self._users = {}
        # Nothing shows that these no longer read, and the thread that asked for them may have had python-can's
        # lock.
        self._joined, self._notifiers = [], []
        self._find_notifiers = None
        self._hearers = ()
        self._doorbell = None
        if self.native is not None:
            self.native.can.forget_threads()


def _first_of(found: deque[_Found]) -> _Found | None:
    try:
        return found.popleft()
    except IndexError:  # another thread that asks for the same may have been faster
        return None


# By the identity of the bus, which lives as long as what shares it.
_shared: weakref.WeakValueDictionary[int, SharedBus] = weakref.WeakValueDictionary()
_sharing = threading.RLock()


def shared_bus(face: can.BusABC) -> SharedBus:
    """What all users of this bus in this process share.

    :raises ValueError: if it is not a python-can bus.
    :raises RuntimeError: if python-can is not installed.
    """
    check_bus(face)
    bus = face
    while isinstance(inner := getattr(bus, "__wrapped__", None), python_can().BusABC):
        bus = inner  # a ThreadSafeBus is the bus that it wraps
    with _sharing:
        shared = _shared.get(id(bus))
        if shared is None:
            shared = _shared[id(bus)] = SharedBus(bus, face)
        else:
            shared.use_as(face)
    return shared


def _end_all_in_child() -> None:
    global _sharing
    _sharing = threading.RLock()
    for shared in list(_shared.values()):
        shared.end_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_end_all_in_child)
