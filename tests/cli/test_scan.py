"""`isotp scan`: finds who answers, takes nobody else for one, and sends nothing unless it is told to.

The bus is a model: its ECUs are polled layers that answer at once, and time passes only when the scan waits. Scans of
real buses are in tests/kernel/test_cli.py and on docs/command-line.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

import isotp
from isotp._can_ids import FDF
from isotp.cli.commands import scan as module
from isotp.cli.wires import Frame
from tests.cli.command import Run, isotp_command

FUNCTIONAL_11 = isotp.Address(rxid=0x7DF, rx_only=True)
FUNCTIONAL_29 = isotp.Address(1, rxid=0x18DB33F1, rx_only=True)
FEW = ("--ids", "7E0-7E7", "--targets", "0E-12", "--noise", "1")


class Model:
    """A bus on which somebody may talk all the time, as the wire and the clock of a scan."""

    NOISE_PERIOD = 0.01

    def __init__(self) -> None:
        self.now = 0.0
        self.sent: list[isotp.CanMessage] = []
        self.frames: deque[isotp.CanMessage] = deque()
        self.ecus: list[tuple[isotp.TransportLayer, deque[isotp.CanMessage]]] = []
        self.noise: isotp.CanMessage | None = None
        self.next_noise = 0.0
        self.answers: dict[bytes, bytes] = {}

    def add(self, address: isotp.Address, *also: isotp.Address, **params: Any) -> None:
        """An ECU that knows TesterPresent and ReadDataByIdentifier; one for CAN FD hears no classic frames."""
        heard: deque[isotp.CanMessage] = deque()
        layer = isotp.TransportLayer(
            lambda timeout: heard.popleft() if heard else None, self.frames.append, address, params=params
        )
        layer.clock = lambda: round(self.now * 1e9)
        layer.receive_also(also)
        self.ecus.append((layer, heard))

    def send(self, message: isotp.CanMessage) -> None:
        self.sent.append(message)
        for layer, heard in self.ecus:
            if layer.params.can_fd and not message.is_fd:
                continue
            heard.append(message)
            layer.process()
            while (request := layer.recv()) is not None:
                layer.send(self.answers.get(bytes(request), self.answer_to(request[0])))
                layer.process()

    def answer_to(self, service: int) -> bytes:
        refusal = bytes((0x7F, service, 0x11))
        return {0x3E: b"\x7e\x00", 0x22: b"\x62" + bytes(30)}.get(service, refusal)

    def receive(self, timeout: float) -> list[Frame]:
        message = None
        if self.frames:
            message = self.frames.popleft()
        elif self.noise is not None and self.next_noise < self.now + timeout:
            message, self.now = self.noise, self.next_noise
            self.next_noise += self.NOISE_PERIOD
        if message is None:
            self.now += timeout
            return []
        flag = 0x8000_0000 if message.is_extended_id else 0
        return [Frame(0, message.arbitration_id | flag, message.data, FDF if message.is_fd else 0)]

    def monotonic(self) -> float:
        return self.now

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    return put_in(Model(), monkeypatch)


def put_in(model: Model, monkeypatch: pytest.MonkeyPatch) -> Model:
    """In the place of the bus and of the clock."""
    monkeypatch.setattr(module, "open_wire", lambda place, identifiers: model)
    monkeypatch.setattr(module, "time", model)
    return model


@pytest.fixture
def vehicle(model: Model) -> Model:
    """ECUs at 7E0 and 7E3, the first on the functional address too, and at N_TA 10, on that of 29 bits too."""
    model.add(isotp.Address(txid=0x7E8, rxid=0x7E0), FUNCTIONAL_11)
    model.add(isotp.Address(txid=0x7EB, rxid=0x7E3))
    model.add(isotp.Address(2, target_address=0xF1, source_address=0x10), FUNCTIONAL_29)
    return model


def scan(*options: str) -> Run:
    return isotp_command("scan", *options, "-i", "virtual", "-c", "model")


def words(run: Run) -> list[str]:
    return [" ".join(line.split()) for line in run.lines]


def test_nothing_is_sent_without_the_flag(vehicle: Model) -> None:
    run = scan(*FEW)
    assert (run.status, run.text, vehicle.sent) == (2, "", [])
    assert "nothing was sent" in run.complaint
    assert "sends 3E 00 in 2 functional and 13 physical requests" in run.complaint
    assert "--transmit" in run.complaint


def test_who_answers_and_how(vehicle: Model) -> None:
    run = scan("--transmit", *FEW)
    assert run.status == 0
    assert words(run) == [
        "model 7E0:7E8 physical and functional 7E 00 [PSR] TesterPresent",
        "model ta=10,sa=F1 physical and functional 7E 00 [PSR] TesterPresent",
        "model 7E3:7EB physical 7E 00 [PSR] TesterPresent",
    ]
    assert run.complaint == (
        "noise: 0 CAN IDs heard in 1 s functional: 2 responders"
        " physical: 3 responders so far, asked again 2 times"
    )


def test_each_address_is_asked_once_and_responders_again(vehicle: Model) -> None:
    scan("--transmit", "--bits", "11", "--verify", "3", "-p", "CC", *FEW)
    counts = dict.fromkeys(range(2015, 2024), 0)
    for message in vehicle.sent:
        counts[message.arbitration_id] += 1
    assert counts == dict.fromkeys(counts, 1) | {0x7E0: 4, 0x7E3: 4}
    assert {message.data.hex() for message in vehicle.sent} == {"023e00cccccccccc"}


def test_json_and_whole_answers(vehicle: Model) -> None:
    run = scan("--transmit", "--json", "-q", "--bits", "11", "--request", "22F190", *FEW)
    assert run.errors == ""
    answer = "62" + "00" * 30
    assert run.json == [
        {
            "channel": "model",
            "session": session,
            "request_id": request,
            "response_id": response,
            "physical": True,
            "functional": functional,
            "fd": False,
            "answer": answer,
        }
        for session, request, response, functional in (
            ("7E0:7E8", "7E0", "7E8", True),
            ("7E3:7EB", "7E3", "7EB", False),
        )
    ]


def test_long_answers_are_declined_at_first(vehicle: Model) -> None:
    """Or else who gave one would wait for flow control, and be deaf meanwhile."""
    scan("--transmit", "-q", "--bits", "11", "--request", "22F190", *FEW)
    controls = [(each.arbitration_id, each.data.hex()) for each in vehicle.sent if each.data[0] >> 4 == 3]
    assert controls[:3] == [(0x7E0, "320000"), (0x7E0, "320000"), (0x7E3, "320000")]
    assert {data for _, data in controls[3:]} == {"300800"}


def test_a_negative_response_is_an_answer(vehicle: Model) -> None:
    run = scan("--transmit", "-q", "--bits", "29", "--request", "1001", *FEW)
    text = "model ta=10,sa=F1 physical and functional 7F 10 11 [NRC] DiagnosticSessionControl: ServiceNotSupported"
    assert words(run) == [text]


def test_an_answer_from_beyond_the_range_is_followed(vehicle: Model) -> None:
    run = scan("--transmit", "-q", "--bits", "11", "--ids", "700")
    assert words(run) == ["model 7E0:7E8 physical and functional 7E 00 [PSR] TesterPresent"]


def test_nobody(model: Model) -> None:
    run = scan("--transmit", "--bits", "11", "--ids", "7E0")
    assert (run.status, run.text) == (1, "")
    assert run.complaint.endswith("isotp: nobody answered")


def test_what_is_heard_anyway_is_no_answer(vehicle: Model) -> None:
    """Somebody talks all the time, with what would be an answer, to somebody else."""
    vehicle.noise = isotp.CanMessage(0x7EA, data=b"\x02\x7e\x00")
    run = scan("--transmit", "--json", "--bits", "11", *FEW)
    assert "noise: 1 CAN ID heard" in run.complaint
    assert [line["session"] for line in run.json] == ["7E0:7E8", "7E3:7EB"]


def test_who_is_not_silent_when_not_asked_does_not_answer(vehicle: Model) -> None:
    """As before, but the talker begins after the noise was listened to."""
    vehicle.noise, vehicle.next_noise = isotp.CanMessage(0x7EA, data=b"\x02\x7e\x00"), 1.005
    run = scan("--transmit", "--json", "--bits", "11", *FEW)
    assert "noise: 0 CAN IDs heard" in run.complaint
    assert "7EA does not answer reliably, left out" in run.complaint
    assert [line["session"] for line in run.json] == ["7E0:7E8", "7E3:7EB"]


class Answers(Model):
    """Answers of a function to each frame sent, as many frames later as it says."""

    def __init__(self, answer: Callable[[int, int], int | None]) -> None:
        super().__init__()
        self.answer = answer
        self.due: list[int] = []

    def send(self, message: isotp.CanMessage) -> None:
        self.sent.append(message)
        later = self.answer(message.arbitration_id, len(self.sent))
        if later is not None:
            self.due.append(len(self.sent) + later)
        while self.due and self.due[0] <= len(self.sent):
            self.due.pop(0)
            self.frames.append(isotp.CanMessage(0x70A, data=b"\x02\x7e\x00"))


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        # Slow at first; when it is asked again, alone, it is in time.
        (lambda can_id, count: (1 if count <= 5 else 0) if can_id == 0x702 else None, ["702:70A"]),
        # Once, and then no more.
        (lambda can_id, count: 0 if count == 3 else None, []),
    ],
)
def test_answers_are_asked_for_again(
    answer: Callable[[int, int], int | None], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in(Answers(answer), monkeypatch)
    run = scan("--transmit", "--json", "--bits", "11", "--ids", "701-704")
    assert [line["session"] for line in run.json] == found
    assert run.status == (0 if found else 1)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--bits", "12"), "'12' is none of 11, 29, both"),
        (("--ids", "7FF-700"), "'7FF-700' is no range in hex up to 7FF"),
        (("--targets", "100"), "'100' is no range in hex up to FF"),
        (("--request", "0001020304050607"), "a request is a single frame"),
        (("--request", "xy"), "no bytes in hex"),
        (("--sa", "1F1"), "'1F1' is no byte in hex"),
    ],
)
def test_wrong_options(options: tuple[str, ...], complaint: str, model: Model) -> None:
    run = scan("--transmit", *options)
    assert (run.status, model.sent) == (2, [])
    assert complaint in run.complaint


# ---------------------------------------------------------------- other frames, and more questions


def test_extended_addressing_is_asked_for_by_itself(model: Model) -> None:
    model.add(isotp.Address(3, txid=0x612, rxid=0x6F1, target_address=0xF1, source_address=0x12))
    run = scan("--transmit", "-q", "--noise", "0", "--bits", "11")
    assert words(run) == ["model 6F1:612,ext=12:F1 physical 7E 00 [PSR] TesterPresent"]
    sent = [message for message in model.sent if message.arbitration_id == 0x6F1]
    assert {message.data[0] for message in sent} == set(range(0x100)) - {0xF1}
    # Who tells whom to ask wants no others.
    model.sent.clear()
    assert scan("--transmit", "-q", "--noise", "0", "--bits", "11", "--ids", "700").status == 1
    assert all(message.arbitration_id != 0x6F1 for message in model.sent)
    run = scan(
        "--transmit", "-q", "--noise", "0", "--extended", "--targets", "11-13", "--bits", "11", "--json"
    )
    assert [(line["session"], line["request_id"]) for line in run.json] == [("6F1:612,ext=12:F1", "6F1")]


def test_a_long_answer_by_extended_addressing_is_declined_and_received_later(model: Model) -> None:
    model.add(isotp.Address(3, txid=0x612, rxid=0x6F1, target_address=0xF1, source_address=0x12))
    run = scan(
        *("--transmit", "-q", "--noise", "0", "--bits", "11", "--ids", "700", "--extended", "--json"),
        *("--targets", "12", "--request", "22F190"),
    )
    assert [line["answer"] for line in run.json] == ["62" + "00" * 30]


def test_can_fd_and_classic_frames_on_a_bus_of_can_fd(model: Model) -> None:
    model.add(isotp.Address(txid=0x7E8, rxid=0x7E0), can_fd=True, tx_data_length=64)
    model.add(isotp.Address(txid=0x7EB, rxid=0x7E3))
    run = scan("--transmit", "-q", "--fd", "--bits", "11", *FEW)
    assert words(run)[0] == "model 7E0:7E8 physical and CAN FD 7E 00 [PSR] TesterPresent"
    assert {message.is_fd for message in model.sent} == {True, False}
    # The second one hears both kinds.
    assert words(run)[1].startswith("model 7E3:7EB physical")
    model.sent.clear()
    scan("--transmit", "-q", "--fd", "-L", "72:64:0", "--bits", "11", *FEW)
    assert all(message.is_fd for message in model.sent)


def test_services_and_data_only_if_asked_for(vehicle: Model) -> None:
    vehicle.answers = {
        b"\x10": b"\x7f\x10\x13",
        b"\x27": b"\x7f\x27\x7f",
        b"\x22\xf1\x90": b"\x62\xf1\x90V",
        b"\x22\xf1\x91": b"\x7f\x22\x31",
        b"\x22\xf1\x92": b"\x7f\x22\x33",
    }
    few = ("--transmit", "-q", "--noise", "0", "--bits", "11", "--ids", "7E3")
    scan(*few)
    assert {message.data.hex() for message in vehicle.sent} == {"023e00"}
    run = scan(*few, "--services", "--dids", "F190-F192", "--json")
    found = [(line["request"], line["answer"]) for line in run.json if "request" in line]
    # The session that they need is another one, or their length: they are there.
    assert found[:2] == [("10", "7f1013"), ("22", "62" + "00" * 30)]
    assert ("27", "7f277f") in found
    assert ("3e", "7e00") in found
    assert found[-2:] == [("22f190", "62f19056"), ("22f192", "7f2233")]
    assert {line["session"] for line in run.json} == {"7E3:7EB", "7E0:7E8"}
    assert not any(request in dict(found) for request in ("11", "14", "2e", "22f191"))
    lines = words(scan(*few, "--dids", "F190"))
    assert lines[1].startswith("22 F1 90 62 F1 90 56 [PSR]")


def test_data_that_are_no_range() -> None:
    run = scan("--transmit", "--dids", "F1900")
    assert (run.status, "'F1900' is no range in hex up to FFFF" in run.complaint) == (2, True)


def test_an_answer_that_takes_longer_is_waited_for(vehicle: Model) -> None:
    question, pending = b"\x22\xf1\x90", b"\x7f\x22\x78"
    vehicle.answers = {question: pending}
    few = ("--transmit", "-q", "--noise", "0", "--bits", "11", "--ids", "7E3", "--json", "--dids", "F190")
    # It never comes: nothing is known of these data then.
    assert [line for line in scan(*few).json if "request" in line] == []
