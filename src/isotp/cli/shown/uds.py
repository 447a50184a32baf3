"""UDS in a few words: service, identifiers and negative response codes, with the marks of isotpdump."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from isotp.bulk._uds import NEGATIVE, SERVICES, UdsRow, said
from isotp.bulk._uds import RESPONSE as POSITIVE
from isotp.bulk._uds_figures import ServiceFigures, UdsFigures
from isotp.cli.shown.words import count_text, time_text

__all__ = ["NEGATIVE", "POSITIVE", "in_short", "is_request", "kinds_text", "row_text", "service_text"]

MARKS = {"request": "[SRQ]", "response": "[PSR]", "negative": "[NRC]", "pending": "[NRC]"}


def is_request(payload: bytes) -> bool:
    """True for one to a service of UDS."""
    return payload[:1] != b"" and payload[0] in SERVICES


def service_text(payload: bytes) -> str:
    """What the message is; nothing if it is none of UDS."""
    told = said(payload)
    if told is None or (told.service not in SERVICES and told.row.nrc is None):
        return ""
    if told.kind in ("negative", "pending") and len(payload) != 3:
        return ""
    return head_text(told.row)


def head_text(row: UdsRow) -> str:
    """Mark, service and negative response code."""
    name = row.service_name or row.service or ""
    if row.kind in ("negative", "pending"):
        name = f"{row.service_name or f'service {row.service}'}: {row.nrc_name or row.nrc}"
    return f"{MARKS[row.kind or '']} {name}"


def row_text(row: UdsRow) -> str:
    """The same with the identifiers, and how soon a response came."""
    if row.kind is None:
        return ""
    text = " ".join(each for each in (head_text(row), row.sub_function, row.did, row.rid) if each)
    if row.response_ns is not None:
        text += f", {time_text(row.response_ns)}"
    return text


def in_short(figures: UdsFigures) -> str:
    """All figures of UDS, in a line."""
    services = figures.services()

    def total(count: Callable[[ServiceFigures], int]) -> int:
        return sum(map(count, services))

    parts = [
        count_text(total(lambda each: each.requests), "request"),
        count_text(total(lambda each: each.positive), "positive response"),
        f"{total(lambda each: each.negative.total()):,} negative",
        f"{total(lambda each: each.pending):,} times response pending",
        f"{total(lambda each: each.unanswered):,} unanswered",
    ]
    more = kinds_text(sum((each.negative for each in services), Counter()).most_common())
    return "UDS: " + ", ".join(parts) + (f" ({more})" if more else "")


def kinds_text(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts)
