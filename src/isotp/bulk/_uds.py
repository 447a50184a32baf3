"""What messages say in UDS (ISO 14229-1), and which of them are requests and responses to each other.

Bit 6 of the first byte distinguishes a response from a request, also for OBD and KWP 2000, whose services have no
names here. 7F is a negative response.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from isotp.address import TargetAddressType
from isotp.bulk import _uds_names as names
from isotp.bulk._message import MessageStatus

if TYPE_CHECKING:
    from isotp.bulk._messages import Messages

__all__ = ["FIELDS", "SERVICES", "Exchanges", "Said", "UdsRow", "said"]

RESPONSE, NEGATIVE, PENDING, SUPPRESS = 0x40, 0x7F, 0x78, 0x80
# The services of ISO 14229-1, and those whose second byte is a sub-function.
SERVICES: Final = frozenset(
    bytes.fromhex("10 11 14 19 22 23 24 27 28 29 2A 2C 2E 2F 31 34 35 36 37 38 3D 3E 83 84 85 86 87")
)
WITH_SUB_FUNCTION: Final = frozenset(bytes.fromhex("10 11 19 27 28 29 2C 31 3E 83 85 86 87"))
READ_DID, DEFINE_DID, ROUTINE = 0x22, 0x2C, 0x31
# Those whose next two bytes are a data identifier, in request and response.
WITH_DID: Final = frozenset((READ_DID, 0x24, 0x2E, 0x2F))
MOST_DIDS: Final = 64  # of one request that are told
# Bytes that are enough: of a request that reads data identifiers, and of others.
MOST_READ, LEAST_READ = 1 + 2 * MOST_DIDS, 4
MOST_OPEN: Final = 8  # requests of one service to one session that a response is looked for among
MOST_KINDS: Final = 8192  # services of all sessions whose latest requests are kept, whatever a log has

# For a response, or a further one after "response pending": twice the longest that ISO 14229-2 has (P2*).
PATIENCE: Final = 10_000_000_000


class UdsRow(NamedTuple):
    """The columns of UDS, of one message; None for what it does not have. Codes are in hex."""

    kind: str | None = None
    service: str | None = None
    service_name: str | None = None
    sub_function: str | None = None
    sub_function_name: str | None = None
    suppressed: bool | None = None
    did: str | None = None
    did_name: str | None = None
    rid: str | None = None
    nrc: str | None = None
    nrc_name: str | None = None
    exchange: int | None = None
    pending: int | None = None
    response_ns: int | None = None


FIELDS: Final = tuple(f"uds_{name}" for name in UdsRow._fields)
NOTHING: Final = UdsRow()


class Said(NamedTuple):
    """What one message says."""

    kind: str  # "request", "response", "negative" or "pending"
    service: int | None
    row: UdsRow


def said(payload: bytes) -> Said | None:
    """None for an empty one."""
    if not payload:
        return None
    return said_by(payload[: MOST_READ if payload[0] == READ_DID else LEAST_READ])


@lru_cache(4096)
def said_by(payload: bytes) -> Said:
    """What the beginning of a message says; many begin alike."""
    first = payload[0]
    if first == NEGATIVE:
        return refused(payload)
    service = first & ~RESPONSE
    kind = "response" if first & RESPONSE else "request"
    row = UdsRow(kind, f"{service:02X}", names.service_name(service))
    if service in WITH_SUB_FUNCTION and len(payload) > 1:
        code = payload[1] & ~SUPPRESS
        row = row._replace(
            sub_function=f"{code:02X}",
            sub_function_name=names.sub_function_name(service, code),
            suppressed=bool(payload[1] & SUPPRESS) if kind == "request" else None,
        )
    if dids := dids_of(service, kind, payload):
        row = row._replace(did=" ".join(f"{did:04X}" for did in dids), did_name=names.did_name(dids[0]))
    if service == ROUTINE and len(payload) >= 4:
        row = row._replace(rid=payload[2:4].hex().upper())
    return Said(kind, service, row)


def refused(payload: bytes) -> Said:
    """A negative response, whole or not."""
    service = payload[1] if len(payload) > 1 else None
    code = payload[2] if len(payload) > 2 else None
    kind = "pending" if code == PENDING else "negative"
    return Said(
        kind,
        service,
        UdsRow(
            kind,
            None if service is None else f"{service:02X}",
            None if service is None else names.service_name(service),
            nrc=None if code is None else f"{code:02X}",
            nrc_name=None if code is None else names.response_code_name(code),
        ),
    )


def dids_of(service: int, kind: str, payload: bytes) -> list[int]:
    """All that a request reads; only the first of a response, because the length of its data is unknown here."""
    if service == READ_DID and kind == "request":
        places = range(1, len(payload) - 1, 2)
    elif service in WITH_DID:
        places = range(1, min(len(payload) - 1, 2))
    elif service == DEFINE_DID:
        places = range(2, min(len(payload) - 1, 3))
    else:
        places = range(0)
    return [int.from_bytes(payload[place : place + 2], "big") for place in places]


# ---------------------------------------------------------------- requests and responses


class Place(NamedTuple):
    """What else there is to know of a message, as numbers: columns of Messages."""

    start: int
    end: int
    channel: int
    session: int
    direction: int
    target_type: int
    status: int


@dataclass
class Open:
    """A request that may be responded to."""

    number: int
    direction: int
    end: int
    since: int  # when patience began
    to_many: bool  # it may have responses of several sessions
    answered: set[int] = field(default_factory=set)  # by these sessions
    pending: Counter[int] = field(default_factory=Counter)  # by session

    def may_have(self, response: Place) -> bool:
        """Whether this, which began later, can be one of its responses."""
        return (
            response.start <= self.since + PATIENCE
            and response.session not in self.answered
            and (self.to_many or self.direction != response.direction)
        )


class Exchanges:
    """Requests and responses of sessions, in the order in which they ended, table by table.

    A response belongs to the latest earlier request with its service. That request is of the same session and the
    other direction; or it is on the same channel, and functional or of a session with one direction. A request has
    one final response, a functional one has one from each session. "Response pending" (7F xx 78) is not a response:
    it asks for more time.
    """

    def __init__(self) -> None:
        self._count = 0
        # The latest ones, by channel and service, and by session, if they were not to many.
        self._open: OrderedDict[tuple[int, int, int | None], deque[Open]] = OrderedDict()

    def rows(self, messages: Messages) -> list[UdsRow]:
        """A row for each of these messages, which follow those of the earlier tables. Exchanges count from 1."""
        columns = [messages.column(name).tolist() for name in Place._fields]
        one_way = [each.is_partial_address() for each in messages.sessions]
        found = []
        for place, payload in zip(
            map(Place._make, zip(*columns, strict=True)), messages.payloads, strict=True
        ):
            told = said(payload)
            if told is None:
                found.append(NOTHING)
            elif told.service is None:
                found.append(told.row)
            elif told.kind == "request":
                found.append(self._request(told.service, told.row, place, one_way[place.session]))
            else:
                found.append(self._response(told.service, told.row, place))
        return found

    def _request(self, service: int, row: UdsRow, place: Place, one_way: bool) -> UdsRow:
        if place.status != MessageStatus.OK:
            # Nobody answers what broke off.
            return row
        self._count += 1
        to_many = place.target_type == TargetAddressType.Functional or one_way
        request = Open(self._count, place.direction, place.end, place.end, to_many)
        key = place.channel, service, None if to_many else place.session
        # A response that broke off is reported after later requests.
        self._open.setdefault(key, deque(maxlen=MOST_OPEN)).append(request)
        self._open.move_to_end(key)
        if len(self._open) > MOST_KINDS:
            self._open.popitem(last=False)
        return row._replace(exchange=request.number)

    def _response(self, service: int, row: UdsRow, place: Place) -> UdsRow:
        request = self._asked(service, place)
        if request is None or not request.may_have(place):
            return row
        if row.kind == "pending":
            request.pending[place.session] += 1
            request.since = place.end
            return row._replace(exchange=request.number, pending=request.pending[place.session])
        request.answered.add(place.session)
        return row._replace(
            exchange=request.number,
            pending=request.pending[place.session],
            response_ns=place.start - request.end,
        )

    def _asked(self, service: int, response: Place) -> Open | None:
        """The latest request before a response."""
        requests = [
            each
            for session in (response.session, None)
            for each in self._open.get((response.channel, service, session), ())
            if each.end <= response.start
        ]
        return max(requests, key=lambda each: each.number, default=None)
