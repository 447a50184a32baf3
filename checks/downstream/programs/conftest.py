"""An ECU on python-can's virtual bus, by whichever `isotp` is there, for the programs of this folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import can
import pytest

import isotp

LONG = b"WVWZZZ1JZXW000001" * 20
PENDING = b"\x7f\x31\x78"
ANSWERS = {
    b"\x10\x03": [b"\x50\x03\x00\x32\x01\xf4"],
    b"\x3e\x00": [b"\x7e\x00"],
    b"\x22\xf1\x90": [b"\x62\xf1\x90" + LONG],
    b"\x11\x01": [b"\x7f\x11\x22"],
    b"\x31\x01\x02\x03": [PENDING, PENDING, b"\x71\x01\x02\x03\x00"],
}


@contextmanager
def answering(channel: str, txid: int = 0x7E8, rxid: int = 0x7E0) -> Iterator[list[bytes]]:
    """Answers on a channel, and keeps what it was asked."""
    over = threading.Event()
    asked: list[bytes] = []
    with can.Bus(interface="virtual", channel=channel) as bus:
        layer = isotp.CanStack(bus, address=isotp.Address(txid=txid, rxid=rxid))

        def answer() -> None:
            while not over.is_set():
                request = layer.recv(block=True, timeout=0.05)
                if request is not None:
                    asked.append(bytes(request))
                    for each in ANSWERS.get(bytes(request), []):
                        layer.send(each)

        layer.start()
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield asked
        finally:
            over.set()
            thread.join()
            layer.stop()


@pytest.fixture
def ecu(request: pytest.FixtureRequest) -> Iterator[list[bytes]]:
    """It is on the channel that is called like the test, or has the number of `channel`."""
    channel = request.getfixturevalue("channel") if "channel" in request.fixturenames else request.node.name
    with answering(str(channel)) as asked:
        yield asked
