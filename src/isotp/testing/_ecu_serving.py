"""An ECU on a bus: a hub hears its testers, the ECU is asked, and what it says is sent when it is time.

One thread does that. On a wire whose clock a test holds there is none: all of it happens as that clock goes on.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from isotp._core import Reception, monotonic_ns
from isotp.address import Address, AsymmetricAddress, TargetAddressType
from isotp.bus.feed import HasFeed
from isotp.errors import IsoTpError
from isotp.hub import Hub, HubSession
from isotp.params import Parameters
from isotp.testing._ecu_parts import Tester
from isotp.threads.kept_clock import KeptClock

if TYPE_CHECKING:
    from typing import TypeAlias

    import can
    from typing_extensions import Self

    from isotp.testing.ecu import Ecu

__all__ = ["Exchanged", "Serving"]

# What a tester may send at once: nothing is kept in memory that has not come.
LONGEST: Final = 0xFFFFFFFF


class Exchanged(NamedTuple):
    """A message that an ECU heard or sent: when (ns, monotonic), from or to whom (number), and what."""

    time: int
    tester: int
    is_request: bool
    functional: bool
    payload: bytes


if TYPE_CHECKING:
    Watch: TypeAlias = Callable[[Exchanged], object]


class Heard(NamedTuple):
    """A request that waits for the ECU's thread."""

    time: int
    tester: int
    functional: bool
    payload: bytes


class Serving:
    """An ECU at work. Made by :meth:`Ecu.serve`; a context manager.

    `errors` are those that its layers met on the bus, in their order.
    """

    def __init__(
        self,
        ecu: Ecu,
        bus: can.BusABC | str | HasFeed,
        testers: Sequence[Tester],
        params: Parameters | None,
        watch: Watch | None,
    ) -> None:
        if not testers:
            raise ValueError("name the address of at least one tester, on the ECU's side")
        self.ecu = ecu
        self.errors: list[IsoTpError] = []
        self._watch = watch
        self._inbox: queue.SimpleQueue[Heard | None] = queue.SimpleQueue()
        # What is to be sent: time, a number that keeps the order of those of one time, tester, message.
        self._due: list[tuple[int, int, int, bytes]] = []
        self._numbers = itertools.count()
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        self._is_asking = self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=f"isotp {ecu.name}", daemon=True)
        with ExitStack() as stack:
            self._hub = stack.enter_context(Hub(bus))
            self._sessions = [self._session(k, each, params or {}) for k, each in enumerate(testers)]
            self._cleanup = stack.pop_all()
        clock = self._sessions[0].clock
        self._clock = clock if isinstance(clock, KeptClock) else None

    def _session(self, number: int, tester: Tester, params: Parameters) -> HubSession:
        def hear(reception: Reception) -> None:
            functional = reception.address is tester.functional or is_functional(tester.address, reception)
            heard = Heard(reception.ended_ns, number, functional, bytes(reception.payload))
            if self._clock is None:
                self._inbox.put(heard)
            else:
                self._clock.call_at(heard.time, partial(self._ask, heard))

        return self._hub.session(
            tester.address,
            () if tester.functional is None else (tester.functional,),
            params={"max_frame_size": LONGEST, **params},
            on_reception=hear,
            error_handler=self.errors.append,
        )

    # ------------------------------------------------ beginning and end

    def start(self) -> None:
        """Hear requests from now on."""
        for session in self._sessions:
            session.start()
        if self._clock is None:
            self._thread.start()

    def close(self) -> None:
        """Leave the bus; a python-can bus stays open. What was to be sent later is not sent.

        :raises Exception: what the ECU's own class raised, if that ended it.
        """
        self._inbox.put(None)
        if self._thread.ident is not None:
            self._thread.join()
        self._is_closed = True
        self._due.clear()
        self._cleanup.close()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended by itself, as its class raised something; False: it works after so many seconds."""
        return self._ended.wait(timeout)

    @property
    def is_busy(self) -> bool:
        """Whether something that it has heard is not answered yet, or an answer is on its way."""
        if self._is_asking or self._due or not self._inbox.empty():
            return True
        return any(session.transmitting() for session in self._sessions)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ------------------------------------------------ requests and answers

    def _run(self) -> None:
        try:
            while True:
                timeout = None if not self._due else max(self._due[0][0] - monotonic_ns(), 0) / 1e9
                try:
                    heard = self._inbox.get(timeout=timeout)
                except queue.Empty:
                    self._send_due()
                    continue
                if heard is None:
                    return
                self._is_asking = True
                self._ask(heard)
                self._send_due()
                self._is_asking = False
        except BaseException as failure:
            # It has a place to go: close() raises it.
            self._failure = failure
        finally:
            self._ended.set()

    def _ask(self, heard: Heard) -> None:
        if self._is_closed:
            return
        self._tell(heard.time, heard.tester, True, heard.functional, heard.payload)
        answers = self.ecu.answer(heard.payload, heard.time, tester=heard.tester, functional=heard.functional)
        for answer in answers:
            heapq.heappush(self._due, (answer.at, next(self._numbers), heard.tester, answer.payload))
            if self._clock is not None:
                self._clock.call_at(answer.at, self._send_due)

    def _now(self) -> int:
        return monotonic_ns() if self._clock is None else self._clock()

    def _send_due(self) -> None:
        while self._due and self._due[0][0] <= self._now():
            at, _, tester, payload = heapq.heappop(self._due)
            self._tell(at, tester, False, False, payload)
            self._sessions[tester].send(payload)

    def _tell(self, at: int, tester: int, is_request: bool, functional: bool, payload: bytes) -> None:
        if self._watch is not None:
            self._watch(Exchanged(at, tester, is_request, functional, payload))


def is_functional(address: Address | AsymmetricAddress, reception: Reception) -> bool:
    """Whether a message came on the functional identifier of a session's own address, where that is another."""
    physical, functional = (address.get_rx_arbitration_id(kind) for kind in TargetAddressType)
    return physical != functional and reception.arbitration_id == functional
