"""The exception classes: one for each thing that can go wrong on the bus or in a call.

A layer raises only :class:`BlockingSendFailure`, :class:`BlockingSendTimeout` and :class:`BlockingReceiveFailure` to
a caller. It hands all others, as instances, to its ``error_handler``, because what they report happened on the bus
while nobody was asking. The kernel's sockets have no handler: there ``send`` and ``recv`` raise them, see
``isotp.tpsock``.

Clause numbers are those of ISO 15765-2:2016.
"""

__all__ = [
    "BadGeneratorError",
    "BlockingReceiveFailure",
    "BlockingSendFailure",
    "BlockingSendTimeout",
    "CallbackError",
    "ChangingInvalidRXDLError",
    "ChangingInvalidRXDLLError",
    "ConsecutiveFrameTimeoutError",
    "FlowControlTimeoutError",
    "FrameTooLongError",
    "FramesLostError",
    "InvalidCanDataError",
    "InvalidCanFdFirstFrameRXDL",
    "IsoTpError",
    "IsotpError",
    "LayerClosedError",
    "MaximumWaitFrameReachedError",
    "MissingEscapeSequenceError",
    "OverflowError",
    "ReceptionInterruptedWithFirstFrameError",
    "ReceptionInterruptedWithSingleFrameError",
    "ReceptionQueueFullError",
    "TransmitTimeoutError",
    "UnexpectedConsecutiveFrameError",
    "UnexpectedFlowControlError",
    "UnsuportedWaitFrameError",
    "UnsupportedWaitFrameError",
    "WrongSequenceNumberError",
]


class IsoTpError(Exception):
    """Base of every error of this package.

    Catch this one, or test with ``isinstance`` in an ``error_handler``, to treat all of them alike.

    ``target`` is what the layer's ``receive_into`` gave for the message whose reception this error ended, now
    filled in part; None otherwise.

    See docs/errors.md#isotperror.
    """

    target: object = None

    # Without it inspect.signature() finds none. Exception itself refuses keywords.
    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)


class CallbackError(IsoTpError):
    """A function of the user raised an exception, which is ``__cause__``, on a thread that must go on.

    Only started layers report it: where the user calls ``process()``, the exception simply comes out there.
    The layer stays usable; a message whose ``txfn`` or generator raised has failed.

    See docs/errors.md#callbackerror.
    """


# -- The sending side --------------------------------------------------------------------------------------


class BlockingSendFailure(IsoTpError):
    """A blocking ``send()`` ended, and the message did not leave.

    The transmission was given up: a time-out on the bus, an Overflow from the receiver, ``stop_sending()``, or an
    exception in ``txfn``. The reason is attached as ``__cause__`` if there is one. The layer is idle again: send anew
    once the cause is removed.

    See docs/errors.md#blockingsendfailure.
    """


class BlockingReceiveFailure(IsoTpError):
    """A blocking ``recv(until_begin=True)`` waited for a message that had begun in time, and it broke off.

    The reason is attached as ``__cause__``: usually no frame came within N_Cr, or one is missing.

    See docs/errors.md#blockingreceivefailure.
    """


class LayerClosedError(IsoTpError):
    """A layer of ``isotp.aio`` was closed while a task waited to send or to receive, or before it began to.

    A message that was still being sent did not leave. Close a layer after the tasks that use it have ended.

    See docs/errors.md#layerclosederror.
    """


class BlockingSendTimeout(BlockingSendFailure):
    """A blocking ``send()`` was not done within its ``send_timeout``.

    The message may still be queued or half sent. Call ``stop_sending()`` to give it up, or allow more time:
    N_Bs for each block plus STmin for each Consecutive Frame.

    See docs/errors.md#blockingsendtimeout.
    """


class BadGeneratorError(IsoTpError):
    """A generator given to ``send((generator, size))`` yielded fewer bytes than ``size``.

    The size is announced in the Single Frame or First Frame (SF_DL, FF_DL; 9.6.2.1, 9.6.3.1) and cannot be
    taken back, so the transmission stops. Give the number of bytes that the generator really yields.

    See docs/errors.md#badgeneratorerror.
    """


class TransmitTimeoutError(IsoTpError):
    """A frame found no room in the transmit queue of the bus in time.

    N_As elapsed, or N_Ar if the frame was our Flow Control (N_TIMEOUT_A, 9.8.2): the message is given up.
    ``__cause__`` is the driver's last error. Nobody acknowledges frames on the bus, or it is overloaded or off. The
    parameter ``tx_frame_timeout`` allows more time.

    See docs/errors.md#transmittimeouterror.
    """


class FlowControlTimeoutError(IsoTpError):
    """No Flow Control arrived in time after a First Frame or the last Consecutive Frame of a block.

    N_Bs elapsed (N_TIMEOUT_Bs, 9.8.2): the transmission is given up. Check that the receiver is there and
    that the addresses match; raise the parameter ``rx_flowcontrol_timeout`` if it is merely slow.

    See docs/errors.md#flowcontroltimeouterror.
    """


class UnexpectedFlowControlError(IsoTpError):
    """A Flow Control arrived while no transmission was going on.

    It is ignored (9.8.3). Usually a second receiver answers on the same CAN ID, or the Flow Control came
    after N_Bs had already elapsed.

    See docs/errors.md#unexpectedflowcontrolerror.
    """


class UnsupportedWaitFrameError(IsoTpError):
    """A Flow Control with FlowStatus Wait arrived, but the parameter ``wftmax`` is 0: none is accepted.

    The wait frame is ignored and N_Bs continues to run; a ContinueToSend that arrives in time still continues the
    transmission. Set ``wftmax`` to the number of wait frames that the receiver may need (9.7).

    See docs/errors.md#unsupportedwaitframeerror.
    """


class MaximumWaitFrameReachedError(IsoTpError):
    """More Flow Controls with FlowStatus Wait arrived in a row than the parameter ``wftmax`` allows.

    The transmission is given up (9.7; compare N_WFT_OVRN, 8.3.7). The receiver is busy for too long: raise
    ``wftmax``, or send again later.

    Or this layer is the receiver: it has sent that many, and ``is_ready`` still returned False. The reception is
    given up.

    See docs/errors.md#maximumwaitframereachederror.
    """


class OverflowError(IsoTpError):
    """A Flow Control with FlowStatus Overflow arrived: the receiver has no room for the message.

    The transmission is given up (N_BUFFER_OVFLW, 9.6.5.1). Send a shorter message.

    The name hides the builtin ``OverflowError`` wherever ``from isotp import *`` is written. That is on
    purpose, for compatibility, and this class is not a subclass of the builtin one.

    See docs/errors.md#overflowerror.
    """


# -- The receiving side ------------------------------------------------------------------------------------


class InvalidCanDataError(IsoTpError):
    """A frame with our address is not a well-formed Single, First, Consecutive or Flow Control Frame.

    Its N_PCI has an unknown type, a forbidden length or FlowStatus, or bytes are missing (9.6.2.2, 9.6.3.2, 9.6.5.2).
    The frame is ignored and a reception in progress is given up. Check that only ISO-TP uses the CAN ID.

    See docs/errors.md#invalidcandataerror.
    """


class ConsecutiveFrameTimeoutError(IsoTpError):
    """The next Consecutive Frame did not arrive in time.

    N_Cr elapsed (N_TIMEOUT_Cr, 9.8.2): the reception is given up. Frames are lost, or the sender is slower
    than the parameter ``rx_consecutive_frame_timeout`` allows.

    See docs/errors.md#consecutiveframetimeouterror.
    """


class UnexpectedConsecutiveFrameError(IsoTpError):
    """A Consecutive Frame arrived while no reception was going on.

    It is ignored (9.8.3). The First Frame was lost or refused, or the reception had been given up before.

    See docs/errors.md#unexpectedconsecutiveframeerror.
    """


class WrongSequenceNumberError(IsoTpError):
    """A Consecutive Frame carried a SequenceNumber other than the next one due.

    A frame was lost, doubled or overtaken: the reception is given up (N_WRONG_SN, 9.6.4.4). A receiver that
    cannot keep up should ask for a longer ``stmin`` or a smaller ``blocksize``.

    See docs/errors.md#wrongsequencenumbererror.
    """


class ReceptionInterruptedWithSingleFrameError(IsoTpError):
    """A Single Frame arrived in the middle of a segmented reception.

    The reception is given up and the message of the Single Frame is delivered (N_UNEXP_PDU, 9.8.3). The
    sender started over, or two senders share the address.

    See docs/errors.md#receptioninterruptedwithsingleframeerror.
    """


class ReceptionInterruptedWithFirstFrameError(IsoTpError):
    """A First Frame arrived in the middle of a segmented reception.

    The reception is given up and that of the new message begins (N_UNEXP_PDU, 9.8.3). The sender started
    over, or two senders share the address.

    See docs/errors.md#receptioninterruptedwithfirstframeerror.
    """


class FrameTooLongError(IsoTpError):
    """A First Frame announced a message longer than the parameter ``max_frame_size``.

    It is refused by a Flow Control with FlowStatus Overflow (9.6.3.2). Raise ``max_frame_size`` if such
    messages are wanted: FF_DL goes up to 4294967295 bytes.

    See docs/errors.md#frametoolongerror.
    """


class ReceptionQueueFullError(IsoTpError):
    """A message was refused, or lost, because too many received ones wait.

    The messages that wait for ``recv()``, or for a slow ``on_message``, have reached the parameter
    ``rx_queue_limit``. A message that begins is refused by a Flow Control with FlowStatus Overflow (9.6.5.1); a
    Single Frame, or a message that was on its way already, is lost. ``layer.stats.dropped`` counts both. Take
    messages faster, or raise the limit.

    See docs/errors.md#receptionqueuefullerror.
    """


class FramesLostError(IsoTpError):
    """Received frames were lost, because too many wait to be handled.

    A started layer handles frames one after the other: a ``txfn`` or a callback that does not return, or an event loop
    that does not run, holds up all that come meanwhile. Beyond 65536 of them they are dropped; the messages they belong
    to break off. ``layer.stats.dropped`` counts them.

    See docs/errors.md#frameslosterror.
    """


class ChangingInvalidRXDLError(IsoTpError):
    """A Consecutive Frame that is not the last one is shorter than the First Frame was.

    All frames of a message but the last have the length RX_DL that its First Frame set (9.5.3, 9.5.4). The
    frame is ignored. The sender, or a gateway on the way, changes the frame length in the middle of a
    message.

    See docs/errors.md#changinginvalidrxdlerror.
    """


class MissingEscapeSequenceError(IsoTpError):
    """A Single Frame in a CAN frame of more than 8 bytes has its length in the first byte.

    Above 8 bytes the first byte must be 0 and the length is in the second (9.6.2.1). The frame is ignored.
    The sender does not follow the CAN FD rules, or pads a short frame beyond 8 bytes.

    See docs/errors.md#missingescapesequenceerror.
    """


class InvalidCanFdFirstFrameRXDL(IsoTpError):
    """A First Frame came in a CAN frame whose length is none of 8, 12, 16, 20, 24, 32, 48 and 64.

    A First Frame always fills its CAN frame, so that RX_DL can be taken from it (9.5.4). It is ignored and
    a reception in progress is given up. The sender cuts its First Frames, or the CAN driver does.

    See docs/errors.md#invalidcanfdfirstframerxdl.
    """


# -- Other spellings, printed in documentation or used by code of can-isotp 1.x: the same classes ----------

IsotpError = IsoTpError
UnsuportedWaitFrameError = UnsupportedWaitFrameError
ChangingInvalidRXDLLError = ChangingInvalidRXDLError
