"""The clock: read as seldom as the protocol allows, and read anew wherever time may have passed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import isotp
from tests.frames import MS, Bench, counted, words

CTS = "30 00 00"
MANY = 254  # frames: two fewer than four bursts


def consecutive_frames(count: int) -> list[str]:
    return [words([0x20 | k % 16, *bytes(7)]) for k in range(1, count + 1)]


class CountingBench(Bench):
    """Counts how often the layer asks what time it is."""

    def __init__(self, **params: int) -> None:
        super().__init__(rxfn=lambda timeout: self.next_frame(), **params)
        self.reads = 0
        self.layer.clock = self.read

    def read(self) -> int:
        self.reads += 1
        return self.clock()


def receive_long(bench: Bench) -> None:
    bench.hear("16 F8 00*6", *consecutive_frames(MANY))
    assert len(bench.received()) == 1


def receive_in_two_passes(bench: Bench) -> None:
    bench.hear("16 F8 00*6")
    bench.hear(*consecutive_frames(MANY))
    assert len(bench.received()) == 1


def receive_short(bench: Bench) -> None:
    bench.hear(*["01 AA"] * MANY)
    assert len(bench.received()) == MANY


def send_long(flow_control: str) -> Callable[[Bench], None]:
    def send(bench: Bench) -> None:
        bench.say(counted(6 + 7 * MANY))
        while bench.layer.transmitting():
            bench.hear(flow_control)

    return send


def send_short(bench: Bench) -> None:
    for _ in range(MANY):
        bench.layer.send(b"a")
    assert len(bench.run(do_rx=False)) == MANY


@pytest.mark.parametrize(
    ("story", "reads"),
    [
        (receive_long, 5),
        (receive_in_two_passes, 6),
        (receive_short, 4),
        (send_long(CTS), 5),
        (send_long("30 64 00"), 8),
        (send_short, 3),
    ],
)
def test_reads(story: Callable[[Bench], None], reads: int) -> None:
    """One for a pass and for each 64 frames in it, and one where N_Bs or N_Cr begins."""
    bench = CountingBench(blocksize=0)
    story(bench)
    assert bench.reads == reads


@pytest.mark.parametrize(("frames", "reads"), [(64, 1), (65, 2), (128, 2), (129, 3), (192, 3), (193, 4)])
def test_reads_in_a_pass(frames: int, reads: int) -> None:
    """By an idle layer for the first frame, then after each 64."""
    bench = CountingBench()
    bench.hear(*["01 AA"] * frames)
    assert bench.reads == reads


@pytest.mark.parametrize("late", [0, 1, 5 * MS])
def test_a_frame_that_became_due_while_rxfn_was_asked(late: int) -> None:
    wait = 0
    bench = Bench(rxfn=lambda timeout: bench.wait(wait) or bench.next_frame())
    bench.say(counted(20))
    bench.hear("30 00 0A")
    wait = 10 * MS + late
    assert bench.run() == ["21 06 07 08 09 0A 0B 0C"]


def test_a_message_behind_a_burst_that_took_its_time() -> None:
    """... has the time at which it was read."""
    times: list[int] = []

    def send(message: isotp.CanMessage) -> None:
        bench.wait(MS)
        if bench.clock.ns == started + 10 * MS:
            bench.arrive("01 AA")

    bench = Bench(txfn=send, rxfn=lambda timeout: bench.next_frame())
    bench.layer.on_message = lambda payload, address, now: times.append(now)
    started = bench.clock.ns
    bench.say(counted(6 + 7 * 100))
    bench.hear(CTS)
    assert times == [started + 65 * MS]
