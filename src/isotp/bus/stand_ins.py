"""What stands in for methods of a python-can bus while it is shared, so that nobody takes a frame away from others."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import can

__all__ = ["Shared", "read", "stand_in"]


class Shared(Protocol):
    """What these need of a shared bus."""

    bus: can.BusABC
    may_have_notifier: bool

    def is_heard_by_notifier(self) -> bool: ...
    def read_for_guest(self, timeout: float | None) -> can.Message | None: ...
    def end(self) -> None: ...


class _Recv:
    """Stands in for recv(): a reader of its own, such as a notifier, gets each frame, and so do all others."""

    def __init__(self, shared: Shared, original: Callable[..., can.Message | None]) -> None:
        self._shared = weakref.ref(shared)
        self.original = original

    def __call__(self, timeout: float | None = None) -> can.Message | None:
        shared = self._shared()
        if shared is None or shared.is_heard_by_notifier():
            return self.original(timeout)
        return shared.read_for_guest(timeout)


def read(bus: can.BusABC, timeout: float | None) -> can.Message | None:
    """Read a bus, past what stands in for its recv()."""
    recv = bus.recv
    if type(recv) is _Recv:
        recv = recv.original
    return recv(timeout)


def stand_in(shared: Shared) -> None:
    """Let all who read a bus share it, as long as `shared` lives; and let that know when the bus is shut down."""
    recv = shared.bus.recv
    # Code that put its own function in place of ours may have put ours back since.
    _replace(shared, "recv", _Recv(shared, recv.original if type(recv) is _Recv else recv))

    reference, original = weakref.ref(shared), shared.bus.shutdown

    def shutdown() -> None:
        original()
        # A thread that waits for its descriptor would wait for ever.
        if still_shared := reference():
            still_shared.end()

    _replace(shared, "shutdown", shutdown)

    fileno = shared.bus.fileno

    def looked_at() -> int:
        # A new notifier asks for it, once it is in the list that python-can keeps of them.
        if still_shared := reference():
            still_shared.may_have_notifier = True
        return fileno()

    _replace(shared, "fileno", looked_at)


def _replace(shared: Shared, name: str, replacement: Callable[..., Any]) -> None:
    bus = shared.bus
    before = vars(bus).get(name)  # a user's, in place of the class's
    setattr(bus, name, replacement)

    def put_back() -> None:
        if vars(bus).get(name) is not replacement:
            return
        if before is None or type(before) is _Recv:
            delattr(bus, name)
        else:
            setattr(bus, name, before)

    weakref.finalize(shared, put_back).atexit = False
