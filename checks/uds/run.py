#!/usr/bin/env python3
"""Compare what our table says in UDS with Wireshark's dissector (tshark) and with udsoncan.

    python checks/uds/run.py [LOG ...]

Without a log, docs/drive.log.gz and one that is made here are taken. The sessions of each are discovered; those in
normal addressing are compared one by one. The exit status is 1 if anything differs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from udsoncan.Request import Request
from udsoncan.Response import Response

from checks.instrumented import CHECKOUT
from isotp import Messages, MessageStatus, capture
from isotp.address import AbstractAddress
from isotp.bulk._address_text import address_text, lanes_of
from isotp.bulk._uds import SERVICES
from isotp.cli.choice import FrameFilter
from isotp.cli.shown.frames import PcapngWriter
from isotp.cli.shown.pdus import PduWriter
from isotp.uds import Exchanges, UdsRow

# Of tshark: what tells the service, and the fields that have a sub-function, a data identifier, a routine identifier.
SUB_FUNCTIONS = (
    "uds.dsc.type",
    "uds.er.type",
    "uds.rdtci.type",
    "uds.sa.type",
    "uds.rc.type",
    "uds.cdtcs.type",
)
DIDS = ("uds.rdbi.data_identifier", "uds.wdbi.data_identifier", "uds.iocbi.data_identifier")
FIELDS = (
    "can.id",
    "uds.sid",
    "uds.reply",
    "uds.err.sid",
    "uds.err.code",
    "uds.rc.identifier",
    *SUB_FUNCTIONS,
    *DIDS,
)
# A flash session: a request that is refused, "response pending", a response that is not wanted, a routine.
STORY = """
7E0#021003 7E8#065003003201F4 7E0#023E80 7E0#0322F190 7E8#037F2278 7E8#037F2231 7E0#022701 7E8#066701DEADBEEF
7E0#06270201020304 7E8#037F2735 7E0#043101FF00 7E8#037F3178 7E8#037F3178 7E8#047101FF00 7E0#0534004411
7E8#04742004 7E0#043601AABB 7E8#027601 7E0#0137 7E8#0177 7E0#042EF19901 7E8#036EF199 7E0#03190209 7E8#05590209AA
7E0#0522F190F18C 7E8#0762F19001F18C02 7E0#021101 7E8#025101 7E0#028502 7E8#02C502 7E0#0414FFFFFF 7E8#0154
"""


def story(path: Path) -> Path:
    lines = (f"({k // 100}.{k % 100:02}0000) can0 {frame}\n" for k, frame in enumerate(STORY.split(), 100))
    path.write_text("".join(lines))
    return path


def sessions_of(log: Path) -> Iterator[tuple[AbstractAddress, str, Messages]]:
    """Each session in normal addressing, and its messages."""
    with capture.decode(log) as decoding:
        found = list(decoding.reassembler.sessions)
    for address in found:
        if any(lane.extension is not None for lane in lanes_of(address)):
            continue
        with capture.decode(log, [address]) as decoding:
            yield address, address_text(address), decoding.table()


def dissected(log: Path, address: AbstractAddress, folder: Path) -> list[dict[str, list[int]]]:
    """What tshark says of each message: the values of each field."""
    path = folder / "session.pcapng"
    with path.open("wb") as stream, capture.open(log) as frames:
        writer = PcapngWriter(stream, lambda number: str(frames.channels[number]))
        chooser = FrameFilter([(address, None)])
        for records in frames:
            writer.write(chooser.select(records))
    found = []
    for can_id in sorted({lane.can_id & 0x1FFFFFFF for lane in lanes_of(address)}):
        words = ["-d", "can.subdissector,iso15765", "-d", "iso15765.subdissector,uds"]
        found += fields_by_tshark(path, *words, "-Y", f"can.id=={can_id} && uds")
    return found


def dissected_whole(messages: Messages, folder: Path) -> list[dict[str, list[int]]]:
    """The same of our messages, as exported PDUs."""
    path = folder / "messages.pcapng"
    with path.open("wb") as stream:
        PduWriter(stream).write(messages)
    return fields_by_tshark(path, "-Y", "uds")


def fields_by_tshark(path: Path, *words: str) -> list[dict[str, list[int]]]:
    wanted = [word for field in FIELDS for word in ("-e", field)]
    command = ["tshark", "-n", "-r", str(path), *words, "-T", "fields", *wanted]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [
        {
            name: [int(each, 0) for each in text.split(",") if each]
            for name, text in zip(FIELDS, line.split("\t"), strict=True)
        }
        for line in output.splitlines()
    ]


def ours(messages: Messages, rows: Sequence[UdsRow]) -> list[tuple[object, ...]]:
    """Complete messages in the order of tshark's: by CAN ID."""
    found = []
    for message, row in zip(messages, rows, strict=True):
        if message.status is MessageStatus.OK and row.service is not None and len(message.payload) > 0:
            lane = next(each for each in lanes_of(message.address) if each.direction == message.direction)
            found.append((lane.can_id & 0x1FFFFFFF, row))
    return [facts(row) for _, row in sorted(found, key=lambda each: each[0])]


def facts(row: UdsRow) -> tuple[object, ...]:
    """Of a response, the first DID; of those services whose sub-function tshark has a field for, that too."""
    has_field = row.service in ("10", "11", "19", "27", "31", "85")
    did = row.did if row.service in ("22", "2E", "2F") else None
    return (
        "negative" if row.kind == "pending" else row.kind,
        row.service,
        row.sub_function if has_field else None,
        did,
        row.rid,
        row.nrc,
    )


def theirs(fields: dict[str, list[int]]) -> tuple[object, ...]:
    """The same by tshark."""
    if fields["uds.err.sid"]:
        code = fields["uds.err.code"]
        return ("negative", hexed(fields["uds.err.sid"]), None, None, None, hexed(code))
    kind = "response" if fields["uds.reply"][0] else "request"
    sub_function = next((fields[name] for name in SUB_FUNCTIONS if fields[name]), [])
    dids = next((fields[name] for name in DIDS if fields[name]), [])
    return (
        kind,
        hexed(fields["uds.sid"]),
        # It has bit 7, which asks for no response, with the rest.
        hexed([sub_function[0] & 0x7F]) if sub_function else None,
        " ".join(f"{did:04X}" for did in (dids if kind == "request" else dids[:1])) or None,
        f"{fields['uds.rc.identifier'][0]:04X}" if fields["uds.rc.identifier"] else None,
        None,
    )


def hexed(values: list[int]) -> str | None:
    return f"{values[0]:02X}" if values else None


def by_udsoncan(payload: bytes, row: UdsRow) -> str | None:
    """What differs from udsoncan, if it knows the service and takes the message for one."""
    if row.service is None or int(row.service, 16) not in SERVICES or row.kind is None:
        return None
    told: Request | Response
    told = Request.from_payload(payload) if row.kind == "request" else Response.from_payload(payload)
    if told.service is None or (isinstance(told, Response) and not told.valid):
        return None
    if told.service.get_name() != row.service_name:
        return f"{told.service.get_name()} != {row.service_name}"
    if isinstance(told, Response):
        if told.positive != (row.kind == "response"):
            return f"{told} is not {row.kind}"
        if not told.positive and (f"{told.code:02X}", told.code_name) != (row.nrc, row.nrc_name):
            return f"{told.code_name} != {row.nrc_name}"
    return None


def compare(log: Path, folder: Path) -> int:
    """The number of differences; each is told."""
    different = 0
    for address, name, messages in sessions_of(log):
        rows = Exchanges().rows(messages)
        mine, wireshark = ours(messages, rows), [theirs(each) for each in dissected(log, address, folder)]
        wrong = [(k, a, b) for k, (a, b) in enumerate(zip(mine, wireshark, strict=False)) if a != b]
        complete = messages.filter(status=MessageStatus.OK)
        whole = [theirs(each) for each in dissected_whole(complete, folder)]
        wrong += [
            (k, a, b)
            for k, (a, b) in enumerate(zip(map(facts, Exchanges().rows(complete)), whole, strict=True))
            if a != b
        ]
        for k, a, b in wrong[:5]:
            print(f"  message {k}: ours {a}, tshark's {b}")
        if len(mine) != len(wireshark):
            print(f"  {len(mine)} messages, tshark has {len(wireshark)}")
        told = map(by_udsoncan, messages.payloads, rows)
        odd = [text for text in told if text is not None]
        for text in odd[:5]:
            print(f"  udsoncan: {text}")
        asked = [row.exchange for row in rows if row.kind == "request"]
        final = [row for row in rows if row.response_ns is not None]
        times = numpy.array([row.response_ns for row in final])
        print(
            f"{log.name} {name}: {len(mine)} messages, {len(asked)} requests, {len(final)} final responses,"
            f" {sum(row.kind == 'pending' for row in rows)} times pending"
            + (f", median {numpy.median(times) / 1e6:.3g} ms" if len(times) else "")
        )
        different += len(wrong) + len(odd) + (len(mine) != len(wireshark))
    return different


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        logs = [Path(each) for each in sys.argv[1:]] or [
            CHECKOUT / "docs" / "drive.log.gz",
            story(here / "flash.log"),
        ]
        different = sum(compare(log, here) for log in logs)
    print(f"{different} differences")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
