"""What the engine does for drivers in C: frames by the batch, a port for sending, further addresses.

_socketcan.pyx is that driver. It takes over any datagram socket that carries struct can_frame, so a pair of
Unix sockets is the bus here, and no kernel with CAN is needed. (tests/kernel has the real one.)
"""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import socket
import struct
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import isotp

if sys.platform != "linux":
    pytest.skip("raw CAN sockets are Linux's", allow_module_level=True)

from isotp._core import FramePort
from isotp._socketcan import CanSocket, SocketPort

HERE = isotp.Address(txid=0x123, rxid=0x456)
CTS = "30 00 00"
EFF, FDF, BRS = 0x8000_0000, 0x04, 0x01


class Wire:
    """The far end of the bus: frames as bytes, classic ones of 16 bytes and CAN FD ones of 72."""

    def __init__(self, far: socket.socket) -> None:
        self.far = far
        far.settimeout(10)

    def put(self, data: str, can_id: int = 0x456, flags: int | None = None) -> None:
        payload = bytes.fromhex(data)
        room = 8 if flags is None else 64
        self.far.send(struct.pack(f"=IBBxx{room}s", can_id, len(payload), flags or 0, payload))

    def take(self) -> tuple[int, str, int]:
        frame = self.far.recv(72)
        can_id, size, flags = struct.unpack_from("=IBB", frame)
        return can_id, frame[8 : 8 + size].hex(" ").upper(), len(frame) if len(frame) == 16 else flags

    def take_data(self) -> str:
        return self.take()[1]


@pytest.fixture
def bus() -> Iterator[tuple[CanSocket, Wire]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    can = CanSocket("wire", near)
    yield can, Wire(far)
    can.close()
    far.close()


class Native(isotp.TransportLayer):
    """A layer on a CanSocket, driven by the test itself."""

    def __init__(self, can: CanSocket, **kwargs: Any) -> None:
        self.can = can
        self.errors: list[isotp.IsoTpError] = []
        kwargs = {"address": HERE, "error_handler": self.errors.append, **kwargs}
        super().__init__(rxfn=can.receive, txfn=can.send, **kwargs)
        self._port = SocketPort(can)

    def _start_reading(self) -> None:
        pass

    def _stop_reading(self) -> None:
        pass

    def read(self) -> int:
        return self.can.receive_for(self, 10.0)


@pytest.fixture
def native(bus: tuple[CanSocket, Wire]) -> Iterator[Callable[..., tuple[Native, Wire]]]:
    layers = []

    def make(**kwargs: Any) -> tuple[Native, Wire]:
        layer = Native(bus[0], **kwargs)
        layer.start()
        layers.append(layer)
        return layer, bus[1]

    yield make
    for layer in layers:
        layer.stop()


def counted(size: int) -> bytes:
    return bytes(k % 251 for k in range(size))


def test_frames_to_and_from_a_socket(bus: tuple[CanSocket, Wire]) -> None:
    can, wire = bus
    assert can.receive() is None
    assert can.receive(0.001) is None
    wire.put("01 02", EFF | 0x18DA0102)
    wire.put("03" * 64, 0x7FF, BRS)
    first, second = can.receive(10), can.receive(10)
    assert first is not None
    assert second is not None
    assert (first.arbitration_id, first.is_extended_id, first.data) == (0x18DA0102, True, b"\1\2")
    assert (first.is_fd, second.is_fd, second.bitrate_switch, second.dlc) == (False, True, True, 15)
    can.send(first)
    can.send(second)
    assert wire.take() == (EFF | 0x18DA0102, "01 02", 16)
    assert wire.take() == (0x7FF, " ".join(["03"] * 64), FDF | BRS)


def test_frames_with_their_times(bus: tuple[CanSocket, Wire]) -> None:
    """What is there comes at once, data frames only; a clock of ns since 1970 stands for the kernel's stamps here."""
    can, wire = bus
    assert can.receive_stamped(0) == []
    wire.put("01 02")
    wire.put("00", 0x4000_0456)
    wire.put("03", EFF | 0x456, BRS)
    before = time.time_ns()
    first, second = can.receive_stamped(0)
    assert before <= first[0] <= second[0] <= time.time_ns()
    assert [first[1:], second[1:]] == [(0x456, b"\1\2", 0), (EFF | 0x456, b"\3", FDF | BRS)]
    assert can.receive_stamped(0) == []


def test_messages_that_are_no_frames_are_refused(bus: tuple[CanSocket, Wire]) -> None:
    for bad in (isotp.CanMessage(1 << 29), isotp.CanMessage(None), isotp.CanMessage(1, data=bytes(65))):
        with pytest.raises(ValueError, match="no CAN frame"):
            bus[0].send(bad)


def test_a_socket_that_is_closed(bus: tuple[CanSocket, Wire]) -> None:
    can, _ = bus
    can.close()
    can.close()
    can.wake()
    assert can.fileno() == -1
    with pytest.raises(OSError, match="wire") as failed:
        can.receive()
    assert failed.value.errno == errno.EBADF


def test_wake_ends_a_wait(bus: tuple[CanSocket, Wire]) -> None:
    can, _ = bus
    can.wake()
    assert can.receive(60) is None


def open_descriptors() -> dict[str, str]:
    """What the descriptors of this process stand for, but for that of the look itself."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[name] = os.readlink(f"/proc/self/fd/{name}")
    return found


def new_descriptors(before: dict[str, str]) -> list[str]:
    """What is open now and was not before: sockets and eventfds."""
    opened = [what for name, what in open_descriptors().items() if before.get(name) != what]
    return sorted(
        what.partition("[")[0] for what in opened if what.startswith(("socket:", "anon_inode:[eventfd"))
    )


def test_descriptors_stay_open_while_somebody_uses_them() -> None:
    """The socket is closed by another one's close() amid a read; what is open then is closed by who leaves last."""
    before = open_descriptors()
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with far:
        can = CanSocket("wire", near)
        amid: list[Any] = []

        def close_amid_the_read() -> int:
            can.close()
            amid.extend([can.fileno(), new_descriptors(before)])
            with pytest.raises(OSError, match="wire"):
                can.receive()
            can.wake()
            return 0

        can.clock = close_amid_the_read
        Wire(far).put("01 02")
        message = can.receive()
        assert message is not None
        assert message.data == b"\1\2"
        assert amid == [-1, ["anon_inode:", "socket:", "socket:"]]
        assert new_descriptors(before) == ["socket:"]  # the far end's
        for call in (can.receive, lambda: can.send(isotp.CanMessage(1)), lambda: can.set_filters([1])):
            with pytest.raises(OSError, match="wire") as failed:
                call()
            assert failed.value.errno == errno.EBADF


def test_close_ends_all_waits(bus: tuple[CanSocket, Wire]) -> None:
    can, _ = bus
    got: list[Any] = []
    waiting = [threading.Thread(target=lambda: got.append(can.receive(60)), daemon=True) for _ in range(3)]
    for thread in waiting:
        thread.start()
    can.close()
    for thread in waiting:
        thread.join(10)
        assert not thread.is_alive()
    assert set(got) <= {None}  # or it came to the closed socket


def test_nothing_is_written_into_files_of_others() -> None:
    """Threads that wake and send while the socket is closed, and its descriptors are given to others at once."""
    over = threading.Event()
    current: list[CanSocket] = []

    def use() -> None:
        while not over.is_set():
            for can in current[:]:
                try:
                    can.wake()
                    can.send(isotp.CanMessage(1, data=b"sent"))
                except OSError:
                    pass

    threads = [threading.Thread(target=use, daemon=True) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for _ in range(200):
            near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            with far:
                current[:] = [CanSocket("wire", near)]
                time.sleep(0)
                current[0].close()
                theirs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
                time.sleep(0)
                for pair in theirs:
                    for end in pair:
                        end.setblocking(False)
                        with end, pytest.raises(BlockingIOError):
                            end.recv(100)
    finally:
        over.set()
        sys.setswitchinterval(interval)
        for thread in threads:
            thread.join(10)


def test_a_socket_that_is_dropped_leaves_no_descriptor() -> None:
    gc.collect()
    before = open_descriptors()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Python's, of the socket
        for _ in range(3):
            near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            can = CanSocket("wire", near)
            far.close()
            with pytest.raises(RuntimeError, match="wire was opened already"):
                can.__init__("other")  # type: ignore[misc]
            del near, far, can
        with pytest.raises(OSError, match=r"no CAN sockets|no-such"):
            CanSocket("no-such-interface")
        gc.collect()
    assert new_descriptors(before) == []


def test_no_such_interface() -> None:
    with pytest.raises(ValueError, match="5"):
        CanSocket(5)  # type: ignore[arg-type]
    with pytest.raises(OSError, match=r"no CAN sockets|no-such"):
        CanSocket("no-such-interface")


def test_a_message_both_ways(native: Callable[..., tuple[Native, Wire]]) -> None:
    layer, wire = native()
    layer.send(counted(20))
    assert wire.take_data().startswith("10 14 00")
    wire.put(CTS)
    layer.read()
    assert [wire.take_data()[:2] for _ in range(2)] == ["21", "22"]
    wire.put("10 14 00 01 02 03 04 05")
    layer.read()
    assert wire.take_data() == "30 08 00"
    wire.put("21 06 07 08 09 0A 0B 0C")
    wire.put("22 0D 0E 0F 10 11 12 13")
    while not layer.available():
        layer.read()
    assert layer.recv() == counted(20)
    assert layer.errors == []


def test_a_long_burst_goes_out_whole(native: Callable[..., tuple[Native, Wire]]) -> None:
    """More frames than one system call takes, and a socket that takes them no faster than they are read."""
    layer, wire = native(params={"tx_data_length": 64, "can_fd": True})
    payload = counted(62 + 63 * 300)
    layer.send(payload)
    received = bytearray(bytes.fromhex(wire.take_data())[6:])
    frames: list[str] = []
    reader = threading.Thread(target=lambda: frames.extend(wire.take_data() for _ in range(301)))
    reader.start()
    wire.put(CTS)
    layer.read()
    reader.join(10)
    for frame in frames:
        received += bytes.fromhex(frame)[1:]
    assert received[: len(payload)] == payload
    assert not layer.transmitting()


def test_each_byte_of_a_frame_is_written(native: Callable[..., tuple[Native, Wire]]) -> None:
    """Frames are built one after the other in the same place."""
    layer, wire = native(params={"tx_padding": 0xCC})
    layer.send(b"\xaa" * 7)
    layer.send(bytes(5000))
    assert wire.take_data() == "07 AA AA AA AA AA AA AA"
    assert wire.take_data() == "10 00 00 00 13 88 00 00"
    layer.stop_sending()
    for payload in (b"\xaa" * 7, b"\xbb", bytes(300)):
        layer.send(payload)
    assert wire.take_data() == "07 AA AA AA AA AA AA AA"
    assert wire.take_data() == "01 BB CC CC CC CC CC CC"
    assert wire.take_data() == "11 2C 00 00 00 00 00 00"


def test_time_counts_from_the_arrival(native: Callable[..., tuple[Native, Wire]]) -> None:
    """Each frame of a batch is judged at its own time: the one after N_Cr is late."""
    now = 0
    layer, wire = native(params={"rx_consecutive_frame_timeout": 0})
    layer.clock = lambda: now
    wire.put("10 0A 00 01 02 03 04 05")
    wire.put("21 06 07 08 09")
    layer.read()
    assert [type(error) for error in layer.errors] == [
        isotp.ConsecutiveFrameTimeoutError,
        isotp.UnexpectedConsecutiveFrameError,
    ]


def test_on_a_clock_of_its_own_frames_arrive_when_they_are_read(
    native: Callable[..., tuple[Native, Wire]],
) -> None:
    now = 0
    layer, wire = native()
    layer.clock = layer.can.clock = lambda: now
    for waited, received in ((999_999_999, counted(10)), (10**9, None)):
        wire.put("10 0A 00 01 02 03 04 05")
        layer.read()
        now += waited
        wire.put("21 06 07 08 09")
        layer.read()
        assert layer.recv() == received
    assert [type(error) for error in layer.errors] == [
        isotp.ConsecutiveFrameTimeoutError,
        isotp.UnexpectedConsecutiveFrameError,
    ]


def test_silence_on_a_clock_of_its_own(native: Callable[..., tuple[Native, Wire]]) -> None:
    now = 0
    layer, wire = native()
    layer.clock = layer.can.clock = lambda: now
    wire.put("10 0A 00 01 02 03 04 05")
    layer.read()
    for elapsed, expected in ((999_999_999, []), (10**9, [isotp.ConsecutiveFrameTimeoutError])):
        now = elapsed
        assert layer.can.receive_for(layer, 0) == 0
        layer._drive()
        assert [type(error) for error in layer.errors] == expected


def test_frames_behind_a_batch_are_in_time(native: Callable[..., tuple[Native, Wire]]) -> None:
    """A callback holds the reader up beyond N_Cr: what was not read meanwhile is not missing yet."""
    held_up = 0

    def hold_up(error: isotp.IsoTpError) -> None:
        nonlocal held_up
        layer.errors.append(error)
        held_up = 3600 * 10**9

    layer, wire = native(params={"rx_consecutive_frame_timeout": 60_000}, error_handler=hold_up)
    layer.clock = lambda: time.perf_counter_ns() + held_up
    wire.put("10 0A 00 01 02 03 04 05")
    layer.read()
    wire.put(CTS)
    layer.read()
    wire.put("21 06 07 08 09")
    layer._drive()
    layer.read()
    assert layer.recv() == counted(10)
    assert [type(error) for error in layer.errors] == [isotp.UnexpectedFlowControlError]


def test_silence_is_judged_when_the_socket_was_found_empty(
    native: Callable[..., tuple[Native, Wire]],
) -> None:
    layer, wire = native(params={"rx_consecutive_frame_timeout": 1})
    wire.put("10 0A 00 01 02 03 04 05")
    layer.read()
    assert wire.take_data() == "30 08 00"
    while not layer.errors:
        assert layer.can.receive_for(layer, layer._plan_wait(10.0)) == 0
        layer._drive()
    assert [type(error) for error in layer.errors] == [isotp.ConsecutiveFrameTimeoutError]


def test_last_read_of_a_stopped_layer_does_not_hold_time_up(
    native: Callable[..., tuple[Native, Wire]],
) -> None:
    layer, wire = native(params={"rx_consecutive_frame_timeout": 1})
    layer.stop()
    layer.can.receive_for(layer, 0.0)
    wire.put("10 0A 00 01 02 03 04 05")
    while not layer.errors:
        layer.process()
    assert [type(error) for error in layer.errors] == [isotp.ConsecutiveFrameTimeoutError]


def test_a_busy_layer_is_fed_by_its_inbox(native: Callable[..., tuple[Native, Wire]]) -> None:
    """Frames that come while another thread runs the machines are handled by that thread."""
    layer, wire = native()
    in_handler, go_on = threading.Event(), threading.Event()

    def handler(error: isotp.IsoTpError) -> None:
        in_handler.set()
        assert go_on.wait(10)

    layer.error_handler = handler
    wire.put("21 00")
    other = threading.Thread(target=layer.read)
    other.start()
    assert in_handler.wait(10)
    wire.put("02 AA BB", flags=0)
    layer.read()
    assert not layer.available()
    go_on.set()
    other.join(10)
    assert layer.recv() == b"\xaa\xbb"


def test_frames_wait_while_parameters_are_impossible(native: Callable[..., tuple[Native, Wire]]) -> None:
    layer, wire = native()
    layer.params.stmin = 300
    wire.put("01 AA")
    wire.put("01 BB")
    while layer.read() == 0 or layer._inbox.qsize() < 2:
        pass
    assert {type(error) for error in layer.errors} == {isotp.CallbackError}
    layer.params.stmin = 0
    layer._drive()
    assert [layer.recv(), layer.recv()] == [b"\xaa", b"\xbb"]


def test_frames_for_a_stopped_layer_are_dropped(native: Callable[..., tuple[Native, Wire]]) -> None:
    layer, wire = native()
    layer.stop()
    wire.put("01 AA")
    layer.read()
    layer.start()
    layer._drive()
    assert not layer.available()


def test_a_port_that_fails(native: Callable[..., tuple[Native, Wire]]) -> None:
    layer, wire = native(params={"blocking_send": True})
    wire.far.close()
    for size in (5, 50):
        with pytest.raises(isotp.BlockingSendFailure) as failed:
            layer.send(bytes(size), send_timeout=10)
        assert isinstance(failed.value.__cause__, OSError)
        assert not layer.transmitting()
    assert [type(error) for error in layer.errors] == [isotp.CallbackError] * 2
    assert layer.stats.frames_sent == 0


def send_until_full(layer: Native) -> None:
    for _ in range(10_000):
        layer.send(b"full?", send_timeout=10)


def test_a_full_queue_is_waited_for_n_as(bus: tuple[CanSocket, Wire]) -> None:
    """The socket takes no more: the message fails after N_As, and says why."""
    params = {"blocking_send": True, "rx_flowcontrol_timeout": 60_000, "tx_frame_timeout": 20}
    layer = Native(bus[0], params=params)
    layer._port = SocketPort(bus[0])
    layer.start()
    try:
        with pytest.raises(isotp.BlockingSendFailure) as failed:
            send_until_full(layer)
        assert isinstance(failed.value.__cause__, isotp.TransmitTimeoutError)
        assert "stayed full for 0.02 s" in str(failed.value.__cause__)
        assert isinstance(failed.value.__cause__.__cause__, OSError)
    finally:
        layer.stop()


def test_a_port_without_code() -> None:
    layer = isotp.TransportLayer(lambda: None, lambda message: None, HERE)
    layer._port = FramePort()
    layer.send(b"abc")
    with pytest.raises(NotImplementedError, match="FramePort"):
        layer.process()


def test_frames_are_logged(
    native: Callable[..., tuple[Native, Wire]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "isotp")
    layer, wire = native()
    layer.send(b"\x01\x02")
    wire.put("01 03")
    wire.put("01 04", 0x457)
    while layer.read() == 0 or not layer.available():
        pass
    text = caplog.text
    assert "Tx: <123>" in text
    assert "Rx: <456>" in text


@pytest.mark.parametrize(
    ("size", "data", "sentence"),
    [
        (0, "02 01 02", "CAN frame of 0 bytes has no N_PCI"),
        (1, "00 05 01 02 03 04 05", "single frame with SF_DL 0"),
        (1, "01 05", "single frame with SF_DL 1, but 0 bytes of payload"),
        (2, "00 05 01 02 03 04 05", "single frame with SF_DL 5, but 0 bytes of payload"),
        (1, "10 0A 00 01 02 03 04 05", "first frame of 1 bytes is too short"),
        (5, "10 00 00 00 00 0A 00 01", "first frame of 5 bytes is too short"),
        (1, "30 00 00", "flow control frame of 1 bytes is too short"),
        (2, "30 00 00", "flow control frame of 2 bytes is too short"),
    ],
)
def test_what_is_behind_the_data_of_a_frame_is_not_read(
    native: Callable[..., tuple[Native, Wire]], size: int, data: str, sentence: str
) -> None:
    layer, wire = native()
    wire.far.send(struct.pack("=IBBxx8s", 0x456, size, 0, bytes.fromhex(data)))
    wire.put("01 AA")
    while not layer.available():
        layer.read()
    assert [str(error)[: len(sentence)] for error in layer.errors] == [sentence]
    assert layer.recv() == b"\xaa"


class Whatever(isotp.Address):
    """Takes frames that begin with 0xEE behind any identifier, too."""

    def is_for_me(self, msg: Any) -> bool:
        return msg.arbitration_id == 0x7AA


def test_an_address_with_rules_of_its_own(native: Callable[..., tuple[Native, Wire]]) -> None:
    layer, wire = native(address=Whatever(txid=0x123, rxid=0x456))
    assert layer._asks_address
    wire.put("01 01", 0x456)
    wire.put("01 02", 0x7AA)
    while not layer.available():
        layer.read()
    assert layer.recv() == b"\x02"
    assert not layer.available()


def test_what_an_address_with_rules_of_its_own_is_asked(native: Callable[..., tuple[Native, Wire]]) -> None:
    asked: list[tuple[Any, ...]] = []

    class Curious(isotp.Address):
        def is_for_me(self, msg: Any) -> bool:
            asked.append((msg.arbitration_id, msg.is_extended_id, bytes(msg.data), msg.dlc))
            return super().is_for_me(msg)

    layer, wire = native(address=Curious(txid=0x123, rxid=0x456))
    wire.put("03 01 02 03", 0x7AA)
    wire.put("04 01 02 03 04", 0x1FFFFFFE | EFF)
    wire.put("01 AA", 0x456)
    while not layer.available():
        layer.read()
    plain = isotp.CanMessage(0x7AA, data=b"\x03\x01\x02\x03")
    assert asked == [
        (0x7AA, False, b"\x03\x01\x02\x03", plain.dlc),
        (0x1FFFFFFE, True, b"\x04\x01\x02\x03\x04", plain.dlc),
        (0x456, False, b"\x01\xaa", plain.dlc),
    ]
    assert layer.recv() == b"\xaa"


@pytest.mark.parametrize("strict", [False, True])
def test_a_segmented_message_with_a_further_address(
    native: Callable[..., tuple[Native, Wire]], strict: bool
) -> None:
    """By the standard, a further address with one identifier is for single frames, and an N_AI of its own."""
    layer, wire = native(params={"strict": strict})
    layer.receive_also([isotp.Address(rxid=0x7DF, rx_only=True)])
    wire.put("10 0A 00 01 02 03 04 05")
    wire.put("02 3E 80", 0x7DF)
    wire.put("10 0A 10 11 12 13 14 15", 0x7DF)
    wire.put("21 16 17 18 19")
    wire.put("01 AA")
    received: list[bytes] = []
    while b"\xaa" not in received:
        layer.read()
        while (payload := layer.recv()) is not None:
            received.append(bytes(payload))
    errors = [type(error) for error in layer.errors]
    if strict:
        assert received == [b"\x3e\x80", bytes([0, 1, 2, 3, 4, 5, 0x16, 0x17, 0x18, 0x19]), b"\xaa"]
        assert errors == [isotp.InvalidCanDataError]
    else:
        assert received == [b"\x3e\x80", bytes(range(0x10, 0x1A)), b"\xaa"]
        assert errors == [isotp.ReceptionInterruptedWithSingleFrameError]


def test_further_addresses(native: Callable[..., tuple[Native, Wire]]) -> None:
    """An ECU listens on its functional address as well; answers go by its own."""
    layer, wire = native()
    functional = isotp.Address(rxid=0x7DF, rx_only=True)
    extended = isotp.Address(
        isotp.AddressingMode.Extended_11bits, rxid=0x600, source_address=0x55, rx_only=True
    )
    layer.receive_also([functional, extended])
    wire.put("01 AA", 0x7DF)
    wire.put("55 01 BB", 0x600)
    wire.put("56 01 CC", 0x600)
    wire.put("01 DD", 0x456)
    while layer.rx_queue.qsize() < 3:
        layer.read()
    assert [layer.recv() for _ in range(3)] == [b"\xaa", b"\xbb", b"\xdd"]
    wire.put("55 10 0A 00 01 02 03 04", 0x600)
    layer.read()
    assert wire.take() == (0x123, "30 08 00", 16)
    layer.receive_also([])
    wire.put("01 AA", 0x7DF)
    wire.put("01 EE", 0x456)
    while not layer.available():
        layer.read()
    assert layer.recv() == b"\xee"


def test_messages_come_with_the_address_they_came_for(native: Callable[..., tuple[Native, Wire]]) -> None:
    layer, wire = native()
    others = [isotp.Address(rxid=0x7DF, rx_only=True), isotp.Address(rxid=0x7DE, rx_only=True)]
    layer.receive_also(others)
    came: list[tuple[bytes, Any]] = []
    layer.on_message = lambda payload, address, now: came.append((bytes(payload), address))
    for k, can_id in enumerate((0x7DE, 0x456, 0x7DF)):
        wire.put(f"01 0{k}", can_id)
    while len(came) < 3:
        layer.read()
    assert came == [(b"\0", others[1]), (b"\1", HERE), (b"\2", others[0])]


@pytest.mark.parametrize(
    ("addresses", "shown"),
    [([HERE] * 9, "9"), ([5], "5"), ([Whatever(txid=1, rxid=2)], "Whatever|Address")],
)
def test_further_addresses_that_can_not_be(addresses: list[Any], shown: str) -> None:
    layer = isotp.TransportLayer(lambda: None, lambda message: None, HERE)
    with pytest.raises(ValueError, match=shown):
        layer.receive_also(addresses)


class Overriding(Native):
    """With methods of the user's for frames in and out."""

    def __init__(self, can: CanSocket, **kwargs: Any) -> None:
        self.heard: list[tuple[int, bool, int, bytes]] = []
        super().__init__(can, **kwargs)

    def _process_rx(self, msg: isotp.CanMessage) -> Any:
        self.heard.append((msg.arbitration_id, msg.is_extended_id, msg.dlc, bytes(msg.data)))
        return super()._process_rx(msg)

    def _make_tx_msg(self, arbitration_id: int, data: bytes) -> isotp.CanMessage:
        return super()._make_tx_msg(arbitration_id + 1, data)


@pytest.mark.parametrize("extended", [False, True])
def test_methods_that_the_user_overrides(bus: tuple[CanSocket, Wire], extended: bool) -> None:
    mode = isotp.AddressingMode.Normal_29bits if extended else isotp.AddressingMode.Normal_11bits
    flag = EFF if extended else 0
    can, wire = bus
    layer = Overriding(can, address=isotp.Address(mode, txid=0x123, rxid=0x456))
    layer.start()
    wire.put("02 AB CD", flag | 0x456)
    layer.read()
    assert layer.recv() == b"\xab\xcd"
    assert layer.heard == [(0x456, extended, 0, b"\x02\xab\xcd")]
    layer.send(counted(100))
    assert wire.take() == (flag | 0x124, "10 64 00 01 02 03 04 05", 16)
    wire.put(CTS, flag | 0x456)
    layer.read()
    frames = [wire.take() for _ in range(14)]
    assert {can_id for can_id, _, _ in frames} == {flag | 0x124}
    assert b"".join(bytes.fromhex(data)[1:] for _, data, _ in frames) == counted(100)[6:]
    assert not layer.transmitting()
    layer.stop()
