"""What a layer keeps has limits: where they are, and what it says when they are reached."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Executor
from typing import Any

import pytest

import isotp
from isotp.testing import Wire
from isotp.threads.courier import Courier
from tests.frames import HERE, SECOND, Bench, frame

# Only ends a test that has failed
PATIENCE = 20.0
FULL = isotp.ReceptionQueueFullError


def test_full_queue_refuses_by_overflow() -> None:
    bench = Bench(rx_queue_limit=300)
    bench.hear("01 AA", "01 BB", "01 CC")
    assert bench.hear("10 08 01 02 03 04 05 06") == ["32 08 00"]
    assert bench.complaints() == [FULL]
    assert bench.layer.stats.dropped == {"receptions": 1}
    assert not bench.layer.is_rx_active()


def test_full_queue_loses_what_came_at_once() -> None:
    bench = Bench(rx_queue_limit=300)
    bench.hear("01 AA", "01 BB", "01 CC", "01 DD")
    assert bench.complaints() == [FULL]
    assert "rx_queue_limit" in str(bench.layer.last_error)
    assert bench.layer.stats.dropped == {"messages": 1}
    assert bench.received() == [b"\xaa", b"\xbb", b"\xcc"]


def test_room_again() -> None:
    bench = Bench(rx_queue_limit=300)
    bench.hear("01 AA", "01 BB", "01 CC")
    assert bench.layer.recv() == b"\xaa"
    assert bench.hear("10 08 01 02 03 04 05 06", "21 07 08") == ["30 08 00"]
    assert bench.complaints() == []
    bench.layer.clear_rx_queue()
    bench.hear("01 DD")
    assert bench.received() == [b"\xdd"]


def test_message_longer_than_the_limit_is_welcome_while_there_is_room() -> None:
    bench = Bench(rx_queue_limit=300, blocksize=0)
    bench.hear("01 AA", "12 00 01 02 03 04 05 06", *(f"{0x20 | k & 15:02X} 00*7" for k in range(1, 74)))
    assert [len(payload) for payload in bench.received()] == [1, 512]
    assert bench.complaints() == []


def test_queue_that_fills_amid_a_message() -> None:
    """It was accepted when it began: it is lost, and its target is told."""
    bench = Bench(rx_queue_limit=300)
    target = bytearray(8)
    bench.layer.receive_into = lambda size: memoryview(target)
    bench.hear("01 AA", "01 BB", "10 08 01 02 03 04 05 06")
    bench.layer.rx_queue.put(bytearray(1))
    bench.hear("21 07 08")
    assert bench.complaints() == [FULL]
    assert bench.layer.last_error is not None
    assert bench.layer.last_error.target is not None
    assert target == bytes(range(1, 9))


def test_listener_refuses_nobody() -> None:
    bench = Bench(rx_queue_limit=1, listen_mode=True)
    assert bench.hear("01 AA", "10 08 01 02 03 04 05 06", "21 07 08") == []
    assert bench.complaints() == [FULL]
    assert bench.layer.stats.dropped == {"messages": 1}


def test_reception_that_is_stopped_as_room_is_looked_for_is_not_refused() -> None:
    """By another thread: the courier stands for it, whose weight is asked then."""

    class Stopping(Courier):
        @property
        def weight(self) -> int:  # type: ignore[override]
            bench.layer.stop_receiving()
            return 1000

    bench = Bench(rx_queue_limit=300)
    bench.layer.on_message = lambda payload, address, timestamp: None
    bench.layer._set_courier(object.__new__(Stopping))
    assert bench.hear("10 08 01 02 03 04 05 06") == []
    assert bench.complaints() == []
    assert bench.layer.stats.dropped == {}


def test_callback_on_the_same_thread_knows_no_queue() -> None:
    bench = Bench(rx_queue_limit=1)
    calls: list[bytes] = []
    bench.layer.on_message = lambda payload, address, timestamp: calls.append(bytes(payload))
    bench.hear("01 AA", "01 BB")
    assert calls == [b"\xaa", b"\xbb"]
    assert bench.complaints() == []


@pytest.mark.parametrize("limit", [None, 2**70])
def test_no_limit(limit: int | None) -> None:
    bench = Bench(rx_queue_limit=limit, tx_queue_limit=limit)
    bench.hear(*["01 AA"] * 1000)
    assert len(bench.received()) == 1000
    assert bench.complaints() == []


def test_limit_that_changes() -> None:
    bench = Bench()
    bench.hear("01 AA")
    bench.layer.params.set("rx_queue_limit", 1)
    bench.hear("01 BB")
    assert bench.complaints() == [FULL]
    bench.layer.params.set("rx_queue_limit", None)
    bench.hear("01 CC")
    assert bench.received() == [b"\xaa", b"\xcc"]


def test_buffer_of_the_user_that_changes_its_size_while_it_waits() -> None:
    bench = Bench(rx_queue_limit=1000)
    target = bytearray(8)
    bench.layer.receive_into = lambda size: target
    bench.hear("10 08 01 02 03 04 05 06", "21 07 08")
    target.clear()
    assert bench.received() == [b""]
    bench.hear(*["01 AA"] * 10)
    assert bench.complaints() == []
    bench.hear("01 AA")
    assert bench.complaints() == [FULL]


def test_send_queue_is_full() -> None:
    bench = Bench(tx_queue_limit=1000)
    bench.layer.send(bytes(300))
    bench.layer.send(bytes(300))
    with pytest.raises(
        RuntimeError, match=r"send queue is full: 2 messages wait \(parameter tx_queue_limit\)"
    ):
        bench.layer.send(b"abc")
    bench.run()  # the first one is on its way
    bench.layer.send(b"abc")
    bench.layer.clear_tx_queue()
    for _ in range(3):
        bench.layer.send(b"abc")
    with pytest.raises(RuntimeError, match="3 messages wait"):
        bench.layer.send(b"abc")


def test_message_to_send_longer_than_the_limit_is_welcome_while_there_is_room() -> None:
    bench = Bench(tx_queue_limit=1000)
    bench.layer.send(bytes(4000))
    assert bench.run() != []


def test_generators_and_files_wait_for_nothing() -> None:
    bench = Bench(tx_queue_limit=1000)
    bench.layer.send((iter(bytes(4000)), 4000))
    bench.layer.send((iter(bytes(4000)), 4000))
    assert bench.layer.tx_queue.qsize() == 2


def test_withdrawn_messages_leave_room() -> None:
    bench = Bench(tx_queue_limit=1000)
    for _ in range(10):
        request = bench.layer._submit(bytes(700), None, lambda request: None)
        assert bench.layer._withdraw(request)
    assert bench.layer.tx_queue.qsize() == 0


def test_send_queue_is_full_for_asyncio() -> None:
    import isotp.aio

    async def overfill(wire: Wire) -> None:
        async with isotp.aio.Layer(
            wire, isotp.Address(txid=1, rxid=2), params={"tx_queue_limit": 1000}
        ) as layer:
            tasks = [asyncio.ensure_future(layer.send(bytes(1000))) for _ in range(3)]
            done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            assert [type(task.exception()) for task in done] == [RuntimeError]
            assert len(waiting) == 2  # one is being sent
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)

    asyncio.run(overfill(Wire()))


class Busy(Executor):
    """Has no time for any callback."""

    def submit(self, *arguments: Any, **named: Any) -> Any:
        return None


def test_messages_that_wait_for_a_callback_are_bounded_by_weight() -> None:
    bench = Bench()
    bench.layer.on_message = pytest.fail
    courier = Courier(pytest.fail, Busy())
    bench.layer._set_courier(courier)
    bench.hear("01 AA")
    bench.layer.params.rx_queue_limit = courier.weight + 1
    assert bench.hear("10 08 01 02 03 04 05 06") == ["30 08 00"]
    bench.layer.params.rx_queue_limit = courier.weight
    assert bench.hear("10 08 01 02 03 04 05 06") == ["32 08 00"]


def test_errors_that_wait_for_a_callback_are_bounded() -> None:
    bench = Bench()
    bench.layer._set_courier(Courier(pytest.fail, Busy()))
    bench.hear(*["21"] * 1002)
    assert bench.layer.stats.dropped == {"errors": 2}


@pytest.mark.parametrize("count", [250, 101])
def test_log_of_errors_is_bounded(caplog: pytest.LogCaptureFixture, count: int) -> None:
    bench = Bench()
    with caplog.at_level(logging.WARNING, "isotp"):
        bench.hear(*["21"] * count)
        assert len(caplog.records) == 101
        assert "more than 100 errors within a second" in caplog.records[-1].message
        bench.wait(SECOND)
        bench.hear("21")
        assert len(caplog.records) == 103
        assert caplog.records[-2].message == f"{count - 100} errors before were not logged"
        bench.wait(SECOND)
        bench.hear("21")
    assert len(caplog.records) == 104
    assert len(bench.errors) == count + 2


def test_log_of_callback_errors_is_bounded_too(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(layer_class=isotp.TransportLayer)
    with caplog.at_level(logging.WARNING, "isotp"):
        for _ in range(150):
            bench.layer._report_callback_error(ValueError("from a callback"))
    assert len(caplog.records) == 101
    assert bench.layer.stats.errors == {"CallbackError": 150}


def test_message_is_refused_while_a_slow_callback_has_others_waiting() -> None:
    entered, may_go_on = threading.Event(), threading.Event()

    def slow(payload: bytearray, address: isotp.Address, timestamp: int) -> None:
        entered.set()
        assert may_go_on.wait(PATIENCE)

    wire = Wire()
    other = wire.end()
    with isotp.Hub(wire) as hub:
        session = hub.session(HERE, on_message=slow, params={"rx_queue_limit": 300})
        session.start()
        session._feed(frame("01 AA"))
        assert entered.wait(PATIENCE)
        session._feed(frame("01 BB"))
        session._feed(frame("10 08 01 02 03 04 05 06"))
        refusal = other.receive(PATIENCE)
        may_go_on.set()
        assert refusal is not None
        assert refusal.data[0] == 0x32
        assert session.stats.dropped == {"receptions": 1}
        assert isinstance(session.last_error, FULL)
