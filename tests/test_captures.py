"""Real traffic of the Linux kernel's ISO-TP, read back by listen-mode layers: every message, byte for byte."""

from __future__ import annotations

from collections import deque
from functools import cache
from typing import Any

import pytest

import isotp
from tests.recorded_traffic import (
    CAPTURES,
    NAMES,
    Message,
    address_of,
    by_session,
    decoded,
    expected_messages,
    truth,
)

can = pytest.importorskip("can", reason="the logs are read with python-can")


@cache
def frames(name: str) -> tuple[isotp.CanMessage, ...]:
    with can.io.CanutilsLogReader(CAPTURES / f"{name}.log") as log:
        return tuple(
            isotp.CanMessage(
                arbitration_id=message.arbitration_id,
                data=bytes(message.data),
                extended_id=message.is_extended_id,
                is_fd=message.is_fd,
                bitrate_switch=message.bitrate_switch,
            )
            for message in log
        )


class Listener:
    """A listen-mode layer on one direction of one pair; `pending` holds the frames that its rxfn gives."""

    def __init__(self, layer_class: type, pair_number: int, pair: dict[str, Any], forward: bool) -> None:
        self.pair_number = pair_number
        self.forward = forward
        self.pending: deque[isotp.CanMessage] = deque()
        self.errors: list[Exception] = []
        self.sent: list[isotp.CanMessage] = []
        # The second generation hands rxfn a time-out, the first one nothing.
        with_timeout = layer_class is isotp.TransportLayerLogic
        self.layer = layer_class(
            rxfn=self.receive_within if with_timeout else self.receive,
            txfn=self.sent.append,
            address=address_of(pair, forward),
            error_handler=self.errors.append,
            # N_Cr is no matter here: the frames come as fast as the machine reads them, or as slow.
            params={"listen_mode": True, "rx_consecutive_frame_timeout": 600_000},
        )

    def receive(self) -> isotp.CanMessage | None:
        return self.pending.popleft() if self.pending else None

    def receive_within(self, timeout: float) -> isotp.CanMessage | None:
        return self.receive()

    def messages(self) -> list[Message]:
        """Take the messages that are complete by now."""
        found = []
        while self.layer.available():
            found.append(Message(self.pair_number, self.forward, bytes(self.layer.recv())))
        return found


def listeners_for(layer_class: type, name: str) -> list[Listener]:
    return [
        Listener(layer_class, number, pair, forward)
        for number, pair in enumerate(truth(name)["pairs"])
        for forward in (True, False)
    ]


def assert_silent_and_content(listeners: list[Listener]) -> None:
    for listener in listeners:
        assert listener.errors == []
        assert listener.sent == []
        assert not listener.layer.is_rx_active()


layer_classes = pytest.mark.parametrize(
    "layer_class", [isotp.TransportLayer, isotp.TransportLayerLogic], ids=lambda layer: layer.__name__
)


@pytest.mark.parametrize("name", NAMES)
@layer_classes
def test_frame_by_frame(layer_class: type, name: str) -> None:
    listeners = listeners_for(layer_class, name)
    received: list[Message] = []
    for frame in frames(name):
        for listener in listeners:
            listener.pending.append(frame)
            listener.layer.process()
            received += listener.messages()

    assert len(received) == 96
    assert by_session(received) == by_session(expected_messages(name))
    assert_silent_and_content(listeners)


@pytest.mark.parametrize("name", NAMES)
@layer_classes
def test_all_at_once(layer_class: type, name: str) -> None:
    listeners = listeners_for(layer_class, name)
    received: list[Message] = []
    for listener in listeners:
        listener.pending.extend(frames(name))
        stats = []
        # One call need not take all frames: a First Frame may end it, so that its Flow Control can go out.
        while listener.pending:
            stats.append(listener.layer.process())
        messages = listener.messages()
        assert sum(each.received for each in stats) == len(frames(name))
        assert sum(each.frame_received for each in stats) == len(messages)
        assert sum(each.sent for each in stats) == 0
        received += messages
    assert len(received) == 96
    assert by_session(received) == by_session(expected_messages(name))
    assert_silent_and_content(listeners)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("piece", [1, 50, 1_000_000])
def test_reassembler(name: str, piece: int) -> None:
    """Both directions of all pairs at once, whatever the pieces of the log; the flow control is seen as well."""
    records = isotp.Records("fd")
    for number, frame in enumerate(frames(name)):
        wide = 0x80000000 if frame.is_extended_id else 0
        records.append(number, frame.arbitration_id | wide, frame.data)
    pairs = truth(name)["pairs"]
    # An address that receives the forward direction.
    reassembler = isotp.Reassembler([address_of(pair, forward=True) for pair in pairs])
    tables = [reassembler.feed(records[k : k + piece]) for k in range(0, len(records), piece)]
    found = isotp.Messages.concat([*tables, reassembler.flush()])

    assert decoded(found) == by_session(expected_messages(name))
    assert all(each["errors"] == {} for each in reassembler.statistics())
    known = [address_of(pair, forward) for pair in pairs for forward in (True, False)]
    heard = sum(any(address.is_for_me(frame) for address in known) for frame in frames(name))
    assert sum(each["frames"] for each in reassembler.statistics()) == heard
    assert all(m.flow_controls > 0 for m in found if m.frames > 1)
