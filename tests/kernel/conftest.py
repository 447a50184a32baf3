"""What the kernel tests stand on: ISO-TP sockets, and a raw CAN socket to watch and disturb a bus.

Frames are written as candump writes them: ``123#0011``, ``12345678#`` for a 29-bit ID, ``123##1...`` for CAN
FD with the flag bits in the first digit (1 is BRS).
"""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import isotp
from checks.kernel.run import lacking
from tests.kernel.ends import run

CLASSIC, FD = struct.Struct("=IB3x8s"), struct.Struct("=IBB2x64s")
EFF_FLAG, EFF_MASK = 0x8000_0000, 0x1FFF_FFFF
# Far beyond what any step takes: only a failing test waits so long.
PATIENCE = 10.0


class RawBus:
    """A raw CAN socket: sees every frame that others send on the bus, and sends whatever it is told to."""

    def __init__(self, interface: str) -> None:
        self.socket = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
        self.socket.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        self.socket.bind((interface,))
        self.socket.settimeout(PATIENCE)

    def send(self, *frames: str) -> None:
        for frame in frames:
            can_id, _, data = frame.partition("#")
            number = int(can_id, 16) | (EFF_FLAG if len(can_id) == 8 else 0)
            if data.startswith("#"):
                payload = bytes.fromhex(data[2:])
                self.socket.send(FD.pack(number, len(payload), int(data[1], 16), payload))
            else:
                payload = bytes.fromhex(data)
                self.socket.send(CLASSIC.pack(number, len(payload), payload))

    def recv(self) -> str:
        raw = self.socket.recv(FD.size)
        if len(raw) == FD.size:
            number, length, flags, data = FD.unpack(raw)
            # Bit 2 (CANFD_FDF) only tells what the size tells too, and not every kernel sets it.
            data_field = f"##{flags & 3:X}"
        else:
            number, length, data = CLASSIC.unpack(raw)
            data_field = "#"
        can_id = f"{number & EFF_MASK:08X}" if number & EFF_FLAG else f"{number:03X}"
        return f"{can_id}{data_field}{data[:length].hex().upper()}"

    def quiet(self) -> bool:
        """Whether no frame waits to be received."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(FD.size, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)
        return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the kernel tests where they cannot run, unless run.py says that they must."""
    reason = lacking()
    if reason is None:
        return
    if os.environ.get("ISOTP_KERNEL_REQUIRED"):
        raise pytest.UsageError(reason)
    skip = pytest.mark.skip(
        reason=f"{reason}; 'python checks/kernel/run.py' runs these tests in a virtual machine"
    )
    for item in items:
        if item.get_closest_marker("kernel"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def kernel_version() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int(minor)


@pytest.fixture(scope="session")
def reserved_fs_is_an_error() -> bool:
    """Whether this kernel notes EBADMSG where a reserved Flow Status ends a transmission.

    Kernels of late 2026 do (6.1.192, 6.12.117), those before do not (6.1.176); see docs/kernel.md.
    """
    bus = RawBus("vcan0")
    with bus.socket, isotp.socket(PATIENCE) as end:
        end.bind("vcan0", isotp.Address(txid=0x6F0, rxid=0x6F1))
        end.send(bytes(20))
        assert bus.recv() == "6F0#1014000000000000"
        bus.send("6F1#330000")
        kernel = end.real_socket()
        writable = select.poll()
        writable.register(kernel, select.POLLOUT)
        assert writable.poll(PATIENCE * 1000), "the transmission did not end"
        error = kernel.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    assert error in (0, errno.EBADMSG)
    return error == errno.EBADMSG


@pytest.fixture
def bus() -> Iterator[RawBus]:
    raw = RawBus("vcan0")
    with raw.socket:
        yield raw


class Sockets:
    """Makes the isotp sockets of a test, and closes them."""

    def __init__(self) -> None:
        self.made: list[isotp.socket] = []

    def __call__(self, timeout: float | None = PATIENCE, legacy: bool = False) -> isotp.socket:
        made = isotp.socket(timeout, legacy=legacy)
        self.made.append(made)
        return made

    def pair(self, **ll_opts: int) -> tuple[isotp.socket, isotp.socket]:
        """A tester and an ECU: IDs 0x7E0 and 0x7E8 on vcan0."""
        tester, ecu = self(), self()
        for end, txid, rxid in ((tester, 0x7E0, 0x7E8), (ecu, 0x7E8, 0x7E0)):
            if ll_opts:
                end.set_ll_opts(**ll_opts)
            end.bind("vcan0", isotp.Address(txid=txid, rxid=rxid))
        return tester, ecu


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    factory = Sockets()
    yield factory
    for made in factory.made:
        made.close()


class FullQueue:
    """vcan1, whose queue can be given no length: every frame is refused with ENOBUFS until there is room."""

    def fill(self) -> None:
        run("tc", "qdisc", "replace", "dev", "vcan1", "root", "pfifo", "limit", "0")

    def make_room(self) -> None:
        # In place: while one queue takes the place of another, the kernel drops frames and calls them sent.
        run("tc", "qdisc", "change", "dev", "vcan1", "root", "pfifo", "limit", "1000")


@pytest.fixture
def full_queue() -> Iterator[FullQueue]:
    if os.getuid() != 0:
        pytest.skip("only root may change the queue of an interface")
    queue = FullQueue()
    queue.fill()
    yield queue
    run("tc", "qdisc", "del", "dev", "vcan1", "root")


class SystemCalls:
    """Counts what one thread asks of the kernel, by the kernel's own trace (Documentation/trace/events.rst)."""

    def __init__(self, instance: Path) -> None:
        self.instance = instance
        (instance / "buffer_size_kb").write_text("1024")

    def count_of(self, thread: int) -> None:
        """Count from now on; `thread` is a native ID."""
        (self.instance / "set_event_pid").write_text(str(thread))
        (self.instance / "events/syscalls/enable").write_text("1")

    def counts(self) -> Counter[str]:
        """How often each was made, by its name."""
        (self.instance / "events/syscalls/enable").write_text("0")
        # `sys_read(fd: 3, ...)` where it begins, `sys_read -> 0x6` where it ends
        lines = (self.instance / "trace").read_text().splitlines()
        return Counter(found[1] for line in lines if (found := re.search(r": sys_(\w+)\(", line)))


@pytest.fixture
def system_calls() -> Iterator[SystemCalls]:
    tracing = Path("/sys/kernel/tracing")
    if os.getuid() != 0:
        pytest.skip("only root may trace system calls")
    if not (tracing / "instances").exists():
        run("mount", "-t", "tracefs", "nodev", str(tracing))
    instance = tracing / "instances/isotp-tests"
    instance.mkdir()
    try:
        yield SystemCalls(instance)
    finally:
        instance.rmdir()
