"""Hub on a real kernel: on a raw socket of its own, and on python-can's SocketCAN bus."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import can
import pytest

import isotp
from isotp import Address, AddressingMode
from tests.frames import SLOW
from tests.hub_stories import (
    PATIENCE,
    AnyOfABlock,
    a_hundred_sessions,
    at_ecu,
    at_tester,
    comings_and_goings,
    exchange,
    one_identifier_for_many,
    payload_of,
    udsoncan_reads_vins,
)
from tests.kernel.ends import make_room

if TYPE_CHECKING:
    from conftest import RawBus, Sockets

pytestmark = pytest.mark.kernel

MakeHub = Callable[[], isotp.Hub]


def raw_hub(cleanup: ExitStack) -> isotp.Hub:
    return cleanup.enter_context(isotp.Hub("vcan0"))


def open_python_can(cleanup: ExitStack) -> Any:
    """A bus of python-can with room for what a hundred senders without STmin send before it is read.

    The kernel's default is room for some 250 frames; isotp's own sockets ask for more by themselves.
    """
    bus = cleanup.enter_context(can.Bus(interface="socketcan", channel="vcan0", fd=True))
    make_room(bus.socket)
    return bus


def python_can_hub(cleanup: ExitStack) -> isotp.Hub:
    return cleanup.enter_context(isotp.Hub(open_python_can(cleanup)))


def notifier_hub(cleanup: ExitStack) -> isotp.Hub:
    bus = open_python_can(cleanup)
    notifier = can.Notifier(bus, [], timeout=0.05)
    cleanup.callback(notifier.stop)
    return cleanup.enter_context(isotp.Hub(bus, notifier))


HUBS = {"raw": raw_hub, "python-can": python_can_hub, "notifier": notifier_hub}


@pytest.fixture(params=HUBS)
def make_hub(request: pytest.FixtureRequest, cleanup: ExitStack) -> MakeHub:
    """A function that makes a hub of each kind."""
    return lambda: HUBS[request.param](cleanup)


@pytest.fixture
def make_raw(cleanup: ExitStack) -> MakeHub:
    """A function that makes a hub on a raw socket."""
    return lambda: raw_hub(cleanup)


def reader() -> threading.Thread:
    """The thread of the only hub that has one."""
    (found,) = (thread for thread in threading.enumerate() if thread.name == "isotp reader")
    return found


def settle() -> int:
    """Wait until the hub's thread sleeps; return how often it has gone to sleep."""
    task = Path(f"/proc/self/task/{reader().native_id}")
    while (task / "stat").read_text().rpartition(")")[2].split()[0] != "S":
        time.sleep(0.001)
    found = re.search(r"^voluntary_ctxt_switches:\s*(\d+)$", (task / "status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


# --- Many sessions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [{"blocksize": 0}, {"blocksize": 4}, {"can_fd": True, "tx_data_length": 64, "bitrate_switch": True}],
    ids=["bs0", "bs4", "fd"],
)
def test_a_hundred_sessions_at_once(make_hub: MakeHub, make_raw: MakeHub, params: dict[str, Any]) -> None:
    here = make_hub()
    # 93 frames a session and direction; python-can takes a good part of a minute for so many under emulation.
    sizes = (7, 8, 100, 500) if isinstance(here.bus, str) else (7, 8, 30)
    a_hundred_sessions(here, make_raw(), params, sizes)


def test_with_the_kernels_own_sockets(make_hub: MakeHub, sockets: Sockets) -> None:
    """Fifty sessions against fifty ISO-TP sockets of the kernel, all at once.

    The kernel waits a second for a Flow Control, whatever the load: under emulation python-can manages that
    for a few sessions only.
    """
    errors: list[Exception] = []
    hub = make_hub()
    number = 50 if isinstance(hub.bus, str) else 5
    sessions = [hub.session(at_tester(k), error_handler=errors.append) for k in range(number)]
    ecus = [sockets(PATIENCE) for _ in sessions]
    for k, (session, ecu) in enumerate(zip(sessions, ecus, strict=True)):
        ecu.bind("vcan0", at_ecu(k))
        session.start()
    for k, (session, ecu) in enumerate(zip(sessions, ecus, strict=True)):
        session.send(payload_of(k, 0, 300))
        ecu.send(payload_of(k, 1, 300))
    for k, (session, ecu) in enumerate(zip(sessions, ecus, strict=True)):
        assert ecu.recv() == payload_of(k, 0, 300)
        assert session.recv(block=True, timeout=PATIENCE) == payload_of(k, 1, 300)
    assert errors == []


def test_threads_and_descriptors_do_not_grow(make_raw: MakeHub) -> None:
    hub, other = make_raw(), make_raw()
    warm = hub.session(at_tester(0), params=SLOW), other.session(at_ecu(0), params=SLOW)
    for session in warm:
        session.start()
    exchange([warm[0]], [warm[1]], (100,))
    for session in warm:
        session.stop()
    # What is there now stays: the timekeeper, one for the whole process, and the two sockets.
    threads, descriptors = threading.active_count(), os.listdir("/proc/self/fd")
    sessions = [hub.session(at_tester(k)) for k in range(100)]
    assert threading.active_count() == threads
    for session in sessions:
        session.start()
        assert threading.active_count() == threads + 1
    assert os.listdir("/proc/self/fd") == descriptors
    for session in sessions:
        session.stop()
    assert threading.active_count() == threads


def test_a_thousand_sessions(make_raw: MakeHub) -> None:
    """Beyond the 512 filters that the kernel takes for one socket; 29 bits."""

    def address(number: int, tester: bool) -> Address:
        own, other = (0xF1, number % 250) if tester else (number % 250, 0xF1)
        physical = 0x18DA0000 | number // 250 << 24
        return Address(
            AddressingMode.NormalFixed_29bits, target_address=other, source_address=own, physical_id=physical
        )

    here, there = make_raw(), make_raw()
    testers = [here.session(address(k, True), params=SLOW) for k in range(1000)]
    ecus = [there.session(address(k, False), params=SLOW) for k in range(0, 1000, 50)]
    for session in (*testers, *ecus):
        session.start()
    assert len(here.sessions) == 1000
    exchange(testers[::50], ecus, (8, 100))
    assert not any(session.available() for session in testers)


# --- Filters ------------------------------------------------------------------------------------------------


def test_foreign_frames_do_not_wake_it(make_raw: MakeHub, bus: RawBus) -> None:
    """The kernel filters for the identifiers of the sessions that are started, and for no others."""
    hub = make_raw()
    sessions = [hub.session(at_tester(k), also=[Address(rxid=0x7DF, rx_only=True)]) for k in range(3)]
    sessions[0].start()
    sessions[1].start()

    def wakes(*frames: str) -> bool:
        before = settle()
        bus.send(*frames)
        return settle() > before

    assert not wakes("2FF#0101", "302#0101", "00000300#0101", "100#0101")
    assert wakes("300#0101")
    assert wakes("301#0101")
    assert wakes("7DF#0101")
    sessions[1].stop()
    assert not wakes("301#0101")
    sessions[0].set_address(at_tester(5))
    assert not wakes("300#0101")
    assert wakes("305#0102")
    assert [bytes(sessions[0].recv()) for _ in range(3)] == [b"\x01", b"\x01", b"\x02"]
    sessions[0].receive_also([])
    assert not wakes("7DF#0101")


def test_idle_hub_sleeps(make_raw: MakeHub) -> None:
    """No polling: the thread is not woken once in a second without frames."""
    hub = make_raw()
    for k in range(10):
        hub.session(at_tester(k)).start()
    before = settle()
    time.sleep(1)
    assert settle() == before


# --- Addresses ----------------------------------------------------------------------------------------------


def test_same_identifier_different_extension_bytes(make_hub: MakeHub, make_raw: MakeHub) -> None:
    one_identifier_for_many(make_hub(), make_raw())


def test_address_with_rules_of_its_own(make_hub: MakeHub, bus: RawBus) -> None:
    """It is asked about every frame, others are found by identifier; once it is gone, filters are back."""

    hub = make_hub()
    block = hub.session(AnyOfABlock(txid=0x100, rxid=0x101))
    plain = hub.session(Address(txid=0x100, rxid=0x523))
    block.start()
    plain.start()
    bus.send("51F#011F", "520#0120", "523#0123", "52F#012F", "530#0130", "101#0101")
    assert [block.recv(block=True, timeout=PATIENCE) for _ in range(3)] == [b"\x20", b"\x23", b"\x2f"]
    assert plain.recv(block=True, timeout=PATIENCE) == b"\x23"
    block.stop()
    bus.send("520#0120", "523#0124")
    assert plain.recv(block=True, timeout=PATIENCE) == b"\x24"
    assert not block.available()


def test_functional_and_physical(make_hub: MakeHub, bus: RawBus) -> None:
    hub = make_hub()
    everybody = Address(AddressingMode.NormalFixed_29bits, source_address=0x33, target_address=0xF1)
    ecus = [hub.session(at_ecu(k), also=[everybody]) for k in range(10)]
    for ecu in ecus:
        ecu.start()
    bus.send("18DB33F1#023E00")
    for k, ecu in enumerate(ecus):
        assert ecu.recv(block=True, timeout=PATIENCE) == b"\x3e\x00"
        ecu.send(b"\x7e\x00")
        assert bus.recv() == f"{0x300 + k:03X}#027E00"
    bus.send("103#0133")
    assert ecus[3].recv(block=True, timeout=PATIENCE) == b"\x33"
    assert not any(ecu.available() for ecu in ecus)


# --- Sessions come and go, and go wrong ---------------------------------------------------------------------


def test_start_and_stop_while_others_are_busy(make_hub: MakeHub, make_raw: MakeHub) -> None:
    comings_and_goings(make_hub(), make_raw(), visitors=20)


def test_session_that_another_ones_callback_stops(make_hub: MakeHub, bus: RawBus) -> None:
    """Frames that were read but not handed out yet do not wait for it to start again."""

    def mixed(extension: int) -> Address:
        return Address(AddressingMode.Mixed_11bits, txid=0x600, rxid=0x680, address_extension=extension)

    stopped = threading.Event()

    def stop_the_other(error: Exception) -> None:
        second.stop()
        stopped.set()

    hub = make_hub()
    first = hub.session(mixed(1), error_handler=stop_the_other)
    second = hub.session(mixed(2))
    first.start()
    second.start()
    # The thread of the hub is to read all three at once.
    bus.send("680#0121", "680#020105", "680#020106", "680#010107")
    assert stopped.wait(PATIENCE)
    assert first.recv(block=True, timeout=PATIENCE) == b"\x07"
    second.start()
    bus.send("680#020108")
    assert second.recv(block=True, timeout=PATIENCE) == b"\x08"
    assert not second.available()


def test_callback_that_raises(make_hub: MakeHub, bus: RawBus) -> None:
    told = threading.Event()
    errors: list[Exception] = []

    def raise_then_note(error: Exception) -> None:
        errors.append(error)
        if not isinstance(error, isotp.CallbackError):
            raise LookupError("a bug of the user's")
        told.set()

    others: list[Exception] = []
    hub = make_hub()
    clumsy = hub.session(at_tester(0), error_handler=raise_then_note)
    innocent = hub.session(at_tester(1), error_handler=others.append)
    clumsy.start()
    innocent.start()
    bus.send("300#21", "301#0101", "300#0100")
    assert innocent.recv(block=True, timeout=PATIENCE) == b"\x01"
    assert clumsy.recv(block=True, timeout=PATIENCE) == b"\x00"
    assert told.wait(PATIENCE)
    assert isinstance(errors[1].__cause__, LookupError)
    assert others == []


def test_stop_by_the_hubs_own_thread(make_raw: MakeHub, bus: RawBus) -> None:
    """A callback closes the hub that it is called by."""
    closed = threading.Event()

    def close(error: Exception) -> None:
        hub.close()
        closed.set()

    hub = make_raw()
    sessions = [hub.session(at_tester(k), error_handler=close) for k in range(3)]
    for session in sessions:
        session.start()
    thread = reader()
    bus.send("301#21", "301#0101", "302#0101")
    assert closed.wait(PATIENCE)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not any(session.started or session.available() for session in sessions)


def test_closed(make_raw: MakeHub) -> None:
    """What cannot work any more says so; the session is as stopped as it was."""
    descriptors = os.listdir("/proc/self/fd")
    hub = make_raw()
    session = hub.session(at_tester(0))
    session.start()
    hub.close()
    hub.close()
    assert os.listdir("/proc/self/fd") == descriptors
    with pytest.raises(OSError, match=r"closed|Bad file descriptor"):
        session.start()
    assert not session.started
    session.stop()
    assert hub.sessions == ()


def test_interface_that_goes_down() -> None:
    """Every session is told, and goes on when the interface is back. (In a process whose log is silent.)"""
    if os.getuid() != 0:
        pytest.skip("only root may take an interface down")
    program = """
import logging, os, subprocess, threading, isotp
logging.disable()
def link(state):
    subprocess.run(["ip", "link", "set", "vcan1", state], check=True)
told = [threading.Event(), threading.Event()]
causes = [[], []]
def note(k):
    def handler(error):
        causes[k].append(error.__cause__)
        told[k].set()
    return handler
with isotp.Hub("vcan1") as hub, isotp.Hub("vcan1") as other:
    sessions = [hub.session(isotp.Address(txid=1 + k, rxid=3 + k), error_handler=note(k)) for k in range(2)]
    peers = [other.session(isotp.Address(txid=3 + k, rxid=1 + k)) for k in range(2)]
    for each in sessions + peers:
        each.start()
    try:
        link("down")
        assert all(each.wait(20) for each in told)
    finally:
        link("up")
    for session, peer in zip(sessions, peers):
        peer.send(bytes(100))
        assert session.recv(block=True, timeout=20) == bytes(100)
    assert all(isinstance(cause, OSError) and "vcan1" in str(cause) for each in causes for cause in each)
    print("recovered")
"""
    environment = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=environment,
    )
    assert (done.returncode, done.stdout) == (0, "recovered\n"), done.stderr


# --- Company ------------------------------------------------------------------------------------------------


def test_two_hubs_and_a_stack_on_one_bus(make_hub: MakeHub, make_raw: MakeHub, bus: RawBus) -> None:
    """Each has what is its own, and closing one leaves the others."""
    first, second = make_hub(), make_raw()
    with isotp.SocketCanStack("vcan0", address=at_tester(1)) as stack:
        mine, shared = first.session(at_tester(0)), first.session(at_tester(1))
        theirs = second.session(at_tester(2))
        for layer in (mine, shared, theirs, stack):
            layer.start()
        bus.send("300#0100", "301#0101", "302#0102")
        for layer, expected in ((mine, b"\0"), (shared, b"\1"), (stack, b"\1"), (theirs, b"\2")):
            assert layer.recv(block=True, timeout=PATIENCE) == expected
        first.close()
        bus.send("301#0103", "302#0104")
        assert stack.recv(block=True, timeout=PATIENCE) == b"\x03"
        assert theirs.recv(block=True, timeout=PATIENCE) == b"\x04"
        assert not shared.available()


def test_sessions_of_one_hub_talk_to_each_other(make_raw: MakeHub) -> None:
    """Does a hub hear its own sessions? Not on one socket: the kernel gives it what others send."""
    hub = make_raw()
    tester, ecu = hub.session(at_tester(0)), hub.session(at_ecu(0))
    mark = make_raw().session(at_ecu(0))
    for session in (tester, ecu, mark):
        session.start()
    tester.send(b"hello")
    assert mark.recv(block=True, timeout=PATIENCE) == b"hello"
    settle_all = [thread for thread in threading.enumerate() if thread.name == "isotp reader"]
    assert len(settle_all) == 2
    assert not ecu.available()


def test_udsoncan_over_a_session(make_hub: MakeHub, make_raw: MakeHub) -> None:
    udsoncan_reads_vins(make_hub(), make_raw())
