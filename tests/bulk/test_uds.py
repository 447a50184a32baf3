"""What messages say in UDS: services, identifiers, negative responses, and which response is one to which request."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from isotp import Address, Messages, Reassembler
from isotp.bulk import _uds, _uds_names
from isotp.bulk._uds import said
from isotp.uds import Exchanges, UdsRow
from tests.bulk.logs import FIXED, OTHER, TESTER, decoded, log
from tests.frames import MS, SECOND

ALL = Address(txid=0x7DF, tx_only=True)


def rows_of(*frames: str, addresses: tuple[Address, ...] = (TESTER,)) -> list[UdsRow]:
    return Exchanges().rows(decoded(*frames, addresses=addresses))


def pairs(rows: list[UdsRow]) -> list[tuple[str | None, int | None, int | None, int | None]]:
    return [(row.kind, row.exchange, row.pending, row.response_ns) for row in rows]


def codes(payload: str) -> dict[str, object]:
    """What a message says, without names."""
    told = said(bytes.fromhex(payload))
    assert told is not None
    fields = told.row._asdict().items()
    return {name: value for name, value in fields if value is not None and not name.endswith("_name")}


@pytest.mark.parametrize(
    ("payload", "kind", "service", "more"),
    [
        ("22F190", "request", "22", {"did": "F190"}),
        ("22F190F18C2001", "request", "22", {"did": "F190 F18C 2001"}),
        ("22F190F1", "request", "22", {"did": "F190"}),
        ("62F190575657", "response", "22", {"did": "F190"}),
        ("2EF19957", "request", "2E", {"did": "F199"}),
        ("6EF199", "response", "2E", {"did": "F199"}),
        ("2FD00103", "request", "2F", {"did": "D001"}),
        ("2C01F20012340102", "request", "2C", {"sub_function": "01", "suppressed": False, "did": "F200"}),
        ("1003", "request", "10", {"sub_function": "03", "suppressed": False}),
        ("1083", "request", "10", {"sub_function": "03", "suppressed": True}),
        ("5003003201F4", "response", "10", {"sub_function": "03"}),
        ("3E80", "request", "3E", {"sub_function": "00", "suppressed": True}),
        ("3101FF0044", "request", "31", {"sub_function": "01", "suppressed": False, "rid": "FF00"}),
        ("7101FF00", "response", "31", {"sub_function": "01", "rid": "FF00"}),
        ("190209", "request", "19", {"sub_function": "02", "suppressed": False}),
        ("3601AABB", "request", "36", {}),
        ("7F2231", "negative", "22", {"nrc": "31"}),
        ("7F2278", "pending", "22", {"nrc": "78"}),
        # OBD, KWP 2000, and what was cut
        ("0100", "request", "01", {}),
        ("4100BE1FA813", "response", "01", {}),
        ("A101", "request", "A1", {}),
        ("E101", "response", "A1", {}),
        ("22F1", "request", "22", {}),
        ("10", "request", "10", {}),
        ("3101FF", "request", "31", {"sub_function": "01", "suppressed": False}),
        ("7F22", "negative", "22", {}),
    ],
)
def test_what_a_message_says(payload: str, kind: str, service: str, more: dict[str, object]) -> None:
    assert codes(payload) == {"kind": kind, "service": service, **more}


def test_what_says_nothing() -> None:
    assert said(b"") is None
    assert codes("7F") == {"kind": "negative"}


def test_any_payload_says_something() -> None:
    """Nothing that comes from a bus is an error, or becomes much."""
    for first in range(256):
        for second in (b"", b"\x00", b"\xff", b"\x01\x02", bytes(5000)):
            told = said(bytes([first]) + second)
            assert told is not None
            assert len(told.row.did or "") < 64 * 5


# ---------------------------------------------------------------- names


def test_names_are_those_of_udsoncan() -> None:
    pytest.importorskip("udsoncan", reason="udsoncan is not installed")
    read, refused, session = rows_of("7E0#03 22 F1 90", "7E8#03 7F 22 31", "7E0#02 10 03")
    assert (read.service_name, read.did_name) == ("ReadDataByIdentifier", "VINDataIdentifier")
    assert (refused.service_name, refused.nrc_name) == ("ReadDataByIdentifier", "RequestOutOfRange")
    assert session.sub_function_name == "extendedDiagnosticSession"
    assert rows_of("7E0#02 10 60")[0].sub_function_name is None
    assert rows_of("7E0#02 3E 00")[0].sub_function_name is None
    assert rows_of("7E0#02 21 01", "7E8#03 7F 21 F9") == [
        UdsRow("request", "21", exchange=1),
        UdsRow("negative", "21", nrc="F9", exchange=1, pending=0, response_ns=MS),
    ]


@pytest.fixture
def without_udsoncan(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    caches = [each for each in vars(_uds_names).values() if hasattr(each, "cache_clear")]
    for name in [name for name in sys.modules if name.partition(".")[0] == "udsoncan"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "udsoncan", None)
    caches.append(_uds.said_by)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


@pytest.mark.usefixtures("without_udsoncan")
def test_without_udsoncan_there_are_codes() -> None:
    told = rows_of("7E0#02 10 03", "7E0#03 22 F1 90", "7E8#03 7F 22 31")
    assert [row.service for row in told] == ["10", "22", "22"]
    assert (told[0].sub_function, told[1].did, told[2].nrc) == ("03", "F190", "31")
    names = ("service_name", "sub_function_name", "did_name", "nrc_name")
    assert {getattr(row, name) for row in told for name in names} == {None}


@pytest.mark.parametrize(
    "payload",
    [
        "22F190",
        "1003",
        "1083",
        "3E80",
        "1101",
        "2705",
        "3101FF00",
        "3601AA",
        "190209",
        "14FFFFFF",
        "8502",
        "280001",
    ],
)
def test_requests_are_what_udsoncan_says(payload: str) -> None:
    requests = pytest.importorskip("udsoncan.Request", reason="udsoncan is not installed")
    request = requests.Request.from_payload(bytes.fromhex(payload))
    told = codes(payload)
    assert told["service"] == f"{request.service.request_id():02X}"
    if request.service.use_subfunction():
        assert told["sub_function"] == f"{request.subfunction:02X}"
        assert told["suppressed"] == request.suppress_positive_response


@pytest.mark.parametrize(
    "payload", ["62F19057", "5003003201F4", "7F2231", "7F3678", "7101FF00", "7601", "7E00"]
)
def test_responses_are_what_udsoncan_says(payload: str) -> None:
    responses = pytest.importorskip("udsoncan.Response", reason="udsoncan is not installed")
    response = responses.Response.from_payload(bytes.fromhex(payload))
    told = said(bytes.fromhex(payload))
    assert told is not None
    assert told.row.service_name == response.service.get_name()
    assert (told.kind == "response") == response.positive
    if not response.positive:
        assert (told.row.nrc, told.row.nrc_name) == (f"{response.code:02X}", response.code_name)


# ---------------------------------------------------------------- requests and responses


def test_a_request_and_its_response() -> None:
    """The time is from the end of the one to the begin of the other."""
    rows = rows_of(
        *("7E0#10 08 2E F1 99 01 02 03", "7E8#30 00 00", "7E0#21 04 05"),
        *("@0.02", "7E8#10 08 6E F1 99 01 02 03", "7E0#30 00 00", "7E8#21 04 05"),
    )
    assert pairs(rows) == [("request", 1, None, None), ("response", 1, 0, 21 * MS)]


def test_response_pending_is_no_final_response() -> None:
    rows = rows_of(
        *("7E0#04 31 01 FF 00", "7E8#03 7F 31 78", "@4", "7E8#03 7F 31 78", "@4.5", "7E8#03 71 01 FF"),
        *("7E0#04 31 01 FF 00", "7E8#03 7F 31 78", "7E8#03 7F 31 72"),
    )
    assert pairs(rows) == [
        *[("request", 1, None, None), ("pending", 1, 1, None), ("pending", 1, 2, None)],
        ("response", 1, 2, 8 * SECOND + 503 * MS),
        *[("request", 2, None, None), ("pending", 2, 1, None), ("negative", 2, 1, 2 * MS)],
    ]


def test_requests_that_are_not_answered() -> None:
    """Who asks again, asks anew; who never answers, is late, or answers something else, is nobody's response."""
    rows = rows_of(
        *("7E0#03 22 F1 90", "@1", "7E0#03 22 F1 90", "7E8#04 62 F1 90 01", "7E8#04 62 F1 90 01"),
        *("7E0#02 10 03", "7E8#03 7F 22 31", "@11", "7E8#02 50 03", "7E0#02 11 01"),
    )
    assert [row.exchange for row in rows] == [1, 2, 2, None, 3, None, None, 4]


def test_tester_present_in_between() -> None:
    rows = rows_of("7E0#03 22 F1 90", "7E0#02 3E 80", "7E8#04 62 F1 90 01")
    assert [(row.kind, row.exchange, row.suppressed) for row in rows] == [
        ("request", 1, None),
        ("request", 2, True),
        ("response", 1, None),
    ]


def test_who_asks_is_told_by_the_messages() -> None:
    """Which side of the address is the tester does not matter; but nobody answers himself."""
    rows = rows_of("7E0#02 10 03", "7E8#02 50 03", addresses=(TESTER.reversed(),))
    assert [row.exchange for row in rows] == [1, 1]
    rows = rows_of("7E0#02 10 03", "7E0#02 50 03")
    assert [row.exchange for row in rows] == [1, None]


def test_sessions_and_channels_are_told_apart() -> None:
    rows = rows_of(
        *("7E0#02 10 03", "1:7E0#02 10 03", "7E1#02 10 03"),
        *("7E9#02 50 03", "1:7E8#02 50 03", "7E8#02 50 03"),
        addresses=(TESTER, OTHER),
    )
    assert [row.exchange for row in rows] == [1, 2, 3, 3, 2, 1]


def test_functional_requests_have_a_response_of_each_session() -> None:
    rows = rows_of(
        *(
            "7DF#02 3E 00",
            "7E8#02 7E 00",
            "7E9#03 7F 3E 78",
            "7E9#02 7E 00",
            "7E9#02 7E 00",
            "1:7E8#02 7E 00",
        ),
        *("7E0#02 3E 00", "7E8#02 7E 00"),
        addresses=(TESTER, OTHER, ALL),
    )
    assert pairs(rows) == [
        ("request", 1, None, None),
        ("response", 1, 0, MS),
        ("pending", 1, 1, None),
        ("response", 1, 1, 3 * MS),
        ("response", None, None, None),
        ("response", None, None, None),
        ("request", 2, None, None),
        ("response", 2, 0, MS),
    ]


def test_functional_requests_in_29_bits() -> None:
    rows = rows_of("18DB10F1#02 3E 00", "18DAF110#02 7E 00", addresses=(FIXED,))
    assert [row.exchange for row in rows] == [1, 1]


def test_sessions_of_one_direction_are_those_of_their_channel() -> None:
    addresses = (Address(txid=0x7E0, tx_only=True), Address(rxid=0x7E8, rx_only=True))
    rows = rows_of("7E0#02 10 03", "7E8#02 50 03", addresses=addresses)
    assert pairs(rows) == [("request", 1, None, None), ("response", 1, 0, MS)]


def test_what_broke_off() -> None:
    """A request that did is answered by nobody. A response that did was one; it is told after the next request."""
    rows = rows_of(
        *("7E0#10 08 22 F1 90 F1 91 F1", "@2", "7E0#03 22 F1 90"),
        *("7E8#10 14 62 F1 90 01 02 03", "7E0#30 00 00", "@2", "7E0#03 22 F1 90", "7E8#04 62 F1 90 01"),
    )
    assert sorted(pairs(rows), key=str) == sorted(
        [
            ("request", None, None, None),
            ("request", 1, None, None),
            ("response", 1, 0, MS),
            ("request", 2, None, None),
            ("response", 2, 0, MS),
        ],
        key=str,
    )


def test_tables_continue_those_before() -> None:
    """Exchanges do not depend on where the tables are cut."""
    frames = ("7E0#02 10 03", "7E8#03 7F 10 78", "7E8#02 50 03", "7E0#02 11 01", "7E8#02 51 01")
    whole = rows_of(*frames)
    exchanges, reassembler = Exchanges(), Reassembler([TESTER])
    records = log(*frames)
    cut = [row for k in range(5) for row in exchanges.rows(reassembler.feed(records[k : k + 1]))]
    assert cut == whole
    assert [row.exchange for row in whole] == [1, 1, 1, 2, 2]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of services that nobody asked for in a long time, requests are forgotten."""
    monkeypatch.setattr(_uds, "MOST_KINDS", 2)
    frames = ("7E0#02 10 03", "7E0#02 11 01", "7E0#02 10 03", "7E0#02 3E 00", "7E8#02 51 01", "7E8#02 50 03")
    assert [row.exchange for row in rows_of(*frames)] == [1, 2, 3, 4, None, 3]


def test_nothing_says_nothing() -> None:
    assert Exchanges().rows(Messages.concat([])) == []
