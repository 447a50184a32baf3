"""layer.stats: what a layer counted is what went in and out."""

from __future__ import annotations

import json
import pickle
import threading
from typing import Any

import pytest

import isotp
from isotp.protocol import TryAgain
from isotp.testing import Wire
from tests.frames import HERE, MS, SECOND, THERE, Bench, Link, counted, frame


def test_nothing_happened() -> None:
    bench = Bench()
    assert bench.layer.stats == isotp.Stats()
    assert repr(bench.layer.stats) == "Stats()"


def test_frames_and_messages_of_both_sides() -> None:
    link = Link(params_there={"blocksize": 4})
    link.here.layer.send(counted(100))
    link.run()
    link.here.layer.send(b"abc")
    link.run()
    # FF 6 bytes, 14 CFs of 7; flow control after the FF and after 4, 8 and 12 CFs; an SF
    assert link.here.layer.stats == isotp.Stats(
        frames_received=4,
        frames_for_us=4,
        frames_sent=16,
        messages_sent=2,
        bytes_sent=103,
        flow_controls_received=4,
        tx_queue_most=1,
    )
    assert link.there.layer.stats == isotp.Stats(
        frames_received=16,
        frames_for_us=16,
        frames_sent=4,
        messages_received=2,
        bytes_received=103,
        flow_controls_sent=4,
        rx_queue_most=2,
    )


def test_frames_of_others() -> None:
    bench = Bench()
    bench.hear("01 AA", "700#01 AA", "701#10 AA")
    stats = bench.layer.stats
    assert (stats.frames_received, stats.frames_for_us, stats.messages_received) == (3, 1, 1)


def test_a_frame_that_is_looked_at_while_the_layer_stops() -> None:
    """It counts, and is forgotten. The error before it is not told again."""

    class Stopping(isotp.Address):
        def is_for_me(self, msg: isotp.CanMessage) -> bool:
            if msg.data == b"\x01\xaa":
                bench.layer._set_driven(False, None)
            return super().is_for_me(msg)

    bench = Bench(Stopping(txid=0x123, rxid=0x456))
    bench.layer._set_driven(True, lambda deadline: None)
    bench.layer._feed(bench.frame("21 00"))
    bench.layer._feed(bench.frame("01 AA"))
    assert bench.received() == []
    assert bench.complaints() == [isotp.UnexpectedConsecutiveFrameError]
    stats = bench.layer.stats
    assert (stats.frames_received, stats.frames_for_us) == (2, 2)


def test_bytes_of_a_message_that_goes_to_a_target() -> None:
    pieces: list[bytes] = []
    bench = Bench(max_frame_size=5000, blocksize=0)
    bench.layer.receive_into = lambda size: pieces.append
    payload = counted(1000)
    bench.hear("13 E8" + "".join(f" {byte:02X}" for byte in payload[:6]))
    for k, start in enumerate(range(6, 1000, 7)):
        bench.hear(
            f"{0x20 | (k + 1) & 15:02X}" + "".join(f" {byte:02X}" for byte in payload[start : start + 7])
        )
    assert b"".join(pieces) == payload
    assert bench.layer.stats.bytes_received == 1000
    bench.hear("03 01 02 03")
    assert bench.layer.stats.bytes_received == 1003


def test_errors_by_class() -> None:
    bench = Bench()
    bench.hear("21 00", "21 00", "40 00", "10 08 01 02 03 04 05 06")
    bench.wait(2 * SECOND)
    bench.run()
    assert bench.layer.stats.errors == {
        "UnexpectedConsecutiveFrameError": 2,
        "InvalidCanDataError": 1,
        "ConsecutiveFrameTimeoutError": 1,
    }
    assert sum(bench.layer.stats.errors.values()) == len(bench.errors)


def test_error_of_a_user_counts() -> None:
    class OwnError(isotp.IsoTpError):
        pass

    bench = Bench()
    bench.layer.trigger_error(OwnError())
    assert bench.layer.stats.errors == {"OwnError": 1}


def test_wait_frames() -> None:
    bench = Bench(wftmax=2)
    bench.say(bytes(20))
    bench.hear("31 00 00", "31 00 00", "30 00 00")
    stats = bench.layer.stats
    assert (stats.flow_controls_received, stats.waits_received, stats.messages_sent) == (3, 2, 1)


def test_message_that_broke_off_is_none() -> None:
    bench = Bench()
    bench.say(bytes(20))
    bench.hear("32 00 00")
    stats = bench.layer.stats
    assert (stats.messages_sent, stats.frames_sent, stats.errors) == (0, 1, {"OverflowError": 1})


def test_refused_frames_are_retries() -> None:
    refusals = 3

    def txfn(message: isotp.CanMessage) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise TryAgain

    bench = Bench(txfn=txfn)
    bench.say(b"abc")
    for _ in range(4):
        bench.wait(1 * MS)
        bench.run()
    stats = bench.layer.stats
    assert (stats.retries, stats.frames_sent, stats.messages_sent) == (3, 1, 1)


def test_frame_that_txfn_raised_for_was_not_sent() -> None:
    def txfn(message: isotp.CanMessage) -> None:
        raise OSError("no bus")

    bench = Bench(txfn=txfn)
    with pytest.raises(OSError, match="no bus"):
        bench.say(b"abc")
    assert bench.layer.stats == isotp.Stats(tx_queue_most=1)


def test_frames_that_the_rate_limiter_held_back() -> None:
    bench = Bench(rate_limit_enable=True, rate_limit_max_bitrate=640, rate_limit_window_size=0.1)
    bench.say(b"abcdefg")
    bench.layer.send(b"abcdefg")
    for _ in range(5):  # looked at more than once, held back once
        bench.run()
    assert (bench.layer.stats.throttled, bench.layer.stats.frames_sent) == (1, 1)
    bench.wait(150 * MS)
    assert bench.run() != []
    assert (bench.layer.stats.throttled, bench.layer.stats.frames_sent) == (1, 2)
    bench.layer.send(b"abcdefg")
    bench.run()
    assert bench.layer.stats.throttled == 2


def test_fill_of_queues() -> None:
    bench = Bench()
    for _ in range(3):
        bench.layer.send(b"abc")
    bench.hear("01 AA", "01 BB")
    bench.received()
    bench.hear("01 CC")
    stats = bench.layer.stats
    assert (stats.tx_queue_most, stats.rx_queue_most) == (3, 2)


def test_count_anew() -> None:
    bench = Bench()
    bench.hear("01 AA", "21 00")
    before = bench.layer.stats
    assert bench.layer.reset_stats() == before
    assert bench.layer.stats == isotp.Stats()
    bench.hear("01 BB")
    assert bench.layer.stats == isotp.Stats(
        frames_received=1, frames_for_us=1, messages_received=1, bytes_received=1, rx_queue_most=2
    )
    assert before.errors == {"UnexpectedConsecutiveFrameError": 1}


def test_reset_in_a_callback_leaves_process_alone() -> None:
    bench = Bench()
    bench.layer.on_message = lambda *arguments: bench.layer.reset_stats()
    bench.arrive("01 AA", "01 BB")
    done = bench.layer.process()
    assert (done.received, done.received_processed, done.frame_received) == (2, 2, 2)


def test_reset_loses_nothing_between_threads() -> None:
    bench = Bench()
    total = 20_000
    parts: list[isotp.Stats] = []
    ended = threading.Event()

    def reset() -> None:
        while not ended.is_set():
            parts.append(bench.layer.reset_stats())

    thread = threading.Thread(target=reset)
    thread.start()
    try:
        for _ in range(total // 100):
            bench.hear(*["21 00"] * 50, *["01 AA"] * 50)
            bench.layer.clear_rx_queue()
    finally:
        ended.set()
        thread.join()
    stats = isotp.Stats.sum([*parts, bench.layer.stats])
    assert stats.frames_received == stats.frames_for_us == total
    assert stats.messages_received == stats.bytes_received == total // 2
    assert stats.errors == {"UnexpectedConsecutiveFrameError": total // 2}


def test_single_steps_count() -> None:
    bench = Bench()
    bench.layer.process_rx(bench.frame("01 AA"))
    bench.layer.send(b"b")
    assert bench.layer.process_tx() is not None
    stats = bench.layer.stats
    assert (stats.frames_received, stats.frames_for_us, stats.frames_sent) == (1, 1, 1)


def test_stop_and_reset_leave_them_alone() -> None:
    bench = Bench(layer_class=isotp.TransportLayer)
    bench.hear("01 AA")
    bench.layer.reset()
    assert bench.layer.stats.messages_received == 1
    bench.layer.start()
    bench.layer.stop()
    assert bench.layer.stats.messages_received == 1


def test_shown_by_repr() -> None:
    bench = Bench()
    assert "frames" not in repr(bench.layer)
    bench.hear("01 AA", "700#00", "21 00")
    assert "in 2 frames 1 messages, out 0 frames 0 messages, 1 errors" in repr(bench.layer)
    assert repr(bench.layer.stats) == (
        "Stats(frames_received=3, frames_for_us=2, messages_received=1, bytes_received=1, rx_queue_most=1,"
        " errors={'UnexpectedConsecutiveFrameError': 1})"
    )


def test_as_plain_values() -> None:
    bench = Bench()
    bench.hear("01 AA", "21 00")
    stats = bench.layer.stats
    assert json.loads(json.dumps(stats.as_dict()))["errors"] == {"UnexpectedConsecutiveFrameError": 1}
    assert pickle.loads(pickle.dumps(stats)) == stats


def test_added() -> None:
    one = isotp.Stats(frames_sent=1, rx_queue_most=5, errors={"A": 1, "B": 1})
    other = isotp.Stats(frames_sent=2, rx_queue_most=3, errors={"B": 2, "C": 1}, dropped={"frames": 1})
    assert one + other == isotp.Stats(
        frames_sent=3, rx_queue_most=5, errors={"A": 1, "B": 3, "C": 1}, dropped={"frames": 1}
    )
    with pytest.raises(TypeError):
        one + 1  # type: ignore[operator]


def test_subclass_with_an_attribute_of_that_name() -> None:
    class Mine(isotp.TransportLayerLogic):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.stats = {"mine": 1}  # type: ignore[assignment, misc]

    layer = Mine(lambda: None, lambda message: None, HERE)
    assert layer.stats == {"mine": 1}
    assert "rx:IDLE" in repr(layer)


def test_hub_adds_up_its_sessions() -> None:
    with isotp.Hub(Wire()) as hub:
        sessions = [hub.session(HERE), hub.session(THERE), hub.session(isotp.Address(txid=1, rxid=2))]
        for session in sessions[:2]:
            session.start()
        sessions[0]._feed(frame("01 AA"))
        sessions[0]._feed(frame("21 AA"))
        sessions[1]._feed(frame("123#02 AA BB"))
        assert hub.stats == sessions[0].stats + sessions[1].stats
        assert (hub.stats.messages_received, hub.stats.bytes_received) == (2, 3)
        assert hub.stats.errors == {"UnexpectedConsecutiveFrameError": 1}
        assert hub.reset_stats().frames_received == 3
        assert hub.stats == isotp.Stats()
