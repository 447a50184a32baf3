"""The layers for asyncio: any number of sessions in one event loop, on python-can or a raw CAN socket of Linux.

All of the protocol runs on the loop's thread, so nothing here needs a lock; the loop's timers keep the deadlines.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast

from isotp import hub as _hub
from isotp._core import Reception, monotonic_ns
from isotp.address import Address, AsymmetricAddress
from isotp.bus.feed import Feed, HasFeed
from isotp.bus.loop_feeds import LoopBusFeed, LoopFeed, LoopNotifierFeed, LoopSocketFeed
from isotp.errors import IsoTpError, LayerClosedError
from isotp.layers import TransportLayerLogic, require_seconds
from isotp.params import Parameters, Params
from isotp.stats import Stats

if TYPE_CHECKING:
    from types import TracebackType

    import can
    from typing_extensions import Buffer, Self, Unpack

    from isotp._core import ReceivedBytes
    from isotp.layers import SessionKeywords

__all__ = ["Hub", "Layer"]

# Messages in a row that may go at once before the loop gets its turn.
_SENDS_AT_ONCE = 16


def _finish(future: asyncio.Future[None]) -> None:
    """Let the task that waits for it, if any, go on."""
    if future.done():
        return
    try:
        future.set_result(None)
    except RuntimeError:
        # A loop that was closed runs no task any more.
        if not future.get_loop().is_closed():
            raise


class _Session(_hub.HubSession):
    """A session whose deadlines are a timer of the loop."""

    hub: _LoopHub
    _loop: asyncio.AbstractEventLoop
    _alarm: asyncio.TimerHandle | None = None

    def _new_courier(self) -> None:
        """Callbacks run on the loop's thread."""

    def _drive_from_now_on(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._shares_thread = True
        self.hub._enlist(self)
        self._set_driven(True, self._wake_at)

    def _wake_at(self, deadline_ns: int) -> None:
        # Called for an earlier deadline only: one that moves on is found when the timer fires.
        self._set_wake(deadline_ns)
        self._cancel_alarm()
        delay = max(0, deadline_ns - monotonic_ns()) / 1e9
        self._alarm = self._loop.call_later(delay, self._on_deadline, deadline_ns)

    def _on_deadline(self, deadline_ns: int) -> None:
        self._alarm = None
        # Frames that came while the loop was busy came in time.
        self.hub.feed.deliver()
        self._wake(deadline_ns)

    def _cancel_alarm(self) -> None:
        alarm, self._alarm = self._alarm, None
        if alarm is not None:
            alarm.cancel()

    def _stop_reading(self) -> Callable[[], object] | None:
        self._cancel_alarm()
        return super()._stop_reading()


class _Patience:
    """How long one receiver waits: until a message has begun, then until that is there or has broken off."""

    def __init__(self, session: _Session, receiver: asyncio.Future[None], seconds: float) -> None:
        self._session = session
        self._receiver = receiver
        self._seconds = seconds
        self._breaks = session._breaks
        self._is_over = False
        self._loop = receiver.get_loop()
        self.timer = self._loop.call_later(seconds, self._end)

    def _end(self) -> None:
        self._is_over = True
        # Frames that came while the loop was busy came in time.
        self._session.hub.feed.deliver()
        self._look()

    def look_soon(self) -> None:
        self._loop.call_soon(self._look)

    def _look(self) -> None:
        if self._receiver.done():
            return
        if self._session._breaks != self._breaks:
            self._receiver.set_exception(self._session._broken_off())
        elif self._is_over and not self._session._has_begun:
            self._receiver.set_exception(TimeoutError(f"no message has begun within {self._seconds} s"))


class _LoopHub(_hub.Hub):
    """The hub behind a :class:`Hub`: brings each frame to its sessions, on the loop."""

    def _open_feed(self, bus: can.BusABC | str | HasFeed, notifier: can.Notifier | None) -> Feed:
        if isinstance(bus, str):
            return LoopSocketFeed(bus)
        if isinstance(bus, HasFeed):
            return bus.open_feed(in_loop=True)
        return LoopBusFeed(bus) if notifier is None else LoopNotifierFeed(bus, notifier)

    @property
    def feed(self) -> LoopFeed:
        return cast(LoopFeed, self._feed)

    def session(
        self,
        address: Address | AsymmetricAddress,
        also: Iterable[Address] = (),
        **kwargs: Unpack[SessionKeywords],
    ) -> _Session:
        session = _Session(self, address, also, **kwargs)
        self._require_alone(session)
        self._feed.connect(session)
        return session


class Layer:
    """One session of ISO-TP for asyncio.

    ``async with isotp.aio.Layer("can0", address) as layer: ...``

    :param bus: name of a CAN interface of Linux (`can0`), read by a raw socket; or a python-can bus; or a :class:`Hub`.
    :param address: :class:`isotp.Address` or :class:`isotp.AsymmetricAddress`.
    :param notifier: `can.Notifier` that reads the bus. Without one, the layer reads the bus itself, alone.
    :param also: further addresses to receive on; answers go by the layer's own.
    :param kwargs: `params`, `error_handler`, `on_message`, `on_begin`, `is_ready` and others, as of
        :class:`isotp.TransportLayer`. They are called on the loop's thread, and must not wait. The parameter
        `blocking_send` has no meaning here.

    A layer belongs to the loop that runs when it is started. Use it only from that loop's thread, in any number of
    tasks. It works from :meth:`start`, or the beginning of ``async with``, until it is closed, which is final.

    :raises ValueError: if `bus` is not a bus, or `notifier` not a notifier, and as :class:`isotp.TransportLayer`
        does.
    :raises RuntimeError: if python-can is needed and not installed.
    :raises OSError: if there is no such interface, or no CAN in this kernel.
    :raises NotImplementedError: for the name of an interface, on other systems than Linux.
    """

    def __init__(
        self,
        bus: can.BusABC | str | HasFeed | Hub,
        address: Address | AsymmetricAddress,
        *,
        notifier: can.Notifier | None = None,
        also: Iterable[Address] = (),
        **kwargs: Unpack[SessionKeywords],
    ) -> None:
        if isinstance(bus, Hub):
            if notifier is not None:
                raise ValueError(f"a notifier goes with a python-can bus, not with a hub: {bus!r}")
            self._hub, self._own_hub = bus, None
        else:
            self._hub = self._own_hub = Hub(bus, notifier)
        try:
            self._session = self._hub._hub.session(address, also, **kwargs)
        except BaseException:
            if self._own_hub is not None:
                self._own_hub._close_now()
            raise
        self._session.rx_queue.on_arrival = self._wake_receivers
        self._receivers: deque[asyncio.Future[None]] = deque()
        self._patience: set[_Patience] = set()
        self._requesting = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "not started" if self._loop is None else "started"
        return f"<Layer {self.address.get_content_str()} on {self._hub.bus!r}, {state}>"

    # ------------------------------------------------ beginning and end

    def start(self) -> None:
        """Begin to work, on the running loop.

        :raises RuntimeError: if it was started already, or no loop runs.
        :raises isotp.LayerClosedError: if it was closed.
        :raises OSError: if the bus cannot be read.
        """
        if self._closed:
            raise self._closed_error()
        if self._loop is not None:
            raise RuntimeError(f"the layer was started already: {self!r}")
        self._loop = asyncio.get_running_loop()
        try:
            self._session.start()
        except BaseException:
            self._loop = None
            raise
        self._hub._layers.add(self)

    async def close(self) -> None:
        """Stop, give up all messages, and leave the bus. Tasks that wait get :class:`isotp.LayerClosedError`.

        A python-can bus stays open. Closing again does nothing.
        """
        try:
            self._close_now()
        finally:
            if self._own_hub is not None:
                await self._own_hub.close()

    def _close_now(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._session.stop()
        finally:
            self._hub._layers.discard(self)
            for receiver in self._receivers:
                _finish(receiver)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _closed_error(self) -> LayerClosedError:
        return LayerClosedError(f"the layer was closed: {self.address.get_content_str()}")

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._closed:
            raise self._closed_error()
        if self._loop is not loop:
            raise RuntimeError(
                f"the layer was not started: {self!r}"
                if self._loop is None
                else f"the layer belongs to another loop: {self!r}"
            )
        return loop

    # ------------------------------------------------ messages

    async def send(
        self,
        data: TransportLayerLogic.SendGenerator | Iterable[int],
        target_address_type: int | None = None,
        *,
        params: Parameters | None = None,
        priority: bool = False,
    ) -> None:
        """Send a message; returns when its last frame is on the bus.

        Messages of several tasks go one after the other. If the task is cancelled, for example by a time-out, only
        its own message is given up, whether it waits or is half sent.

        :param data: bytes, or `(generator, size)`, see :meth:`isotp.TransportLayerLogic.send`.
        :param target_address_type: Physical, Functional, or None for the parameter `default_target_address_type`.
        :param params: parameters for this message alone. With `priority` it goes before those that wait. See
            :meth:`isotp.TransportLayerLogic.send` for both.
        :raises ValueError: if the payload is not a sequence of bytes, or too long for functional addressing, or a
            parameter cannot be set for one message.
        :raises RuntimeError: in listen mode; if too many messages wait (parameter `tx_queue_limit`); or if the layer
            was not started, or belongs to another loop.
        :raises isotp.BlockingSendFailure: if it failed; what happened on the bus is its `__cause__`.
        :raises isotp.LayerClosedError: if the layer is closed.
        """
        ended: asyncio.Future[None] = self._running_loop().create_future()

        request = self._session._submit(
            data, target_address_type, lambda _: _finish(ended), params=params, priority=priority
        )
        if ended.done():
            await self._hub._give_others_a_turn()
        else:
            try:
                await ended
            except BaseException:
                self._session._withdraw(request)
                raise
        if self._closed and not request.success:
            raise self._closed_error()
        self._session._require_sent(request)

    async def request(
        self,
        payload: Buffer | Iterable[int],
        target_address_type: int | None = None,
        *,
        timeout: float | None = None,
        p2: float = 1.0,
        p2_star: float = 5.0,
        uds: bool = True,
        params: Parameters | None = None,
    ) -> ReceivedBytes:
        """Send a request of UDS, and wait for the answer to it, as :meth:`isotp.TransportLayerLogic.request` does.

        Requests of several tasks go one after the other. No task may be in :meth:`recv` meanwhile. A task that is
        cancelled gives up its request, if that is not sent.

        :raises TimeoutError: if no answer has begun in time.
        :raises isotp.BlockingSendTimeout: if the request was not sent within `timeout`; it is given up.
        :raises isotp.BlockingSendFailure: if it could not be sent; the reason is its `__cause__`.
        :raises isotp.BlockingReceiveFailure: if a message that had begun broke off; its `__cause__` says why.
        :raises ValueError: if the payload is empty or no request of UDS, or a time is negative, infinite or NaN.
        :raises RuntimeError: if messages go to a callback or by `receive_into`, and as :meth:`send` does.
        :raises isotp.LayerClosedError: if the layer is closed.
        """
        from isotp.exchange import Exchange  # needed by who asks

        data = bytes(payload)
        exchange = Exchange(data, timeout=timeout, p2=p2, p2_star=p2_star, uds=uds)
        self._session._require_free_messages()
        loop = self._running_loop()
        async with self._requesting:
            self._session.clear_rx_queue()
            began_ns = self._session._now_ns()
            exchange.begin(loop.time())
            sending = self.send(data, target_address_type, params=params)
            try:
                await asyncio.wait_for(sending, exchange.left(loop.time()))
            except asyncio.TimeoutError:
                raise exchange.not_sent() from None
            exchange.sent(loop.time())
            while True:
                try:
                    reception = await self.recvmsg(begin_within=exchange.left(loop.time()))
                except TimeoutError:
                    raise exchange.not_answered() from None
                answer: ReceivedBytes = reception.payload
                if reception.began_ns >= began_ns and exchange.is_over(bytes(answer), loop.time()):
                    return answer
                self._session.logger.debug("Dropped while an answer is waited for: %d bytes", len(answer))

    async def recv(self, *, begin_within: float | None = None) -> ReceivedBytes:
        """Wait for a message and take it; tasks that wait are served in turn.

        A cancelled task takes no message away.

        :param begin_within: seconds within which a message must arrive or begin. If its First Frame has come by then,
            the task waits for the rest as long as its frames come in time (N_Cr). None: no limit.
        :raises TimeoutError: if none has begun by then.
        :raises isotp.BlockingReceiveFailure: with `begin_within`, if a message breaks off; its `__cause__` says why.
        :raises ValueError: if `begin_within` is negative, infinite or NaN; TypeError: if it is not a number.
        :raises RuntimeError: if the layer was not started, or belongs to another loop.
        :raises isotp.LayerClosedError: if the layer is closed.
        """
        payload: ReceivedBytes = await self._take(begin_within, False)
        return payload

    async def recvmsg(self, *, begin_within: float | None = None) -> Reception:
        """Like :meth:`recv`, with the times of the message and the address that it came in on."""
        reception: Reception = await self._take(begin_within, True)
        return reception

    async def _take(self, begin_within: float | None, whole: bool) -> Any:
        loop = self._running_loop()
        if begin_within is not None:
            require_seconds("begin_within", begin_within)
        messages = self._session.rx_queue
        if not self._receivers and messages:
            return self._take_now(whole)
        receiver: asyncio.Future[None] = loop.create_future()
        self._receivers.append(receiver)
        # Not at once: earlier tasks that were woken and did not run yet take their messages first.
        if len(messages) >= len(self._receivers):
            loop.call_soon(self._wake_receivers)
        patience = None if begin_within is None else _Patience(self._session, receiver, begin_within)
        if patience is not None:
            self._patience.add(patience)
        try:
            await receiver
            if self._closed:
                raise self._closed_error()
            return self._take_now(whole)
        finally:
            if patience is not None:
                patience.timer.cancel()
                self._patience.discard(patience)
            self._receivers.remove(receiver)
            self._wake_receivers()

    def _take_now(self, whole: bool) -> Any:
        message = self._session.rx_queue._get(False, None, whole)
        self._session._room_was_made()
        return message

    def _wake_receivers(self) -> None:
        """Wake as many as there are messages, the first of them first: each takes its own when its task runs."""
        if self._receivers:
            for receiver in itertools.islice(self._receivers, len(self._session.rx_queue)):
                _finish(receiver)
        # Later: only when all that a frame led to is done is it known what has ended.
        for patience in self._patience:
            patience.look_soon()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ReceivedBytes:
        """The next message; the loop ends when the layer is closed."""
        try:
            return await self.recv()
        except LayerClosedError:
            raise StopAsyncIteration from None

    def available(self) -> bool:
        """True if there is a message that nobody waits for."""
        return len(self._session.rx_queue) > len(self._receivers)

    def transmitting(self) -> bool:
        """True while a message is being sent or waits for that."""
        return self._session.transmitting()

    def stop_sending(self) -> None:
        """Give up the message that is being sent; its sender gets :class:`isotp.BlockingSendFailure`."""
        self._session.stop_sending()

    # ------------------------------------------------ settings

    @property
    def address(self) -> Address | AsymmetricAddress:
        """N_AI of the layer."""
        return self._session.address

    def set_address(self, address: Address | AsymmetricAddress) -> None:
        """Use this address from the next message on; frames are heard on it at once.

        :raises ValueError: if it is not an address, or an address for one direction only.
        """
        self._session.set_address(address)

    @property
    def params(self) -> Params:
        """Parameters of the layer; changes take effect with the next frame, `tx_data_length` with the next message."""
        return self._session.params

    @property
    def last_error(self) -> IsoTpError | None:
        """The last error that was reported."""
        return self._session.last_error

    @property
    def stats(self) -> Stats:
        """What the layer counted so far: frames, messages, errors."""
        return self._session._stats(False)

    def reset_stats(self) -> Stats:
        """Start the counts anew; returns those until now."""
        return self._session._stats(True)


class Hub:
    """Any number of layers on one bus, in one event loop.

    :param bus: name of a CAN interface of Linux (`can0`), read by a raw socket; or a python-can bus.
    :param notifier: `can.Notifier` that reads the bus. Without one, the hub reads the bus itself, alone.

    Each frame goes to its layers by its identifier, so the cost of a frame does not grow with their number. Reading
    begins with the first layer that is started.

    :raises ValueError: if `bus` is not a bus, or `notifier` not a notifier.
    :raises RuntimeError: if python-can is needed and not installed.
    :raises OSError: if there is no such interface, or no CAN in this kernel.
    :raises NotImplementedError: for the name of an interface, on other systems than Linux.
    """

    def __init__(self, bus: can.BusABC | str | HasFeed, notifier: can.Notifier | None = None) -> None:
        self._hub = _LoopHub(bus, notifier)
        self._layers: set[Layer] = set()
        self._sent_at_once = 0

    @property
    def bus(self) -> can.BusABC | str | HasFeed:
        """The bus, or the name of the interface."""
        return self._hub.bus

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that are started."""
        return tuple(self._layers)

    @property
    def stats(self) -> Stats:
        """The counts of the started layers, added up."""
        return self._hub.stats

    def reset_stats(self) -> Stats:
        """Start the counts of the started layers anew; returns their sum until now."""
        return self._hub.reset_stats()

    def layer(
        self,
        address: Address | AsymmetricAddress,
        *,
        also: Iterable[Address] = (),
        **kwargs: Unpack[SessionKeywords],
    ) -> Layer:
        """A new layer, not started yet; see :class:`Layer` for the parameters.

        :raises ValueError: as :class:`isotp.TransportLayer` does; and if a layer with this address is started: two
            would answer each First Frame. One in listen mode answers none, and may be one of many.
        """
        return Layer(self, address, also=also, **kwargs)

    async def close(self) -> None:
        """Close all layers and leave the bus; a python-can bus stays open."""
        self._close_now()
        await self._hub.feed.wait_closed()

    def _close_now(self) -> None:
        with ExitStack() as steps:  # the last one first; all of them, whatever one raises
            steps.callback(self._hub.close)
            for layer in self.layers:
                steps.callback(layer._close_now)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Hub with {len(self._layers)} layers on {self.bus!r}>"

    async def _give_others_a_turn(self) -> None:
        # A task that only sends short messages never has to wait, so the loop would hear no frame.
        self._sent_at_once += 1
        if self._sent_at_once >= _SENDS_AT_ONCE:
            self._sent_at_once = 0
            await asyncio.sleep(0)
