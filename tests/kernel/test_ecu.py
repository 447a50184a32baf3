"""An ECU of `isotp.testing` on vcan0, by our raw sockets and by python-can, and the kernel's own sockets against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

import isotp
from isotp.testing import Ecu, Serving
from tests import ecu_stories
from tests.ecu_stories import PLACES, TESTERS
from tests.kernel.conftest import Sockets
from tests.kernel.ends import INTERFACE

can = pytest.importorskip("can", reason="one of the buses is python-can's")
pytestmark = pytest.mark.kernel


@contextmanager
def by_socket(number: int) -> Iterator[isotp.TransportLayer]:
    with closing(isotp.SocketCanStack(INTERFACE, address=TESTERS[number])) as layer:
        yield layer


@contextmanager
def by_python_can(number: int) -> Iterator[isotp.TransportLayer]:
    with can.Bus(interface="socketcan", channel=INTERFACE) as bus:
        yield isotp.CanStack(bus, address=TESTERS[number])


@pytest.mark.parametrize("way", ["raw sockets", "python-can"])
def test_two_testers_at_once_do_ten_services(way: str) -> None:
    ecu = ecu_stories.ecu_for_two()
    bus: Any = INTERFACE if way == "raw sockets" else can.Bus(interface="socketcan", channel=INTERFACE)
    try:
        with ecu.serve(bus) as serving:
            done = ecu_stories.play(by_socket if way == "raw sockets" else by_python_can)
    finally:
        if way == "python-can":
            bus.shutdown()
    ecu_stories.check(ecu, done)
    assert serving.errors == []


def test_two_testers_at_once_do_ten_services_with_the_command(tmp_path: Path) -> None:
    command = pytest.importorskip("tests.cli.live_command", reason="the command needs the extra cli")
    table = tmp_path / "two.json"
    table.write_text(json.dumps(ecu_stories.TABLE))
    done: list[list[str]] = []
    words = f"ecu -q -n {ecu_stories.REQUESTS} --table {table} {INTERFACE}"
    run = command.live_command(
        lambda: done.extend(ecu_stories.play(by_socket)), words, opener=(Serving, "start")
    )
    assert (run.status, run.errors) == (0, "")
    assert done[0] == done[1]
    assert len(set(done[0])) >= 10


def test_the_command_is_asked_by_the_kernels_sockets(sockets: Sockets) -> None:
    command = pytest.importorskip("tests.cli.live_command", reason="the command needs the extra cli")

    def ask() -> None:
        tester = sockets()
        tester.bind(INTERFACE, TESTERS[0])
        tester.send(b"\x22\xf1\x90")
        assert tester.recv() == b"\x62\xf1\x90WVWZZZ1JZ3W386752"

    run = command.live_command(ask, "ecu -n 1 --json", INTERFACE, opener=(Serving, "start"))
    assert (run.status, run.errors) == (0, "")
    assert [each["payload"][:6] for each in run.json] == ["22f190", "62f190"]


def test_the_kernels_sockets_ask_it(sockets: Sockets) -> None:
    tester = sockets()
    tester.bind(INTERFACE, TESTERS[0])
    with Ecu(dids={0xF190: b"WVWZZZ1JZ3W386752"}).serve(INTERFACE, PLACES[0]):
        tester.send(b"\x22\xf1\x90")
        assert tester.recv() == b"\x62\xf1\x90WVWZZZ1JZ3W386752"
