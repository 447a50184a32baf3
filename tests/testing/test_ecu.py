"""What an ECU of `isotp.testing` answers, and when: requests and answers as text, time in the test's hand."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isotp.testing import Access, Answer, Did, Ecu, Lock, NegativeResponse, Nrc, Request, Routine, Rule
from tests.frames import MS, SECOND, octets, words


class Talk:
    """An ECU, and a time that moves when told to."""

    def __init__(self, ecu: Ecu | None = None, /, **parameters: Any) -> None:
        self.ecu = Ecu(**parameters) if ecu is None else ecu
        self.now = 3600 * SECOND

    def wait(self, ms: float) -> None:
        self.now += round(ms * MS)

    def timed(self, request: str, **how: Any) -> list[tuple[float, str]]:
        """Each answer, and ms after the request."""
        answers = self.ecu.answer(octets(request), self.now, **how)
        return [((answer.at - self.now) / MS, words(answer.payload)) for answer in answers]

    def ask(self, request: str, **how: Any) -> str:
        """All answers; time goes on until the last was sent."""
        answers = self.ecu.answer(octets(request), self.now, **how)
        self.now = max([self.now, *(answer.at for answer in answers)])
        return ", ".join(words(answer.payload) for answer in answers)

    def play(self, story: str) -> None:
        """Lines of a request, ``->`` and its answer; ``(250 ms)`` is a pause."""
        for line in filter(None, map(str.strip, story.splitlines())):
            if line.startswith("("):
                self.wait(float(line.strip("(ms )")))
                continue
            request, _, answer = (part.strip() for part in line.partition("->"))
            assert self.ask(request) == answer, line


# ---------------------------------------------------------------- the services


def test_sessions_and_their_end() -> None:
    Talk(dids={0x0100: Did(b"\x00", write=Access([3]))}, s3_ms=5000).play(
        """
        2E 01 00 01 -> 7F 2E 31
        10 03       -> 50 03 00 32 01 F4
        2E 01 00 01 -> 6E 01 00
        (4999 ms)
        2E 01 00 02 -> 6E 01 00
        (4999 ms)
        3E 80       ->
        (4999 ms)
        2E 01 00 03 -> 6E 01 00
        (5000 ms)
        2E 01 00 04 -> 7F 2E 31
        22 01 00    -> 62 01 00 03
        10 04       -> 7F 10 12
        10          -> 7F 10 13
        10 03 00    -> 7F 10 13
        """
    )


def test_data_by_identifier() -> None:
    counter = itertools.count(1)
    dids: dict[int, bytes | Did] = {
        0xF190: b"WVW",
        0x0100: Did(b"\x01\x02", write=Access()),
        0x0101: Did(b"", write=Access(), any_length=True),
        0x0200: Did(lambda now: bytes((next(counter),))),
        0x0300: Did(b"\x09", read=Access([3])),
    }
    Talk(dids=dids).play(
        """
        22 F1 90             -> 62 F1 90 57 56 57
        22 F1 90 00 00 01 00 -> 62 F1 90 57 56 57 01 00 01 02
        22 00 00             -> 7F 22 31
        22 F1                -> 7F 22 13
        22                   -> 7F 22 13
        2E 01 00 0A 0B       -> 6E 01 00
        22 01 00             -> 62 01 00 0A 0B
        2E 01 00 0A          -> 7F 2E 13
        2E 01 01 0A 0B 0C    -> 6E 01 01
        22 01 01             -> 62 01 01 0A 0B 0C
        2E F1 90 58 58 58    -> 7F 2E 31
        2E 01 00             -> 7F 2E 13
        22 02 00             -> 62 02 00 01
        22 02 00             -> 62 02 00 02
        22 03 00             -> 7F 22 31
        """
    )


def test_security_access() -> None:
    lock = Lock(b"\x11\x22", b"\xee\xdd", attempts=2, delay_ms=1000, access=Access([3]))
    dids = {0x0100: Did(b"\x00", write=Access(security=1))}
    Talk(dids=dids, security={1: lock}).play(
        """
        27 01       -> 7F 27 7F
        10 03       -> 50 03 00 32 01 F4
        2E 01 00 01 -> 7F 2E 33
        27 02 EE DD -> 7F 27 24
        27 03       -> 7F 27 12
        27 01       -> 67 01 11 22
        27 02 00 00 -> 7F 27 35
        27 02 EE DD -> 7F 27 24
        27 01       -> 67 01 11 22
        27 02 00 00 -> 7F 27 36
        27 01       -> 7F 27 37
        (999 ms)
        27 01       -> 7F 27 37
        (1 ms)
        27 01       -> 67 01 11 22
        27 02       -> 7F 27 13
        27 02 EE DD -> 67 02
        27 01       -> 67 01 00 00
        2E 01 00 01 -> 6E 01 00
        10 03       -> 50 03 00 32 01 F4
        2E 01 00 01 -> 7F 2E 33
        """
    )


def test_seed_and_key_may_be_made() -> None:
    seeds = iter([b"\x01", b"\x02"])
    lock = Lock(lambda: next(seeds), lambda seed: bytes((seed[0] + 1,)))
    Talk(security={3: lock}, sessions=[1, 0x40]).play(
        """
        10 40    -> 50 40 00 32 01 F4
        27 03    -> 67 03 01
        27 03    -> 67 03 02
        27 04 03 -> 67 04
        """
    )


def test_trouble_codes() -> None:
    Talk(dtcs={0x030100: 0x2F, 0x442100: 0x24}).play(
        """
        19 01 08       -> 59 01 FF 01 00 01
        19 02 04       -> 59 02 FF 03 01 00 2F 44 21 00 24
        19 02 08       -> 59 02 FF 03 01 00 2F
        19 0A          -> 59 0A FF 03 01 00 2F 44 21 00 24
        19 02          -> 7F 19 13
        19 06 08       -> 7F 19 12
        14 03 01 00    -> 54
        19 02 0C       -> 59 02 FF 44 21 00 24
        14 12 34 56    -> 7F 14 31
        14 FF FF FF    -> 54
        19 01 0C       -> 59 01 FF 01 00 00
        19 0A          -> 59 0A FF 03 01 00 50 44 21 00 50
        14 FF FF       -> 7F 14 13
        """
    )


def test_routines() -> None:
    routines: dict[int, bytes | Routine] = {
        0xFF00: b"\x00",
        0x0203: Routine(lambda request: request.payload[4:], Access([3])),
    }
    Talk(routines=routines).play(
        """
        31 03 FF 00       -> 7F 31 24
        31 01 FF 00       -> 71 01 FF 00 00
        31 03 FF 00       -> 71 03 FF 00 00
        31 02 FF 00       -> 71 02 FF 00
        31 02 FF 00       -> 7F 31 24
        31 01 02 03 AB    -> 7F 31 7E
        10 03             -> 50 03 00 32 01 F4
        31 01 02 03 AB    -> 71 01 02 03 AB
        31 04 02 03       -> 7F 31 12
        31 01 00 00       -> 7F 31 31
        31 01             -> 7F 31 13
        """
    )


def test_download() -> None:
    talk = Talk(block_length=6)
    talk.play(
        """
        34 00 12 10 00 06       -> 7F 34 7F
        10 02                   -> 50 02 00 32 01 F4
        36 01 AA                -> 7F 36 24
        37                      -> 7F 37 24
        34 00 12 10 00 06       -> 74 20 00 06
        36 02 01 02 03 04       -> 7F 36 73
        36 01 01 02 03 04 05    -> 7F 36 13
        36 01 01 02 03 04       -> 76 01
        36 01 01 02 03 04       -> 76 01
        37                      -> 7F 37 24
        36 02 05 06 07          -> 7F 36 71
        36 02 05 06             -> 76 02
        37                      -> 77
        36 03 07                -> 7F 36 24
        34 11 12 10 00 06       -> 7F 34 31
        34 00 00 10 00 06       -> 7F 34 31
        34 00 12 10 00          -> 7F 34 13
        """
    )
    assert talk.ecu.memory == {0x1000: bytes(range(1, 7))}


def test_counter_of_blocks_goes_on_at_zero() -> None:
    talk = Talk(block_length=3)
    talk.play("10 02 -> 50 02 00 32 01 F4\n34 00 22 00 00 01 2C -> 74 20 00 03")
    for k in range(1, 301):
        assert talk.ask(f"36 {k % 256:02X} {k % 251:02X}") == f"76 {k % 256:02X}"
    assert talk.ask("37") == "77"
    assert talk.ecu.memory[0] == bytes(k % 251 for k in range(1, 301))


def test_upload_and_memory() -> None:
    Talk(memory={0x1000: bytes(range(8))}, block_length=0x1_0000).play(
        """
        23 12 10 02 03    -> 63 02 03 04
        23 12 10 02 07    -> 7F 23 31
        23 12 10 02 00    -> 7F 23 31
        10 02             -> 50 02 00 32 01 F4
        35 00 12 20 00 03 -> 7F 35 31
        35 00 12 10 00 08 -> 75 40 00 01 00 00
        36 01             -> 76 01 00 01 02 03 04 05 06 07
        36 01             -> 76 01 00 01 02 03 04 05 06 07
        36 02             -> 7F 36 24
        37                -> 77
        """
    )


def test_what_flashers_switch_off_first() -> None:
    Talk().play(
        """
        28 03 01 -> 7F 28 7F
        10 03    -> 50 03 00 32 01 F4
        28 03 01 -> 68 03
        28 83 01 ->
        28 09 01 -> 7F 28 12
        28 03    -> 7F 28 13
        85 02    -> C5 02
        85 03    -> 7F 85 12
        """
    )


def test_reset_makes_it_deaf_and_forgetful() -> None:
    Talk(delay_ms=10, reset_ms=200, security={1: Lock(b"\x01", b"\x02")}, routines={1: b""}).play(
        """
        10 03       -> 50 03 00 32 01 F4
        31 01 00 01 -> 71 01 00 01
        27 01       -> 67 01 01
        27 02 02    -> 67 02
        11 04       -> 7F 11 12
        11 01       -> 51 01
        (199 ms)
        3E 00       ->
        (1 ms)
        27 01       -> 7F 27 7F
        31 03 00 01 -> 7F 31 24
        """
    )


def test_services_may_be_withheld() -> None:
    Talk(services={0x22: None, 0x3E: Access([3]), 0x14: Access(security=1)}).play(
        """
        22 F1 90    -> 7F 22 11
        3E 00       -> 7F 3E 7F
        14 FF FF FF -> 7F 14 33
        BA          -> 7F BA 11
        3F          -> 7F 3F 11
        """
    )


@pytest.mark.parametrize("no_request", ["", "7F 22 31", "7E 00", "C5 01", "FF"])
def test_what_is_no_request_has_no_answer(no_request: str) -> None:
    assert Talk().ask(no_request) == ""


# ---------------------------------------------------------------- to all, and suppressed


@pytest.mark.parametrize(
    ("request_", "alone"),
    [
        ("BA", "7F BA 11"),
        ("11 09", "7F 11 12"),
        ("22 00 00", "7F 22 31"),
        ("27 01", "7F 27 7F"),
        ("31 01 00 01", "7F 31 7E"),
    ],
)
def test_some_refusals_are_kept_silent_if_it_was_to_all(request_: str, alone: str) -> None:
    routines = {1: Routine(access=Access([3]))}
    assert Talk(routines=routines).ask(request_) == alone
    assert Talk(routines=routines).ask(request_, functional=True) == ""


def test_other_refusals_are_not() -> None:
    assert Talk().ask("10", functional=True) == "7F 10 13"
    assert Talk(rules=[Rule("3E 00", nrc=0x22)]).ask("3E 00", functional=True) == "7F 3E 22"


def test_only_positive_answers_can_be_suppressed() -> None:
    Talk().play(
        """
        3E 80 ->
        3E 81 -> 7F 3E 12
        10 83 ->
        27 81 -> 7F 27 12
        11 81 ->
        27 01 -> 7F 27 7F
        """
    )


def test_an_answer_that_was_promised_comes() -> None:
    """ISO 14229-1: after "response pending", neither the suppress bit nor a request to all keeps it back."""
    assert Talk(rules=[Rule("10 83", pending=1)]).ask("10 83") == "7F 10 78, 50 03 00 32 01 F4"
    assert Talk(rules=[Rule("22 *", pending=1)]).ask("22 00 00", functional=True) == "7F 22 78, 7F 22 31"


# ---------------------------------------------------------------- rules, and time


def test_response_pending_and_delays() -> None:
    talk = Talk(dids={0xF190: b"W"}, delay_ms=5, rules=[Rule("22 F1 90", pending=2, every_ms=30, times=1)])
    assert talk.timed("22 F1 90") == [(5, "7F 22 78"), (35, "7F 22 78"), (65, "62 F1 90 57")]
    talk.wait(65)
    assert talk.timed("22 F1 90") == [(5, "62 F1 90 57")]


def test_first_rule_that_takes_a_request_decides() -> None:
    rules = [
        Rule("22 F1 ..", b"\x62\x01", times=1, sessions=[1]),
        Rule("22 F1 90", nrc=0x22, times=2, delay_ms=0),
        Rule("22F191*", silent=True, times=1),
        Rule("22 F1 8C", sessions=[3], nrc=0x22),
    ]
    Talk(dids={0xF190: b"W", 0xF18C: b"S"}, rules=rules).play(
        """
        22 F1 90       -> 62 01
        22 F1 90       -> 7F 22 22
        22 F1 91       ->
        22 F1 90       -> 7F 22 22
        22 F1 90       -> 62 F1 90 57
        22 F1 8C       -> 62 F1 8C 53
        10 03          -> 50 03 00 32 01 F4
        22 F1 8C       -> 7F 22 22
        """
    )


@pytest.mark.parametrize(
    ("request_", "options", "complaint"),
    [
        ("", {}, "is no request"),
        ("22 * 90", {}, "is no request"),
        ("22 F", {}, "is no request"),
        ("22", {"nrc": 0x22, "silent": True}, "one of answer, nrc, silent"),
        ("22", {"silent": True, "pending": 1}, "sends no response pending"),
    ],
)
def test_rules_that_make_no_sense(request_: str, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Rule(request_, **options)


def test_who_asks_before_the_answer_hears_that_it_is_busy() -> None:
    talk = Talk(delay_ms=20)
    assert talk.timed("10 03") == [(20, "50 03 00 32 01 F4")]
    talk.wait(19)
    assert talk.timed("3E 00") == [(0, "7F 3E 21")]
    assert talk.timed("3E 80") == []
    talk.wait(1)
    assert talk.timed("3E 00") == [(20, "7E 00")]


def test_the_session_lasts_while_an_answer_takes_long() -> None:
    talk = Talk(rules=[Rule("22 *", pending=3, every_ms=3000)], dids={1: b""}, s3_ms=5000)
    talk.ask("10 03")
    assert talk.ask("22 00 01").endswith("62 00 01")
    talk.wait(4999)
    assert talk.ecu.session_of(talk.now) == 3
    talk.wait(1)
    assert talk.ecu.session_of(talk.now) == 1


# ---------------------------------------------------------------- several testers


def test_each_tester_has_a_session_and_a_transfer_of_its_own() -> None:
    talk = Talk(dids={0x0100: Did(b"\x00", write=Access([3]))})
    for tester in "ab":
        assert talk.ask("10 02", tester=tester) == "50 02 00 32 01 F4"
        assert talk.ask("34 00 11 00 02", tester=tester) == "74 20 0F FF"
    assert talk.ask("36 01 0A 0B", tester="a") == "76 01"
    assert talk.ask("37", tester="b") == "7F 37 24"
    assert talk.ask("10 03", tester="b") == "50 03 00 32 01 F4"
    assert talk.ask("2E 01 00 07", tester="b") == "6E 01 00"
    assert talk.ask("22 01 00", tester="a") == "62 01 00 07"
    assert talk.ask("37", tester="a") == "77"


def test_it_may_have_one_tester_at_a_time() -> None:
    talk = Talk(one_at_a_time=True, s3_ms=5000)
    assert talk.ask("3E 00", tester="b") == "7E 00"
    talk.ask("10 03", tester="a")
    assert talk.ask("3E 00", tester="b") == "7F 3E 21"
    assert talk.ask("3E 00", tester="a") == "7E 00"
    talk.wait(5000)
    assert talk.ask("3E 00", tester="b") == "7E 00"


# ---------------------------------------------------------------- a class of one's own


class Counting(Ecu):
    """It counts requests, and has a service that no other has."""

    requests = 0

    def handle(self, request: Request) -> bytes | None:
        self.requests += 1
        if request.service == 0xBA:
            if request.client.session != 3:
                raise NegativeResponse(Nrc.SERVICE_NOT_SUPPORTED_IN_ACTIVE_SESSION)
            return b"\xfa" + request.payload[:0:-1]
        if request.service == 0xBB:
            return None
        return super().handle(request)


def test_class_with_a_service_of_its_own() -> None:
    ecu = Counting()
    Talk(ecu).play(
        """
        BA 01 02 03 -> 7F BA 7F
        10 03       -> 50 03 00 32 01 F4
        BA 01 02 03 -> FA 03 02 01
        BB          ->
        3E 80       ->
        """
    )
    assert ecu.requests == 4


def test_answers_have_times_and_bytes() -> None:
    assert Ecu(delay_ms=1).answer(bytearray(b"\x3e\x00"), 5) == [Answer(1_000_005, b"\x7e\x00")]


def test_blocks_that_are_too_short() -> None:
    with pytest.raises(ValueError, match="at least 3 bytes"):
        Ecu(block_length=2)


def test_names_are_for_people() -> None:
    assert repr(Ecu(name="door", dids={1: b""})) == "<Ecu 'door': 1 identifiers, 0 DTCs>"
    assert str(NegativeResponse(0x22)) == "negative response code 0x22"


# ---------------------------------------------------------------- whatever is asked


@given(requests=st.lists(st.binary(max_size=12) | st.sampled_from([b"\x10\x02", b"\x10\x03", b"\x27\x01"])))
def test_whatever_is_asked_is_answered_in_form_or_not_at_all(requests: list[bytes]) -> None:
    ecu = Ecu(
        dids={0: Did(b"\x00", write=Access())},
        security={1: Lock(b"\x01", b"\x02")},
        routines={0: b""},
        memory={0: bytes(16)},
        dtcs={0: 1},
    )
    for now, request in enumerate(requests):
        for answer in ecu.answer(request, now):
            refused = answer.payload[:2] == bytes((0x7F, request[0])) and len(answer.payload) == 3
            assert refused or answer.payload[0] == request[0] + 0x40


# ---------------------------------------------------------------- by udsoncan's definitions


REQUESTS = """
    10 03        22 F1 90       2E 01 00 01      19 02 FF      19 01 FF    19 0A       14 FF FF FF
    27 01        27 02 FE FD    31 01 FF 00      28 03 01      85 02       3E 00       34 00 12 10 00 04
    36 01 01020304              37               35 00 12 10 00 04         36 01       23 12 10 00 04   11 01
"""


def test_answers_are_what_udsoncan_reads_in_them() -> None:
    """Each answer is one of the service, by udsoncan's own definition of it, and positive."""
    udsoncan = pytest.importorskip("udsoncan")
    talk = Talk(
        dids={0xF190: b"WVW", 0x0100: Did(b"\x00", write=Access())},
        dtcs={0x030100: 0x2F},
        security={1: Lock(b"\x01\x02", b"\xfe\xfd")},
        routines={0xFF00: b"\x00"},
        services={service: Access() for service in (0x34, 0x35, 0x36, 0x37)},
    )
    asked = [part.strip() for line in REQUESTS.splitlines() for part in line.split("   ") if part.strip()]
    assert len({each[:2] for each in asked}) == 16
    for each in asked:
        request = bytes.fromhex(each)
        service = udsoncan.Request.from_payload(request).service
        response = udsoncan.Response.from_payload(bytes.fromhex(talk.ask(request.hex(" "))))
        assert (response.valid, response.positive, response.service) == (True, True, service), each
        kinds = [response]
        if service is udsoncan.services.ReadDataByIdentifier:
            service.interpret_response(*kinds, didlist=[0xF190], didconfig={0xF190: udsoncan.AsciiCodec(3)})
            assert response.service_data.values == {0xF190: "WVW"}
        elif service is udsoncan.services.ReadDTCInformation:
            service.interpret_response(*kinds, subfunction=request[1])
        elif service is udsoncan.services.SecurityAccess:
            mode = service.Mode.RequestSeed if request[1] % 2 else service.Mode.SendKey
            service.interpret_response(*kinds, mode=mode)
        else:
            service.interpret_response(*kinds)


@pytest.mark.parametrize("code", Nrc)
def test_codes_are_those_of_udsoncan(code: Nrc) -> None:
    udsoncan = pytest.importorskip("udsoncan")
    assert udsoncan.Response.Code.get_name(code) is not None
