"""What an ECU of :mod:`isotp.testing.ecu` is made of: its data, who may do what, and what it knows of each tester."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Final, NamedTuple

from isotp.address import Address, AsymmetricAddress
from isotp.bulk._uds import NEGATIVE, SUPPRESS, WITH_SUB_FUNCTION

__all__ = [
    "MS",
    "Access",
    "Answer",
    "Client",
    "Did",
    "Lock",
    "NegativeResponse",
    "Nrc",
    "Request",
    "Routine",
    "Rule",
    "Tester",
    "Transfer",
]

MS: Final = 1_000_000
DEFAULT_SESSION: Final = 1
TESTER_PRESENT: Final = 0x3E


class Nrc(IntEnum):
    """The negative response codes of ISO 14229-1 that the ECU gives by itself. Rules may name any other."""

    SERVICE_NOT_SUPPORTED = 0x11
    SUB_FUNCTION_NOT_SUPPORTED = 0x12
    INCORRECT_MESSAGE_LENGTH_OR_INVALID_FORMAT = 0x13
    BUSY_REPEAT_REQUEST = 0x21
    REQUEST_SEQUENCE_ERROR = 0x24
    REQUEST_OUT_OF_RANGE = 0x31
    SECURITY_ACCESS_DENIED = 0x33
    INVALID_KEY = 0x35
    EXCEEDED_NUMBER_OF_ATTEMPTS = 0x36
    REQUIRED_TIME_DELAY_NOT_EXPIRED = 0x37
    TRANSFER_DATA_SUSPENDED = 0x71
    WRONG_BLOCK_SEQUENCE_COUNTER = 0x73
    RESPONSE_PENDING = 0x78
    SUB_FUNCTION_NOT_SUPPORTED_IN_ACTIVE_SESSION = 0x7E
    SERVICE_NOT_SUPPORTED_IN_ACTIVE_SESSION = 0x7F


class NegativeResponse(Exception):
    """What `Ecu.handle()` raises for a request that is refused, with the code of ISO 14229-1 that says why."""

    def __init__(self, code: int) -> None:
        super().__init__(f"negative response code 0x{code:02X}")
        self.code = code


class Answer(NamedTuple):
    """A message of the ECU, and when it is to be sent: ns, of the clock that the request's time was of."""

    at: int
    payload: bytes


@dataclass(frozen=True)
class Tester:
    """A tester, by the addresses of the ECU's side: its own session, and the one that requests to all come on."""

    __test__: ClassVar[bool] = False  # pytest: this is no class of tests

    address: Address | AsymmetricAddress
    functional: Address | None = None


@dataclass(frozen=True)
class Access:
    """What a tester must have done first.

    :param sessions: it is in one of these sessions; None: in any.
    :param security: it has unlocked this level; 0: none is needed.
    """

    sessions: frozenset[int] | None = None
    security: int = 0

    def __init__(self, sessions: Iterable[int] | None = None, security: int = 0) -> None:
        object.__setattr__(self, "sessions", None if sessions is None else frozenset(sessions))
        object.__setattr__(self, "security", security)

    def require(self, client: Client, wrong_session: int) -> None:
        """:raises NegativeResponse: with `wrong_session`, or for a level that is locked."""
        if self.sessions is not None and client.session not in self.sessions:
            raise NegativeResponse(wrong_session)
        if self.security and client.unlocked != self.security:
            raise NegativeResponse(Nrc.SECURITY_ACCESS_DENIED)


@dataclass
class Did:
    """The data behind an identifier.

    :param value: bytes, or a function that makes them of the time in ns, for each answer anew.
    :param write: who may write it; None: nobody.
    :param read: who may read it.
    :param any_length: writing may change how long it is.
    """

    value: bytes | Callable[[int], bytes]
    write: Access | None = None
    read: Access = field(default_factory=Access)
    any_length: bool = False

    def at(self, now: int) -> bytes:
        return self.value(now) if callable(self.value) else self.value


@dataclass
class Routine:
    """A routine that RoutineControl starts.

    :param result: the bytes behind its identifier, in the answer to its start and to the question for its results; or
        a function that makes them of the request.
    :param access: who may start it.
    """

    result: bytes | Callable[[Request], bytes] = b""
    access: Access = field(default_factory=Access)
    started: bool = False


@dataclass
class Lock:
    """A level of SecurityAccess.

    :param seed: bytes, or a function that makes them for each request.
    :param key: what opens it: bytes, or a function of the seed.
    :param attempts: wrong keys in a row until the ECU takes none for `delay_ms`.
    :param access: who may ask for the seed.
    """

    seed: bytes | Callable[[], bytes]
    key: bytes | Callable[[bytes], bytes]
    attempts: int = 3
    delay_ms: float = 10_000
    access: Access = field(default_factory=Access)
    failures: int = 0
    closed_until: int | None = None

    def new_seed(self) -> bytes:
        return self.seed() if callable(self.seed) else self.seed

    def fits(self, seed: bytes, key: bytes) -> bool:
        return key == (self.key(seed) if callable(self.key) else self.key)


@dataclass
class Transfer:
    """A download or upload that is under way."""

    address: int
    size: int
    upload: bytes | None = None  # what is to be read; None: a download
    data: bytearray = field(default_factory=bytearray)
    next_block: int = 1
    last: bytes = b""  # the latest answer, for a tester that did not hear it


@dataclass
class Client:
    """What the ECU knows of one tester."""

    session: int = DEFAULT_SESSION
    unlocked: int = 0
    asked: tuple[int, bytes] | None = None  # the level whose seed it was given, and that seed
    transfer: Transfer | None = None
    quiet_since: int = 0  # when the time began after which the session ends
    busy_until: int = 0  # when its answer has been sent

    def enter(self, session: int) -> None:
        """Any change of session locks the ECU again, and ends what is under way."""
        self.session = session
        self.unlocked, self.asked, self.transfer = 0, None, None


@dataclass(frozen=True)
class Request:
    """A request, when it was complete (ns), who asked, and whether it was to all."""

    payload: bytes
    now: int
    client: Client
    functional: bool = False

    @property
    def service(self) -> int:
        return self.payload[0]

    @property
    def has_sub_function(self) -> bool:
        return self.service in WITH_SUB_FUNCTION

    @property
    def sub_function(self) -> int:
        """:raises NegativeResponse: if there is none."""
        self.need(len(self.payload) >= 2)
        return self.payload[1] & ~SUPPRESS

    @property
    def suppresses_positive(self) -> bool:
        return self.has_sub_function and len(self.payload) >= 2 and bool(self.payload[1] & SUPPRESS)

    @property
    def keeps_alive(self) -> bool:
        """TesterPresent that wants no answer: it may come at any time."""
        return self.payload == bytes((TESTER_PRESENT, SUPPRESS))

    def need(self, well_formed: bool) -> None:
        """:raises NegativeResponse: if it is not as long as it should be, or not in its form."""
        if not well_formed:
            raise NegativeResponse(Nrc.INCORRECT_MESSAGE_LENGTH_OR_INVALID_FORMAT)

    def refusal(self, code: int) -> bytes:
        return bytes((NEGATIVE, self.service, code))


@dataclass
class Rule:
    """How some requests are answered.

    What it does not say, the ECU does by itself: a rule with `pending` alone gives the ECU's own answer, later.

    :param request: which: bytes in hex, ``..`` for any one, ``*`` at the end for any that follow.
    :param answer: what is sent in place of the ECU's own answer.
    :param nrc: or the code of a negative response.
    :param silent: or nothing at all.
    :param pending: so many times "response pending" (0x78) come first.
    :param delay_ms: from the request to the first of what is sent; None: as the ECU has it.
    :param every_ms: from each "response pending" to what follows it.
    :param times: it holds for so many requests, and then no more; None: for all.
    :param sessions: it holds in these sessions; None: in all.
    """

    request: str
    answer: bytes | None = None
    nrc: int | None = None
    silent: bool = False
    pending: int = 0
    delay_ms: float | None = None
    every_ms: float = 50.0
    times: int | None = None
    sessions: Iterable[int] | None = None

    def __post_init__(self) -> None:
        if sum((self.answer is not None, self.nrc is not None, self.silent)) > 1:
            raise ValueError(f"{self.request!r}: a rule has one of answer, nrc, silent")
        if self.silent and self.pending:
            raise ValueError(f"{self.request!r}: who is silent sends no response pending either")
        self._left = self.times
        self._pattern = pattern_of(self.request)

    def takes(self, request: Request) -> bool:
        """Whether it holds for this request; one of its times is used up then."""
        if self._left == 0 or self._pattern.fullmatch(request.payload) is None:
            return False
        if self.sessions is not None and request.client.session not in self.sessions:
            return False
        if self._left is not None:
            self._left -= 1
        return True


def pattern_of(request: str) -> re.Pattern[bytes]:
    """:raises ValueError: if a rule cannot have this for its request."""
    words = re.findall(r"\*|[0-9A-Fa-f]{2}|\.\.|\S", request)
    wrong = [word for word in words if not re.fullmatch(r"\*|\.\.|[0-9A-Fa-f]{2}", word)]
    if wrong or not words or "*" in words[:-1]:
        raise ValueError(f"{request!r} is no request: bytes in hex, .. for any one, * at the end for more")
    kinds = {"*": b".*", "..": b"."}
    parts = [kinds.get(word) or re.escape(bytes.fromhex(word)) for word in words]
    return re.compile(b"".join(parts), re.DOTALL)
