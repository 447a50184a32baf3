"""Whose turn it is to read a bus: what the thread of a bus learns from those who lead in its place."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from isotp.bus.turn import Turn


@contextmanager
def somebody_leads(turn: Turn) -> Iterator[None]:
    """Another thread wants to lead while this goes on; it leads at the end of it, and no more after."""

    def lead() -> None:
        assert turn.lead(lambda: False, None)
        turn.end_lead()

    thread = threading.Thread(target=lead)
    thread.start()
    while not turn.is_led:
        time.sleep(0.001)
    yield
    thread.join()


def test_a_thread_that_comes_back_for_nothing_keeps_away() -> None:
    """The longer, the more often; until it has read frames that nobody waited for: a First Frame is to be answered."""
    turn, stop_requested = Turn(lambda: False), threading.Event()
    pauses = []
    for _ in range(3):
        assert turn.take_as_thread(stop_requested)
        with somebody_leads(turn):
            turn.end_as_thread(has_read=False)
        pauses.append(turn._pause)
    assert 0 < pauses[0] < pauses[1] < pauses[2]
    assert turn.take_as_thread(stop_requested)
    with somebody_leads(turn):  # who leads now waits for the end of what has begun
        turn.end_as_thread(has_read=True)
    assert turn._pause < pauses[0]
