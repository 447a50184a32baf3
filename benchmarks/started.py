"""Started layers: how fast they answer, how well they keep STmin, and what they cost while nothing happens.

Both packages, on python-can's virtual bus. Threads run on all cores, as those of users do.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from statistics import fmean, median
from typing import TYPE_CHECKING

import isotp
from benchmarks.case import ALL, FULL, QUICK, Case, Measured, Observed, Stage, percentiles
from benchmarks.object_path import payloads, raise_error

if TYPE_CHECKING:
    import can

# Only a failing run waits so long.
PATIENCE_S = 20.0

TESTER = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x7E0, rxid=0x7E8)
ECU = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x7E8, rxid=0x7E0)

MakeLayer = Callable[["can.BusABC", isotp.Address, ExitStack], isotp.TransportLayer]


def microseconds(durations_ns: Sequence[int], names: Sequence[str] = ("p50", "p99")) -> Measured:
    """Return the figures of these names, of min, mean, p50 and p99, in microseconds."""
    ordered = sorted(duration / 1000 for duration in durations_ns)
    figures = {
        "min": ordered[0],
        "mean": fmean(ordered),
        "p50": median(ordered),
        "p99": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
    }
    return Measured({f"{name} us": figures[name] for name in names}, distribution=percentiles(ordered))


def beyond(gap: float, gaps_ns: Sequence[int]) -> Measured:
    """Return how much longer than asked for the gaps were, and how much shorter the shortest was."""
    late = sorted(each / 1000 - gap * 1e6 for each in gaps_ns)
    figures = {
        "us late, p50": median(late),
        "us late, mean": fmean(late),
        "us late, p99": late[len(late) * 99 // 100],
        "us early, at most": max(0.0, -late[0]),
    }
    return Measured(figures, distribution=percentiles(late))


# --- layers and their company ---


def open_bus(channel: str, cleanup: ExitStack) -> can.BusABC:
    import can

    bus = can.Bus(channel, interface="virtual")
    cleanup.callback(bus.shutdown)
    return bus


def two_buses(cleanup: ExitStack) -> Sequence[can.BusABC]:
    """Return two ends of python-can's virtual bus."""
    return [open_bus("timing", cleanup) for _ in range(2)]


def can_stack(bus: can.BusABC, address: isotp.Address, cleanup: ExitStack) -> isotp.TransportLayer:
    """Return a CanStack on this bus."""
    return isotp.CanStack(bus, address=address, error_handler=raise_error, params={"blocksize": 8})


def notifier_stack(bus: can.BusABC, address: isotp.Address, cleanup: ExitStack) -> isotp.TransportLayer:
    """Return a NotifierBasedCanStack on this bus, with a notifier of its own."""
    import can

    notifier = can.Notifier(bus, [])
    cleanup.callback(notifier.stop)
    return isotp.NotifierBasedCanStack(
        bus, notifier, address=address, error_handler=raise_error, params={"blocksize": 8}
    )


MAKERS: dict[str, MakeLayer] = {"CanStack": can_stack, "NotifierBasedCanStack": notifier_stack}


def running(layer: isotp.TransportLayer, cleanup: ExitStack) -> isotp.TransportLayer:
    layer.start()
    cleanup.callback(layer.stop)
    return layer


def thread(target: Callable[[threading.Event], None], cleanup: ExitStack) -> None:
    """Run a function in a thread until the end of the measurement, which sets the event that it is given."""
    over = threading.Event()
    worker = threading.Thread(target=target, args=(over,))
    worker.start()
    cleanup.callback(worker.join)
    cleanup.callback(over.set)


def answering(
    layer: isotp.TransportLayer, answer: Callable[[bytes], bytes]
) -> Callable[[threading.Event], None]:
    """Return what a thread runs to answer the requests that a layer receives."""

    def serve(over: threading.Event) -> None:
        while not over.is_set():
            request = layer.recv(block=True, timeout=0.1)
            if request is not None:
                layer.send(answer(bytes(request)))

    return serve


def compute(over: threading.Event) -> None:
    """Keep the interpreter's lock as busy as a thread that computes in Python does."""
    while not over.is_set():
        sum(range(1000))


# Two started layers that talk to each other, and what is closed after them.
Pair = Callable[[], AbstractContextManager[tuple["isotp.TransportLayer", "isotp.TransportLayer", ExitStack]]]


@contextmanager
def tester_and_ecu(make: MakeLayer) -> Iterator[tuple[isotp.TransportLayer, isotp.TransportLayer, ExitStack]]:
    """Two started layers on one bus."""
    with ExitStack() as cleanup:
        buses = two_buses(cleanup)
        tester, ecu = (
            running(make(bus, address, cleanup), cleanup)
            for bus, address in zip(buses, (TESTER, ECU), strict=True)
        )
        yield tester, ecu, cleanup


# --- what is measured ---


def exchange(pair: Pair, length: int, busy: bool, seconds: float) -> Measured:
    """Send requests of `length` bytes one by one, get each back; time from send() to the end of recv()."""
    durations = []
    with pair() as (tester, ecu, cleanup):
        thread(answering(ecu, lambda request: request[::-1]), cleanup)
        if busy:
            thread(compute, cleanup)
        end = time.perf_counter() + seconds
        for request in itertools.cycle(payloads(length)):
            start = time.perf_counter_ns()
            tester.send(request)
            answer = tester.recv(block=True, timeout=PATIENCE_S)
            durations.append(time.perf_counter_ns() - start)
            if answer != request[::-1]:
                raise RuntimeError(f"the answer is not the one that was sent: {answer!r:.80}")
            if time.perf_counter() >= end and len(durations) >= 20:
                break
    # The first ones meet cold caches, and threads that begin.
    return microseconds(durations[len(durations) // 10 :])


def stream(pair: Pair, seconds: float) -> Measured:
    """Send messages of 4095 bytes without a pause; time a message."""
    messages = 0
    with pair() as (tester, ecu, _):
        start = time.perf_counter_ns()
        while time.perf_counter_ns() < start + seconds * 1e9:
            for payload in payloads(4095):
                tester.send(payload)
            for payload in payloads(4095):
                if ecu.recv(block=True, timeout=PATIENCE_S) != payload:
                    raise RuntimeError("a message did not arrive as it was sent")
                messages += 1
        return Measured({"us a message": (time.perf_counter_ns() - start) / messages / 1000})


def gaps(make: MakeLayer, stmin: int, gap: float, seconds: float) -> Measured:
    """Time between Consecutive Frames of one message by python-can's time stamps on the other end of the bus."""
    import can

    count = frames_to_send(gap, seconds)
    with ExitStack() as cleanup:
        ours, theirs = (open_bus("timing", cleanup) for _ in range(2))
        layer = running(make(ours, TESTER, cleanup), cleanup)
        layer.send(bytes(6 + 7 * count))
        next_frame(theirs)
        theirs.send(can.Message(arbitration_id=0x7E8, data=[0x30, 0, stmin], is_extended_id=False))
        times = [round(next_frame(theirs).timestamp * 1e9) for _ in range(count)]
    return beyond(gap, differences(times))


def gaps_without_bus(stmin: int, gap: float, seconds: float) -> Measured:
    """The same with a txfn that notes the time, and nothing else: the layer's own share of a gap."""
    count = frames_to_send(gap, seconds)
    times: list[int] = []
    all_sent = threading.Event()
    to_layer: queue.Queue[isotp.CanMessage] = queue.Queue()

    def rxfn(timeout: float) -> isotp.CanMessage | None:
        try:
            return to_layer.get(timeout=max(timeout, 0.0))
        except queue.Empty:
            return None

    def txfn(message: isotp.CanMessage) -> None:
        if message.data[0] >> 4 == 1:
            to_layer.put(isotp.CanMessage(0x7E8, 3, bytes([0x30, 0, stmin])))
            return
        times.append(time.perf_counter_ns())
        if len(times) == count:
            all_sent.set()

    with ExitStack() as cleanup:
        layer = running(isotp.TransportLayer(rxfn, txfn, TESTER, raise_error), cleanup)
        layer.send(bytes(6 + 7 * count))
        if not all_sent.wait(PATIENCE_S + 2 * count * gap):
            raise RuntimeError(f"only {len(times)} of {count} frames were sent")
    return beyond(gap, differences(times))


def frames_to_send(gap: float, seconds: float) -> int:
    return max(20, min(round(seconds / gap), 2000))


def next_frame(bus: can.BusABC) -> can.Message:
    message = bus.recv(PATIENCE_S)
    if message is None:
        raise RuntimeError("the layer sent no frame")
    return message


def differences(times: Sequence[int]) -> list[int]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


IDLE_STACKS = 100


def own_buses(cleanup: ExitStack) -> None:
    """Start a CanStack for each of many pairs of identifiers, each on a bus of its own, on one channel."""
    for k in range(IDLE_STACKS):
        running(can_stack(open_bus("timing", cleanup), pair_of_identifiers(k), cleanup), cleanup)


def one_notifier(cleanup: ExitStack) -> None:
    """Start as many NotifierBasedCanStacks, all on one bus and one notifier."""
    import can

    bus = open_bus("timing", cleanup)
    notifier = can.Notifier(bus, [])
    cleanup.callback(notifier.stop)
    for k in range(IDLE_STACKS):
        running(isotp.NotifierBasedCanStack(bus, notifier, address=pair_of_identifiers(k)), cleanup)


def one_hub(cleanup: ExitStack) -> None:
    """Start as many sessions of a Hub; for can-isotp, which has none, its NotifierBasedCanStacks."""
    if not hasattr(isotp, "Hub"):
        one_notifier(cleanup)
        return
    hub = isotp.Hub(open_bus("timing", cleanup))
    cleanup.callback(hub.close)
    for k in range(IDLE_STACKS):
        hub.session(address=pair_of_identifiers(k)).start()


def pair_of_identifiers(k: int) -> isotp.Address:
    return isotp.Address(isotp.AddressingMode.Normal_29bits, txid=0x1000 + k, rxid=0x2000 + k)


def idle(start_all: Callable[[ExitStack], None], seconds: float) -> Measured:
    """Percent of a core, and threads, of started layers that nobody talks to."""
    with ExitStack() as cleanup:
        start_all(cleanup)
        time.sleep(min(seconds, 1.0))
        cpu, start = time.process_time_ns(), time.perf_counter_ns()
        time.sleep(2 * seconds)
        share = (time.process_time_ns() - cpu) / (time.perf_counter_ns() - start)
        return Measured({"% of a core": 100 * share, "threads": threading.active_count() - 1})


DATA_IDENTIFIER = 0xF190
VIN = "WVWZZZ1JZXW000001"


def read_data_by_identifier(
    make: MakeLayer,
    seconds: float,
    open_buses: Callable[[ExitStack], Sequence[can.BusABC]] = two_buses,
) -> Measured:
    """udsoncan's client reads a VIN from an ECU again and again; time a read."""
    # Only this case needs udsoncan.
    import udsoncan
    from udsoncan.client import Client
    from udsoncan.connections import PythonIsoTpConnection

    config = {"data_identifiers": {DATA_IDENTIFIER: udsoncan.AsciiCodec(len(VIN))}}
    durations = []
    with ExitStack() as cleanup:
        buses = open_buses(cleanup)
        ecu = running(make(buses[0], ECU, cleanup), cleanup)
        thread(answering(ecu, lambda request: bytes([0x62, *request[1:]]) + VIN.encode()), cleanup)
        # The connection starts and stops its layer itself.
        connection = PythonIsoTpConnection(make(buses[1], TESTER, cleanup))
        client = cleanup.enter_context(Client(connection, config=config))
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(durations) < 20:
            start = time.perf_counter_ns()
            response = client.read_data_by_identifier(DATA_IDENTIFIER)
            durations.append(time.perf_counter_ns() - start)
            if response.service_data.values[DATA_IDENTIFIER] != VIN:
                raise RuntimeError(f"the ECU's answer is not its VIN: {response!r}")
    return microseconds(durations[len(durations) // 10 :], ("p50", "p99", "mean"))


def started(
    name: str,
    group: str,
    meaning: str,
    measure: Callable[[float], Measured],
    mode: str = FULL,
    needs: tuple[str, ...] = ("can",),
) -> Case:
    """Return a case that both packages measure in the same way."""

    def observe(stage: Stage, seconds: float) -> Measured:
        return measure(seconds)

    role = Observed(observe, needs)
    return Case(name, group, meaning, {"ours": role, "peer": role}, mode=mode, pinned=False)


def cases() -> Iterator[Case]:
    """Yield every case."""
    for layer, make in MAKERS.items():
        first = make is can_stack
        for length in (8, 4095):
            yield started(
                f"exchange-{length}-{layer}",
                "latency",
                f"A request of {length} bytes and its answer, BS 8: how long does a user wait for an ECU's answer?",
                partial(exchange, partial(tester_and_ecu, make), length, False),
                mode=QUICK if length == 8 else FULL,
            )
        yield started(
            f"exchange-8-busy-{layer}",
            "latency",
            "The same with 8 bytes, while another thread of the program computes in Python.",
            partial(exchange, partial(tester_and_ecu, make), 8, True),
            mode=FULL if first else ALL,
        )
        yield started(
            f"stream-4095-{layer}",
            "latency",
            "Messages of 4095 bytes one after the other, BS 8: how fast can an ECU be flashed?",
            partial(stream, partial(tester_and_ecu, make)),
            mode=QUICK if first else FULL,
        )
        yield started(
            f"udsoncan-{layer}",
            "latency",
            "udsoncan reads a VIN in a loop: what of it all does a tester feel?",
            partial(read_data_by_identifier, make),
            mode=QUICK if first else FULL,
            needs=("can", "udsoncan"),
        )
    for stmin, gap in ((5, 0.005), (1, 0.001), (0xF5, 0.0005), (0xF1, 0.0001)):
        text = f"STmin {gap * 1e6:g} us"
        yield started(
            f"stmin-{gap * 1e6:g}-txfn",
            "STmin",
            f"{text}, with a txfn that costs nothing: the layer's own share of the gap between two frames.",
            partial(gaps_without_bus, stmin, gap),
            mode=QUICK if stmin in (1, 0xF1) else FULL,
        )
        for layer, make in MAKERS.items():
            yield started(
                f"stmin-{gap * 1e6:g}-{layer}",
                "STmin",
                f"{text}: no gap may be shorter for the receiver, each microsecond more is lost.",
                partial(gaps, make, stmin, gap),
                mode=FULL if gap in (0.001, 0.0005) else ALL,
            )
    for name, start_all in (
        ("CanStack", own_buses),
        ("NotifierBasedCanStack", one_notifier),
        ("Hub", one_hub),
    ):
        yield started(
            f"idle-{name}",
            "idle",
            f"{IDLE_STACKS} started layers on one bus, and nothing to do: what do they cost?",
            partial(idle, start_all),
            mode=QUICK if start_all is own_buses else FULL,
        )


CASES = tuple(cases())
