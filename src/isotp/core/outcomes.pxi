# What goes wrong, as Python knows it: the class and the sentence of each outcome code; what a callback raised.


# What an outcome code means to Python: the class, and a sentence with the outcome's two numbers.
cdef dict OUTCOMES = {
    BAD_EMPTY: (errors.InvalidCanDataError, "CAN frame of {given} bytes has no N_PCI"),
    BAD_CAN_DL: (errors.InvalidCanDataError, "CAN frame of {given} bytes: 64 is the most there can be"),
    BAD_N_PCI_TYPE: (errors.InvalidCanDataError, "N_PCI type {given} is reserved"),
    BAD_SF_DL_ZERO: (errors.InvalidCanDataError, "single frame with SF_DL 0"),
    BAD_SF_DL_TOO_LONG: (
        errors.InvalidCanDataError, "single frame with SF_DL {given}, but {expected} bytes of payload"),
    BAD_FF_SHORT: (errors.InvalidCanDataError, "first frame of {given} bytes is too short for its FF_DL"),
    BAD_FF_DL_ZERO: (errors.InvalidCanDataError, "first frame with FF_DL 0 in the escape form"),
    BAD_FC_SHORT: (errors.InvalidCanDataError, "flow control frame of {given} bytes is too short"),
    BAD_FC_STATUS: (errors.InvalidCanDataError, "flow status {given} is reserved"),
    BAD_FC_STMIN: (errors.InvalidCanDataError, "STmin 0x{given:02X} is reserved"),
    MISSING_ESCAPE: (
        errors.MissingEscapeSequenceError,
        "single frame of {given} bytes without the escape sequence that CAN_DL > 8 asks for; frame ignored"),
    BAD_FF_RX_DL: (
        errors.InvalidCanFdFirstFrameRXDL, "first frame of {given} bytes, which is no valid RX_DL"),
    FF_DL_TOO_LONG: (
        errors.FrameTooLongError, "first frame announces {given} bytes, max_frame_size is {expected}"),
    OUT_OF_MEMORY: (errors.FrameTooLongError, "no memory to receive the announced {given} bytes"),
    INTERRUPTED_BY_SF: (
        errors.ReceptionInterruptedWithSingleFrameError,
        "reception of a message was interrupted by a single frame"),
    INTERRUPTED_BY_FF: (
        errors.ReceptionInterruptedWithFirstFrameError,
        "reception of a message was interrupted by a first frame"),
    UNEXPECTED_CF: (
        errors.UnexpectedConsecutiveFrameError,
        "consecutive frame with SN {given}, but no message is being received; frame ignored"),
    WRONG_SN: (
        errors.WrongSequenceNumberError,
        "consecutive frame with SN {given} where {expected} was due; reception stopped"),
    CHANGING_RX_DL: (
        errors.ChangingInvalidRXDLError,
        "consecutive frame of {given} bytes, which is not RX_DL ({expected}) nor the last of the message;"
        " frame ignored"),
    BAD_SF_CAN_DL: (
        errors.InvalidCanDataError,
        "single frame with SF_DL {expected}, for which {given} bytes are not the length; frame ignored"),
    BAD_FF_ESCAPE: (
        errors.InvalidCanDataError,
        "first frame with FF_DL {given} in the escape form, which is for more than 4095; frame ignored"),
    FF_DL_TOO_SHORT: (
        errors.InvalidCanDataError,
        "first frame with FF_DL {given}, which is below FF_DLmin ({expected}); frame ignored"),
    NOT_FUNCTIONAL: (
        errors.InvalidCanDataError,
        "N_PDU type {given} with a functional address, or another one than the message on its way: only single frames"
        " may come there; frame ignored"),
    N_CR_TIMEOUT: (
        errors.ConsecutiveFrameTimeoutError,
        "no consecutive frame within N_Cr; reception stopped at {given} of {expected} bytes"),
    WAITED_TOO_OFTEN: (
        errors.MaximumWaitFrameReachedError,
        "a message of {expected} bytes is refused: what takes it was not ready, after {given} wait frames (wftmax)"),
    UNEXPECTED_FC: (
        errors.UnexpectedFlowControlError,
        "flow control frame (flow status {given}), but no message waits for it; frame ignored"),
    INVALID_FS: (errors.InvalidCanDataError, "flow status {given} is reserved; transmission stopped"),
    N_BS_TIMEOUT: (
        errors.FlowControlTimeoutError,
        "no flow control frame within N_Bs; transmission stopped at {given} of {expected} bytes"),
    WAIT_UNSUPPORTED: (
        errors.UnsupportedWaitFrameError,
        "the receiver asks to wait, but wftmax is 0; the wait frame is ignored"),
    WAIT_TOO_OFTEN: (
        errors.MaximumWaitFrameReachedError,
        "the receiver asked to wait more than {given} times in a row; transmission stopped"),
    PEER_OVERFLOW: (
        errors.OverflowError,
        "the receiver reports that a message of {given} bytes overflows its buffer; transmission stopped"),
}


cdef object error_class_of(OutcomeCode code):
    return OUTCOMES[code][0]


cdef object make_error(OutcomeCode code, const Outcome *outcome):
    error_class, sentence = OUTCOMES[code]
    return error_class(sentence.format(given=outcome.given, expected=outcome.expected))


cpdef bint is_interrupt(object error) except -1:
    """Whether it is KeyboardInterrupt in the main thread, which goes to the user, whatever the thread is amid.

    Anything else that a callback raises, such as SystemExit, ends nothing but what the callback was called for.
    """
    return isinstance(error, KeyboardInterrupt) and threading.get_ident() == threading.main_thread().ident


cdef object text_of(object error):
    """Its repr(), which may be the user's own."""
    try:
        return repr(error)
    except BaseException as second:
        if is_interrupt(second):
            raise
        return f"{type(error).__name__}, whose repr() raised {type(second).__name__}"
