"""UDS in a few words: service, identifiers and negative response codes, with the marks of isotpdump."""

from __future__ import annotations

from isotp.bulk._uds import NEGATIVE, SERVICES, UdsRow, said
from isotp.bulk._uds import RESPONSE as POSITIVE
from isotp.cli.shown.words import time_text

__all__ = ["NEGATIVE", "POSITIVE", "is_request", "row_text", "service_text"]

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
