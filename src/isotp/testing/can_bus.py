"""The wire as a bus of python-can: `can.Bus(interface="isotp_wire", channel="rig")`."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Sequence
from typing import Any

import can

from isotp._core import FramePort, TryAgain, monotonic_ns
from isotp.testing._wire import End
from isotp.testing.wire import Wire

__all__ = ["WireBus"]

_EXTENDED, _REMOTE, _ERROR = 0x8000_0000, 0x4000_0000, 0x2000_0000
_BITRATE_SWITCH, _ERROR_STATE, _IS_FD = 1, 2, 4

# The wires that have a name, and how many buses are on each.
_wires: dict[Hashable, tuple[Wire, int]] = {}
_changing = threading.Lock()


def _join(channel: Hashable) -> Wire:
    with _changing:
        wire, users = _wires.get(channel) or (Wire(), 0)
        _wires[channel] = wire, users + 1
        return wire


def _leave(channel: Hashable) -> None:
    with _changing:
        wire, users = _wires.pop(channel)
        if users > 1:
            _wires[channel] = wire, users - 1


class WireBus(can.BusABC):
    """A python-can bus on a :class:`isotp.testing.Wire`, which is its attribute `wire`.

    :param channel: a name: all buses of this process with the same one are on one wire; or a :class:`Wire`.
    :param receive_own_messages: hear the own frames too, as those that were sent.
    :param can_filters: as any bus of python-can has them; the wire filters.

    :raises can.CanOperationError: of each call, once it was shut down.
    """

    def __init__(
        self,
        channel: Any = "isotp",
        can_filters: can.typechecking.CanFilters | None = None,
        receive_own_messages: bool = False,
        **kwargs: Any,
    ) -> None:
        self.channel = channel
        self.wire = channel if isinstance(channel, Wire) else _join(channel)
        self.channel_info = f"isotp wire {channel!r}"
        self.receive_own_messages = receive_own_messages
        self._can_protocol = kwargs.pop("protocol", can.CanProtocol.CAN_FD)
        self._end = self.wire.end(
            f"bus {id(self):x}" if kwargs.get("name") is None else str(kwargs.pop("name"))
        )
        self._end.hears_own = receive_own_messages
        self._native = _Native(self, self._end)
        super().__init__(channel, can_filters, **kwargs)

    def isotp_native(self) -> _Native:
        """The way to its frames that a layer takes: no message of python-can is made for them."""
        return self._native

    def _apply_filters(self, filters: can.typechecking.CanFilters | None) -> None:
        self._end.takes = None if filters is None else _Filters(filters).take

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        self._require_open()
        found = self._end.take_one(timeout)
        return (None if found is None else self._native.message_of(found)), True

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        """Send a frame; it never waits.

        :raises can.CanOperationError: if too many frames are on the wire.
        """
        self._require_open()
        can_id = msg.arbitration_id | (_EXTENDED if msg.is_extended_id else 0)
        data = bytes(msg.data or b"")
        if msg.is_remote_frame:
            can_id, data = can_id | _REMOTE, bytes(msg.dlc)
        if msg.is_error_frame:
            can_id |= _ERROR
        flags = (
            (_IS_FD if msg.is_fd else 0)
            | (_BITRATE_SWITCH if msg.bitrate_switch else 0)
            | (_ERROR_STATE if msg.error_state_indicator else 0)
        )
        try:
            self._end.send_raw(can_id, data, flags)
        except TryAgain as error:
            raise can.CanOperationError(f"the transmit queue is full: {error}") from error

    def shutdown(self) -> None:
        """Leave the wire."""
        super().shutdown()
        if not self._end.closed:
            self._end.close()
            if not isinstance(self.channel, Wire):
                _leave(self.channel)

    def _require_open(self) -> None:
        if self._end.closed:
            raise can.CanOperationError("Cannot operate on a closed bus")

    @staticmethod
    def _detect_available_configs() -> Sequence[can.typechecking.AutoDetectedConfig]:
        """The channels that there are, and a new one."""
        with _changing:
            names: list[Any] = list(_wires)
        fresh = next(name for k in range(len(names) + 1) if (name := f"isotp-{k}") not in names)
        return [{"interface": "isotp_wire", "channel": name} for name in (*names, fresh)]


class _Filters:
    """The filters of a bus, for identifiers as the wire has them."""

    def __init__(self, filters: can.typechecking.CanFilters) -> None:
        self._filters = [(each["can_id"], each["can_mask"], each.get("extended")) for each in filters]

    def take(self, can_id: int) -> bool:
        """Whether frames with this identifier are taken."""
        is_extended = bool(can_id & _EXTENDED)
        number = can_id & 0x1FFF_FFFF
        return any(
            extended in (None, is_extended) and (wanted ^ number) & mask == 0
            for wanted, mask, extended in self._filters
        )


class _Native:
    """The frames of a bus on a wire, for layers: as `isotp.bus.native.NativeBus` has those of a socket."""

    def __init__(self, bus: WireBus, end: End) -> None:
        self.can = end
        self._channel = bus.channel
        self._is_held = bus.wire.clock is not None

    def port(self) -> FramePort:
        """What sends the frames of one layer."""
        return self.can.port()

    def take_messages(self) -> list[can.Message]:
        """The frames that `can.wait()` found."""
        return [self.message_of(found) for found in self.can.take()]

    def message_of(self, found: tuple[int, int, bytes, int, bool]) -> can.Message:
        """A frame as python-can has it, with a time stamp of the wall clock, unless the time of the wire is held."""
        when, can_id, data, flags, is_rx = found
        if not self._is_held:
            when += time.time_ns() - monotonic_ns()
        return can.Message(
            timestamp=when / 1e9,
            arbitration_id=can_id & 0x1FFF_FFFF,
            is_extended_id=bool(can_id & _EXTENDED),
            is_remote_frame=bool(can_id & _REMOTE),
            is_error_frame=bool(can_id & _ERROR),
            channel=self._channel,
            dlc=len(data),
            data=None if can_id & _REMOTE else data,
            is_fd=bool(flags & _IS_FD),
            is_rx=is_rx,
            bitrate_switch=bool(flags & _BITRATE_SWITCH),
            error_state_indicator=bool(flags & _ERROR_STATE),
        )
