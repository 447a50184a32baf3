"""What is done again and again to see whether anything is left behind: each case gives a function that is one round.

What a case prepares stays; a round ends as it began. Cases with threads are slow, and so there are fewer rounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import ctypes
import gzip
import io
import pickle
import queue
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import isotp
from checks.fuzz import seeds
from isotp import capture
from isotp.params import Params
from isotp.protocol import PDU
from tests.frames import HERE, MS, SECOND, THERE, Bench, Link, counted, frame

Round = Callable[[], object]
PATIENCE = 60.0


class Broken(Exception):
    """What a callback of the user raises."""


def raises(*_: Any) -> Any:
    raise Broken


# ---------------------------------------------------------------- one layer, or two


def loopback(_: ExitStack) -> Round:
    link = Link()

    def one_round() -> None:
        link.here.layer.send(counted(300))
        link.there.layer.send(b"\1\2\3")
        link.run(MS)
        assert len(link.there.received()) == len(link.here.received()) == 1

    return one_round


def loopback_fd(_: ExitStack) -> Round:
    fd = {"tx_data_length": 64, "can_fd": True, "max_frame_size": 10_000, "stmin": 1}
    link = Link(params_here=fd, params_there=fd)

    def one_round() -> None:
        link.here.layer.send(bytearray(5000))
        link.run(MS)
        assert len(link.there.received()) == 1

    return one_round


def errors(_: ExitStack) -> Round:
    """Each kind of bad frame, with a handler."""
    bench = Bench(max_frame_size=100)
    bad = [
        "",
        "00",
        "40",
        "10",
        "10 00 00",
        "21 01",
        "0F 01",
        "30 00 80",
        "33 00 00",
        "11 00 01 02 03 04 05 06",
        "32 00 00",
    ]

    def one_round() -> None:
        bench.hear(*bad, "10 0A 01 02 03 04 05 06", "22 01", "10 0A 01 02 03 04 05 06", "02 01 02")
        bench.sent()
        assert len(bench.complaints()) > len(bad)
        bench.received()

    return one_round


def timeouts(_: ExitStack) -> Round:
    bench = Bench(wftmax=1)

    def one_round() -> None:
        bench.hear("10 0A 01 02 03 04 05 06")
        bench.wait(2 * SECOND)
        bench.run()
        bench.say(counted(20))
        bench.hear("31 00 00", "31 00 00")
        bench.say(counted(20))
        bench.wait(2 * SECOND)
        bench.run()
        assert len(bench.complaints()) == 3

    return one_round


def callbacks_that_raise(_: ExitStack) -> Round:
    """rxfn, txfn, the error handler, on_message, receive_into and a generator raise, one after the other."""
    bench = Bench()
    layer = bench.layer
    transmit = layer.txfn

    def run(*frames: str) -> None:
        with contextlib.suppress(Broken):
            bench.hear(*frames)

    def one_round() -> None:
        layer.error_handler = raises
        run("40 00")
        layer.error_handler = None
        layer.on_message = raises
        run("02 01 02")
        layer.on_message = None
        layer.receive_into = raises
        run("10 0A 01 02 03 04 05 06")
        layer.receive_into = None
        layer.txfn = raises
        layer.send(b"\1")
        run()
        layer.txfn = transmit
        layer.send((map(raises, range(9)), 9))
        run()
        layer.error_handler = bench.errors.append
        bench.arrive("02 01 02")
        run()
        layer.reset()
        bench.incoming.clear()
        bench.sent()
        bench.complaints()

    return one_round


def generators(_: ExitStack) -> Round:
    """Payloads by generator: whole, too short, no bytes; and from a file."""
    link = Link(params_here={"blocking_send": False})

    def numbers(size: int) -> Iterator[int]:
        yield from bytes(size)

    def one_round() -> None:
        send = link.here.layer.send
        send((numbers(100), 100))
        link.run(MS)
        send((io.BytesIO(counted(600)), 600))
        link.run(MS)
        assert len(link.there.received()) == 2
        for payload in ((numbers(10), 30), (iter("ab"), 2), (numbers(0), 5)):
            send(payload)
            with contextlib.suppress(TimeoutError):
                link.run(100 * MS, rounds=30)
        with contextlib.suppress(ValueError):
            send("text")
        link.here.layer.reset()
        link.there.layer.reset()
        link.here.complaints()
        link.there.complaints()

    return one_round


def into_memory(_: ExitStack) -> Round:
    """receive_into: a buffer, a file, one that is too small."""
    bench = Bench(max_frame_size=100_000)
    targets = deque([bytearray(700), io.BytesIO(), bytearray(5)])

    def target(size: int) -> Any:
        return copy.copy(targets[0])

    bench.layer.receive_into = target
    payload = counted(700)
    frames = [f"12 BC {payload[:6].hex(' ')}"]
    frames += [
        f"2{k & 15:X} {payload[place : place + 7].hex(' ')}" for k, place in enumerate(range(6, 700, 7), 1)
    ]

    def one_round() -> None:
        targets.rotate()
        with contextlib.suppress(ValueError, TypeError):
            bench.hear(*frames)
        bench.layer.reset()
        bench.incoming.clear()
        bench.sent()
        bench.complaints()
        while bench.layer.recv() is not None:
            pass

    return one_round


def settings(_: ExitStack) -> Round:
    bench = Bench()
    layer = bench.layer

    def one_round() -> None:
        layer.params.set("blocksize", 3)
        with contextlib.suppress(ValueError):
            layer.params.set("stmin", 256)
        layer.params = Params()
        layer.load_params()
        layer.set_address(THERE)
        layer.set_address(HERE)
        layer.receive_also([THERE])
        layer.receive_also([])
        repr(layer)
        layer.send(counted(50))
        layer.stop_sending()
        layer.deadline_ns()
        layer.process()
        layer.reset()
        bench.sent()

    return one_round


def layers(_: ExitStack) -> Round:
    """They are made and given up in the middle of messages, each in a cycle with its callbacks."""

    def one_round() -> None:
        bench = Bench()
        bench.hear("10 0A 01 02 03 04 05 06")
        bench.say(counted(100))
        with contextlib.suppress(ValueError):
            Bench(blocksize=-1)

    return one_round


def vocabulary(_: ExitStack) -> Round:
    """Addresses, frames and N_PDUs, made and refused, copied and pickled."""

    def one_round() -> None:
        address = isotp.Address(
            isotp.AddressingMode.Mixed_29bits, target_address=1, source_address=2, address_extension=3
        )
        pickle.loads(
            pickle.dumps(
                isotp.AsymmetricAddress(
                    isotp.Address(txid=1, tx_only=True), isotp.Address(rxid=2, rx_only=True)
                )
            )
        )
        hash(address)
        with contextlib.suppress(ValueError):
            isotp.Address(txid=0x800, rxid=1)
        message = isotp.CanMessage(0x123, data=bytearray(64), is_fd=True)
        message.data = bytes(70)
        copy.copy(message)
        message.arbitration_id = "nonsense"  # type: ignore[assignment]
        with contextlib.suppress(ValueError):
            PDU(message)
        pdu = PDU(frame("10 0A 01 02 03 04 05 06"))
        repr((pdu, pdu.data, pdu.length))
        with contextlib.suppress(ValueError):
            PDU(frame("40"))

    return one_round


# ---------------------------------------------------------------- threads, hubs, asyncio


class Wires:
    """Two started layers, with queues for a bus."""

    def __init__(self, stack: ExitStack) -> None:
        self.queues: list[queue.Queue[isotp.CanMessage]] = [queue.Queue(), queue.Queue()]
        self.layers = [
            isotp.TransportLayer(self.reader(k), self.queues[1 - k].put, address, lambda _: None)
            for k, address in enumerate((HERE, THERE))
        ]

    def reader(self, number: int) -> Callable[[float], isotp.CanMessage | None]:
        def read(timeout: float) -> isotp.CanMessage | None:
            try:
                return self.queues[number].get(timeout=timeout)
            except queue.Empty:
                return None

        return read


def started(stack: ExitStack) -> Round:
    """Two layers with threads send to each other."""
    wires = Wires(stack)
    for layer in wires.layers:
        layer.start()
        stack.callback(layer.stop)

    def one_round() -> None:
        for layer in wires.layers:
            layer.send(counted(100))
        for layer in wires.layers:
            assert layer.recv(block=True, timeout=PATIENCE) == counted(100)
            assert layer.recv(block=True, timeout=0) is None

    return one_round


def started_and_stopped(stack: ExitStack) -> Round:
    wires = Wires(stack)

    def one_round() -> None:
        for layer in wires.layers:
            layer.start()
        wires.layers[0].send(counted(50))
        assert wires.layers[1].recv(block=True, timeout=PATIENCE) == counted(50)
        for layer in wires.layers:
            layer.stop()

    return one_round


def virtual_buses(stack: ExitStack) -> list[Any]:
    import can

    # By its own name no other process, and no other case, is on it.
    return [stack.enter_context(can.Bus(interface="virtual", channel="leaks")) for _ in range(2)]


def can_stacks(stack: ExitStack) -> Round:
    buses = virtual_buses(stack)

    def one_round() -> None:
        stacks = [
            isotp.CanStack(bus, address=address) for bus, address in zip(buses, (HERE, THERE), strict=True)
        ]
        stacks[0].send(counted(100))
        while (payload := stacks[1].recv()) is None:
            for each in stacks:
                each.process()
        assert payload == counted(100)
        for bus in buses:
            while bus.recv(0) is not None:
                pass

    return one_round


def hub(stack: ExitStack) -> Round:
    """Sessions of two hubs come and go, while others stay."""
    here, there = (stack.enter_context(isotp.Hub(bus)) for bus in virtual_buses(stack))
    for each in (here, there):
        each.session(isotp.Address(txid=0x700, rxid=0x701)).start()

    def one_round() -> None:
        near, far = here.session(HERE), there.session(THERE)
        near.start()
        far.start()
        near.send(counted(100))
        assert far.recv(block=True, timeout=PATIENCE) == counted(100)
        near.stop()
        far.stop()

    return one_round


def asyncio_layers(stack: ExitStack) -> Round:
    """Two layers of one loop send to each other; a task that waits is cancelled."""
    from isotp import aio

    buses = virtual_buses(stack)
    loop = stack.enter_context(contextlib.closing(asyncio.new_event_loop()))
    layers = contextlib.AsyncExitStack()

    async def begin() -> list[aio.Layer]:
        return [
            await layers.enter_async_context(aio.Layer(bus, address))
            for bus, address in zip(buses, (HERE, THERE), strict=True)
        ]

    async def talk(near: aio.Layer, far: aio.Layer) -> None:
        sending = asyncio.ensure_future(near.send(counted(100)))
        assert await far.recv() == counted(100)
        await sending
        waiting = asyncio.ensure_future(far.recv())
        await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting

    near, far = loop.run_until_complete(begin())
    stack.callback(lambda: loop.run_until_complete(layers.aclose()))
    return lambda: loop.run_until_complete(talk(near, far))


# ---------------------------------------------------------------- many frames at once


def records() -> isotp.Records:
    """Messages both ways, whole and broken."""
    made = isotp.encode([counted(300), counted(5), counted(40)], HERE, flow_control=True, start=SECOND)
    return isotp.Records.from_buffer(bytes(made) + bytes(made[:20]), made.layout)


def reassembler(_: ExitStack) -> Round:
    frames = records()
    feeder = isotp.Reassembler([HERE])
    # Refused when memory for both was taken: no CAN ID is used with an extension byte and without
    given_up = isotp.Address(isotp.AddressingMode.Mixed_11bits, txid=0x123, rxid=0x457, address_extension=1)

    def one_round() -> None:
        assert len(feeder.feed(frames)) >= 3
        with contextlib.suppress(ValueError):
            feeder.feed(b"12345", "classic")
        with contextlib.suppress(TypeError):
            feeder.feed(None)  # type: ignore[arg-type]
        with contextlib.suppress(ValueError):
            isotp.Reassembler([HERE, HERE])
        with contextlib.suppress(ValueError):
            isotp.Reassembler([HERE, given_up])
        feeder.flush()
        feeder.statistics()

    return one_round


def tables(_: ExitStack) -> Round:
    """Records and Messages: slices, columns, pickles, and the tables of other libraries as far as they are there."""
    frames = records()
    table = isotp.Reassembler([HERE]).feed(frames)
    conversions = []
    for name, module in (
        ("to_numpy", "numpy"),
        ("to_arrow", "pyarrow"),
        ("to_polars", "polars"),
        ("to_pandas", "pandas"),
    ):
        with contextlib.suppress(ImportError):
            __import__(module)
            conversions.append(name)

    def one_round() -> None:
        list(frames[::3])
        copied = isotp.Records("classic", 4)
        copied.extend(frames[:9])
        copied.append(1, 2, b"\3")
        with memoryview(copied) as view, contextlib.suppress(BufferError):
            assert len(view)
            copied.extend(isotp.Records.from_buffer(bytes(24 * 1000), "classic"))
        named = [table.with_channels({0: name}) for name in ("body", "drive")]
        pickle.loads(pickle.dumps((frames, table, *named), 5))
        isotp.Messages.concat(named).channel_name(0)
        isotp.Messages.concat([table[::-1], table.filter(status=0)]).payloads.clear()
        list(table)
        for name in conversions:
            getattr(table, name)()
        rebuild, (sessions, count, buffers) = table.__reduce_ex__(2)
        with contextlib.suppress(ValueError):
            rebuild(sessions, count, [*buffers[:-1], b"damaged"])

    return one_round


def captures(_: ExitStack) -> Round:
    """Logs of each format, whole, damaged, packed and given up in the middle."""
    logs = []
    for name in ("candump", "asc", "pcap"):
        logs += [(name, each[16:]) for each in seeds.load(name)]
    logs += [("blf", b"LOGG" + each[16:]) for each in seeds.load("blf")]
    packed = gzip.compress(logs[0][1])
    logs += [("candump", packed)] * 4 + [("candump", packed[:-6])] * 4

    def one_round() -> None:
        for name, log in logs[::4]:
            for piece in capture.open(io.BytesIO(log), format=name):
                len(piece)
        with capture.open(io.BytesIO(logs[0][1]), format="candump"):
            pass
        with contextlib.suppress(capture.UnknownFormatError):
            capture.open(io.BytesIO(b"nonsense"))

    return one_round


def discovery(_: ExitStack) -> Round:
    frames = records()

    def one_round() -> None:
        isotp.discover(frames, min_score=0)
        with contextlib.suppress(ValueError):
            isotp.discover(frames, min_score=2)

    return one_round


def encode(_: ExitStack) -> Round:
    payloads = [counted(300), counted(3)]

    def one_round() -> None:
        isotp.encode(payloads, HERE, flow_control=True)
        with contextlib.suppress(ValueError):
            isotp.encode([*payloads, b""], HERE)
        with contextlib.suppress(TypeError):
            isotp.encode([counted(300), 7], HERE)  # type: ignore[list-item]

    return one_round


# ---------------------------------------------------------------- leaks on purpose: the check has to see them


def leaked_object(_: ExitStack) -> Round:
    return lambda: ctypes.pythonapi.Py_IncRef(ctypes.py_object(object()))


def leaked_reference(_: ExitStack) -> Round:
    """To an object that lives anyway."""
    return lambda: ctypes.pythonapi.Py_IncRef(ctypes.py_object(HERE))


def leaked_memory(_: ExitStack) -> Round:
    ctypes.pythonapi.PyMem_RawMalloc.restype = ctypes.c_void_p
    return lambda: ctypes.pythonapi.PyMem_RawMalloc(ctypes.c_size_t(64))


def kept_list(_: ExitStack) -> Round:
    kept: list[list[int]] = []
    return lambda: kept.append([1])


ON_PURPOSE = (leaked_object, leaked_reference, leaked_memory, kept_list)
QUICK = (
    *ON_PURPOSE,
    *(
        loopback,
        loopback_fd,
        errors,
        timeouts,
        callbacks_that_raise,
        generators,
        into_memory,
        settings,
        layers,
        vocabulary,
    ),
    *(reassembler, tables, captures, discovery, encode),
)
SLOW = (started, can_stacks, hub, asyncio_layers)
SLOWEST = (started_and_stopped,)
CASES = {case.__name__: case for case in (*SLOWEST, *SLOW, *QUICK)}
