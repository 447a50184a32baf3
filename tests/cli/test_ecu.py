"""`isotp ecu`: an ECU on a bus, as a table, a class or nothing describes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import isotp
from isotp.testing._ecu_serving import Serving
from tests import ecu_stories
from tests.cli.command import Run, isotp_command, without
from tests.cli.live_command import PATIENCE, TESTER, can, live_command

pytest.importorskip("udsoncan", reason="lines have its names")

EVERYBODY = isotp.Address(txid=0x7DF, rxid=0x7F0)


def asking(channel: str, *exchanges: tuple[str, str], by: isotp.Address = TESTER) -> Callable[[], None]:
    """A tester that asks one thing after the other, and wants these answers; none where that is empty."""

    def ask() -> None:
        with can.Bus(interface="virtual", channel=channel) as bus:
            layer = isotp.CanStack(bus, address=by)
            layer.start()
            try:
                for request, answer in exchanges:
                    layer.send(bytes.fromhex(request))
                    if answer:
                        heard = layer.recv(block=True, timeout=PATIENCE)
                        assert heard is not None
                        assert bytes(heard).hex(" ").upper() == answer
            finally:
                layer.stop()

    return ask


@pytest.fixture
def channel(request: pytest.FixtureRequest) -> str:
    return request.node.nodeid


def ecu_while(action: Callable[[], None], channel: str, *words: str | Path) -> Run:
    """Run the command, and do something as soon as it hears."""
    return live_command(action, "ecu", *words, "-i", "virtual", "-c", channel, opener=(Serving, "start"))


def table(path: Path, **what: object) -> Path:
    path.write_text(json.dumps(what))
    return path


def test_without_a_table_there_is_a_small_one(channel: str) -> None:
    vin = b"WVWZZZ1JZ3W386752"
    run = ecu_while(
        asking(channel, ("22F190", "62 F1 90 " + vin.hex(" ").upper()), ("BA", "7F BA 11")),
        channel,
        "-n",
        "2",
    )
    assert (run.status, run.errors) == (0, "")
    assert run.lines == [
        "small  7E8:7E0 < 22 F1 90  [SRQ] ReadDataByIdentifier",
        f"small  7E8:7E0 > 62 F1 90 {vin.hex(' ').upper()}  [PSR] ReadDataByIdentifier",
        "small  7E8:7E0 < BA",
        "small  7E8:7E0 > 7F BA 11  [NRC] service BA: ServiceNotSupported",
    ]


def test_table_says_what_and_where_it_is(channel: str, tmp_path: Path) -> None:
    path = table(
        tmp_path / "door.json",
        name="door",
        address="7E8:7E0",
        functional=":7DF",
        dids={"0100": "AB"},
        rules=[{"request": "3E 00", "pending": 1, "every_ms": 1}],
    )
    run = ecu_while(
        asking(channel, ("3E00", ""), ("220100", ""), by=EVERYBODY),
        channel,
        "--table",
        path,
        "-n2",
        "--json",
    )
    assert run.status == 0
    assert {each["ecu"] for each in run.json} == {"door"}
    said = [(each["direction"], each["target_type"], each["payload"]) for each in run.json]
    assert [each for each in said if each[0] == "rx"] == [
        ("rx", "functional", "3e00"),
        ("rx", "functional", "220100"),
    ]
    assert ("tx", "physical", "7f3e78") in said


def test_two_testers_at_once_do_ten_services(channel: str, tmp_path: Path) -> None:
    done: list[list[str]] = []

    @contextmanager
    def layer_of(number: int) -> Iterator[isotp.CanStack]:
        with can.Bus(interface="virtual", channel=channel) as bus:
            yield isotp.CanStack(bus, address=ecu_stories.TESTERS[number])

    path = table(tmp_path / "two.json", **ecu_stories.TABLE)
    run = ecu_while(
        lambda: done.extend(ecu_stories.play(layer_of)),
        *(channel, "--table", path, "-n", str(ecu_stories.REQUESTS), "--json"),
    )
    assert (run.status, run.errors) == (0, "")
    assert done[0] == done[1]
    assert len(set(done[0])) >= 10
    assert {each["session"] for each in run.json} == {"7E8:7E0", "7E9:7E1"}
    assert sum(each["direction"] == "rx" for each in run.json) == ecu_stories.REQUESTS


def test_several_ecus_on_one_bus(channel: str, tmp_path: Path) -> None:
    paths = [
        table(tmp_path / f"{k}.json", name=f"ecu{k}", address=f"7E{8 + k}:7E{k}", dids={"0100": f"0{k}"})
        for k in (0, 1)
    ]

    def ask_both() -> None:
        for k in (0, 1):
            asking(channel, ("220100", f"62 01 00 0{k}"), by=isotp.Address(txid=0x7E0 + k, rxid=0x7E8 + k))()

    run = ecu_while(ask_both, channel, "-n", "2", "--table", paths[0], "--table", paths[1])
    assert run.lines == [
        f"ecu{k}  7E{8 + k}:7E{k} {line}"
        for k in (0, 1)
        for line in (
            "< 22 01 00  [SRQ] ReadDataByIdentifier",
            f"> 62 01 00 0{k}  [PSR] ReadDataByIdentifier",
        )
    ]


def test_options_say_where_it_is_instead(channel: str, tmp_path: Path) -> None:
    path = table(tmp_path / "door.json", address="7E8:7E0", dids={"0100": "AB"})
    address = isotp.Address(txid=0x6F1, rxid=0x6F9)
    run = ecu_while(
        asking(channel, ("220100", "62 01 00 AB"), by=address),
        *(channel, "-q", "-n1", "--table", path),
        *("-s", "6F9", "-d", "6F1", "--functional", ":6FF"),
    )
    assert (run.status, run.text, run.errors) == (0, "", "")


CLASS = """
from dataclasses import dataclass
from isotp.testing import Ecu

@dataclass
class Other:
    value: int

class Engine(Ecu):
    def handle(self, request):
        return b"\\xfa" if request.service == 0xBA else 1 / 0
"""


def test_class_of_a_file_and_what_it_raises(channel: str, tmp_path: Path) -> None:
    path = tmp_path / "my_ecus.py"
    path.write_text(CLASS)
    with pytest.raises(ZeroDivisionError):
        ecu_while(asking(channel, ("BA", "FA"), ("3E00", "")), channel, "--table", f"{path}:Engine")
    refused = isotp_command("ecu -i virtual -c x --table", f"{path}:Other")
    assert "has no class Other of the kind of isotp.testing.Ecu" in refused.complaint


def test_long_messages_are_shown_by_their_beginning(channel: str, tmp_path: Path) -> None:
    path = table(tmp_path / "door.json", dids={"0100": {"hex": "AB", "write": True, "any_length": True}})
    run = ecu_while(asking(channel, ("2E0100" + "00" * 97, "6E 01 00")), channel, "-n1", "--table", path)
    assert run.lines[0].endswith(" 00 00 ... (100 bytes)  [SRQ] WriteDataByIdentifier")


def test_nobody_asks(channel: str) -> None:
    run = isotp_command("ecu --timeout 0.1 -i virtual -c", channel)
    assert (run.status, run.complaint) == (1, "isotp: no request within 0.1 s")


def test_ready_is_said(channel: str) -> None:
    assert isotp_command("ecu --ready --timeout 0.1 -i virtual -c", channel).errors.startswith("listening on")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--table nowhere.toml", "No such file"),
        ("--table engine.py:Engine", "No such file"),
        ("--functional :7DF", "each goes with an address"),
        ("-s 7E8 -d 7E0 --functional 7DF:", "it is to be heard"),
        ("-s 7E8 -d 7E0 --functional 7DF", "is no address"),
        ("-a :7E0", "a session needs both CAN IDs"),
        ("-s 7E8 -d 7E0 --table a.json --table b.json", "several ECUs are where their tables say"),
    ],
)
def test_options_that_do_not_go(words: str, complaint: str) -> None:
    run = isotp_command(f"ecu -i virtual -c x {words}")
    assert run.status == 2
    assert complaint in run.complaint


def test_it_says_what_udsoncan_is_needed_for(tmp_path: Path) -> None:
    path = table(tmp_path / "ecu.json", rules=[{"request": "3E", "nrc": "ConditionsNotCorrect"}])
    run = without("udsoncan", "ecu", "-i", "virtual", "-c", "x", "--table", path)
    assert "can-isotp-cython[uds]" in run.stderr
