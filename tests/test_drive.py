"""The log that the pages show: it is what the example records, and has in it what the pages say of it."""

from __future__ import annotations

import gzip

import isotp
from isotp import capture
from isotp.uds import Exchanges
from tests.drive import BLF, LOG, recorder


def test_it_is_recorded_the_same_each_time() -> None:
    frames = recorder().record()
    assert gzip.decompress(LOG.read_bytes()).decode() == "".join(recorder().candump(frames))
    assert recorder().record() == frames


def test_both_formats_have_the_same_frames() -> None:
    """The file itself may differ: how well it is packed is the business of zlib."""
    logs = []
    for path in (LOG, BLF):
        with capture.open(path) as log:
            logs.append([each for records in log for each in records])
    assert [(each.can_id, each.data) for each in logs[0]] == [(each.can_id, each.data) for each in logs[1]]
    # python-can's times are floats.
    assert all(abs(one.timestamp - two.timestamp) <= 1000 for one, two in zip(*logs, strict=True))
    assert LOG.stat().st_size + BLF.stat().st_size < 150_000


def test_it_has_in_it_what_such_logs_have() -> None:
    with capture.decode(LOG) as decoding:
        messages = decoding.table()
    statuses = [message.status.name for message in messages]
    assert {name: statuses.count(name) for name in set(statuses) - {"OK"}} == {
        "WRONG_SEQUENCE_NUMBER": 1,
        "TIMED_OUT": 1,
        "OPEN": 1,
    }
    rows = Exchanges().rows(messages)
    kinds = [row.kind for row in rows]
    assert [row.nrc for row in rows if row.kind == "negative"] == ["31"]
    assert kinds.count("pending") == 6
    # An answer repeats the identifier, and belongs to its request.
    asked = {row.exchange: row.did.split()[0] for row in rows if row.kind == "request" and row.did}
    answered = {row.exchange: row.did for row in rows if row.kind == "response" and row.did}
    assert {number: asked[number] for number in answered} == answered
    assert len(answered) > 60
    services = {row.service for row in rows if row.kind == "response"}
    assert services >= {"10", "11", "14", "19", "22", "27", "28", "31", "34", "36", "37", "85"}
    assert sum(row.kind == "response" and row.service == "36" for row in rows) == 20


def test_the_tester_is_present_on_both_buses() -> None:
    to_all = [
        isotp.Address(txid=0x7DF, tx_only=True),
        isotp.Address(isotp.AddressingMode.Extended_11bits, txid=0x6F1, target_address=0xEF, tx_only=True),
    ]
    with capture.decode(LOG, to_all) as decoding:
        messages = decoding.table()
    assert [message.payload for message in messages] == [b"\x3e\x80"] * 8


def test_the_software_has_a_new_version_afterwards() -> None:
    fixed = isotp.AddressingMode.NormalFixed_29bits
    gearbox = isotp.Address(fixed, target_address=0x18, source_address=0xF1)
    with capture.decode(LOG, [gearbox]) as decoding:
        payloads = decoding.table().payloads
    assert [each for each in payloads if each[:3] == b"\x62\xf1\x89"] == [
        b"\x62\xf1\x890041",
        b"\x62\xf1\x890042",
    ]
