"""Figures of UDS: for each service of a session how often it was asked for, what came back, and how soon."""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from isotp.bulk._address_text import address_text
from isotp.bulk._messages import Messages
from isotp.bulk._uds import UdsRow

__all__ = ["ServiceFigures", "UdsFigures", "times_as_json"]

MOST_ASKED = 65_536  # requests
MOST_TOLD = 5  # of those without a response


@dataclass
class ServiceFigures:
    """One service of one session on one channel."""

    channel: int
    session: str
    service: str
    name: str | None
    requests: int = 0
    suppressed: int = 0  # requests that want no positive response
    positive: int = 0
    negative: Counter[str] = field(default_factory=Counter)  # by name, or code
    pending: int = 0
    given_up: int = 0  # unanswered ones, so long ago that nobody will answer them
    unanswered: int = 0  # all of them
    unasked: int = 0  # responses without a request
    times: array[int] = field(default_factory=partial(array, "q"))  # ns from requests to final responses

    @property
    def title(self) -> str:
        return self.service if self.name is None else f"{self.service} {self.name}"

    def as_dict(self) -> dict[str, Any]:
        """All of them, of the times a summary."""
        return {
            "service": self.service,
            "name": self.name,
            "requests": self.requests,
            "suppressed": self.suppressed,
            "positive": self.positive,
            "negative": dict(self.negative),
            "pending": self.pending,
            "unanswered": self.unanswered,
            "unasked": self.unasked,
            "response_times": times_as_json(self.times),
        }


def times_as_json(times: Any) -> dict[str, int | None]:
    """How many, and the least, median, 95 % and most of them."""
    import numpy  # takes long, and few ask for figures

    levels = (("min", 0), ("median", 0.5), ("p95", 0.95), ("max", 1))
    return {
        "count": len(times),
        **{name: int(numpy.quantile(times, level)) if len(times) else None for name, level in levels},
    }


class Asked(NamedTuple):
    """A request: when it began, and what it says."""

    start: int
    figures: ServiceFigures
    row: UdsRow


class UdsFigures:
    """Counts over messages, each with what it says; a response counts where its request was sent.

    :param keep_times: of responses, 8 bytes each.
    """

    def __init__(self, *, keep_times: bool = True) -> None:
        self._keep_times = keep_times
        self._services: dict[tuple[int, str, str], ServiceFigures] = {}
        # Requests that may have a response, by their exchange: the latest ones.
        self._asked: OrderedDict[int, ServiceFigures] = OrderedDict()
        self._unanswered: dict[int, Asked] = {}
        self._given_up: list[Asked] = []  # the first ones

    def add(self, messages: Messages, rows: Sequence[UdsRow], chosen: Sequence[bool] | None = None) -> None:
        """Count them; of those that are not chosen, only that they answer others."""
        sessions = [address_text(each) for each in messages.sessions]
        columns = [messages.column(name).tolist() for name in ("start", "channel", "session")]
        wanted = [True] * len(rows) if chosen is None else chosen
        for start, channel, session, row, is_wanted in zip(*columns, rows, wanted, strict=True):
            if row.service is None:
                continue
            if is_wanted:
                figures = self._of(row, channel, sessions[session])
                self._count(row, figures, Asked(start, figures, row))
            elif row.exchange is not None and row.response_ns is not None:
                self._unanswered.pop(row.exchange, None)

    def _of(self, row: UdsRow, channel: int, session: str) -> ServiceFigures:
        """Those of the request that a response has, or else of its own session."""
        if row.kind != "request" and row.exchange is not None and row.exchange in self._asked:
            return self._asked[row.exchange]
        assert row.service is not None
        key = channel, session, row.service
        if key not in self._services:
            self._services[key] = ServiceFigures(*key, row.service_name)
        return self._services[key]

    def _count(self, row: UdsRow, figures: ServiceFigures, asked: Asked) -> None:
        if row.kind == "request":
            figures.requests += 1
            figures.suppressed += bool(row.suppressed)
            if row.exchange is not None:
                self._asked[row.exchange] = figures
                self._give_up()
                if not row.suppressed:
                    self._unanswered[row.exchange] = asked
            return
        if row.exchange is None:
            figures.unasked += 1
        if row.kind == "pending":
            figures.pending += 1
            return
        if row.kind == "response":
            figures.positive += 1
        else:
            figures.negative[row.nrc_name or row.nrc or "cut"] += 1
        if row.exchange is not None and row.response_ns is not None:
            self._unanswered.pop(row.exchange, None)
            if self._keep_times:
                figures.times.append(row.response_ns)

    def _give_up(self) -> None:
        """Memory does not grow with the log."""
        while len(self._asked) > MOST_ASKED:
            exchange, figures = self._asked.popitem(last=False)
            if exchange in self._unanswered:
                asked = self._unanswered.pop(exchange)
                figures.given_up += 1
                if len(self._given_up) < MOST_TOLD:
                    self._given_up.append(asked)

    def services(self) -> list[ServiceFigures]:
        """Session by session, and in each by the service."""
        for each in self._services.values():
            each.unanswered = each.given_up
        for asked in self._unanswered.values():
            asked.figures.unanswered += 1
        return [self._services[key] for key in sorted(self._services)]

    def of(self, channel: int, session: str) -> Iterator[ServiceFigures]:
        return (each for each in self.services() if (each.channel, each.session) == (channel, session))

    def unanswered(self) -> list[Asked]:
        """The first requests without a response, in their order."""
        return [*self._given_up, *islice(self._unanswered.values(), MOST_TOLD - len(self._given_up))]
