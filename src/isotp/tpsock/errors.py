"""What a Linux ISO-TP socket reports: the kernel's errno, as an exception that says what happened on the bus.

The kernel notes an error on the socket when it happens, and the *next* call on the socket returns it,
whatever that call is. Only a ``send()`` with the flag ``WAIT_TX_DONE`` waits for the outcome of its own
message.

Which errno stands for what is documented at the head of the kernel's ``net/can/isotp.c``. Its time-outs are
fixed: 1 s for N_Bs and N_Cr, 2 s for the controller to confirm a sent frame.
"""

from __future__ import annotations

import errno

from isotp.errors import (
    ConsecutiveFrameTimeoutError,
    FlowControlTimeoutError,
    InvalidCanDataError,
    OverflowError,
    WrongSequenceNumberError,
)

__all__ = [
    "OptionError",
    "SocketConsecutiveFrameTimeoutError",
    "SocketError",
    "SocketFlowControlTimeoutError",
    "SocketInvalidCanDataError",
    "SocketOverflowError",
    "SocketWrongSequenceNumberError",
    "bind_error",
    "bus_error",
    "is_plain_timeout",
]


class SocketError(OSError):
    """An ISO-TP transfer over a kernel socket went wrong; ``errno`` is the kernel's.

    The subclasses are also what the user-space layers report for the same event, so that
    ``except isotp.FlowControlTimeoutError`` serves both.
    """


class SocketFlowControlTimeoutError(FlowControlTimeoutError, SocketError):
    """ECOMM: no Flow Control came in time, or the controller did not confirm a frame."""


class SocketOverflowError(OverflowError, SocketError):
    """EMSGSIZE: the receiver answered with Flow Status Overflow."""


class SocketInvalidCanDataError(InvalidCanDataError, SocketError):
    """EBADMSG: a Flow Control was malformed, or the padding of a frame is not as demanded."""


class SocketWrongSequenceNumberError(WrongSequenceNumberError, SocketError):
    """EILSEQ: a Consecutive Frame did not carry the next SequenceNumber."""


class SocketConsecutiveFrameTimeoutError(ConsecutiveFrameTimeoutError, SocketError, TimeoutError):
    """ETIMEDOUT: the next Consecutive Frame did not come in time.

    Python gives ETIMEDOUT as ``TimeoutError``, which ``socket.timeout`` is too; so is this class. It differs
    from the plain time-out of a call, where nothing happened on the bus, by its class and by having an
    ``errno``.
    """


class AlreadyBoundError(RuntimeError, OSError):
    """``bind()`` of a socket that is bound, or closed: can-isotp's comes from the kernel, as an OSError."""


class PartialAddressError(ValueError, NotImplementedError):
    """``bind()`` with an address for one direction only."""


class OptionError(OSError, ValueError):
    """The kernel refused a socket option; ``errno`` is the kernel's, the text has the values and the rule."""


# By name, because not every system that imports this module has all these numbers.
_PROTOCOL_ERRORS: dict[str, tuple[type[SocketError], str]] = {
    "ECOMM": (
        SocketFlowControlTimeoutError,
        "no Flow Control arrived within 1 s (N_Bs), or the CAN controller did not confirm a sent frame "
        "within 2 s; the transmission was given up. Check that the receiver is there and its address right",
    ),
    "EMSGSIZE": (
        SocketOverflowError,
        "the receiver answered with Flow Status Overflow: it has no room for a message of this length; "
        "the transmission was given up",
    ),
    "EBADMSG": (
        SocketInvalidCanDataError,
        "a malformed Flow Control arrived, or a frame without the padding that the flags CHK_PAD_LEN and "
        "CHK_PAD_DATA demand; the message was given up",
    ),
    "EILSEQ": (
        SocketWrongSequenceNumberError,
        "a Consecutive Frame did not carry the next SequenceNumber: a frame was lost, doubled or overtaken; "
        "the reception was given up",
    ),
    "ETIMEDOUT": (
        SocketConsecutiveFrameTimeoutError,
        "the next Consecutive Frame did not arrive within 1 s (N_Cr); the reception was given up",
    ),
}

_INTERFACE_GONE = "the interface was removed; close this socket and bind a new one"
_INTERFACE_ERRORS = {
    "ENETDOWN": "the interface is down ('ip link set INTERFACE up' starts it)",
    "ENOBUFS": "the transmit queue of the interface is full, nothing was sent; send again later, "
    "or lengthen it ('ip link set INTERFACE txqueuelen 1000')",
    "ENODEV": _INTERFACE_GONE,
    "ENXIO": _INTERFACE_GONE,
    "EADDRNOTAVAIL": _INTERFACE_GONE,
}


def is_plain_timeout(error: OSError) -> bool:
    """Whether the time of the call ran out, in contrast to ETIMEDOUT, which the kernel reports for N_Cr."""
    return isinstance(error, TimeoutError) and error.errno is None


def bus_error(error: OSError, interface: str, *, of_earlier_send: bool = False) -> OSError | None:
    """The exception that explains ``error`` of a ``send()`` or ``recv()``, or None if it speaks for itself.

    Time-outs of the call and the signals of a non-blocking socket (``BlockingIOError``) speak for themselves.
    ``of_earlier_send``: the call was a ``send()``, and protocol errors that it gives happened before it.
    """
    if error.errno is None:
        return None
    name = errno.errorcode.get(error.errno, "")
    if name in _PROTOCOL_ERRORS:
        cls, text = _PROTOCOL_ERRORS[name]
        if of_earlier_send:
            text += ". This happened before the present send(), whose message was not sent: send it again"
        return cls(error.errno, f"{interface}: {text}")
    if name in _INTERFACE_ERRORS:
        return OSError(error.errno, f"{interface}: {_INTERFACE_ERRORS[name]}")
    return None


def bind_error(error: OSError, interface: str, rx_id: int, tx_id: int) -> OSError | None:
    """The exception that explains an ``error`` of bind(), or None if it speaks for itself."""
    if error.errno == errno.ENODEV:
        text = "no such CAN interface ('ip link show' lists them)"
    elif error.errno == errno.EINVAL:
        text = "it cannot carry the frames of set_ll_opts() ('ip link set INTERFACE mtu 72' for CAN FD)"
    elif error.errno == errno.EADDRNOTAVAIL:
        text = f"the CAN IDs to receive (0x{rx_id:X}) and to send (0x{tx_id:X}) must differ"
    else:
        return None
    return OSError(error.errno, f"{interface}: {text}")
