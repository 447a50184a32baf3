"""Stories of layers that wait for the echoes of their frames: bus/test_confirmation.py tells them on buses in memory,
kernel/test_confirmation.py on real ones.

Each takes two functions that open one end of the bus each: one that makes layers with an address, and stops them in the
end. A layer made with `tx_confirmation` works on an end that gives echoes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

import isotp
from tests.frames import SLOW
from tests.hub_stories import PATIENCE, at_ecu, at_tester, exchange

# Makes a layer with this address on a new end of the bus.
MakeLayer = Callable[..., Any]
SIZES = (3, 60, 7, 2000)


@contextmanager
def pair(make: MakeLayer, number: int = 0, **options: Any) -> Iterator[tuple[Any, Any]]:
    """A tester that waits for echoes and an ECU that does as well, started."""
    with ExitStack() as cleanup:
        ends = [
            make(address=address, tx_confirmation=True, params=SLOW | {"blocking_send": True}, **options)
            for address in (at_tester(number), at_ecu(number))
        ]
        for end in ends:
            end.start()
            cleanup.callback(end.stop)
        yield ends[0], ends[1]


def messages_both_ways(make: MakeLayer) -> None:
    """A blocking send ends when the message was on the bus, and the request knows when that was."""
    errors: list[Exception] = []
    with pair(make, error_handler=errors.append) as (tester, ecu):
        for size in SIZES:
            payload = bytes(k * size & 255 for k in range(size))
            requests = []
            tester.post_send_callback = requests.append
            tester.send(payload, send_timeout=PATIENCE)
            assert requests[0].success
            assert requests[0].sent_ns is not None
            assert ecu.recv(block=True, timeout=PATIENCE) == payload
            ecu.send(payload[::-1], send_timeout=PATIENCE)
            assert tester.recv(block=True, timeout=PATIENCE) == payload[::-1]
        assert not tester.available()
        assert not ecu.available()
    assert errors == []


def many_at_once(make: MakeLayer) -> None:
    """Some wait for echoes and some do not; all send in both directions at the same time."""
    errors: list[Exception] = []
    with ExitStack() as cleanup:
        sides: list[list[Any]] = [[], []]
        for number in range(6):
            for side, address in zip(sides, (at_tester(number), at_ecu(number)), strict=True):
                layer = make(
                    address=address,
                    params=SLOW,
                    tx_confirmation=number % 3 != 0,
                    error_handler=errors.append,
                )
                layer.start()
                cleanup.callback(layer.stop)
                side.append(layer)
        exchange(*sides, SIZES)
    assert errors == []


def another_address(make: MakeLayer) -> None:
    """The echoes that count are those of the address that the layer has now."""
    with pair(make) as (tester, ecu):
        for number in (1, 2):
            tester.set_address(at_tester(number))
            ecu.set_address(at_ecu(number))
            tester.send(bytes(100), send_timeout=PATIENCE)
            assert ecu.recv(block=True, timeout=PATIENCE) == bytes(100)


def frames_of_somebody_else(make: MakeLayer) -> None:
    """Another layer that sends the same frames by a bus of its own confirms nothing, and disturbs nothing."""
    with pair(make) as (tester, ecu), ExitStack() as cleanup:
        twin = make(address=at_tester(0), params=SLOW | {"blocking_send": True})
        twin.start()
        cleanup.callback(twin.stop)
        for k in range(5):
            twin.send(bytes([k]), send_timeout=PATIENCE)
            tester.send(bytes([k]), send_timeout=PATIENCE)
            assert ecu.recv(block=True, timeout=PATIENCE) == bytes([k])
            assert ecu.recv(block=True, timeout=PATIENCE) == bytes([k])
        assert tester.stats.messages_sent == twin.stats.messages_sent == 5


def polled(make: MakeLayer) -> None:
    """A layer that is never started."""
    with pair(make) as (tester, ecu):
        tester.stop()
        tester.params.blocking_send = False
        request = tester._submit(bytes(300), None, None)
        while tester.transmitting():
            tester.process(0.01)
        assert request.success
        assert request.sent_ns is not None
        assert ecu.recv(block=True, timeout=PATIENCE) == bytes(300)


ALL: dict[str, Callable[[MakeLayer], None]] = {
    story.__name__: story
    for story in (messages_both_ways, many_at_once, another_address, frames_of_somebody_else, polled)
}


def gaps_of(times_ns: list[int]) -> list[int]:
    """From each of them to the next."""
    return [after - before for before, after in itertools.pairwise(times_ns)]


def require_timeout(sending: isotp.TransportLayer, words: str) -> None:
    """A blocking send fails, since a frame was not confirmed in time."""
    with pytest.raises(isotp.BlockingSendFailure) as failed:
        sending.send(b"abc", send_timeout=PATIENCE)
    assert isinstance(failed.value.__cause__, isotp.TransmitTimeoutError)
    assert words in str(failed.value.__cause__)
