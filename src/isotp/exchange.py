"""One request and what comes after it: which message is its answer, and how long that may take. No clock, no bus.

The rules are those of UDS: the answer's first bytes by ISO 14229-1, P2 and P2* by ISO 14229-2. They hold for OBD too.
"""

from __future__ import annotations

from isotp.bulk._uds import RESPONSE, dids_of, said
from isotp.errors import BlockingSendTimeout
from isotp.layers import require_seconds

__all__ = ["Exchange", "answers"]

TRANSFER_DATA = 0x36


def answers(request: bytes, message: bytes) -> bool:
    """Whether a message is a response to this request, be it positive, negative or "response pending".

    Its service is the request's, and so is what it repeats of it: sub-function, data identifier, routine, block. What
    one of them is too short for is not compared.
    """
    asked, told = said(request), said(message)
    if asked is None or told is None or told.kind == "request" or told.service != asked.service:
        return False
    if told.kind != "response":
        return True
    dids = dids_of(message[0] & ~RESPONSE, "response", message)
    asked_dids = dids_of(request[0], "request", request)
    pairs = [(asked.row.sub_function, told.row.sub_function), (asked.row.rid, told.row.rid)]
    if request[0] == TRANSFER_DATA:
        pairs.append((request[1:2].hex() or None, message[1:2].hex() or None))
    return (not dids or not asked_dids or dids[0] in asked_dids) and all(
        one is None or other is None or one == other for one, other in pairs
    )


class Exchange:
    """Time (s) is an argument, of any clock.

    :param request: its payload.
    :param timeout: seconds from the beginning of the request to that of its answer. None: no limit.
    :param p2: seconds from the end of the request to the beginning of its answer, or of "response pending".
    :param p2_star: seconds from each "response pending" to what follows it.
    :param uds: False: whatever message comes next is the answer.
    :raises ValueError: if the request is empty, or none of UDS; if a time is negative, infinite or NaN.
    :raises TypeError: if a time is no number.
    """

    def __init__(
        self, request: bytes, *, timeout: float | None, p2: float, p2_star: float, uds: bool
    ) -> None:
        for name, seconds in (("timeout", timeout), ("p2", p2), ("p2_star", p2_star)):
            if seconds is not None:
                require_seconds(name, seconds)
        if not request:
            raise ValueError("nobody answers an empty message")
        if uds and request[0] & RESPONSE:
            raise ValueError(
                f"{request[0]:02X} is no service of UDS that one can ask for: bit 6 is set (0x40), as in responses."
                " With uds=False, the next message is the answer, whatever it is"
            )
        self._request = request
        self._timeout, self._p2, self._p2_star = timeout, p2, p2_star
        self._uds = uds
        self._pending = 0
        self._end = self._until = float("inf")

    def begin(self, now: float) -> None:
        """The request is to be sent."""
        if self._timeout is not None:
            self._end = now + self._timeout

    def sent(self, now: float) -> None:
        """All of the request is."""
        self._until = now + self._p2

    def left(self, now: float) -> float | None:
        """Seconds that are left for the next step. None: no limit."""
        until = min(self._until, self._end)
        return None if until == float("inf") else max(until - now, 0.0)

    def is_over(self, message: bytes, now: float) -> bool:
        """Whether this message is the answer; "response pending" prolongs the wait, what is no answer does not."""
        if not self._uds:
            return True
        if not answers(self._request, message):
            return False
        told = said(message)
        is_pending = told is not None and told.kind == "pending"
        if is_pending:
            self._pending += 1
            self._until = now + self._p2_star
        return not is_pending

    def not_sent(self) -> BlockingSendTimeout:
        """What is raised if the request was not sent in time."""
        return BlockingSendTimeout(f"{self._name} was not sent within {self._timeout:g} s")

    def not_answered(self) -> TimeoutError:
        """What is raised if no answer has begun in time."""
        if self._end < self._until:
            limit = f"{self._timeout:g} s (timeout)"
        elif self._pending:
            limit = f"{self._p2_star:g} s (P2*)"
        else:
            limit = f"{self._p2:g} s (P2)"
        after = f', after "response pending" came {self._pending} times' if self._pending else ""
        return TimeoutError(f"no answer to {self._name} has begun within {limit}{after}")

    @property
    def _name(self) -> str:
        shown = self._request[:8].hex(" ").upper()
        return f"{shown} ..." if len(self._request) > 8 else shown
