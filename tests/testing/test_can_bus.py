"""The wire as a bus of python-can: what any such bus does, and layers on it by the compiled way."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import isotp
import isotp.aio
from isotp.testing import HeldClock, Wire, assert_frames
from tests.frames import SLOW, counted
from tests.testing.ends import ECU, TESTER

can = pytest.importorskip("can")
from isotp.testing.can_bus import WireBus  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.fixture
def buses(cleanup: ExitStack) -> tuple[Any, Any]:
    one, two = (cleanup.enter_context(WireBus("a test")) for _ in range(2))
    return one, two


def message(identifier: int = 0x123, data: bytes = b"\x01", **kwargs: Any) -> Any:
    kwargs.setdefault("is_extended_id", False)
    return can.Message(arbitration_id=identifier, data=data, **kwargs)


# ------------------------------------------------ a bus of python-can


@pytest.mark.parametrize(
    "sent",
    [
        message(),
        message(0x18DA10F1, is_extended_id=True),
        message(data=bytes(range(64)), is_fd=True, bitrate_switch=True, error_state_indicator=True),
        message(data=b"", is_remote_frame=True, dlc=5),
        message(data=bytes(8), is_error_frame=True, is_extended_id=False),
    ],
)
def test_a_message_comes_as_it_went(buses: tuple[Any, Any], sent: Any) -> None:
    one, two = buses
    one.send(sent)
    received = two.recv(0)
    assert received.equals(sent, timestamp_delta=None, check_channel=False, check_direction=False)
    assert received.channel == "a test"
    assert one.recv(0) is None


def test_own_messages_come_if_they_are_asked_for(cleanup: ExitStack) -> None:
    bus = cleanup.enter_context(WireBus("own", receive_own_messages=True))
    bus.send(message())
    assert not bus.recv(0).is_rx


def test_channels_are_apart(cleanup: ExitStack) -> None:
    one, two = (cleanup.enter_context(WireBus(name)) for name in ("first", "second"))
    one.send(message())
    assert two.recv(0) is None


def test_a_wire_may_be_the_channel(isotp_wire: Wire, cleanup: ExitStack) -> None:
    bus = cleanup.enter_context(WireBus(isotp_wire, name="rig"))
    bus.send(message(0x7E8, b"\x01\x00"))
    assert_frames(isotp_wire, "rig: 7E8# 01 00")
    assert bus.wire is isotp_wire


def test_the_wire_filters(buses: tuple[Any, Any]) -> None:
    one, two = buses
    two.set_filters([{"can_id": 0x100, "can_mask": 0x700, "extended": False}])
    for identifier in (0x0FF, 0x100, 0x1FF, 0x200):
        one.send(message(identifier))
    one.send(message(0x100, is_extended_id=True))
    assert [two.recv(0).arbitration_id for _ in range(2)] == [0x100, 0x1FF]
    assert two.recv(0) is None
    two.set_filters(None)
    one.send(message(0x200))
    assert two.recv(0).arbitration_id == 0x200


def test_who_waits_hears_what_comes(buses: tuple[Any, Any]) -> None:
    one, two = buses
    received = []
    thread = threading.Thread(target=lambda: received.append(two.recv(60)))
    thread.start()
    one.send(message())
    thread.join()
    assert received[0].arbitration_id == 0x123


def test_the_time_stamp_is_of_the_wall_clock(buses: tuple[Any, Any]) -> None:
    import time

    before = time.time()
    buses[0].send(message())
    # The two clocks are read one after the other.
    assert before - 0.01 <= buses[1].recv(0).timestamp <= time.time() + 0.01


def test_the_time_stamp_is_of_a_clock_that_is_held(cleanup: ExitStack) -> None:
    clock = HeldClock()
    wire = Wire(clock)
    one, two = (cleanup.enter_context(WireBus(wire)) for _ in range(2))
    one.send(message())
    assert two.recv(0).timestamp == clock.monotonic()


def test_a_bus_that_was_shut_down() -> None:
    bus = WireBus("closed")
    bus.shutdown()
    bus.shutdown()
    for call in (lambda: bus.recv(0), lambda: bus.send(message())):
        with pytest.raises(can.CanOperationError, match="closed"):
            call()


def test_a_channel_is_new_when_all_have_left() -> None:
    with WireBus("once") as bus, WireBus("once") as other:
        assert bus.wire is other.wire
        first = bus.wire
    with WireBus("once") as bus:
        assert bus.wire is not first


def test_the_channels_that_there_are(cleanup: ExitStack) -> None:
    cleanup.enter_context(WireBus("isotp-0"))
    found = [each["channel"] for each in WireBus._detect_available_configs()]
    assert {"isotp-0", "isotp-1"} <= set(found)


def test_a_notifier_and_a_cyclic_task(buses: tuple[Any, Any], cleanup: ExitStack) -> None:
    one, two = buses
    heard = threading.Semaphore(0)
    notifier = can.Notifier(two, [lambda received: heard.release()])
    cleanup.callback(notifier.stop)
    task = one.send_periodic(message(), 0.001)
    for _ in range(3):
        assert heard.acquire(timeout=60)
    task.stop()


# ------------------------------------------------ layers


def test_a_stack_is_native_on_it(buses: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert isotp.CanStack(buses[0], address=TESTER).is_native
    monkeypatch.setenv("ISOTP_NATIVE", "0")
    with WireBus("not native") as bus:
        assert not isotp.CanStack(bus, address=TESTER).is_native


@pytest.fixture(params=["natively", "by python-can"])
def stacks(
    request: pytest.FixtureRequest, buses: tuple[Any, Any], cleanup: ExitStack
) -> tuple[isotp.CanStack, isotp.CanStack]:
    native = request.param == "natively"
    made = [
        isotp.CanStack(bus, address=address, params=SLOW, native=native)
        for bus, address in zip(buses, (TESTER, ECU), strict=True)
    ]
    for stack in made:
        stack.start()
        cleanup.callback(stack.stop)
    return made[0], made[1]


def test_two_stacks(stacks: tuple[isotp.CanStack, isotp.CanStack]) -> None:
    tester, ecu = stacks
    for size in (1, 7, 8, 300):
        tester.send(counted(size))
        assert ecu.recv(block=True, timeout=60) == counted(size)
        ecu.send(counted(size)[::-1])
        assert tester.recv(block=True, timeout=60) == counted(size)[::-1]


def test_a_polled_stack(buses: tuple[Any, Any]) -> None:
    tester, ecu = (
        isotp.CanStack(bus, address=address) for bus, address in zip(buses, (TESTER, ECU), strict=True)
    )
    tester.send(counted(30))
    while not ecu.available():
        tester.process()
        ecu.process()
    assert ecu.recv() == counted(30)


def test_others_on_the_same_bus_hear_too(
    buses: tuple[Any, Any], stacks: tuple[isotp.CanStack, isotp.CanStack]
) -> None:
    stacks[0].send(b"\x3e\x00")
    assert stacks[1].recv(block=True, timeout=60) == b"\x3e\x00"
    stacks[0].send(b"\x3e\x01")
    # Who calls recv() of a bus for the first time hears what comes from then on.
    first = buses[1].recv(0)
    stacks[0].send(b"\x3e\x02")
    assert stacks[1].recv(block=True, timeout=60) == b"\x3e\x01"
    received = first or buses[1].recv(60)
    assert received.arbitration_id == 0x7E0


def test_confirmation_by_the_echo(cleanup: ExitStack) -> None:
    bus, other = (cleanup.enter_context(WireBus("echo", receive_own_messages=own)) for own in (True, False))
    tester = isotp.CanStack(bus, address=TESTER, tx_confirmation=True, params={"blocking_send": True})
    ecu = isotp.CanStack(other, address=ECU)
    for stack in (tester, ecu):
        stack.start()
        cleanup.callback(stack.stop)
    tester.send(counted(100), send_timeout=60)
    assert ecu.recv(block=True, timeout=60) == counted(100)


def test_a_notifier_based_stack(buses: tuple[Any, Any], cleanup: ExitStack) -> None:
    notifier = can.Notifier(buses[0], [])
    cleanup.callback(notifier.stop)
    tester = isotp.NotifierBasedCanStack(buses[0], notifier, address=TESTER)
    ecu = isotp.CanStack(buses[1], address=ECU)
    for stack in (tester, ecu):
        stack.start()
        cleanup.callback(stack.stop)
    tester.send(counted(50))
    assert ecu.recv(block=True, timeout=60) == counted(50)


def test_faults_are_those_of_its_wire(buses: tuple[Any, Any], stacks: tuple[Any, Any]) -> None:
    tester, ecu = stacks
    lost = buses[0].wire.drop("SF", times=1)
    tester.send(b"\x01")
    tester.send(b"\x02")
    assert ecu.recv(block=True, timeout=60) == b"\x02"
    assert lost.hits == 1


def test_python_can_finds_it_by_its_name(tmp_path: Path) -> None:
    """As the metadata of the installed package has it: can.Bus(interface="isotp_wire", channel=...)."""
    (entry,) = re.findall(
        r'^isotp_wire = "(.*)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M
    )
    metadata = tmp_path / "named-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: named\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text(f"[can.interface]\nisotp_wire = {entry}\n")
    program = (
        "import can\nwith can.Bus(interface='isotp_wire', channel='x') as bus: print(type(bus).__name__)"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.stdout, run.stderr) == ("WireBus\n", "")
