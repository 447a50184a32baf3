"""SocketCanStack on a real kernel: what CanStack's tests ask, and what only a raw socket can do."""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import can
import pytest

import isotp
from isotp import Address, AddressingMode
from tests.kernel.ends import make_room, run

if TYPE_CHECKING:
    from conftest import FullQueue, RawBus, SystemCalls

pytestmark = pytest.mark.kernel

# No time-out is part of what is tested here unless a test says so: this one only ends a test that failed.
PATIENCE = 20.0
LONG = bytes(range(256)) * 3
HERE = Address(AddressingMode.Normal_11bits, txid=0x456, rxid=0x123)
THERE = Address(AddressingMode.Normal_11bits, txid=0x123, rxid=0x456)
FD = {"can_fd": True, "tx_data_length": 64}

MakeStack = Callable[..., Any]


@pytest.fixture
def make_raw(cleanup: ExitStack) -> MakeStack:
    """A function that makes a SocketCanStack."""

    def make(address: Address = HERE, interface: str = "vcan0", **kwargs: Any) -> isotp.SocketCanStack:
        return cleanup.enter_context(isotp.SocketCanStack(interface, address=address, **kwargs))

    return make


@pytest.fixture
def make_python_can(cleanup: ExitStack) -> MakeStack:
    """A function that makes a CanStack on python-can's SocketCAN bus."""

    def make(address: Address = HERE, interface: str = "vcan0", **kwargs: Any) -> isotp.CanStack:
        bus = cleanup.enter_context(can.Bus(interface="socketcan", channel=interface, fd=True))
        stack = isotp.CanStack(bus, address=address, **kwargs)
        cleanup.callback(stack.stop)
        return stack

    return make


@pytest.fixture(params=["SocketCanStack", "CanStack"])
def make_stack(request: pytest.FixtureRequest, make_raw: MakeStack, make_python_can: MakeStack) -> MakeStack:
    """Either: what they do is the same."""
    return make_raw if request.param == "SocketCanStack" else make_python_can


class Errors(list[Exception]):
    """An error handler that can be waited for."""

    def __init__(self) -> None:
        self.told = threading.Event()

    def __call__(self, error: Exception) -> None:
        self.append(error)
        self.told.set()


def switches(stack: isotp.SocketCanStack) -> int:
    """How often the layer's thread has gone to sleep: once for each time that it was woken."""
    assert stack.main_thread is not None
    status = Path(f"/proc/self/task/{stack.main_thread.native_id}/status").read_text()
    found = re.search(r"^voluntary_ctxt_switches:\s*(\d+)$", status, re.MULTILINE)
    assert found is not None
    return int(found[1])


def settle(stack: isotp.SocketCanStack) -> int:
    """Wait until the layer's thread sleeps; return switches()."""
    assert stack.main_thread is not None
    stat = Path(f"/proc/self/task/{stack.main_thread.native_id}/stat")
    while stat.read_text().rpartition(")")[2].split()[0] != "S":
        time.sleep(0.001)
    return switches(stack)


# --- As CanStack --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("params", [{}, FD, {"blocksize": 3}], ids=["classic", "fd", "bs3"])
def test_payloads_go_both_ways(make_stack: MakeStack, make_raw: MakeStack, params: dict[str, Any]) -> None:
    here, there = make_stack(HERE, params=params), make_raw(THERE, params=params)
    here.start()
    there.start()
    for payload in (b"x", LONG, bytes(4095)):
        here.send(payload)
        assert there.recv(block=True, timeout=PATIENCE) == payload
        there.send(payload[::-1])
        assert here.recv(block=True, timeout=PATIENCE) == payload[::-1]


def test_both_directions_at_once(make_stack: MakeStack, make_raw: MakeStack) -> None:
    here, there = make_stack(HERE), make_raw(THERE)
    here.start()
    there.start()
    for turn in range(5):
        here.send(LONG + bytes([turn]))
        there.send(LONG[::-1] + bytes([turn]))
    for turn in range(5):
        assert there.recv(block=True, timeout=PATIENCE) == LONG + bytes([turn])
        assert here.recv(block=True, timeout=PATIENCE) == LONG[::-1] + bytes([turn])


def test_polled(make_stack: MakeStack, make_raw: MakeStack) -> None:
    here, there = make_stack(HERE), make_raw(THERE)
    here.send(LONG)
    there.send(LONG[::-1])
    until = time.monotonic() + PATIENCE
    while not (here.available() and there.available()) or here.transmitting() or there.transmitting():
        assert time.monotonic() < until
        here.process()
        there.process()
    assert there.recv() == LONG
    assert here.recv() == LONG[::-1]


def test_polled_with_select(make_raw: MakeStack) -> None:
    """The descriptor is readable exactly while there are frames for the layer: no pass is in vain."""
    here, there = make_raw(HERE, params={"blocksize": 4}), make_raw(THERE, params={"blocksize": 4})
    layers = {here.fileno(): here, there.fileno(): there}
    there.send(LONG)
    there.process()
    passes = []
    while not here.available():
        readable, _, _ = select.select(layers, [], [], PATIENCE)
        assert readable
        passes += [layers[descriptor].process() for descriptor in readable]
    assert here.recv() == LONG
    assert all(each.received > 0 for each in passes)
    assert select.select(layers, [], [], 0)[0] == []


def test_polling_waits_as_long_as_it_is_told(make_raw: MakeStack, bus: RawBus) -> None:
    stack = make_raw()
    sender = threading.Timer(0.05, bus.send, ["123#0144"])
    sender.start()
    passes = 0
    while not stack.available():
        stack.process(rx_timeout=1)
        passes += 1
    sender.join()
    assert stack.recv() == b"\x44"
    assert passes == 1


def test_blocking_send(make_stack: MakeStack, make_raw: MakeStack) -> None:
    here, there = make_stack(HERE, params={"blocking_send": True}), make_raw(THERE)
    here.start()
    there.start()
    here.send(LONG, send_timeout=PATIENCE)
    assert not here.transmitting()
    assert there.recv(block=True, timeout=PATIENCE) == LONG


FIXED = Address(AddressingMode.NormalFixed_29bits, target_address=0x33, source_address=0xF1)
EXTENDED = Address(
    AddressingMode.Extended_11bits, txid=0x456, rxid=0x123, target_address=0x55, source_address=0xAA
)


@pytest.mark.parametrize("started", [False, True], ids=["polled", "started"])
@pytest.mark.parametrize(
    ("address", "params", "expected"),
    [
        (HERE, {}, "456#03616263AAAAAAAA"),
        (HERE, {**FD, "tx_data_min_length": 12}, "456##00003616263AAAAAAAAAAAAAA"),
        (HERE, {"can_fd": True, "bitrate_switch": True}, "456##103616263AAAAAAAA"),
        (FIXED, {}, "18DA33F1#03616263AAAAAAAA"),
        (EXTENDED, {}, "456#5503616263AAAAAA"),
    ],
    ids=["classic", "fd", "fd_brs", "29bits", "extended"],
)
def test_what_is_on_the_bus(
    make_stack: MakeStack, bus: RawBus, address: Address, params: dict[str, Any], expected: str, started: bool
) -> None:
    stack = make_stack(address, params={"tx_padding": 0xAA, **params})
    if started:
        stack.start()
    stack.send(b"abc")
    if not started:
        stack.process()
    assert bus.recv() == expected


def test_flags_of_received_frames(make_stack: MakeStack, bus: RawBus) -> None:
    """A 29-bit frame with the right number is not ours, and one of 64 bytes (CAN FD) is read as such."""
    stack = make_stack()
    stack.start()
    bus.send("00000123#03626164", "123##1003E" + LONG[:62].hex())
    assert stack.recv(block=True, timeout=PATIENCE) == LONG[:62]
    assert not stack.available()


class AskedForEachFrame(Address):
    """A user's class of address, which the kernel cannot filter for."""

    def is_for_me(self, msg: isotp.CanMessage) -> bool:
        return msg.arbitration_id & 0x7FF == 0x123


@pytest.mark.parametrize(
    "address", [HERE, AskedForEachFrame(txid=0x456, rxid=0x123)], ids=["filtered", "asked"]
)
def test_remote_frames_are_ignored(make_stack: MakeStack, bus: RawBus, address: Address) -> None:
    errors = Errors()
    stack = make_stack(address, error_handler=errors)
    stack.start()
    remote = 0x4000_0123
    for _ in range(3):
        bus.socket.send(remote.to_bytes(4, sys.byteorder) + bytes([8]) + bytes(11))
    bus.send("123#0164")
    assert stack.recv(block=True, timeout=PATIENCE) == b"d"
    assert errors == []


def test_functional_and_physical(make_stack: MakeStack, bus: RawBus) -> None:
    stack = make_stack()
    stack.receive_also(
        [Address(rxid=0x7DF, rx_only=True), Address(AddressingMode.Normal_29bits, rxid=0x123, rx_only=True)]
    )
    stack.start()
    bus.send("7DF#023E00", "00000123#0129", "123#0111", "124#01FF")
    for expected in (b"\x3e\x00", b"\x29", b"\x11"):
        assert stack.recv(block=True, timeout=PATIENCE) == expected
    stack.send(b"yes")
    assert bus.recv() == "456#03796573"
    stack.receive_also([])
    bus.send("7DF#023E00", "123#0112")
    assert stack.recv(block=True, timeout=PATIENCE) == b"\x12"
    assert not stack.available()


def test_address_with_rules_of_its_own(make_stack: MakeStack, bus: RawBus) -> None:
    class AnyOfABlock(Address):
        def is_for_me(self, msg: isotp.CanMessage) -> bool:
            return not msg.is_extended_id and msg.arbitration_id & 0x7F0 == 0x520

    stack = make_stack(AnyOfABlock(txid=0x100, rxid=0x101))
    stack.start()
    bus.send("51F#011F", "520#0120", "00000520#01EE", "52F#012F", "101#0101", "525#0125")
    received = [stack.recv(block=True, timeout=PATIENCE) for _ in range(3)]
    assert received == [b"\x20", b"\x2f", b"\x25"]
    assert not stack.available()


def test_set_address(make_stack: MakeStack, bus: RawBus) -> None:
    stack = make_stack()
    stack.start()
    stack.set_address(Address(txid=0x457, rxid=0x124))
    bus.send("123#0101", "124#0102")
    assert stack.recv(block=True, timeout=PATIENCE) == b"\x02"
    assert not stack.available()
    stack.send(b"\x03")
    assert bus.recv() == "457#0103"
    with pytest.raises(ValueError, match="address"):
        stack.set_address("124")
    bus.send("124#0104")
    assert stack.recv(block=True, timeout=PATIENCE) == b"\x04"


def test_start_stop_and_again(make_stack: MakeStack, make_raw: MakeStack) -> None:
    here, there = make_stack(HERE), make_raw(THERE)
    there.start()
    for turn in range(3):
        here.start()
        with pytest.raises(RuntimeError):
            here.start()
        here.send(LONG + bytes([turn]))
        assert there.recv(block=True, timeout=PATIENCE) == LONG + bytes([turn])
        there.send(LONG[turn:])
        assert here.recv(block=True, timeout=PATIENCE) == LONG[turn:]
        here.stop()
        here.stop()
        assert not here.started


def test_callback_that_stops_its_own_layer(make_stack: MakeStack, bus: RawBus) -> None:
    """What came after is forgotten, even what was read together with the frame that led to the callback."""
    stopped = threading.Event()

    def stop(error: Exception) -> None:
        stack.stop()
        stopped.set()

    stack = make_stack(error_handler=stop)
    stack.start()
    thread = stack.main_thread
    bus.send("123#21", "123#0101", "123#0102")
    assert stopped.wait(PATIENCE)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not stack.available()
    assert not stack.started


def test_callback_that_raises(make_stack: MakeStack, bus: RawBus) -> None:
    errors = Errors()

    def raise_once(error: Exception) -> None:
        errors(error)
        if not isinstance(error, isotp.CallbackError):
            raise LookupError("a bug of the user's")

    stack = make_stack(error_handler=raise_once)
    stack.start()
    bus.send("123#21", "123#0101")
    assert stack.recv(block=True, timeout=PATIENCE) == b"\x01"
    assert isinstance(errors[0], isotp.UnexpectedConsecutiveFrameError)
    assert isinstance(errors[1].__cause__, LookupError)


# --- Construction and end -----------------------------------------------------------------------------------


def test_arguments() -> None:
    errors = Errors()
    with isotp.SocketCanStack(
        "vcan0", address=HERE, error_handler=errors, params={"stmin": 5}, read_timeout=0.25
    ) as stack:
        assert isinstance(stack, isotp.TransportLayer)
        assert stack.interface == "vcan0"
        assert stack.address is HERE
        assert stack.params.stmin == 5
        assert stack.error_handler is errors
    with pytest.raises(ValueError, match="address"):
        isotp.SocketCanStack("vcan0")
    with pytest.raises(ValueError, match="stmin"):
        isotp.SocketCanStack("vcan0", address=HERE, params={"stmin": "quick"})
    with pytest.raises(TypeError, match="no_such_thing"):
        isotp.SocketCanStack("vcan0", address=HERE, no_such_thing=1)
    with pytest.raises(TypeError):
        isotp.SocketCanStack("vcan0", HERE)
    with pytest.raises(ValueError, match="5"):
        isotp.SocketCanStack(5, address=HERE)


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_unknown_interface() -> None:
    before = descriptors()
    with pytest.raises(OSError, match="nosuchcan7") as refused:
        isotp.SocketCanStack("nosuchcan7", address=HERE)
    assert refused.value.errno == errno.ENODEV
    with pytest.raises(OSError, match="'lo'"):
        isotp.SocketCanStack("lo", address=HERE)
    assert descriptors() == before


def test_nothing_is_left_behind() -> None:
    """Neither after use, nor if the constructor refuses an argument."""
    before, threads = descriptors(), threading.active_count()
    for _ in range(3):
        with isotp.SocketCanStack("vcan0", address=HERE) as stack:
            stack.start()
            assert threading.active_count() == threads + 1
        stack.close()
        with pytest.raises(ValueError, match="address"):
            isotp.SocketCanStack("vcan0", address=None)
    assert descriptors() == before
    assert threading.active_count() == threads
    assert stack.fileno() == -1


def test_closed() -> None:
    """What cannot work any more says so, and the layer is as stopped as it was."""
    with isotp.SocketCanStack("vcan0", address=HERE) as stack:
        stack.start()
    assert not stack.started
    with pytest.raises(OSError, match="vcan0"):
        stack.process()
    with pytest.raises(OSError, match="vcan0"):
        stack.start()
    assert not stack.started


def set_mtu(mtu: str) -> None:
    """Make vcan1 a bus for classic CAN (16) or CAN FD (72); only possible while it is down."""
    run("ip", "link", "set", "vcan1", "down")
    run("ip", "link", "set", "vcan1", "mtu", mtu)
    run("ip", "link", "set", "vcan1", "up")


def test_interface_that_is_down(make_raw: MakeStack) -> None:
    run("ip", "link", "set", "vcan1", "down")
    try:
        failing = make_raw(HERE, interface="vcan1")
        failing.send(b"lost")
        with pytest.raises(OSError, match="ip link set vcan1 up") as refused:
            failing.process()
        assert refused.value.errno == errno.ENETDOWN
    finally:
        run("ip", "link", "set", "vcan1", "up")


def test_fd_frame_on_a_classic_bus(cleanup: ExitStack) -> None:
    set_mtu("16")
    cleanup.callback(set_mtu, "72")
    with isotp.SocketCanStack("vcan1", address=HERE, params={"can_fd": True, "blocking_send": True}) as stack:
        stack.start()
        with pytest.raises(isotp.BlockingSendFailure, match="CAN FD") as failed:
            stack.send(b"abc", send_timeout=PATIENCE)
        assert isinstance(failed.value.__cause__, OSError)


def test_as_an_unprivileged_user() -> None:
    """Neither the socket nor its options need a capability."""
    program = """
import os
from isotp import Address, SocketCanStack, TransportLayer
# What a layer imports when it is made: this user may not read all modules.
TransportLayer(lambda: None, print, Address(txid=1, rxid=2))
os.setgid(65534); os.setuid(65534)
params = {"blocking_send": True}
with SocketCanStack("vcan0", address=Address(txid=1, rxid=2), params=params) as here:
    with SocketCanStack("vcan0", address=Address(txid=2, rxid=1)) as there:
        here.start()
        there.start()
        here.send(bytes(1000), send_timeout=20)
        print(os.getuid(), len(there.recv(block=True, timeout=20)))
"""
    if os.getuid() != 0:
        pytest.skip("this user has no privileges to give up")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "65534 1000\n", "")


# --- Only what it must do -----------------------------------------------------------------------------------


def test_idle_layer_sleeps(make_raw: MakeStack) -> None:
    """No polling: its thread is not woken once in a second without frames."""
    stack = make_raw()
    stack.start()
    before = settle(stack)
    time.sleep(1)
    assert switches(stack) == before


def test_stop_does_not_wait_for_a_time_out(make_raw: MakeStack) -> None:
    """A thread that waits for frames without a limit is woken, however long read_timeout is."""
    stack = make_raw(read_timeout=3600)
    for _ in range(3):
        stack.start()
        thread = stack.main_thread
        settle(stack)
        stack.stop()
        assert not thread.is_alive()


def test_foreign_frames_do_not_wake_it(make_raw: MakeStack, bus: RawBus) -> None:
    stack = make_raw(address=HERE)
    stack.start()
    for address, own, others in (
        (HERE, "123#0101", ("122#0101", "124#0101", "523#0101", "00000123#0101", "456#0101")),
        (FIXED, "18DAF133#0101", ("18DAF132#0101", "18DA33F1#0101", "123#0101", "133#0101")),
    ):
        stack.set_address(address)
        before = settle(stack)
        bus.send(*others * 20)
        assert settle(stack) == before
        bus.send(own)
        assert stack.recv(block=True, timeout=PATIENCE) == b"\x01"
        assert settle(stack) > before


def test_burst_larger_than_a_batch_survives_a_late_reader(
    make_raw: MakeStack, make_python_can: MakeStack
) -> None:
    """A thousand frames in the kernel's queue before the first is read: none is lost."""
    there = make_raw(THERE)
    raw = can.Bus(interface="socketcan", channel="vcan0")
    with raw:
        for k in range(1000):
            data = bytes([3, k & 0xFF, k >> 8, 0])
            raw.send(can.Message(arbitration_id=0x456, data=data, is_extended_id=False))
    there.start()
    for k in range(1000):
        assert there.recv(block=True, timeout=PATIENCE) == bytes([k & 0xFF, k >> 8, 0])


def test_signals_do_not_disturb(make_raw: MakeStack, bus: RawBus) -> None:
    """A handler that runs while the layer is polled and waits; the wait may end early, nothing is lost."""
    seen = []
    previous = signal.signal(signal.SIGALRM, lambda *_: (seen.append(1), bus.send("123#0101")))
    stack = make_raw()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        until = time.monotonic() + PATIENCE
        while not stack.available():
            assert time.monotonic() < until
            stack.process(rx_timeout=0.5)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert seen == [1]
    assert stack.recv() == b"\x01"


# --- Time stamps of the kernel ------------------------------------------------------------------------------


class Holding:
    """An error handler that keeps the layer's thread at its first error until it is let go."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.held = threading.Event()
        self.go = threading.Event()
        self.told = threading.Event()

    def __call__(self, error: Exception) -> None:
        self.errors.append(error)
        if len(self.errors) == 1:
            self.held.set()
            assert self.go.wait(PATIENCE)
        else:
            self.told.set()


# An emulated CPU needs a part of it for the steps of a test; a frame is late after the other.
N_CR_MS, LATE_S = 1500, 2.0
TIMED = {"rx_consecutive_frame_timeout": N_CR_MS, "blocksize": 0}


def begin_late_reception(
    make_raw: MakeStack, bus: RawBus, size: int = 15
) -> tuple[isotp.SocketCanStack, Holding]:
    """A reception has begun, and the reader is held up: by a stray Flow Control, which is an error."""
    handler = Holding()
    stack = make_raw(params=TIMED, error_handler=handler)
    stack.start()
    bus.send(f"123#1{size:03X}010203040506")
    assert bus.recv() == "456#300000"
    bus.send("123#300000")
    assert handler.held.wait(PATIENCE)
    assert isinstance(handler.errors[0], isotp.UnexpectedFlowControlError)
    return stack, handler


def consecutive_frames(message: bytes) -> list[str]:
    """Data of the frames after the First Frame, in hexadecimal."""
    chunks = [message[k : k + 7] for k in range(6, len(message), 7)]
    return [f"2{(k + 1) & 15:X}{chunk.hex().upper()}" for k, chunk in enumerate(chunks)]


@pytest.mark.parametrize("consecutive", [2, 200], ids=["few", "more_than_a_batch"])
def test_frames_in_time_for_a_late_reader(make_raw: MakeStack, bus: RawBus, consecutive: int) -> None:
    message = bytes(k & 0xFF for k in range(1, 6 + 7 * consecutive + 1))
    stack, handler = begin_late_reception(make_raw, bus, len(message))
    bus.send(*(f"123#{data}" for data in consecutive_frames(message)))
    time.sleep(LATE_S)
    handler.go.set()
    assert stack.recv(block=True, timeout=PATIENCE) == message
    assert handler.errors[1:] == []


def test_burst_is_read_by_the_batch(make_raw: MakeStack, bus: RawBus, system_calls: SystemCalls) -> None:
    """Frames that wait in the kernel's queue take a system call for 64 of them, not one for each."""
    message = bytes(k & 0xFF for k in range(1, 4096))
    stack, handler = begin_late_reception(make_raw, bus, len(message))
    frames = consecutive_frames(message)
    bus.send(*(f"123#{data}" for data in frames))
    system_calls.count_of(stack.main_thread.native_id)
    handler.go.set()
    assert stack.recv(block=True, timeout=PATIENCE) == message
    settle(stack)
    counts = system_calls.counts()
    # That many at least show that all were counted; a wait and a hand-over to this thread add a few others.
    assert counts["recvmmsg"] >= len(frames) / 64, counts
    assert sum(counts.values()) < len(frames) / 8, counts


def test_block_is_sent_by_the_batch(make_raw: MakeStack, bus: RawBus, system_calls: SystemCalls) -> None:
    """So do the frames of a block without STmin."""
    message = bytes(k & 0xFF for k in range(1, 4096))
    make_room(bus.socket)
    stack = make_raw()
    stack.start()
    stack.send(message)
    assert bus.recv() == "456#1FFF" + message[:6].hex().upper()
    settle(stack)
    frames = consecutive_frames(message)
    system_calls.count_of(stack.main_thread.native_id)
    bus.send("123#300000")
    sent = [bus.recv() for _ in frames]
    settle(stack)
    counts = system_calls.counts()
    assert sent == [f"456#{data}" for data in frames]
    assert counts["sendmmsg"] >= len(frames) / 64, counts
    assert sum(counts.values()) < len(frames) / 8, counts


@pytest.mark.parametrize("ahead_s", [-(10**6), 10**6])
def test_a_clock_of_its_own(make_raw: MakeStack, bus: RawBus, ahead_s: int) -> None:
    """The kernel's time stamps are on another one: neither does a message time out at once, nor never."""
    errors = Errors()
    stack = make_raw(error_handler=errors, params={"rx_consecutive_frame_timeout": 2000})
    stack.clock = lambda: time.perf_counter_ns() + ahead_s * 10**9
    stack.start()
    bus.send("123#100A000102030405")
    assert bus.recv() == "456#300800"
    bus.send("123#2106070809")
    assert stack.recv(block=True, timeout=PATIENCE) == bytes(range(10))
    assert errors == []
    bus.send("123#100A000102030405")
    assert errors.told.wait(PATIENCE)
    assert [type(error) for error in errors] == [isotp.ConsecutiveFrameTimeoutError]


def test_first_frame_for_a_late_reader(make_raw: MakeStack, bus: RawBus) -> None:
    """N_Cr runs from the Flow Control, not from the First Frame that was read late."""
    handler = Holding()
    stack = make_raw(params=TIMED, error_handler=handler)
    stack.start()
    bus.send("123#21")
    assert handler.held.wait(PATIENCE)
    bus.send("123#100A010203040506")
    time.sleep(LATE_S)
    handler.go.set()
    assert bus.recv() == "456#300000"
    bus.send("123#210708090A")
    assert stack.recv(block=True, timeout=PATIENCE) == bytes(range(1, 11))
    assert handler.errors[1:] == []


def test_late_frames_for_a_late_reader(make_raw: MakeStack, bus: RawBus) -> None:
    """What came too late did, whenever it is read."""
    stack, handler = begin_late_reception(make_raw, bus)
    time.sleep(LATE_S)
    bus.send("123#210708090A0B0C0D", "123#220E0F", "123#0101")
    handler.go.set()
    assert stack.recv(block=True, timeout=PATIENCE) == b"\x01"
    assert isinstance(handler.errors[1], isotp.ConsecutiveFrameTimeoutError)


def test_no_frame_at_all(make_raw: MakeStack, bus: RawBus) -> None:
    errors = Errors()
    stack = make_raw(params={"rx_consecutive_frame_timeout": 30}, error_handler=errors)
    stack.start()
    bus.send("123#100F010203040506")
    assert errors.told.wait(PATIENCE)
    assert isinstance(errors[0], isotp.ConsecutiveFrameTimeoutError)
    # and the other direction: N_Bs
    errors.told.clear()
    stack.params.set("rx_flowcontrol_timeout", 30)
    stack.send(LONG)
    assert errors.told.wait(PATIENCE)
    assert isinstance(errors[1], isotp.FlowControlTimeoutError)


def test_stmin_is_kept(make_raw: MakeStack) -> None:
    """Time stamps of the kernel at the receiver: no two Consecutive Frames come closer than STmin."""
    receiver = can.Bus(interface="socketcan", channel="vcan0")
    here, there = make_raw(HERE), make_raw(THERE, params={"stmin": 3, "blocksize": 0})
    with receiver:
        here.start()
        there.start()
        here.send(bytes(60))
        assert there.recv(block=True, timeout=PATIENCE) == bytes(60)
        frames = [receiver.recv(0) for _ in range(10)]
    assert [frame.data[0] >> 4 for frame in frames] == [1, 3] + [2] * 8
    stamps = [frame.timestamp for frame in frames[2:]]
    assert min(after - before for before, after in pairwise(stamps)) >= 0.003


# --- A full queue -------------------------------------------------------------------------------------------


def test_queue_is_full_as_the_kernel_says(full_queue: FullQueue) -> None:
    """That the set-up is what it claims to be."""
    with can.Bus(interface="socketcan", channel="vcan1") as bus:
        with pytest.raises(can.CanOperationError) as refused:
            bus.send(can.Message(arbitration_id=1, data=b"", is_extended_id=False))
        assert refused.value.error_code == errno.ENOBUFS


@pytest.mark.parametrize("payload", [b"short", LONG], ids=["single_frame", "multi_frame"])
def test_frame_waits_for_room(make_stack: MakeStack, full_queue: FullQueue, payload: bytes) -> None:
    """None is lost and none is sent twice, and the time is well within N_As."""
    errors = Errors()
    here = make_stack(HERE, interface="vcan1", params={"blocking_send": True}, error_handler=errors)
    there = make_stack(THERE, interface="vcan1")
    here.start()
    there.start()
    sender = threading.Thread(target=here.send, args=(payload,), kwargs={"send_timeout": PATIENCE})
    sender.start()
    full_queue.make_room()
    assert there.recv(block=True, timeout=PATIENCE) == payload
    sender.join(PATIENCE)
    assert not sender.is_alive()
    assert not there.available()
    assert errors == []


@pytest.mark.parametrize("payload", [b"short", LONG], ids=["single_frame", "multi_frame"])
def test_gives_up_after_n_as(make_stack: MakeStack, full_queue: FullQueue, payload: bytes) -> None:
    here = make_stack(HERE, interface="vcan1", params={"blocking_send": True})
    there = make_stack(THERE, interface="vcan1")
    here.start()
    there.start()
    began = time.monotonic()
    with pytest.raises(isotp.BlockingSendFailure) as failed:
        here.send(payload, send_timeout=PATIENCE)
    assert time.monotonic() - began >= 1.0
    assert not isinstance(failed.value, isotp.BlockingSendTimeout)
    assert isinstance(failed.value.__cause__, isotp.TransmitTimeoutError)
    driver = failed.value.__cause__.__cause__
    assert errno.ENOBUFS in (getattr(driver, "errno", None), getattr(driver, "error_code", None))
    full_queue.make_room()
    here.send(payload, send_timeout=PATIENCE)
    assert there.recv(block=True, timeout=PATIENCE) == payload


def test_polled_layer_gives_up_after_n_as(make_raw: MakeStack, full_queue: FullQueue) -> None:
    errors = Errors()
    stack = make_raw(interface="vcan1", params={"tx_frame_timeout": 20}, error_handler=errors)
    stack.send(b"lost")
    while stack.transmitting():
        stack.process()
    assert [type(error) for error in errors] == [isotp.TransmitTimeoutError]
    assert "stayed full for 0.02 s" in str(errors[0])
    assert "vcan1" in str(errors[0].__cause__)
    assert errors[0].__cause__.errno == errno.ENOBUFS
    assert not stack.transmitting()
