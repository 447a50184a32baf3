"""The keys of JSON lines: one word for one thing, whichever command writes it."""

from __future__ import annotations

from isotp.bulk._schema import UDS_COLUMNS

__all__ = ["KEYS"]

# For the page of all commands. Times are ns since 1970 or as the log has them, durations ns, bytes hex without spaces.
KEYS: dict[str, str] = {
    "time": "when the frame came, or the message was complete",
    "start, end": "when the first and the last frame of a message came",
    "start_time, end_time": "the same as ISO 8601",
    "duration": "of a message: from its first frame to its last; of `send`: until its last frame had left",
    "channel": "the bus, as it is named there or in the log",
    "session": "the address, as `--address` reads it; of `ecu` where it is",
    "ecu": "which ECU it is",
    "direction": "`tx`: as the address sends; `rx`: as it receives",
    "can_id": "of the frame, or of the sender's frames",
    "extension": "the byte before the N_PCI",
    "target_type": "`physical` or `functional`",
    "type": "of a frame: `SF`, `FF`, `CF`, `FC`",
    "fd": "whether it is a CAN FD frame",
    "data": "all bytes of a frame",
    "status": "how a message ended, see `isotp decode --status`",
    "length": "bytes of a message, as its first frame says",
    "payload": "the bytes that came, without what is ISO-TP's",
    "frames": "of a message",
    "rate": "bytes a second",
    "sn": "sequence number",
    "flow_status": "`CTS`, `WT` or `OVFLW`",
    "blocksize, stmin_us": "what flow control asked for, STmin in us",
    "waits, flow_controls": "how many of them a message took",
    "answer": "the bytes of the answer",
    "request": "the bytes that were asked",
    "request_id, response_id": "CAN IDs of who asks and of who answers",
    "physical, functional": "to which requests somebody answers",
    "error, problem": "what went wrong, in words",
    "uds": "what a message says in UDS, in words; of `stats` the figures of its services",
    "messages, bytes, bytes_per_second": "the summary of `perf`, and figures of `stats`",
    ", ".join(UDS_COLUMNS): "what a message says in UDS (`decode --uds`): [One schema](table.md)",
}
