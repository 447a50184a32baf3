"""Real traffic of the Linux kernel's ISO-TP, and what was said: data/captures/README.md describes both."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import isotp

CAPTURES = Path(__file__).parent / "data" / "captures"
NAMES = ("kernel-mixed-1", "kernel-mixed-2")


class Message(NamedTuple):
    """A reassembled message: the pair it belongs to, its direction (True: from `tx` to `rx`), its bytes."""

    pair: int
    forward: bool
    data: bytes


@cache
def truth(name: str) -> dict[str, Any]:
    return json.loads((CAPTURES / f"{name}.json").read_text())


@cache
def expected_messages(name: str) -> tuple[Message, ...]:
    messages = truth(name)["messages"]
    return tuple(Message(m["pair"], m["forward"], bytes.fromhex(m["data"])) for m in messages)


def by_session(messages: Iterable[Message]) -> dict[tuple[int, bool], list[bytes]]:
    """The messages of each pair and direction in order.

    Between sessions the truth file tells the order in which its reader threads woke up, not that of the bus.
    """
    sessions: dict[tuple[int, bool], list[bytes]] = {}
    for message in messages:
        sessions.setdefault((message.pair, message.forward), []).append(message.data)
    return sessions


def address_of(pair: dict[str, Any], forward: bool) -> isotp.Address:
    """The address of a node that receives one direction of the pair."""
    heard, other = (pair["tx"], pair["rx"]) if forward else (pair["rx"], pair["tx"])
    bits = "29bits" if pair["extended_id"] else "11bits"
    if pair["ext"] is None:
        return isotp.Address(isotp.AddressingMode[f"Normal_{bits}"], rxid=heard, txid=other)
    forth, back = pair["ext"]
    source, target = (forth, back) if forward else (back, forth)
    mode = isotp.AddressingMode[f"Extended_{bits}"]
    return isotp.Address(mode, rxid=heard, txid=other, source_address=source, target_address=target)


def decoded(messages: Iterable[isotp.Message]) -> dict[tuple[int, bool], list[bytes]]:
    """What sessions heard that were named in the order of the pairs, by address_of() of the forward direction."""
    found = []
    for each in messages:
        assert each.status is isotp.MessageStatus.OK
        found.append(Message(each.session, each.direction is isotp.Direction.RX, each.payload))
    return by_session(found)


def write_as(path: Path, name: str) -> None:
    """The frames as python-can writes them in the format of this name."""
    import can

    with can.Logger(path) as writer, can.CanutilsLogReader(CAPTURES / f"{name}.log") as reader:
        for message in reader:
            # A TRC file of python-can has no CAN FD.
            if path.suffix != ".trc" or not message.is_fd:
                writer.on_message_received(message)
