"""One end of a session: whole messages in and out, by a layer of ours on any bus, or by a socket of the kernel."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from isotp.address import AbstractAddress, TargetAddressType
from isotp.cli.complaints import explained
from isotp.cli.options.bus import Place, open_bus
from isotp.cli.options.frames import Link
from isotp.errors import BlockingSendFailure, IsoTpError
from isotp.threads.courier import Courier

if TYPE_CHECKING:
    from isotp.protocol import TransportLayer

__all__ = ["End", "Received", "open_end"]

# So often a wait for messages looks whether it was interrupted: not all systems interrupt it themselves.
PIECE = 0.2
LOGGER = "isotp.cli"


class Received(NamedTuple):
    """A message: when it was complete (ns since 1970), its time since the first frame if that is known, and what."""

    time: int
    duration: int | None
    payload: bytes


class End(Protocol):
    """Sends and receives messages of one session."""

    def send(self, data: Any, target_type: TargetAddressType, timeout: float | None) -> None:
        """Send a message (bytes, or a binary file); returns when its last frame has left.

        :raises IsoTpError: if it did not.
        """

    def recv(self, timeout: float | None) -> Received | None:
        """The next message, None if there is none in time.

        :raises IsoTpError: if one broke off.
        """

    def counters(self) -> dict[str, Any]:
        """What was counted so far, by name."""

    def close(self) -> list[IsoTpError]:
        """Leave the bus; what happened on it that recv() did not come to."""


def open_end(place: Place, link: Link) -> End:
    """An end that receives from now on.

    :raises typer.Exit: if that is not possible, having said why.
    """
    with explained():
        return KernelEnd(place, link) if place.kernel else LayerEnd(place, link)


class Pieces:
    """A segmented message as it comes, and when it began."""

    def __init__(self, length: int) -> None:
        self.began = time.perf_counter_ns()
        self.data = bytearray()

    def __call__(self, piece: bytes) -> None:
        self.data += piece


class Inbox(Courier):
    """What came in waits here for somebody to take it, in place of threads that call; the layer sees how much it is."""

    def __init__(self, report: Callable[[BaseException], object]) -> None:
        super().__init__(report, executor=self)
        self._not_empty = threading.Event()

    def submit(self, work: Callable[[], object]) -> None:
        self._not_empty.set()

    def carry(self, weight: int, function: Callable[..., object], *arguments: Any) -> None:
        if isinstance(arguments[0], Pieces):
            weight += len(arguments[0].data)
        super().carry(weight, function, *arguments)

    def wait(self, timeout: float) -> None:
        if self._not_empty.wait(timeout):
            self._not_empty.clear()


class LayerEnd:
    """A layer of ours, on python-can or on a raw CAN socket. What nobody receives is bounded by rx_queue_limit."""

    def __init__(self, place: Place, link: Link) -> None:
        self._events: deque[Received | IsoTpError] = deque()
        self._told: BaseException | None = None
        with ExitStack() as stack:
            self._layer = layer_on(
                place,
                link,
                stack,
                on_message=self._on_message,
                error_handler=self._events.append,
                receive_into=Pieces,
            )
            self._inbox = Inbox(self._layer._report_callback_error)
            self._layer.start()
            self._layer._set_courier(self._inbox)
            self._cleanup = stack.pop_all()

    def _on_message(self, payload: Any, address: AbstractAddress, timestamp: int) -> None:
        since_epoch = time.time_ns() - (time.perf_counter_ns() - timestamp)
        if isinstance(payload, Pieces):
            duration = max(timestamp - payload.began, 0)
            self._events.append(Received(since_epoch, duration, bytes(payload.data)))
        else:
            self._events.append(Received(since_epoch, None, bytes(payload)))

    def send(self, data: Any, target_type: TargetAddressType, timeout: float | None) -> None:
        try:
            self._layer.send(data, target_type, send_timeout=timeout)
        except BlockingSendFailure as error:
            # The error handler was given it too.
            self._told = error.__cause__
            if isinstance(error.__cause__, IsoTpError):
                raise error.__cause__ from None
            raise

    def recv(self, timeout: float | None) -> Received | None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            while not (self._events or self._inbox.call_next()):
                left = PIECE if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    return None
                self._inbox.wait(min(left, PIECE))
            event = self._events.popleft()
            if isinstance(event, Received):
                return event
            if event is not self._told:
                raise event

    def counters(self) -> dict[str, Any]:
        return self._layer.stats.as_dict()

    def close(self) -> list[IsoTpError]:
        self._cleanup.close()
        while self._inbox.call_next():
            pass
        return [event for event in self._events if isinstance(event, IsoTpError) and event is not self._told]


def layer_on(place: Place, link: Link, stack: ExitStack, **handlers: Callable[..., Any]) -> TransportLayer:
    """A layer on the bus; `stack` closes both."""
    from isotp.protocol import CanStack
    from isotp.socketcan import SocketCanStack

    # The command tells of errors itself.
    logging.getLogger(LOGGER).addHandler(logging.NullHandler())
    options: dict[str, Any] = {
        "address": link.address,
        "params": {**link.params, "blocking_send": True, "logger_name": LOGGER},
        **handlers,
    }
    if place.native:
        return stack.enter_context(SocketCanStack(place.name, **options))
    bus = open_bus(place, fd=place.fd or link.kind.fd)
    stack.callback(bus.shutdown)
    layer = CanStack(bus, **options)
    stack.callback(layer.stop)
    return layer


class KernelEnd:
    """A socket of the Linux kernel."""

    def __init__(self, place: Place, link: Link) -> None:
        from isotp.tpsock import flags, socket

        params = link.params
        gap = params.get("override_receiver_stmin")
        checks = 0 if link.rx_pad is None else flags.CHK_PAD_LEN | flags.CHK_PAD_DATA
        self._socket = socket()
        try:
            self._socket.set_opts(
                optflag=(0 if link.listens else flags.WAIT_TX_DONE)
                | (flags.LISTEN_MODE * link.listens)
                | checks,
                txpad=params["tx_padding"],
                rxpad=link.rx_pad,
                frame_txtime=link.frame_time,
                tx_stmin=None if gap is None else round(gap * 1e9),
            )
            self._socket.set_fc_opts(params.get("blocksize", 0), params.get("stmin", 0), params["wftmax"])
            kinds = socket.LinkLayerProtocol
            self._socket.set_ll_opts(
                kinds.CAN_FD if link.kind.fd else kinds.CAN, link.kind.tx_dl, link.kind.flags
            )
            self._socket.bind(place.name, link.address)
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """To wait for messages of many."""
        return self._socket.fileno()

    def send(self, data: Any, target_type: TargetAddressType, timeout: float | None) -> None:
        self._socket.settimeout(timeout)
        self._socket.send(data.read() if hasattr(data, "read") else data)

    def recv(self, timeout: float | None) -> Received | None:
        from isotp.tpsock.errors import is_plain_timeout

        self._socket.settimeout(timeout)
        try:
            payload = self._socket.recv()
        except BlockingIOError:
            return None
        except TimeoutError as error:
            if is_plain_timeout(error):
                return None
            raise
        return Received(time.time_ns(), None, payload)

    def counters(self) -> dict[str, Any]:
        return {}

    def close(self) -> list[IsoTpError]:
        self._socket.close()
        return []
