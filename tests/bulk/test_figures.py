"""What sessions were like: the figures of `isotp stats`, for programs."""

from __future__ import annotations

import pytest

import isotp
from tests.bulk.logs import OTHER, TESTER, decoded

pytest.importorskip("numpy")

from isotp.figures import session_figures

TALK = ("7E0#02 10 03", "7E8#06 50 03 00 32 01 F4", "7E0#02 3E 00", "7E8#03 7F 3E 11", "7E1#02 3E 00")


def test_sessions_the_busiest_first() -> None:
    busy, quiet = session_figures(decoded(*TALK, addresses=(OTHER, TESTER)))
    assert (busy.address, quiet.address) == (TESTER, OTHER)
    assert busy.as_dict() | {"first": 0, "last": 0} == {
        "channel": "0",
        "session": "7E0:7E8",
        "first": 0,
        "last": 0,
        "messages": 4,
        "bytes": 13,
        "tx": {"messages": 2, "bytes": 4, "frames": 2},
        "rx": {"messages": 2, "bytes": 9, "frames": 2},
        "statuses": {"ok": 4},
        "messages_per_second": busy.per_second(4),
        "bytes_per_second": busy.per_second(13),
        "stmin_us": [],
        "blocksize": [],
        "waits": 0,
        "response_times": busy.as_dict()["response_times"],
    }
    assert busy.response_times().tolist() == [1_000_000, 1_000_000]
    assert busy.services == ()


def test_services_of_uds_in_tables_one_after_the_other() -> None:
    """The response is in another table than the request."""
    table = decoded(*TALK, addresses=(TESTER, OTHER))
    busy, _ = session_figures((table[:1], table[1:3], table[3:]), uds=True)
    shown = [(each.title, each.requests, each.positive, dict(each.negative)) for each in busy.services]
    assert shown == [
        ("10 DiagnosticSessionControl", 1, 1, {}),
        ("3E TesterPresent", 1, 0, {"ServiceNotSupported": 1}),
    ]


def test_tables_of_different_sessions_make_no_sense() -> None:
    one, two = decoded(*TALK, addresses=(TESTER,)), decoded(*TALK, addresses=(OTHER,))
    with pytest.raises(ValueError, match=r"make one of them by Messages\.concat\(\)"):
        session_figures([one, two])
    assert len(session_figures(isotp.Messages.concat([one, two]))) == 2


def test_no_messages_have_no_sessions() -> None:
    assert session_figures([]) == []
