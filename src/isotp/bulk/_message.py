"""One message of a log as a value: when, between whom, what, and how its reception ended."""

from __future__ import annotations

import enum
from typing import NamedTuple

from isotp import errors
from isotp.address import AbstractAddress, TargetAddressType

__all__ = ["BROKEN_STATUSES", "Direction", "Message", "MessageStatus"]


class Direction(enum.IntEnum):
    """Which way a message went, seen from its session's address."""

    TX = 0
    RX = 1


class MessageStatus(enum.IntEnum):
    """How the reception of a message ended. All but OK have the bytes that came before."""

    OK = 0
    WRONG_SEQUENCE_NUMBER = 1
    TIMED_OUT = 2
    INTERRUPTED_BY_SINGLE_FRAME = 3
    INTERRUPTED_BY_FIRST_FRAME = 4
    OVERFLOW = 5
    TOO_LONG = 6
    INVALID_FRAME = 7
    OUT_OF_MEMORY = 8
    OPEN = 9


# OPEN is no error of the bus: the log ends before the message does.
BROKEN_STATUSES = frozenset(MessageStatus) - {MessageStatus.OK, MessageStatus.OPEN}

_ERRORS: dict[MessageStatus, tuple[type[errors.IsoTpError], str]] = {
    MessageStatus.WRONG_SEQUENCE_NUMBER: (errors.WrongSequenceNumberError, "a frame was lost or repeated"),
    MessageStatus.TIMED_OUT: (errors.ConsecutiveFrameTimeoutError, "no consecutive frame within N_Cr"),
    MessageStatus.INTERRUPTED_BY_SINGLE_FRAME: (
        errors.ReceptionInterruptedWithSingleFrameError,
        "interrupted by a single frame",
    ),
    MessageStatus.INTERRUPTED_BY_FIRST_FRAME: (
        errors.ReceptionInterruptedWithFirstFrameError,
        "interrupted by a first frame",
    ),
    MessageStatus.OVERFLOW: (errors.OverflowError, "the receiver reported an overflow"),
    MessageStatus.TOO_LONG: (errors.FrameTooLongError, "longer than max_frame_size"),
    MessageStatus.INVALID_FRAME: (errors.InvalidCanDataError, "a frame that is no N_PDU came in between"),
    MessageStatus.OUT_OF_MEMORY: (errors.FrameTooLongError, "no memory for it"),
}


class Message(NamedTuple):
    """A reassembled message, or the part of one that came.

    Times are those of the frames, in ns. ``length`` is what the SF or FF announced; ``payload`` has that many
    bytes if ``status`` is OK. ``blocksize`` and ``stmin_us`` are those of the last flow control frame with
    ContinueToSend, None if none was seen; ``waits`` and ``flow_controls`` count flow control frames.
    """

    start: int
    end: int
    channel: int
    session: int
    address: AbstractAddress
    direction: Direction
    target_type: TargetAddressType
    payload: bytes
    status: MessageStatus
    length: int
    frames: int
    blocksize: int | None
    stmin_us: int | None
    waits: int
    flow_controls: int

    @property
    def error(self) -> errors.IsoTpError | None:
        """What a live layer reports when a reception ends like this; None for OK and for OPEN."""
        if self.status not in _ERRORS:
            return None
        error, sentence = _ERRORS[self.status]
        return error(f"{sentence}; {len(self.payload)} of {self.length} bytes")
