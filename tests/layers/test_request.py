"""A request and its answer: what is taken for the answer, what is dropped, how long is waited for what."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import can
import pytest

import isotp
import isotp.aio
from isotp.exchange import Exchange, answers
from tests.frames import MS, SECOND, SLOW, Bench, octets

READ_VIN = octets("22 F1 90")


class Peer:
    """A polled layer beside a peer that has its next frames ready: a wait for one lasts until its time has come."""

    def __init__(self, **kwargs: Any) -> None:
        self.bench = Bench(rxfn=self.next_frame, **kwargs)
        self.layer = self.bench.layer
        self.layer.txfn = self.hear
        self.script: dict[str, list[tuple[int, str]]] = {}
        self.coming: list[tuple[int, str]] = []
        self.heard: list[str] = []

    def hear(self, message: isotp.CanMessage) -> None:
        text = self.bench.text(message)
        self.heard.append(text)
        for after, frame in self.script.get(text, []):
            self.comes(after, frame)

    def comes(self, after: int, frame: str) -> None:
        self.coming.append((self.bench.clock.ns + after, frame))
        self.coming.sort(key=lambda each: each[0])

    def next_frame(self, timeout: float) -> isotp.CanMessage | None:
        clock, until = self.bench.clock, self.bench.clock.ns + round(timeout * 1e9)
        if self.coming and self.coming[0][0] <= until:
            when, frame = self.coming.pop(0)
            clock.ns = max(clock.ns, when)
            return self.bench.frame(frame)
        # A wait takes a while of the real time too, or the layer would wait in its place.
        threading.Event().wait(timeout / 50)
        clock.ns = until
        return None

    def took(self, ask: Callable[[], Any]) -> tuple[Any, int]:
        """What it gives or raises, and how many ms that took."""
        began = self.bench.clock.ns
        try:
            result = ask()
        except Exception as error:
            result = error
        return result, (self.bench.clock.ns - began) // MS


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Peer:
    monkeypatch.setattr("isotp.layers.time.sleep", lambda seconds: None)
    return Peer()


def test_the_answer(peer: Peer) -> None:
    peer.script["03 22 F1 90"] = [(30 * MS, "06 62 F1 90 41 42 43")]
    answer, ms = peer.took(lambda: peer.layer.request(READ_VIN))
    assert answer == octets("62 F1 90 41 42 43")
    assert 30 <= ms < 60
    assert isinstance(answer, bytearray)


def test_stale_answers_are_dropped(peer: Peer) -> None:
    """One that waits to be received, one that comes late, one of another service; then the answer."""
    peer.comes(0, "06 62 F1 90 01 02 03")
    peer.layer.process()
    assert peer.layer.available()
    peer.script["03 22 F1 90"] = [
        (1 * MS, "06 62 F1 8C 01 02 03"),
        (2 * MS, "02 7E 00"),
        (3 * MS, "03 7F 3E 11"),
        (4 * MS, "06 62 F1 90 41 42 43"),
        (4 * MS, "06 62 F1 90 FF FF FF"),
    ]
    assert peer.layer.request(READ_VIN) == octets("62 F1 90 41 42 43")


def test_an_answer_that_had_begun_before_is_stale(peer: Peer) -> None:
    peer.comes(0, "10 0A 62 F1 90 41 42 43")
    peer.layer.process()
    assert peer.layer.is_rx_active()
    peer.bench.wait(MS)
    peer.script["03 22 F1 90"] = [
        (1 * MS, "21 44 45 46 47"),
        (2 * MS, "06 62 F1 90 51 52 53"),
    ]
    assert peer.layer.request(READ_VIN) == octets("62 F1 90 51 52 53")


def test_response_pending_is_waited_out(peer: Peer) -> None:
    """P2 holds up to the first one, P2* from each to the next."""
    pending = "03 7F 22 78"
    peer.script["03 22 F1 90"] = [
        (900 * MS, pending),
        (5 * SECOND, pending),
        (9 * SECOND, "04 62 F1 90 41"),
    ]
    answer, ms = peer.took(lambda: peer.layer.request(READ_VIN, p2=1.0, p2_star=5.0))
    assert answer == octets("62 F1 90 41")
    assert 9000 <= ms < 9100


@pytest.mark.parametrize(
    ("frames", "limits", "ms", "text"),
    [
        ([], {}, 1000, "no answer to 22 F1 90 has begun within 1 s (P2)"),
        (
            [(1 * MS, "03 7F 22 78")],
            {"p2_star": 2.0},
            2001,
            'no answer to 22 F1 90 has begun within 2 s (P2*), after "response pending" came 1 times',
        ),
        (
            [(after * SECOND, "03 7F 22 78") for after in range(9)],
            {"timeout": 4.5},
            4500,
            'no answer to 22 F1 90 has begun within 4.5 s (timeout), after "response pending" came 5 times',
        ),
        # What is no answer prolongs nothing.
        ([(900 * MS, "02 7E 00")], {}, 1000, "no answer to 22 F1 90 has begun within 1 s (P2)"),
    ],
)
def test_nobody_answers(
    peer: Peer, frames: list[tuple[int, str]], limits: dict[str, float], ms: int, text: str
) -> None:
    peer.script["03 22 F1 90"] = frames
    error, took = peer.took(lambda: peer.layer.request(READ_VIN, **limits))
    assert (type(error), str(error)) == (TimeoutError, text)
    assert ms <= took < ms + 60


def test_a_negative_response_is_an_answer(peer: Peer) -> None:
    peer.script["03 22 F1 90"] = [(1 * MS, "03 7F 22 31")]
    assert peer.layer.request(READ_VIN) == octets("7F 22 31")


def test_a_long_answer_may_end_after_p2(peer: Peer) -> None:
    peer.script["03 22 F1 90"] = [(900 * MS, "10 0A 62 F1 90 41 42 43"), (1800 * MS, "21 44 45 46 47")]
    answer, ms = peer.took(lambda: peer.layer.request(READ_VIN))
    assert answer == octets("62 F1 90 41 42 43 44 45 46 47")
    assert 1800 <= ms < 1900


def test_an_answer_that_breaks_off_says_so(peer: Peer) -> None:
    peer.script["03 22 F1 90"] = [(1 * MS, "10 0A 62 F1 90 41 42 43")]
    with pytest.raises(isotp.BlockingReceiveFailure) as failure:
        peer.layer.request(READ_VIN)
    assert isinstance(failure.value.__cause__, isotp.ConsecutiveFrameTimeoutError)


def test_a_request_that_can_not_be_sent(peer: Peer) -> None:
    with pytest.raises(isotp.BlockingSendFailure) as failure:
        peer.layer.request(octets("2E F1 90") + bytes(20))
    assert isinstance(failure.value.__cause__, isotp.FlowControlTimeoutError)


def test_a_request_that_is_not_sent_in_time_is_given_up(peer: Peer) -> None:
    with pytest.raises(
        isotp.BlockingSendTimeout, match=r"^2E F1 90 00 00 00 00 00 \.\.\. was not sent within 0.5 s$"
    ):
        peer.layer.request(octets("2E F1 90") + bytes(20), timeout=0.5)
    assert not peer.layer.transmitting()


def test_other_protocols(peer: Peer) -> None:
    peer.script["03 C1 01 02"] = [(1 * MS, "02 00 78")]
    assert peer.layer.request(octets("C1 01 02"), uds=False) == octets("00 78")
    with pytest.raises(ValueError, match=r"C1 is no service of UDS .* With uds=False"):
        peer.layer.request(octets("C1 01 02"))
    with pytest.raises(ValueError, match="nobody answers an empty message"):
        peer.layer.request(b"")


def test_messages_that_go_elsewhere_answer_nobody(peer: Peer) -> None:
    peer.layer.on_message = lambda *_: None
    with pytest.raises(RuntimeError, match="on_message"):
        peer.layer.request(READ_VIN)


def test_a_callback_can_not_wait_for_its_own_layer(peer: Peer) -> None:
    refused: list[Exception] = []

    def ask(*_: Any) -> None:
        try:
            peer.layer.request(READ_VIN)
        except RuntimeError as error:
            refused.append(error)

    peer.layer.on_begin = ask
    peer.comes(0, "10 0A 62 F1 90 41 42 43")
    peer.layer.process()
    assert [str(error) for error in refused] == [
        "a callback of the layer cannot wait for that same layer to be answered"
    ]


@pytest.mark.parametrize("limit", ["timeout", "p2", "p2_star"])
def test_limits_are_seconds(peer: Peer, limit: str) -> None:
    with pytest.raises(ValueError, match=limit):
        peer.layer.request(READ_VIN, **{limit: -1.0})
    with pytest.raises(TypeError, match=limit):
        peer.layer.request(READ_VIN, **{limit: "1"})
    assert peer.heard == []


@pytest.mark.parametrize(
    ("request_", "message", "is_answer"),
    [
        ("22 F1 90", "62 F1 90 00", True),
        ("22 F1 90 F1 8C", "62 F1 8C 00", True),  # of several, the ECU may know some only
        ("22 F1 90", "62 F1 8C 00", False),
        ("22 F1 90", "7F 22 31", True),
        ("22 F1 90", "7F 2E 31", False),
        ("22 F1 90", "22 F1 90", False),
        ("22 F1 90", "", False),
        ("10 83", "50 03 00 32", True),  # the suppress bit is not repeated
        ("27 01", "67 03 AA", False),
        ("31 01 FF 00", "71 01 FF 00 01", True),
        ("31 01 FF 00", "71 01 02 03 01", False),
        ("31 01 FF 00", "71 03 FF 00 01", False),
        ("36 02 AA", "76 02", True),
        ("36 02 AA", "76 01", False),
        ("36 02 AA", "76", True),
        ("3E 00", "7E", True),  # KWP 2000
        ("01 0C", "41 0C 1A F8", True),  # OBD
    ],
)
def test_what_answers_what(request_: str, message: str, is_answer: bool) -> None:
    assert answers(octets(request_), octets(message)) is is_answer


# --- layers that work on their own ---


class Ecu:
    """Answers on a virtual bus of its own thread: "response pending", something stale, and the answer."""

    def __init__(self, channel: str) -> None:
        self.bus = can.Bus(interface="virtual", channel=channel)
        self.layer = isotp.CanStack(
            self.bus,
            address=isotp.Address(txid=0x7E8, rxid=0x7E0),
            params=SLOW,
            on_message=self.answer,
        )
        self.silent = False

    def answer(self, payload: bytearray, *_: Any) -> None:
        if self.silent:
            return
        self.layer.send(bytes([0x7F, payload[0], 0x78]))
        self.layer.send(b"\x7e\x00")
        self.layer.send(bytes([payload[0] | 0x40]) + payload[1:] + bytes(20))


@pytest.fixture
def ecu() -> Iterator[Ecu]:
    ecu = Ecu("request")
    ecu.layer.start()
    yield ecu
    ecu.layer.stop()
    ecu.bus.shutdown()


ADDRESS = isotp.Address(txid=0x7E0, rxid=0x7E8)
PATIENCE = {"p2": 60.0, "p2_star": 60.0}


def test_a_started_layer_asks(ecu: Ecu) -> None:
    with (
        can.Bus(interface="virtual", channel="request") as bus,
        isotp.CanStack(bus, address=ADDRESS, params=SLOW).start() as layer,
    ):
        assert layer.request(READ_VIN, **PATIENCE) == b"\x62\xf1\x90" + bytes(20)
        ecu.silent = True
        with pytest.raises(TimeoutError, match=r"\(P2\)"):
            layer.request(READ_VIN, p2=0.01)


def test_requests_of_two_threads_take_turns(ecu: Ecu) -> None:
    found: dict[int, bytes] = {}
    with can.Bus(interface="virtual", channel="request") as bus:
        layer = isotp.CanStack(bus, address=ADDRESS, params=SLOW)
        layer.start()

        def ask(did: int) -> None:
            found[did] = bytes(layer.request(bytes([0x22, 0, did]), **PATIENCE))

        threads = [threading.Thread(target=ask, args=(did,)) for did in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        layer.stop()
    assert found == {did: bytes([0x62, 0, did]) + bytes(20) for did in range(4)}


def test_a_task_asks(ecu: Ecu, caplog: pytest.LogCaptureFixture) -> None:
    async def ask() -> None:
        with can.Bus(interface="virtual", channel="request") as bus:
            async with isotp.aio.Layer(bus, ADDRESS, params=SLOW) as layer:
                both = await asyncio.gather(
                    layer.request(READ_VIN, **PATIENCE), layer.request(octets("22 F1 8C"), **PATIENCE)
                )
                assert [answer[:3] for answer in both] == [b"\x62\xf1\x90", b"\x62\xf1\x8c"]
                ecu.silent = True
                with pytest.raises(TimeoutError, match=r"\(P2\)"):
                    await layer.request(READ_VIN, p2=0.01)

    caplog.set_level(logging.DEBUG, "isotp")
    asyncio.run(ask())
    assert "Dropped while an answer is waited for: 2 bytes" in caplog.messages


def test_a_task_asks_where_nobody_sends_flow_control() -> None:
    async def ask() -> None:
        with can.Bus(interface="virtual", channel="request to nobody") as bus:
            async with isotp.aio.Layer(bus, ADDRESS, params=SLOW) as layer:
                with pytest.raises(isotp.BlockingSendTimeout, match=r"was not sent within 0\.02 s"):
                    await layer.request(bytes(20), timeout=0.02)
                assert not layer.transmitting()

    asyncio.run(ask())


def test_no_limit_is_no_limit() -> None:
    exchange = Exchange(READ_VIN, timeout=None, p2=1.0, p2_star=5.0, uds=True)
    exchange.begin(10.0)
    assert exchange.left(1000.0) is None
    exchange.sent(1000.0)
    assert exchange.left(1000.25) == 0.75
    assert exchange.left(1002.0) == 0.0
