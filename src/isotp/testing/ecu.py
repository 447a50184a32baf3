"""An ECU for a UDS client to be tested with: what it answers to a request, and when. It knows neither bus nor clock.

`Ecu.answer(request, now)` gives messages and their times; `Ecu.serve()` puts it on a bus (`_ecu_serving.py`). Services
are functions in `_ecu_services.py`, what an ECU is made of stands in `_ecu_parts.py`, `_ecu_table.py` reads all of it
from a file. Coding is that of ISO 14229-1, as udsoncan has it: the tests compare.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from isotp.address import Address, AsymmetricAddress
from isotp.bulk._uds import RESPONSE
from isotp.params import Parameters
from isotp.testing._ecu_parts import (
    DEFAULT_SESSION,
    MS,
    Access,
    Answer,
    Client,
    Did,
    Lock,
    NegativeResponse,
    Nrc,
    Request,
    Routine,
    Rule,
    Tester,
)
from isotp.testing._ecu_services import SERVICES, usual_access

if TYPE_CHECKING:
    import can
    from typing_extensions import Self

    from isotp.bus.feed import HasFeed
    from isotp.testing._ecu_serving import Serving, Watch

__all__ = [
    "Access",
    "Answer",
    "Client",
    "Did",
    "Ecu",
    "Lock",
    "NegativeResponse",
    "Nrc",
    "Request",
    "Routine",
    "Rule",
    "Tester",
]

# What nobody hears of a request to all (ISO 14229-1, 7.5.3): it may have been meant for another ECU.
UNHEARD_IF_FUNCTIONAL: Final = frozenset(
    (
        Nrc.SERVICE_NOT_SUPPORTED,
        Nrc.SUB_FUNCTION_NOT_SUPPORTED,
        Nrc.REQUEST_OUT_OF_RANGE,
        Nrc.SUB_FUNCTION_NOT_SUPPORTED_IN_ACTIVE_SESSION,
        Nrc.SERVICE_NOT_SUPPORTED_IN_ACTIVE_SESSION,
    )
)
USUAL_SESSIONS: Final = (1, 2, 3)  # default, programming, extended
AS_IT_IS: Final = Rule("*")


class Ecu:
    """An ECU that speaks as much UDS as a client needs to be tested.

    :param dids: data by identifier: bytes that can be read, or a :class:`Did` with more.
    :param routines: by identifier: the bytes of their result, or a :class:`Routine`.
    :param security: levels of SecurityAccess, by the sub-function that asks for the seed: 1, 3, 5, ...
    :param dtcs: trouble codes of three bytes, and their status.
    :param memory: what is in memory, by start address; downloads are added.
    :param rules: how some requests are answered, in place of what the ECU does by itself: the first that takes a
        request decides.
    :param services: who may use a service, where that is not as usual: an :class:`Access`; None: nobody.
    :param sessions: those that there are.
    :param delay_ms: from a request to its answer.
    :param p2_ms, p2_star_ms: what it tells testers of that.
    :param s3_ms: silence of a tester after which its session ends.
    :param reset_ms: how long it is deaf after an ECUReset.
    :param block_length: the longest TransferData that it takes, service and counter included.
    :param one_at_a_time: while a tester has a session other than the default one, others hear "busy" (0x21).
    :param testers: where it is, for :meth:`serve`: an address of the ECU's side, or a :class:`Tester`, each.
    :param name: for people.

    Each tester has a session, a security state and a transfer of its own. Data, trouble codes, routines and memory are
    there once. A class of your own overrides :meth:`handle`.
    """

    def __init__(
        self,
        *,
        dids: Mapping[int, bytes | Did] | None = None,
        routines: Mapping[int, bytes | Routine] | None = None,
        security: Mapping[int, Lock] | None = None,
        dtcs: Mapping[int, int] | None = None,
        memory: Mapping[int, bytes] | None = None,
        rules: Iterable[Rule] = (),
        services: Mapping[int, Access | None] | None = None,
        sessions: Iterable[int] = USUAL_SESSIONS,
        delay_ms: float = 0.0,
        p2_ms: float = 50.0,
        p2_star_ms: float = 5_000.0,
        s3_ms: float = 5_000.0,
        reset_ms: float = 0.0,
        block_length: int = 4095,
        one_at_a_time: bool = False,
        testers: Iterable[Tester | Address | AsymmetricAddress] = (),
        name: str = "ECU",
    ) -> None:
        self.dids = {
            did: data if isinstance(data, Did) else Did(bytes(data)) for did, data in (dids or {}).items()
        }
        self.routines = {
            rid: routine if isinstance(routine, Routine) else Routine(bytes(routine))
            for rid, routine in (routines or {}).items()
        }
        self.security = dict(security or {})
        self.dtcs = dict(dtcs or {})
        self.memory = dict(memory or {})
        self.rules = list(rules)
        self.sessions = frozenset(sessions)
        self.services: dict[int, Access | None] = {
            **{service: usual_access(service, self.sessions) for service in SERVICES},
            **(services or {}),
        }
        self.delay_ms = delay_ms
        self.p2_ms = p2_ms
        self.p2_star_ms = p2_star_ms
        self.s3_ms = s3_ms
        self.reset_ms = reset_ms
        self.block_length = block_length
        self.one_at_a_time = one_at_a_time
        self.testers = [tester_of(each) for each in testers]
        self.name = name
        if not 3 <= block_length <= 0xFFFFFFFF:
            raise ValueError(f"a block has at least 3 bytes, service and counter included: {block_length}")
        self._clients: dict[Hashable, Client] = {}
        self._restarts = False
        self._deaf_until: int | None = None

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Self:
        """The ECU that a table describes, as a TOML file has it.

        :raises ValueError: if there is something else in it; it says where.
        :raises RuntimeError: if it has names that udsoncan knows, and udsoncan is not installed.
        """
        from isotp.testing._ecu_table import arguments

        return cls(**arguments(table))

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """The ECU that a file describes, TOML or JSON.

        :raises ValueError: if it does not, or if this Python reads no TOML (3.10).
        :raises RuntimeError: as :meth:`from_table` does.
        :raises OSError: if it cannot be read.
        """
        from isotp.testing._ecu_table import table_in

        return cls.from_table(table_in(Path(path)))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {len(self.dids)} identifiers, {len(self.dtcs)} DTCs>"

    # ------------------------------------------------ requests and answers

    def answer(
        self, request: bytes, now: int, *, tester: Hashable = None, functional: bool = False
    ) -> list[Answer]:
        """What is to be sent, and when.

        :param request: the message.
        :param now: when it was complete, in ns of any clock. Requests come in the order of their times.
        :param tester: who asks, if there are several.
        :param functional: it was to all.
        """
        is_deaf = self._deaf_until is not None and now < self._deaf_until
        # What has bit 6 in its first byte is a response: to answer it might go on for ever.
        if is_deaf or not request or request[0] & RESPONSE:
            return []
        client = self._client(tester, now)
        asked = Request(bytes(request), now, client, functional)
        if asked.keeps_alive:
            client.quiet_since = max(client.quiet_since, now)
            return []
        if now < client.busy_until or self._is_taken(client, now):
            return [Answer(now, asked.refusal(Nrc.BUSY_REPEAT_REQUEST))]
        rule = next((each for each in self.rules if each.takes(asked)), AS_IT_IS)
        answers = self._in_time(asked, rule, self._payload(asked, rule))
        ends = answers[-1].at if answers else now
        client.busy_until = client.quiet_since = ends
        if self._restarts:
            self._restart(ends)
        return answers

    def session_of(self, now: int, tester: Hashable = None) -> int:
        """The diagnostic session that a tester has at a time."""
        return self._client(tester, now).session

    def handle(self, request: Request) -> bytes | None:
        """The positive answer to a request, whole; None: none. This is what a class of your own overrides.

        :raises NegativeResponse: for a negative one.
        """
        service = request.service
        access = self.services.get(service)
        if access is None or service not in SERVICES:
            raise NegativeResponse(Nrc.SERVICE_NOT_SUPPORTED)
        access.require(request.client, Nrc.SERVICE_NOT_SUPPORTED_IN_ACTIVE_SESSION)
        return bytes((service + RESPONSE,)) + SERVICES[service](self, request)

    def _payload(self, request: Request, rule: Rule) -> bytes | None:
        """What the answer is; None: nothing is sent."""
        if rule.silent:
            return None
        try:
            if rule.nrc is not None:
                raise NegativeResponse(rule.nrc)
            payload = self.handle(request) if rule.answer is None else rule.answer
        except NegativeResponse as refused:
            # Once it was promised, an answer comes (ISO 14229-1, 8.7).
            unheard = request.functional and refused.code in UNHEARD_IF_FUNCTIONAL and not rule.pending
            return None if unheard else request.refusal(refused.code)
        return None if request.suppresses_positive and not rule.pending else payload

    def _in_time(self, request: Request, rule: Rule, payload: bytes | None) -> list[Answer]:
        if payload is None:
            return []
        first = request.now + ns_of(self.delay_ms if rule.delay_ms is None else rule.delay_ms)
        pending = request.refusal(Nrc.RESPONSE_PENDING)
        payloads = [pending] * rule.pending + [payload]
        return [Answer(first + k * ns_of(rule.every_ms), each) for k, each in enumerate(payloads)]

    # ------------------------------------------------ testers

    def _client(self, tester: Hashable, now: int) -> Client:
        client = self._clients.setdefault(tester, Client(quiet_since=now))
        if client.session != DEFAULT_SESSION and now - client.quiet_since >= ns_of(self.s3_ms):
            client.enter(DEFAULT_SESSION)
        return client

    def _is_taken(self, client: Client, now: int) -> bool:
        """Whether another tester has it for itself."""
        return self.one_at_a_time and any(
            other.session != DEFAULT_SESSION
            for other in [self._client(tester, now) for tester in self._clients]
            if other is not client
        )

    def restart_after_answer(self) -> None:
        """The ECU starts anew when the answer to the request at hand has been sent: for :meth:`handle`."""
        self._restarts = True

    def _restart(self, now: int) -> None:
        self._restarts = False
        self._deaf_until = now + ns_of(self.reset_ms)
        for client in self._clients.values():
            client.enter(DEFAULT_SESSION)
        for routine in self.routines.values():
            routine.started = False

    def stored(self, address: int, size: int) -> bytes:
        """What is in memory there.

        :raises NegativeResponse: if nothing is.
        """
        for start, content in self.memory.items():
            if size and start <= address and address + size <= start + len(content):
                return content[address - start : address - start + size]
        raise NegativeResponse(Nrc.REQUEST_OUT_OF_RANGE)

    # ------------------------------------------------ on a bus

    def serve(
        self,
        bus: can.BusABC | str | HasFeed,
        *testers: Tester | Address | AsymmetricAddress,
        params: Parameters | None = None,
        watch: Watch | None = None,
    ) -> Serving:
        """The ECU on a bus, from the beginning of ``with ecu.serve(...)`` to its end.

        :param bus: a python-can bus, the name of a CAN interface of Linux, or an `isotp.testing.Wire`. A thread
            answers; on a wire whose clock is held, the ECU goes by that, without a thread.
        :param testers: an address of the ECU's side, or a :class:`Tester`, for each; by default those of the ECU.
        :param params: parameters of its layers.
        :param watch: called with each message, by the ECU's thread, as :class:`isotp.testing.Exchanged`.
        :raises ValueError: if there is no tester, or as :class:`isotp.Hub` does.
        """
        from isotp.testing._ecu_serving import Serving

        return Serving(self, bus, [tester_of(each) for each in testers or self.testers], params, watch)


def tester_of(what: Tester | Address | AsymmetricAddress) -> Tester:
    return what if isinstance(what, Tester) else Tester(what)


def ns_of(ms: float) -> int:
    return round(ms * MS)
