"""The layer that works on its own after start(): a thread that reads, and the pace of what it sends."""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from isotp._core import (
    CanMessage,
    MessageQueue,
    Reception,
    SendRequest,
    Sleeper,
    monotonic_ns,
    sharpen_timers,
)
from isotp.address import Address, AsymmetricAddress
from isotp.layers import (
    ErrorHandler,
    IsReady,
    OnBegin,
    OnMessage,
    OnReception,
    PostSendCallback,
    ReceiveInto,
    RxFn,
    TransportLayerLogic,
    TxFn,
    require_seconds,
)
from isotp.params import Parameters
from isotp.threads import timekeeper
from isotp.threads.courier import Courier
from isotp.threads.kept_clock import KeptClock
from isotp.threads.readers import Readers, read_until

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["TransportLayer", "longest_end"]

# How late (s) an rxfn may return after its time-out: the measured value is kept within these limits. A layer waits
# in rxfn until that long before a consecutive frame is due, and precisely from then on.
_LEAST_LATENESS = 0.0005
_MOST_LATENESS = 0.02
# Seconds that a new thread may take to run.
_PATIENCE = 10.0
# The longest precise wait at a time, in ns: how long a frame that arrives meanwhile may wait.
_PRECISE_PIECE_NS = 2_000_000

# Seconds that a user's function may take on a thread that called send() before the log warns of it.
_LONGEST_CALL = 1.0

# Assumed time of a look for a frame (ns) until it is measured, and what to add to a call of rxfn.
_FIRST_LOOK_NS = 100_000
_LOOK_MARGIN_NS = 5_000


class TransportLayer(TransportLayerLogic):
    """The transport layer with a thread of its own after :meth:`start`; until then it is polled.

    :param read_timeout: the most seconds that rxfn is asked to wait, and so how long :meth:`stop` may take. (A stack
        on a python-can bus with a file descriptor, such as SocketCAN's, waits until there is something to do.)

    The other parameters are those of :class:`TransportLayerLogic`. After :meth:`start`, `rxfn` is called by
    the layer's thread; `txfn` and `error_handler` by the thread that brings the event: the layer's thread for
    a received frame, the caller of :meth:`send` for the first frame of a message.

    :raises TypeError: if `read_timeout` is not a number.
    :raises ValueError: if it is negative, infinite or NaN, and as :class:`TransportLayerLogic` does.
    """

    class Events:
        """What the threads tell each other."""

        def __init__(self) -> None:
            self.main_thread_ready = threading.Event()
            self.relay_thread_ready = threading.Event()
            self.stop_requested = threading.Event()

    def __init__(
        self,
        rxfn: RxFn,
        txfn: TxFn,
        address: Address | AsymmetricAddress | None = None,
        error_handler: ErrorHandler | None = None,
        params: Parameters | None = None,
        read_timeout: float = 0.05,
        post_send_callback: PostSendCallback | None = None,
        on_message: OnMessage | None = None,
        receive_into: ReceiveInto | None = None,
        *,
        on_reception: OnReception | None = None,
        on_begin: OnBegin | None = None,
        is_ready: IsReady | None = None,
        tx_confirmation: bool = False,
    ) -> None:
        require_seconds("read_timeout", read_timeout)
        self.started = False
        # Held while the layer starts or stops, but not while stop() waits: a callback may be the one that stops.
        self._life = threading.RLock()
        self.main_thread: threading.Thread | None = None
        self.default_read_timeout = read_timeout
        self.events = self.Events()
        self._courier = self._new_courier()
        self._readers = self._new_readers()
        self._sleeper = Sleeper()
        self._rxfn_lateness = _LEAST_LATENESS
        self._look_ns = _FIRST_LOOK_NS
        # The call in which another thread was seen, and since when
        self._seen_busy: tuple[object, float] | None = None
        super().__init__(
            rxfn,
            txfn,
            address,
            error_handler,
            params,
            post_send_callback,
            on_message,
            receive_into,
            on_reception=on_reception,
            on_begin=on_begin,
            is_ready=is_ready,
            tx_confirmation=tx_confirmation,
        )

    @property
    def relay_thread(self) -> threading.Thread | None:
        """The thread that calls rxfn; there is only one thread, so it is `main_thread`."""
        return self.main_thread

    @property
    def rx_relay_queue(self) -> MessageQueue[CanMessage]:
        """Frames that were read and not handled yet."""
        return self._inbox

    @property
    def user_rxfn(self) -> RxFn:
        """The rxfn that the layer was given."""
        return self.rxfn

    def start(self) -> Self:
        """Let the layer work on its own.

        :returns: the layer, for `with layer.start():`, which stops it at its end.
        :raises RuntimeError: if it was started already.
        """
        with self._life:
            if self.started:
                raise RuntimeError("the transport layer was started already")
            self.logger.debug("Starting %s", type(self).__name__)
            self.started = True
            # New ones each time: a thread of an earlier start may still be ending.
            self.events = self.Events()
            _started.add(self)
            self._set_courier(self._first_courier())
            try:
                self._drive_from_now_on()
                self._start_reading()
            except BaseException:
                self._let_go()
                raise
        self._drive()
        return self

    def stop(self) -> None:
        """Stop working and forget everything: messages being sent or received, and those in the queues.

        Does nothing if the layer was not started. May be called from any thread, and by callbacks of the layer.
        """
        with self._life:
            if not self.started:
                return
            self.logger.debug("Stopping %s", type(self).__name__)
            try:
                wait = self._let_go()
            except BaseException:
                self._let_go()  # what KeyboardInterrupt has cut short; a second time does no harm
                raise
        if wait is not None:
            wait()
        with self._life:
            # The thread may have done more meanwhile: reset that too, unless another one started the layer.
            if not self.started:
                self._reset()
        self.logger.debug("%s stopped", type(self).__name__)

    def __exit__(self, *exc: object) -> None:
        """Stop it, and give up what is sent and received, and what waits."""
        self.stop()
        super().__exit__(*exc)

    def _let_go(self) -> Callable[[], object] | None:
        """Begin to stop; what this returns waits for the end. Whatever is raised on the way, the layer is stopped."""
        self.started = False
        self.events.stop_requested.set()
        self._set_driven(False, None, None)
        try:
            self._reset()  # a thread amid a long message has nothing more to send
        finally:
            try:
                wait = self._stop_reading()
            finally:
                self._set_courier(None)
                if self._courier is not None:
                    self._courier.clear()
                _started.discard(self)
        return wait

    def _wait_clock(self) -> float:
        return time.monotonic() if self.started else super()._wait_clock()

    def _wait_sent(self, sent: SendRequest, seconds: float | None) -> bool:
        if not self.started:
            return super()._wait_sent(sent, seconds)
        return sent.complete_event.is_set() or self._wait_done(sent, seconds)

    def _next_reception(self, seconds: float | None) -> Reception | None:
        if not self.started:
            return super()._next_reception(seconds)
        return self.recvmsg(block=True, timeout=seconds, until_begin=True)

    def _new_courier(self) -> Courier | None:
        """What calls on_message and error_handler of the started layer; None: the thread that brings the event."""
        return None

    def _first_courier(self) -> Courier | None:
        """The one that the layer begins with."""
        return self._courier

    # rxfn may be a different one at the next start, so a thread that does not return from the old one is no
    # obstacle.
    _leaves_readers_behind = True

    def _new_readers(self) -> Readers:
        readers = Readers("isotp reader", self._leaves_readers_behind)
        self._set_readers(readers.alive)
        return readers

    def _end_in_child(self) -> None:
        """After a fork, in the child: the threads are gone, and so are their work and the owners of locks."""
        self.started = False
        self.main_thread = None
        self._life = threading.RLock()
        self._requesting = threading.Lock()
        self.events = self.Events()
        self._set_courier(None)
        self._courier = self._new_courier()
        self._readers = self._new_readers()
        self._forget_threads()

    def _drive_from_now_on(self) -> None:
        self._set_driven(True, self._wake_at, self._guard_deadline)

    def _start_reading(self) -> None:
        events = self.events
        patience = longest_end(self.default_read_timeout)
        thread = self._readers.make(
            lambda: self._read_frames(events.stop_requested, patience),
            patience,
            begin=lambda: self._begin_to_read(events),
        )
        # Before it runs: rxfn may stop the layer at once, or start it anew.
        self.main_thread = thread
        try:
            self._readers.start(thread)
        except BaseException:
            self.main_thread = None
            raise
        if not events.main_thread_ready.wait(_PATIENCE):
            raise RuntimeError("the thread of the transport layer did not start in time")

    def _stop_reading(self) -> Callable[[], object] | None:
        """Let the thread end; what this returns waits until it has."""
        thread, self.main_thread = self.main_thread, None
        # A callback may stop its own layer: the thread then ends by itself.
        if thread is None or self._readers.include_this_one():
            return None
        return lambda: self._wait_for_end(thread)

    def _wait_for_end(self, thread: threading.Thread) -> None:
        if not self._readers.wait_for(thread, longest_end(self.default_read_timeout)):
            self.logger.error("rxfn does not return: the thread of the transport layer is left behind")

    def _wake_at(self, deadline_ns: int) -> None:
        self._set_wake(deadline_ns)
        self._call_later(deadline_ns, lambda layer: layer._wake(deadline_ns), self._busy_ns_now())

    def _busy_ns_now(self) -> int:
        """How much of the wait for the next deadline may be busy (ns): only frames are that urgent."""
        return int(self.params.busy_wait * 1e9) if self.is_tx_transmitting_cf() else 0

    def _call_later(self, when_ns: int, method: Callable[[TransportLayer], object], busy_ns: int = 0) -> None:
        # By a weak reference: a deadline must not keep a dropped layer alive.
        reference = weakref.ref(self)

        def call() -> None:
            layer = reference()
            if layer is not None:
                method(layer)

        if isinstance(self.clock, KeptClock):
            self.clock.call_at(when_ns, call)
        else:
            timekeeper.call_at(when_ns, call, busy_ns)

    def _begin_to_read(self, events: Events) -> None:
        """The thread has begun. An earlier one may still be ending, and may be the one that starts this one."""
        self._set_reader()
        sharpen_timers()
        events.main_thread_ready.set()
        events.relay_thread_ready.set()

    def _read_frames(self, stop_requested: threading.Event, patience: float) -> None:
        """The thread: waits in rxfn, or for STmin, up to the next deadline."""
        self._let_poll_end(patience if self._leaves_readers_behind else None)

        def report(error: BaseException) -> None:
            if not stop_requested.is_set():
                self._report_callback_error(error)

        read_until(stop_requested, partial(self._read_once, stop_requested), report)

    def _read_once(self, stop_requested: threading.Event) -> None:
        longest = self._longest_read()
        delay_ns = self._frame_delay_ns()
        if delay_ns is not None:
            if not self.blocking_rxfn:
                if not self.is_rx_active():
                    # An rxfn without a parameter might wait, and hold up the message.
                    self._wait_for_frame_time(delay_ns)
                    self._drive()
                    return
            elif delay_ns <= self._rxfn_lateness * 1e9:
                self._read_before_frame(delay_ns, stop_requested)
                return
            else:
                longest = min(longest, delay_ns / 1e9 - self._rxfn_lateness)
        read = self._read_on(longest)
        if read is not None:
            self._look_at_rxfn(*read, stop_requested)

    def _longest_read(self) -> float:
        """Seconds that rxfn may wait at the most: nothing else ends its wait."""
        return self.default_read_timeout

    def _look_at_rxfn(self, timeout: float, remaining: float, stop_requested: threading.Event) -> None:
        """Learn from an rxfn that found nothing, or was late: does it wait, and how well?

        :param timeout: seconds that it was asked to wait.
        :param remaining: what was left of them when it returned; less than 0: it was late.
        """
        self._look_at_callers()
        if remaining > timeout / 2:
            # rxfn does not wait: wait in its place, in short pieces, because frames cannot wake this thread
            stop_requested.wait(min(self.sleep_time(), remaining))
        elif remaining <= 0:
            # The longest recent one, which fades.
            lateness = max(-remaining, self._rxfn_lateness * 0.95)
            self._rxfn_lateness = min(max(lateness, _LEAST_LATENESS), _MOST_LATENESS)

    def _look_at_callers(self) -> None:
        """Warn of a thread that does not return from txfn: it may wait for a lock that it holds itself."""
        busy_with = self._busy_with
        if busy_with is None:
            self._seen_busy = None
            return
        now = time.monotonic()
        if self._seen_busy is None or self._seen_busy[0] != busy_with:
            self._seen_busy = busy_with, now
        elif now - self._seen_busy[1] > _LONGEST_CALL:
            self._seen_busy = busy_with, math.inf
            name = next(
                (each.name for each in threading.enumerate() if each.ident == busy_with[0]), "unknown"
            )
            self.logger.warning(
                "txfn, or another function of yours, has not returned for %g s on thread %s. If that thread called"
                " send() and holds a lock that txfn waits for, both wait for ever: docs/threads.md, Locks around send",
                _LONGEST_CALL,
                name,
            )

    def _read_before_frame(self, delay_ns: int, stop_requested: threading.Event) -> None:
        """Look for a frame a last time, then send the next consecutive frame in time.

        The look comes late, after the sleep: what it finds acts before the frame, and it warms the caches for the
        code that sends the frame.
        """
        busy_ns = self._busy_ns_now()
        dozes = busy_ns > 0 and self.params.wait_func is time.sleep
        if dozes:
            self._sleeper.doze(min(delay_ns, _PRECISE_PIECE_NS) - self._look_ns, busy_ns)
        clock = monotonic_ns if self.clock is None else self.clock
        began = clock()
        message = self._rxfn(0.0)
        if stop_requested.is_set():
            self._pass_on(message)
            return
        if message is not None:
            self._feed(message)
            return
        remaining_ns = self._frame_delay_ns()
        # The longest recent one, which fades.
        took_ns = clock() - began + _LOOK_MARGIN_NS
        self._look_ns = min(max(took_ns, self._look_ns * 15 // 16), _PRECISE_PIECE_NS)
        if dozes and delay_ns > _PRECISE_PIECE_NS:
            return
        if remaining_ns and dozes and remaining_ns <= busy_ns:
            self._sleeper.spin(remaining_ns)
        else:
            self._wait_for_frame_time(remaining_ns)
        self._drive_unread()

    def _wait_for_frame_time(self, delay_ns: int | None) -> None:
        """Wait for the time of the next consecutive frame, or for a part of it."""
        if not delay_ns:
            return
        if self.params.wait_func is not time.sleep:
            self.params.wait_func(delay_ns / 1e9)
            return
        self._sleeper.wait(min(delay_ns, _PRECISE_PIECE_NS), self._busy_ns_now())

    def _guard_deadline(self, deadline_ns: int) -> None:
        """Have the timekeeper look whether a deadline was missed: rxfn may wait longer than it was asked to."""
        # If it was late once, it always looks: then only the timekeeper can be in time.
        overstays = self._rxfn_lateness >= _MOST_LATENESS
        patience_ns = 0 if overstays else int(_MOST_LATENESS * 1e9)
        when_ns = max(deadline_ns, monotonic_ns()) + patience_ns
        self._call_later(
            when_ns, lambda layer: layer._look_after(deadline_ns), self._busy_ns_now() if overstays else 0
        )


def longest_end(read_timeout: float) -> float:
    """Seconds that a thread may take to end if it reads for up to `read_timeout` seconds at a time."""
    return max(read_timeout + 0.5, 1.0)


# Layers that were started.
_started: weakref.WeakSet[TransportLayer] = weakref.WeakSet()


def _end_all_in_child() -> None:
    for layer in list(_started):
        layer._end_in_child()
    _started.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_end_all_in_child)
