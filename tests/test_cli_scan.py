"""`isotp scan`: finds who answers, takes nobody else for one, and sends nothing unless it is told to."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

import isotp
from tests.command import Run, isotp_command
from tests.live_command import bus_options, can

FUNCTIONAL_11 = isotp.Address(rxid=0x7DF, rx_only=True)
FUNCTIONAL_29 = isotp.Address(1, rxid=0x18DB33F1, rx_only=True)
# Few addresses, and a short wait: the ECUs are in this process.
FEW = ("--ids", "7E0-7E7", "--targets", "0E-12", "--noise", "0", "--wait", "30")


@pytest.fixture
def channel(request: pytest.FixtureRequest) -> str:
    return request.node.name


@contextmanager
def vehicle(channel: str) -> Iterator[isotp.Hub]:
    """ECUs at 7E0 and 7E3, the first on the functional address too, and at N_TA 10; they answer to 3E and to 22."""
    with can.Bus(interface="virtual", channel=channel) as bus, isotp.Hub(bus) as hub:
        for address, also in (
            (isotp.Address(txid=0x7E8, rxid=0x7E0), [FUNCTIONAL_11]),
            (isotp.Address(txid=0x7EB, rxid=0x7E3), []),
            (isotp.Address(2, target_address=0xF1, source_address=0x10), [FUNCTIONAL_29]),
        ):
            session = hub.session(address, also=also)
            session.on_message = answering(session)
            session.start()
        yield hub


def answering(session: isotp.HubSession) -> Callable[..., None]:
    def on_message(payload: bytes, address: object, timestamp: int) -> None:
        request = bytes(payload)
        session.send(
            {0x3E: b"\x7e\x00", 0x22: b"\x62" + bytes(30)}.get(request[0], bytes((0x7F, request[0], 0x11)))
        )

    return on_message


def scan(channel: str, *options: str) -> Run:
    return isotp_command("scan", *options, *bus_options(channel))


def test_nothing_is_sent_without_the_flag(channel: str) -> None:
    with can.Bus(interface="virtual", channel=channel) as bus:
        run = scan(channel, *FEW)
        assert bus.recv(0) is None
    assert run.status == 2
    assert "nothing was sent" in run.complaint
    assert "sends 3E 00 to 2 functional CAN IDs and 13 physical CAN IDs" in run.complaint
    assert "--transmit" in run.complaint


def test_who_answers_and_how(channel: str) -> None:
    with vehicle(channel):
        run = scan(channel, "--transmit", *FEW)
    assert run.status == 0
    assert sorted(" ".join(line.split()) for line in run.lines) == [
        f"{channel} 7E0:7E8 physical and functional 7E 00 [PSR] TesterPresent",
        f"{channel} 7E3:7EB physical 7E 00 [PSR] TesterPresent",
        f"{channel} ta=10,sa=F1 physical and functional 7E 00 [PSR] TesterPresent",
    ]
    assert run.complaint.startswith(
        "noise: 0 CAN IDs heard in 0 s functional: 2 responders physical: 3 responders"
    )


def test_json_whole_answers_and_sessions_that_other_commands_take(channel: str) -> None:
    with vehicle(channel):
        run = scan(channel, "--transmit", "--json", "-q", "--bits", "11", "--request", "22F190", *FEW)
        assert run.errors == ""
        assert sorted((line["session"], line["answer"]) for line in run.json) == [
            ("7E0:7E8", "62" + "00" * 30),
            ("7E3:7EB", "62" + "00" * 30),
        ]
        first = min(run.json, key=lambda line: line["session"])
        assert (first["request_id"], first["response_id"]) == ("7E0", "7E8")
        assert (first["physical"], first["functional"]) == (True, True)
        sent = isotp_command("send", "-a", first["session"], "--answer", "--timeout", "30", "--data", "3E00",
                             *bus_options(channel))  # fmt: skip
    assert sent.text == "7E 00\n"


def test_a_negative_response_is_an_answer(channel: str) -> None:
    with vehicle(channel):
        run = scan(channel, "--transmit", "-q", "--bits", "29", "--request", "1001", *FEW)
    assert [" ".join(line.split()) for line in run.lines] == [
        f"{channel} ta=10,sa=F1 physical and functional 7F 10 11 [NRC] DiagnosticSessionControl: serviceNotSupported"
    ]


def test_an_answer_from_beyond_the_range_is_followed(channel: str) -> None:
    with vehicle(channel):
        run = scan(
            channel, "--transmit", "-q", "--bits", "11", "--ids", "700", "--noise", "0", "--wait", "30"
        )
    assert [" ".join(line.split())[: -len(" 7E 00 [PSR] TesterPresent")] for line in run.lines] == [
        f"{channel} 7E0:7E8 physical and functional"
    ]


def test_nobody(channel: str) -> None:
    run = scan(channel, "--transmit", "--bits", "11", "--ids", "7E0", "--noise", "0", "--wait", "5")
    assert (run.status, run.text) == (1, "")
    assert run.complaint.endswith("isotp: nobody answered")


def test_what_is_heard_anyway_is_no_answer(channel: str) -> None:
    """Somebody talks all the time, with what would be an answer, to somebody else."""
    done = threading.Event()

    def talk() -> None:
        with can.Bus(interface="virtual", channel=channel) as bus:
            while not done.wait(0.005):
                bus.send(can.Message(arbitration_id=0x7EA, data=b"\x02\x7e\x00", is_extended_id=False))

    talker = threading.Thread(target=talk)
    with vehicle(channel), ExitStack() as stack:
        stack.callback(talker.join)
        stack.callback(done.set)
        talker.start()
        run = scan(
            channel, "--transmit", "--json", *FEW[:4], "--bits", "11", "--noise", "0.3", "--wait", "30"
        )
    assert "noise: 1 CAN ID heard" in run.complaint
    assert sorted(line["session"] for line in run.json) == ["7E0:7E8", "7E3:7EB"]


class Wire:
    """Frames that a function gives for each one sent, as many calls of send() later as it says."""

    def __init__(self, answer: Callable[[int, int], list[tuple[int, int, str]]]) -> None:
        self.answer = answer
        self.sent: list[int] = []
        self.due: deque[tuple[int, isotp.CanMessage]] = deque()

    def send(self, message: isotp.CanMessage) -> None:
        self.sent.append(message.arbitration_id)
        for later, can_id, data in self.answer(message.arbitration_id, len(self.sent)):
            self.due.append((len(self.sent) + later, isotp.CanMessage(can_id, data=bytes.fromhex(data))))

    def receive(self, timeout: float) -> object:
        from isotp.cli.wires import Frame

        if self.due and (self.due[0][0] <= len(self.sent)):
            _, message = self.due.popleft()
            return Frame(0, message.arbitration_id, message.data, 0)
        return None


def phases(wire: Wire, *can_ids: int) -> list[str]:
    """The sessions that are found among these."""
    from isotp.cli.scan import Request, Scan

    params = {"can_fd": False, "bitrate_switch": False}
    scan = Scan(wire, b"\x3e\x00", params, 0.002)  # type: ignore[arg-type]
    for can_id in can_ids:
        scan.ask(Request(can_id))
    return [each.session for each in scan.responders.values() if scan.verify(each, 2)]


def test_an_answer_that_comes_after_the_next_request_is_that_of_the_one_before() -> None:
    slow = {0x702: 1}

    def answer(can_id: int, count: int) -> list[tuple[int, int, str]]:
        # When it is asked again, alone, it is in time.
        return [(slow[can_id] if count <= 4 else 0, 0x70A, "027E00")] if can_id in slow else []

    assert phases(Wire(answer), 0x701, 0x702, 0x703, 0x704) == ["702:70A"]


def test_an_answer_to_nothing_is_not_taken_for_one() -> None:
    def answer(can_id: int, count: int) -> list[tuple[int, int, str]]:
        return [(0, 0x70A, "027E00")] if count == 2 else []

    assert phases(Wire(answer), 0x701, 0x702, 0x703) == []


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
def test_wrong_options(options: tuple[str, ...], complaint: str, channel: str) -> None:
    run = scan(channel, "--transmit", *options)
    assert run.status == 2
    assert complaint in run.complaint
