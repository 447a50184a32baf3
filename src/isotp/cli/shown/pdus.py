"""Messages as Wireshark's exported PDUs: it dissects them as UDS, with no need to put frames together."""

from __future__ import annotations

import struct
from typing import IO

from isotp.bulk._messages import Messages
from isotp.bulk._schema import STATUSES, SessionWords, channel_text
from isotp.bulk._uds import UdsRow
from isotp.cli.shown.pcapng import COMMENT, PcapngFile, packet
from isotp.cli.shown.tables import MessageWriter
from isotp.message import Direction, MessageStatus

__all__ = ["PduWriter"]

LINKTYPE_WIRESHARK_UPPER_PDU = 252
# Tags before the payload, in network order (epan/exported_pdu.h of Wireshark).
END_OF_TAGS, DISSECTOR_NAME, P2P_DIRECTION = 0, 12, 35
SENT, RECEIVED = 0, 1


class PduWriter(MessageWriter):
    """A packet a message, when it ended. Interfaces are sessions: "can0 7E0:7E8", directions are those of their
    addresses, and a comment says what broke off.

    :param dissector: what Wireshark calls the protocol of the payloads.
    """

    def __init__(self, stream: IO[bytes], *, uds: bool = False, dissector: str = "uds") -> None:
        self._words = SessionWords()
        self._file = PcapngFile(stream, LINKTYPE_WIRESHARK_UPPER_PDU)
        name = tag(DISSECTOR_NAME, dissector.encode())
        self._heads = {
            direction: name + tag(P2P_DIRECTION, struct.pack(">I", value)) + tag(END_OF_TAGS, b"")
            for direction, value in ((Direction.TX, SENT), (Direction.RX, RECEIVED))
        }

    def write(self, messages: Messages, uds: list[UdsRow] | None = None) -> None:
        self._words.learn(messages)
        names = ("end", "channel", "session", "direction", "target_type", "status", "length")
        columns = [messages.column(name).tolist() for name in names]
        packets = []
        for row, payload in zip(zip(*columns, strict=True), messages.payloads, strict=True):
            end, channel, session, direction, target_type, status, length = row
            where = self._file.interface(f"{channel_text(messages, channel)} {self._words.sessions[session]}")
            comment = self._words.can_id(session, direction, target_type)
            if status != MessageStatus.OK:
                comment += f": {STATUSES[status]}, {len(payload)} of {length} bytes"
            packets.append(
                packet(where, end, self._heads[direction] + payload, [(COMMENT, comment.encode())])
            )
        self._file.write(packets)

    def close(self) -> None:
        self._file.flush()


def tag(number: int, value: bytes) -> bytes:
    filling = bytes(-len(value) % 4)
    return struct.pack(">HH", number, len(value) + len(filling)) + value + filling
