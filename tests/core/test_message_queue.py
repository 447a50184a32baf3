"""The queue of messages is a ring that grows: what goes in comes out in order, however it wraps, and nothing stays."""

from __future__ import annotations

import gc
import queue
import random
import threading
import weakref
from collections import deque
from decimal import Decimal
from typing import Any

import pytest

import isotp
from isotp._core import MessageQueue


@pytest.mark.parametrize("seed", range(20))
def test_it_behaves_as_a_deque(seed: int) -> None:
    generator = random.Random(seed)
    ours: MessageQueue[int] = MessageQueue()
    model: deque[int] = deque()
    for step in range(2000):
        # Phases that fill and phases that drain, so that the ring wraps at every size.
        if generator.random() < (0.7 if step // 200 % 2 == 0 else 0.3):
            ours.put(step)
            model.append(step)
        elif model:
            assert ours.get_nowait() == model.popleft()
        else:
            with pytest.raises(queue.Empty):
                ours.get_nowait()
        if generator.random() < 0.002:
            ours.clear()
            model.clear()
        assert ours.qsize() == len(ours) == len(model)
        assert ours.empty() == (not model)
    assert [ours.get_nowait() for _ in range(len(ours))] == list(model)


@pytest.mark.parametrize("place", [0, 5, 19])
def test_a_message_that_is_withdrawn_leaves_the_others_in_order(place: int) -> None:
    sent: list[bytes] = []
    layer = isotp.TransportLayer(
        rxfn=lambda timeout: None,
        txfn=lambda message: sent.append(message.data),
        address=isotp.Address(isotp.AddressingMode.Normal_11bits, rxid=0x7E8, txid=0x7E0),
    )
    for _ in range(6):  # so that the ring has wrapped when the others come
        layer.send(b"\xff")
        layer.process()
    sent.clear()
    requests = [layer._submit(bytes([number]), None, None) for number in range(20)]
    assert layer._withdraw(requests[place])
    assert not layer._withdraw(requests[place])
    layer.process()
    assert sent == [bytes([1, number]) for number in range(20) if number != place]


def test_what_was_taken_or_cleared_is_let_go() -> None:
    class Message:
        pass

    ours: MessageQueue[Message] = MessageQueue()
    watched = []
    for _ in range(20):
        message = Message()
        watched.append(weakref.ref(message))
        ours.put(message)
    del message
    for _ in range(10):
        ours.get_nowait()
    gc.collect()
    assert [each() is None for each in watched] == [True] * 10 + [False] * 10
    ours.clear()
    gc.collect()
    assert all(each() is None for each in watched)


def test_the_collector_sees_what_is_in_it() -> None:
    class Message:
        pass

    ours: MessageQueue[Message] = MessageQueue()
    message = Message()
    message.queue = ours  # type: ignore[attr-defined]
    watched = weakref.ref(message)
    ours.put(message)
    del ours, message
    gc.collect()
    assert watched() is None


@pytest.mark.parametrize(
    "timeout",
    [float("inf"), 1e300, pytest.param(10**400, id="10**400"), threading.TIMEOUT_MAX, None],
    ids=repr,
)
def test_a_wait_without_an_end(timeout: Any) -> None:
    ours: MessageQueue[str] = MessageQueue()
    taken: list[str] = []
    waiting = threading.Thread(target=lambda: taken.append(ours.get(timeout=timeout)), daemon=True)
    waiting.start()
    ours.put("item")
    waiting.join(20)
    assert taken == ["item"]


@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        (float("nan"), ValueError),
        (-1, ValueError),
        pytest.param(-(10**400), ValueError, id="-10**400"),
        (float("-inf"), ValueError),
        ("1", TypeError),
        ([], TypeError),
    ],
    ids=repr,
)
def test_a_timeout_that_is_none(timeout: Any, error: type[Exception]) -> None:
    ours: MessageQueue[str] = MessageQueue()
    with pytest.raises(error, match="timeout must"):
        ours.get(timeout=timeout)
    layer = isotp.TransportLayerLogic(
        rxfn=lambda: None, txfn=lambda message: None, address=isotp.Address(rxid=1, txid=2)
    )
    with pytest.raises(error, match="timeout must"):
        layer.recv(block=True, timeout=timeout)


def test_numbers_of_other_kinds_are_timeouts_too() -> None:
    with pytest.raises(queue.Empty):
        MessageQueue().get(timeout=Decimal(0))  # type: ignore[arg-type]
