# cython: language_level=3
"""The compiled core as Python sees it: frames, N_PDUs, the rate limiter and the engine of a layer.

The protocol itself is in _protocol/ and knows nothing of Python. This file is the thin boundary
around it: it calls rxfn and txfn, reads the clock once a pass, keeps the queues and turns outcome
codes into exceptions for whoever listens.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memmove, memset

import collections
import logging
import math
import operator
import queue
import sys
import threading
import time
import weakref

from isotp import errors
from isotp.address import AbstractAddress, Address, AsymmetricAddress, TargetAddressType

from isotp._protocol.frames cimport *
from isotp._protocol.n_pci cimport *
from isotp._protocol.rate cimport *
from isotp._protocol.reception cimport *
from isotp._protocol.transmission cimport *
from isotp._protocol.types cimport *


cdef extern from "_clock.h":
    int64_t isotp_monotonic_ns() noexcept nogil
    void isotp_sharpen_timers() noexcept nogil
    void isotp_doze_until(int64_t when, int64_t busy, int64_t *late) noexcept nogil
    void isotp_spin_until(int64_t when) noexcept nogil


cdef extern from *:
    """
    /* Calls with one or no positional argument, without the tuple and the checks of a general call. */
    static CYTHON_INLINE PyObject *isotp_call_one(PyObject *callable, PyObject *argument) {
        PyObject *arguments[2] = {NULL, argument};
        return PyObject_Vectorcall(callable, arguments + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    static CYTHON_INLINE PyObject *isotp_call_none(PyObject *callable) {
        PyObject *arguments[1] = {NULL};
        return PyObject_Vectorcall(callable, arguments + 1, 0 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    /* Puts an item into a place of a list, and returns what was there. */
    static CYTHON_INLINE PyObject *isotp_exchange(PyObject *items, Py_ssize_t place, PyObject *item) {
        PyObject *before = PyList_GET_ITEM(items, place);
        Py_INCREF(item);
        PyList_SET_ITEM(items, place, item);
        return before;
    }
    """
    object call_with "isotp_call_one"(object function, object argument)
    object exchange "isotp_exchange"(list items, Py_ssize_t place, object item)
    object call_without "isotp_call_none"(object function)
    # NULL: the call raised
    PyObject *try_call_with "isotp_call_one"(object function, object argument)


cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident() noexcept nogil


cdef enum:
    INLINE = 1                     # Frame.res0 of a CanMessage: its data is in the frame itself
    NO_CAN_ID = 0x7FFFFFFF         # never the identifier of a frame
    FIRST_PLACES = 8               # of a queue; it doubles as needed
    FRAMES_PER_CLOCK_READ = 64     # also the longest burst before reception gets its turn
    READ_AT_ONCE = 65536           # bytes of a file that is sent
    MOST_WAITING_FRAMES = 65536    # that came while a started layer was busy
    ERRORS_LOGGED = 100            # in one second
    MESSAGE_WEIGHT = 100           # of an object in a queue, beside its payload
    REQUEST_WEIGHT = 400

cdef int64_t LONGEST_WAIT_NS = <int64_t>1 << 61    # sums of two such times still fit
cdef int64_t AT_ONCE = -LONGEST_WAIT_NS            # no clock is before
cdef object LONGEST_WAIT_S = threading.TIMEOUT_MAX - 1    # what a lock takes, and a fraction when it is computed
cdef int64_t PAUSE_WITHOUT_ROOM_NS = 500_000       # before a refused frame is given again
cdef int64_t SECOND_NS = 1_000_000_000
cdef uint64_t NO_LIMIT = 0xFFFFFFFFFFFFFFFF

cdef object LARGEST_FLOAT = sys.float_info.max
cdef object LOG_DEBUG = logging.DEBUG
cdef object NO_TIMEOUT = 0.0


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


cdef int raise_current() except -1:
    """Hand the exception that a C call left behind to Python code."""
    return -1


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


cpdef int64_t monotonic_ns() noexcept:
    """The clock of every layer: monotonic, in nanoseconds."""
    return isotp_monotonic_ns()


def sharpen_timers():
    """Wake the calling thread as close to its time-outs as the system can (Linux)."""
    isotp_sharpen_timers()


@cython.final
cdef class Sleeper:
    """Sleeper()\n--\n\n
    Waits without the GIL, and never less than asked; learns how late the system wakes a thread that sleeps."""

    cdef int64_t late_ns

    def __cinit__(self):
        self.late_ns = 100_000

    def doze(self, int64_t delay_ns, int64_t busy_ns):
        """Sleep until so long before `delay_ns` have passed as sleeping is late, at the most `busy_ns` before.

        Less than 0: no time at all, here as below."""
        cdef int64_t late_ns = self.late_ns
        with nogil:
            isotp_doze_until(isotp_monotonic_ns() + delay_ns, busy_ns, &late_ns)
        self.late_ns = late_ns

    def spin(self, int64_t delay_ns):
        """Wait for `delay_ns`, awake."""
        with nogil:
            isotp_spin_until(isotp_monotonic_ns() + delay_ns)

    def wait(self, int64_t delay_ns, int64_t busy_ns):
        """Wait for `delay_ns`, at the most the last `busy_ns` of it not asleep."""
        cdef int64_t late_ns = self.late_ns
        cdef int64_t when
        with nogil:
            when = isotp_monotonic_ns() + delay_ns
            isotp_doze_until(when, busy_ns, &late_ns)
            isotp_spin_until(when)
        self.late_ns = late_ns


def nearest_can_fd_size(size):
    """Smallest CAN FD data length that holds `size` bytes.

    :raises ValueError: if `size` is not within 0..64.
    """
    if not 0 <= size <= CAN_DLEN_MAX:
        raise ValueError(f"no CAN frame holds {size} bytes")
    return FD_LENGTH[<int>size]


def dlc_of(size):
    """DLC code (ISO 11898-1) of a frame with exactly `size` bytes of data.

    :raises ValueError: if no frame has this length.
    """
    if not 0 <= size <= CAN_DLEN_MAX or DLC_CODE[<int>size] == INVALID_DLC:
        raise ValueError(f"no CAN frame has exactly {size} bytes of data")
    return DLC_CODE[<int>size]


# ---------------------------------------------------------------- CanMessage


@cython.freelist(1024)
@cython.no_gc
cdef class CanMessage:
    """CanMessage(arbitration_id=0, dlc=0, data=b"", extended_id=False, is_fd=False, bitrate_switch=False)\n--\n\n
    One frame on the CAN bus (ISO 11898-1), classic or FD.

    Nothing is checked here: a message is what a driver says it received, or what a layer asks to send.

    :param arbitration_id: CAN identifier, 11 bits, or 29 bits if `extended_id`.
    :param dlc: DLC code. Set on frames that a layer sends (9..15 stand for 12..64 bytes), ignored on reception.
    :param data: payload of 0..64 bytes.
    :param extended_id: the identifier has 29 bits.
    :param is_fd: CAN FD frame.
    :param bitrate_switch: the data phase runs at the higher bit rate (CAN FD only).
    """

    def __init__(self, arbitration_id=0, dlc=0, data=b"", bint extended_id=False, bint is_fd=False,
                 bint bitrate_switch=False):
        memset(&self.frame, 0, sizeof(Frame))
        self.loose = None
        self.arbitration_id = arbitration_id
        self.dlc = dlc
        self.held = data
        if extended_id:
            self.frame.can_id |= CAN_EFF_FLAG
        self.frame.flags = (CANFD_FDF if is_fd else 0) | (CANFD_BRS if bitrate_switch else 0)

    cdef object _loose(self, str name, object value):
        if self.loose is None:
            self.loose = {}
        self.loose[name] = value

    @property
    def arbitration_id(self):
        """CAN identifier."""
        cdef uint32_t can_id = self.frame.can_id & ~<uint32_t>CAN_EFF_FLAG
        if can_id == NO_CAN_ID:
            return self.loose["arbitration_id"]
        return can_id

    @arbitration_id.setter
    def arbitration_id(self, value):
        cdef uint32_t can_id = NO_CAN_ID
        if hasattr(value, "__index__") and 0 <= operator.index(value) < NO_CAN_ID:
            can_id = operator.index(value)
        else:
            self._loose("arbitration_id", value)
        self.frame.can_id = (self.frame.can_id & CAN_EFF_FLAG) | can_id

    @property
    def dlc(self):
        """DLC code."""
        if self.frame.res1 == INVALID_DLC:
            return self.loose["dlc"]
        return self.frame.res1

    @dlc.setter
    def dlc(self, value):
        if hasattr(value, "__index__") and 0 <= operator.index(value) < INVALID_DLC:
            self.frame.res1 = operator.index(value)
        else:
            self._loose("dlc", value)
            self.frame.res1 = INVALID_DLC

    @property
    def data(self):
        """Payload; `bytes` on frames that a layer sends."""
        return data_in(self)

    @data.setter
    def data(self, value):
        with cython.critical_section(self):
            self.held, value = value, self.held    # what was there dies after the step
            self.frame.res0 = 0

    @property
    def is_extended_id(self):
        """The identifier has 29 bits."""
        return (self.frame.can_id & CAN_EFF_FLAG) != 0

    @is_extended_id.setter
    def is_extended_id(self, bint value):
        if value:
            self.frame.can_id |= CAN_EFF_FLAG
        else:
            self.frame.can_id &= ~<uint32_t>CAN_EFF_FLAG

    @property
    def is_fd(self):
        """This is a CAN FD frame."""
        return (self.frame.flags & CANFD_FDF) != 0

    @is_fd.setter
    def is_fd(self, bint value):
        self.frame.flags = (self.frame.flags & ~CANFD_FDF) | (CANFD_FDF if value else 0)

    @property
    def bitrate_switch(self):
        """The data phase of the CAN FD frame runs at the higher bit rate."""
        return (self.frame.flags & CANFD_BRS) != 0

    @bitrate_switch.setter
    def bitrate_switch(self, bint value):
        self.frame.flags = (self.frame.flags & ~CANFD_BRS) | (CANFD_BRS if value else 0)

    def __reduce__(self):
        fields = (self.arbitration_id, self.dlc, self.data, self.is_extended_id, self.is_fd, self.bitrate_switch)
        return (type(self), fields, getattr(self, "__dict__", None))

    def __repr__(self):
        data = self.data
        size = 0 if data is None else len(data)
        shown = "" if data is None else bytes(data[:64]).hex() + ("..." if size > 64 else "")
        can_id = self.arbitration_id
        if isinstance(can_id, int):
            can_id = f"{can_id:08x}" if self.is_extended_id else f"{can_id:03x}"
        flags = ",".join(name for name, is_set in (("fd", self.is_fd), ("bs", self.bitrate_switch)) if is_set)
        flags = f"({flags})" if flags else ""
        return f'<{type(self).__name__} {can_id} [{self.dlc}] {flags} "{shown}" at 0x{id(self):x}>'


cdef inline object data_in(CanMessage message):
    cdef object data
    with cython.critical_section(message):
        if message.frame.res0 & INLINE:
            message.held = PyBytes_FromStringAndSize(<char *>message.frame.data, message.frame.len)
            message.frame.res0 = 0
        data = message.held
    return data


cdef inline CanMessage new_frame_message():
    cdef CanMessage message = CanMessage.__new__(CanMessage)
    message.frame.res0 = INLINE
    return message


cdef CanMessage message_of_frame(const Frame *frame):
    cdef CanMessage message = new_frame_message()
    memcpy(&message.frame, frame, sizeof(Frame))
    message.frame.res0 = INLINE
    message.frame.res1 = DLC_CODE[frame.len]
    return message


def frame_from_python_can(msg):
    """The frame of python-can as ours, with a copy of its data; None if it carries none (error and remote frames)."""
    cdef CanMessage message
    cdef bytearray data
    cdef Py_ssize_t size
    cdef int64_t number
    if msg is None or msg.is_error_frame or msg.is_remote_frame:
        return None
    given, identifier = msg.data, msg.arbitration_id
    if type(given) is bytearray and type(identifier) is int and 0 <= identifier < NO_CAN_ID:
        data = given
        number = identifier
        message = new_frame_message()
        message.frame.can_id = flagged_id(<uint32_t>number, msg.is_extended_id)
        message.frame.flags = (CANFD_FDF if msg.is_fd else 0) | (CANFD_BRS if msg.bitrate_switch else 0)
        with cython.critical_section(data):
            size = PyByteArray_GET_SIZE(data)
            if size <= CAN_DLEN_MAX:
                memcpy(message.frame.data, PyByteArray_AS_STRING(data), <size_t>size)
        if size <= CAN_DLEN_MAX:
            message.frame.len = <uint8_t>size
            return message
    return CanMessage(identifier, 0, given, msg.is_extended_id, msg.is_fd, msg.bitrate_switch)


cdef int frame_of_message(CanMessage message, Frame *frame) except -1:
    """The frame that a message stands for.

    :raises ValueError: if no frame can have its identifier or data.
    """
    cdef bytes data = data_of(message, &frame.can_id)
    if frame.can_id & ~<uint32_t>CAN_EFF_FLAG > 0x1FFFFFFF or len(data) > CAN_DLEN_MAX:
        raise ValueError(f"no CAN frame can be {message!r}")
    frame.len = <uint8_t>len(data)
    frame.flags = message.frame.flags
    frame.res0 = 0
    frame.res1 = 0
    memcpy(frame.data, PyBytes_AS_STRING(data), <size_t>len(data))
    return 0


# ---------------------------------------------------------------- PDU


cdef int check_flow_control(object flow_status, object blocksize, object stmin) except -1:
    fields = (("flow status", flow_status, 0x0F), ("block size", blocksize, 0xFF), ("STmin", stmin, 0xFF))
    for name, value, most in fields:
        if not isinstance(value, int) or not 0 <= value <= most:
            raise ValueError(f"{name} must be an integer from 0 to {most}, not {value!r}")
    return 0


cdef class PDU:
    """PDU(msg, start_of_data=0)\n--\n\n
    The N_PCI and the payload of one CAN frame, decoded (ISO 15765-2, 9.6).

    :param msg: message with a `data` attribute.
    :param start_of_data: bytes of address information before the N_PCI (0 or 1).
    :raises ValueError: if the frame is no valid N_PDU.
    """

    cdef readonly object type
    cdef readonly object length
    cdef readonly object data
    cdef readonly object blocksize
    cdef readonly object stmin
    cdef readonly object stmin_sec
    cdef readonly object seqnum
    cdef readonly object flow_status
    cdef readonly object rx_dl
    cdef readonly object can_dl
    cdef readonly object escape_sequence

    def __init__(self, msg, start_of_data=0):
        cdef NPci pci
        cdef Outcome outcome
        cdef bytes data = bytes_of(msg.data)
        cdef OutcomeCode code
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        if not 0 <= start_of_data <= size:
            raise ValueError(f"CAN frame of {size} bytes has no N_PCI at {start_of_data}")
        memset(&pci, 0, sizeof(NPci))
        code = decode_n_pci(
            <const uint8_t *>PyBytes_AS_STRING(data), <int>min(size, 0x7FFFFFFF), start_of_data, &pci, &outcome)
        if code != OK:
            raise ValueError(str(make_error(code, &outcome)))
        self.can_dl = size
        self.rx_dl = max(CAN_DLEN_CLASSIC, size)
        self.type = <int>pci.type
        self.escape_sequence = False
        self.data = b""
        if pci.type == N_PCI_SF or pci.type == N_PCI_FF:
            self.escape_sequence = pci.escape
            self.length = pci.length
            self.data = data[pci.offset:pci.offset + min(<Py_ssize_t>pci.length, size)]
        elif pci.type == N_PCI_CF:
            self.seqnum = pci.sn
            self.data = data[pci.offset:]
        else:
            self.flow_status = pci.flow_status
            self.blocksize = pci.blocksize
            self.stmin = pci.stmin
            self.stmin_sec = pci.stmin_ns / 1e9

    @classmethod
    def craft_flow_control_data(cls, flow_status, blocksize, stmin):
        """The three bytes of a flow control N_PCI.

        :raises ValueError: if a value does not fit its field.
        """
        check_flow_control(flow_status, blocksize, stmin)
        return bytes((0x30 | flow_status, blocksize, stmin))

    def name(self):
        """Name of the N_PDU type."""
        return ("SINGLE_FRAME", "FIRST_FRAME", "CONSECUTIVE_FRAME", "FLOW_CONTROL")[self.type]


# ---------------------------------------------------------------- RateLimiter


cdef bint is_possible_rate(object mean_bitrate, object window_size_sec):
    for value in (mean_bitrate, window_size_sec):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if not 0 < value < math.inf:
            return False
    return True


cdef int require_possible_rate(object mean_bitrate, object window_size_sec) except -1:
    if not is_possible_rate(mean_bitrate, window_size_sec):
        raise ValueError(
            f"rate limiter needs a bit rate and a window above 0, not {mean_bitrate!r} bit/s"
            f" and {window_size_sec!r} s")
    return 0


cdef class RateLimiter:
    """RateLimiter(mean_bitrate=10000000, window_size_sec=0.1)\n--\n\n
    Keeps the mean bit rate of sent payloads below a limit, over a sliding window.

    :param mean_bitrate: bits a second.
    :param window_size_sec: length of the window in seconds.
    """

    TIME_SLOT_LENGTH = RATE_SLOT_NS / 1e9

    def __cinit__(self):
        memset(&self.window, 0, sizeof(RateWindow))

    def __init__(self, mean_bitrate=10_000_000, window_size_sec=0.1):
        self.configure(mean_bitrate, window_size_sec)

    def configure(self, mean_bitrate, window_size_sec):
        """Start anew with other values; enabled if they are possible."""
        with cython.critical_section(self):
            self.mean_bitrate, mean_bitrate = mean_bitrate, self.mean_bitrate
            self.window_size_sec, window_size_sec = window_size_sec, self.window_size_sec
            self.is_enabled = False
        if self.can_be_enabled():
            self.enable()

    @cython.final
    cdef tuple _settings(self):
        """Bit rate and window, which another thread may change."""
        with cython.critical_section(self):
            mean_bitrate = self.mean_bitrate
            window_size_sec = self.window_size_sec
        return mean_bitrate, window_size_sec

    def __dealloc__(self):
        free(self.window.slots)

    @property
    def enabled(self):
        """The limiter holds frames back."""
        return self.is_enabled

    def can_be_enabled(self):
        """True if bit rate and window are numbers above 0."""
        mean_bitrate, window_size_sec = self._settings()
        return is_possible_rate(mean_bitrate, window_size_sec)

    def enable(self):
        """Start limiting.

        :raises ValueError: if bit rate or window make no sense.
        """
        mean_bitrate, window_size_sec = self._settings()
        require_possible_rate(mean_bitrate, window_size_sec)
        self.is_enabled = True
        self.reset()

    def disable(self):
        """Let everything pass."""
        self.is_enabled = False

    def set_bitrate(self, mean_bitrate):
        """Change the limit, in bits a second.

        :raises ValueError: if that makes no sense.
        """
        require_possible_rate(mean_bitrate, self._settings()[1])
        with cython.critical_section(self):
            self.mean_bitrate, mean_bitrate = mean_bitrate, self.mean_bitrate
        self.reset()

    def reset(self):
        """Forget what was sent."""
        cdef double bits_a_second
        cdef double seconds
        mean_bitrate, window_size_sec = self._settings()
        if is_possible_rate(mean_bitrate, window_size_sec):
            bits_a_second = min(mean_bitrate, LARGEST_FLOAT)       # integers go beyond
            seconds = min(window_size_sec, LARGEST_FLOAT)
            with cython.critical_section(self):
                rate_window_init(&self.window, bits_a_second, seconds)

    def update(self):
        """Forget what left the window by now."""
        self._allowed(isotp_monotonic_ns())

    def allowed_bytes(self):
        """Bytes that may be sent now; 0xFFFFFFFF while disabled."""
        cdef uint64_t allowed
        if not self.is_enabled:
            return 0xFFFFFFFF
        with cython.critical_section(self):
            allowed = rate_allowed_bytes(&self.window)
        return allowed

    def inform_byte_sent(self, double datalen):
        """Count `datalen` bytes as sent now."""
        if self.is_enabled:
            self._count(isotp_monotonic_ns(), datalen)

    @cython.final
    cdef uint64_t _allowed(self, int64_t now) noexcept:
        """Bytes that may be sent at `now`."""
        cdef uint64_t allowed
        with cython.critical_section(self):
            rate_forget(&self.window, now)
            allowed = rate_allowed_bytes(&self.window)
            if self.window.count == 0:
                # A frame larger than all that the window holds goes alone, or it would never go: the limit became
                # smaller in the middle of a message, which keeps the length of its frames.
                allowed = max(allowed, <uint64_t>CAN_DLEN_MAX)
        return allowed

    @cython.final
    cdef void _count(self, int64_t now, double sent_bytes) noexcept:
        with cython.critical_section(self):
            rate_count(&self.window, now, sent_bytes)

    @cython.final
    cdef int64_t _not_before(self, uint64_t size) noexcept:
        """When `size` bytes may be sent, as far as known now; 0 if they may be sent already."""
        cdef int64_t when = 0
        with cython.critical_section(self):
            if self.window.count > 0 and size > rate_allowed_bytes(&self.window):
                when = rate_next_change(&self.window)
        return when


# ---------------------------------------------------------------- queues


cdef inline uint64_t weight_of(object item) noexcept:
    """Bytes that an item of a queue takes, roughly; what is the user's own counts little."""
    if type(item) is bytearray:
        return <uint64_t>PyByteArray_GET_SIZE(item) + MESSAGE_WEIGHT
    if type(item) is SendRequest:
        return REQUEST_WEIGHT + (0 if (<SendRequest>item).streams else (<SendRequest>item).size)
    return MESSAGE_WEIGHT


cdef object seconds_to_wait(str name, object timeout):
    """A time-out as locks take it; None: no limit, also where it is longer than a lock can wait.

    :raises TypeError: if it is no number.
    :raises ValueError: if it is NaN.
    """
    if timeout is None:
        return None
    if not hasattr(timeout, "__float__"):
        raise TypeError(f"{name} must be a number of seconds or None, not {timeout!r}")
    try:
        seconds = float(timeout)
    except OverflowError:          # an integer may be larger than any float
        seconds = math.inf if timeout > 0 else -math.inf
    if math.isnan(seconds):
        raise ValueError(f"{name} must be a number of seconds or None, not {timeout!r}")
    if seconds >= LONGEST_WAIT_S:
        return None
    return timeout if isinstance(timeout, (int, float)) else seconds


cdef class MessageQueue:
    """First in, first out, any number of threads on both sides; used as `queue.Queue` is."""

    def __cinit__(self):
        # A ring, and a list so that the garbage collector sees what is in it. Each change is one step for other
        # threads: no Python code runs in it, whatever the collector does before or after.
        self.ring = [None] * FIRST_PLACES
        self.places = FIRST_PLACES
        self.waiting = collections.deque()

    cdef int push(self, object item) except -1:
        while not self._place(item):
            self._grow()
        if self.on_arrival is not None:
            self.on_arrival()
        # After the item is there: who begins to wait later sees it.
        if len(self.waiting) > 0:
            self._wake_one()
        return 0

    cdef bint _place(self, object item) noexcept:
        """Append an item. False: the ring is full."""
        cdef bint has_room
        with cython.critical_section(self):
            has_room = self.count < self.places
            if has_room:
                exchange(self.ring, (self.first + self.count) & (self.places - 1), item)
                self.count += 1
                self.most = max(self.most, self.count)
                self.weight += weight_of(item)
        return has_room

    cdef int put_back(self, object item) except -1:
        """Put an item that was taken before all others."""
        cdef bint has_room = False
        while not has_room:
            with cython.critical_section(self):
                has_room = self.count < self.places
                if has_room:
                    self.first = (self.first - 1) & (self.places - 1)
                    exchange(self.ring, self.first, item)
                    self.count += 1
                    self.weight += weight_of(item)
            if not has_room:
                self._grow()
        return 0

    cdef int _grow(self) except -1:
        cdef list ring = [None] * (2 * self.places)
        cdef Py_ssize_t k
        with cython.critical_section(self):
            # To make the list let others in: one of them may have been faster.
            if len(ring) == 2 * self.places:
                for k in range(self.count):
                    exchange(ring, k, self.ring[(self.first + k) & (self.places - 1)])
                self.first = 0
                self.places *= 2
                self.ring, ring = ring, self.ring
        return 0

    cdef int _wake_one(self) except -1:
        try:
            self.waiting.popleft().release()
        except IndexError:
            pass                       # another thread did
        return 0

    cdef object pop(self):
        """The oldest item, or None."""
        cdef object item = None
        with cython.critical_section(self):
            if self.count > 0:
                item = exchange(self.ring, self.first, None)
                self.first = (self.first + 1) & (self.places - 1)
                self.count -= 1
                self._lighten(item)
        return item

    cdef void _lighten(self, object item) noexcept:
        """Within a step: the item is no more in the queue."""
        cdef uint64_t weight = weight_of(item)
        # A buffer of the user may have another size by now: that evens out here.
        self.weight = 0 if self.count == 0 or weight > self.weight else self.weight - weight

    cdef bint is_full(self, uint64_t limit) noexcept:
        """Whether what waits has reached the limit; the next one would go beyond it, however small it is."""
        return self.weight >= limit

    cdef bint remove(self, object item) except -1:
        """Take this very item out. False: it is not there."""
        cdef Py_ssize_t k, place
        cdef bint found = False
        with cython.critical_section(self):
            for k in range(self.count):
                place = (self.first + k) & (self.places - 1)
                if found:              # those behind it move up
                    exchange(self.ring, (place - 1) & (self.places - 1), exchange(self.ring, place, None))
                elif self.ring[place] is item:
                    exchange(self.ring, place, None)
                    found = True
            if found:
                self.count -= 1
                self._lighten(item)
        return found

    def put(self, item, block=True, timeout=None):
        """Append an item; there is always room, so this never waits."""
        if item is None:
            raise ValueError("None can not be queued")
        self.push(item)

    def put_nowait(self, item):
        """Append an item."""
        self.put(item)

    def get(self, block=True, timeout=None):
        """Take the oldest item; waits for one up to `timeout` seconds (None: for ever).

        :raises queue.Empty: if there is none in time.
        :raises ValueError: if `timeout` is negative or NaN.
        """
        item = self.pop()
        if item is not None:
            return item
        if not block:
            raise queue.Empty
        seconds = seconds_to_wait("timeout", timeout)
        if seconds is not None and seconds < 0:
            raise ValueError(f"timeout must not be negative: {timeout!r}")
        return self._wait(None if seconds is None else time.monotonic() + seconds)

    def _wait(self, deadline):
        # Locks, and no Condition: that is Python code, which costs as much as the change of threads.
        gate = threading.Lock()
        gate.acquire()
        try:
            while True:
                self.waiting.append(gate)
                item = self.pop()
                if item is not None:
                    return item
                remaining = -1 if deadline is None else deadline - time.monotonic()
                if deadline is not None and remaining <= 0:
                    raise queue.Empty
                gate.acquire(True, remaining)
                self._wait_no_more(gate)
        finally:
            self._wait_no_more(gate)
            # Who was woken and took another item, or none, lets the next one look.
            if self.count > 0:
                self._wake_one()

    cdef int _wait_no_more(self, object gate) except -1:
        try:
            self.waiting.remove(gate)
        except ValueError:
            pass                       # it was woken
        return 0

    def get_nowait(self):
        """Take the oldest item.

        :raises queue.Empty: if there is none.
        """
        return self.get(False)

    def qsize(self):
        """Number of items."""
        return self.count

    def empty(self):
        """True if there is no item."""
        return self.count == 0

    def full(self):
        """False: there is no limit."""
        return False

    def clear(self):
        """Drop all items."""
        cdef list ring = [None] * FIRST_PLACES
        with cython.critical_section(self):
            self.ring, ring = ring, self.ring      # the items die after the step: their end may run Python code
            self.places = FIRST_PLACES
            self.first = self.count = 0
            self.weight = 0

    def __len__(self):
        return self.count

    def __repr__(self):
        return f"<{type(self).__name__} of {self.count} items at 0x{id(self):x}>"


# ---------------------------------------------------------------- one message to send


cdef object as_payload(object data):
    """The bytes of a message that a user gives to send(); see Engine.send for what is accepted."""
    if type(data) is bytes:
        return data
    if isinstance(data, (bytes, bytearray)):
        return bytes(data)
    if isinstance(data, (str, int)) or not hasattr(data, "__iter__"):
        raise ValueError(f"payload must be bytes or an iterable of byte values, not {data!r}")
    try:
        view = memoryview(data)
    except TypeError:
        view = None
    # Other item types than bytes count by value: an array of 16-bit numbers below 256 is as good as a list.
    if view is not None and view.itemsize == 1 and view.c_contiguous:
        return bytes(view)
    payload = bytearray()
    for item in data:
        try:
            payload.append(item)
        except (TypeError, ValueError):
            raise ValueError(
                f"payload must consist of integers from 0 to 255, but item {len(payload)} is {item!r}") from None
    return bytes(payload)


cdef uint64_t rest_of_file(object file) except? 0xFFFFFFFFFFFFFFFF:
    """Bytes from the position of a binary file to its end."""
    try:
        position = file.tell()
        size = file.seek(0, 2) - position
        file.seek(position)
    except OSError as error:
        raise ValueError(f"size of {file!r} is not known: give (file, size)") from error
    if not 0 <= size <= 0xFFFFFFFF:
        raise ValueError(f"{size} bytes to send from {file!r}: must be 0 to 2^32-1")
    return size


@cython.freelist(16)
@cython.auto_pickle(False)
cdef class SendRequest:
    """SendRequest(data, target_address_type=0)\n--\n\n
    A message on its way out: what it is, and how it ended.

    It is made once: to call `__init__` again changes nothing, as it may be being sent.

    :param data: payload, a binary file, `(generator, size)` or `(file, size)`.
    :param target_address_type: physical or functional.
    :raises ValueError: if this can not be sent.
    """

    def __init__(self, data, target_address_type=TargetAddressType.Physical):
        cdef bint is_new
        with cython.critical_section(self):
            # Once: a transmitter may point at the payload.
            is_new = self.source is None and not self.being_made
            self.being_made = True
        if not is_new:
            return
        try:
            self._set(data, TargetAddressType(target_address_type) == TargetAddressType.Functional)
        finally:
            self.being_made = False

    @cython.final
    cdef int _set(self, object data, bint functional) except -1:
        """Make a new request; nothing of it is set if that fails."""
        cdef object source
        cdef uint64_t length
        cdef bint reads = False
        size = None
        if (isinstance(data, tuple) and len(data) == 2
                and (hasattr(data[0], "__next__") or hasattr(data[0], "readinto"))):
            data, size = data
            if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= 0xFFFFFFFF:
                raise ValueError(f"size of a generated payload must be an int of 0 to 2^32-1, not {size!r}")
        if hasattr(data, "readinto"):
            reads = True
            length = rest_of_file(data) if size is None else size
            source = data.read
        elif size is not None:
            length = size
            source = data
        else:
            source = as_payload(data)
            length = <uint64_t>PyBytes_GET_SIZE(source)
            if length > 0xFFFFFFFF:
                raise ValueError(f"payload of {length} bytes: FF_DL ends at 2^32-1")
            self.source = source
            self.size = length
            self.functional = functional
            return 0
        self.source = source
        self.size = length
        self.functional = functional
        self.streams = True
        self.reads = reads
        return 0

    @property
    def generator(self):
        """The iterator that the payload comes from; of a file, its read method."""
        return self.source if self.streams else iter(self.source)

    @property
    def consumed_size(self):
        """Payload bytes that went out so far."""
        return self.taken

    @property
    def total_length(self):
        """Payload bytes in all."""
        return self.size

    @property
    def target_address_type(self):
        """Physical or functional."""
        return TargetAddressType.Functional if self.functional else TargetAddressType.Physical

    @property
    def complete_event(self):
        """`threading.Event` that is set when the message was sent or given up."""
        event = threading.Event()
        with cython.critical_section(self):
            if self.event is None:
                self.event = event
            event = self.event
            done = self.done
        if done:
            event.set()
        return event

    def complete(self, success):
        """Say how the request ended and release who waits for it."""
        self._complete(success, None)

    @cython.final
    cdef int _complete(self, bint success, object failure) except -1:
        with cython.critical_section(self):
            self.done = True
            self.success = success
            event = self.event
            self.failure = failure     # last: the end of the one before may run Python code
        if event is not None:
            event.set()
        if self.on_done is not None:
            self.on_done(self)
        return 0

    def __repr__(self):
        state = "pending" if not self.done else "sent" if self.success else f"failed: {self.failure!r}"
        return f"<SendRequest of {self.size} bytes, {self.taken} sent, {state}>"


cdef object ended_early(SendRequest request, uint64_t at):
    return errors.BadGeneratorError(f"generator ended after {at} of {request.size} bytes")


@cython.freelist(8)
cdef class ProcessStats:
    """ProcessStats(received, received_processed, sent, frame_received)\n--\n\n
    What one call of process() did.

    :param received: frames that rxfn gave.
    :param received_processed: those of them that were for this layer.
    :param sent: frames sent.
    :param frame_received: messages received.
    """

    def __init__(self, received, received_processed, sent, frame_received):
        self.received = received
        self.received_processed = received_processed
        self.sent = sent
        self.frame_received = frame_received

    def _key(self):
        return (self.received, self.received_processed, self.sent, self.frame_received)

    def __eq__(self, other):
        if not isinstance(other, ProcessStats):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def __repr__(self):
        return f"<ProcessStats received:{self.received} (processed: {self.received_processed}, sent: {self.sent})>"


# ---------------------------------------------------------------- the engine


class TryAgain(Exception):
    """What txfn raises if the bus has no room for the frame just now: the layer gives it again a little later.

    After N_As (ISO 15765-2, 9.8.1) it gives up: TransmitTimeoutError, from the `__cause__` of this one.
    """


cdef class FramePort:
    """Sends frames for an engine in C: see _socketcan.pyx. put() and flush() raise OSError."""

    cdef int put(self, const Frame *frame) except -1:
        """Take one frame, which may wait for flush()."""
        raise NotImplementedError(f"{type(self).__name__}.put")

    cdef int flush(self) except -1:
        """Send the frames that wait, as far as there is room; the others wait on, but after an error they are lost."""
        raise NotImplementedError(f"{type(self).__name__}.flush")

    cdef object refusal(self):
        """What the bus said to the frames that wait."""
        raise NotImplementedError(f"{type(self).__name__}.refusal")


cdef inline uint32_t flagged_id(uint32_t arbitration_id, bint is_extended_id) noexcept:
    return arbitration_id | <uint32_t>CAN_EFF_FLAG if is_extended_id else arbitration_id


cdef bytes data_of(object message, uint32_t *can_id):
    """Identifier (with CAN_EFF_FLAG) and data of any object that looks like a CanMessage."""
    can_id[0] = NO_CAN_ID
    if type(message) is CanMessage:
        can_id[0] = (<CanMessage>message).frame.can_id
        data = data_in(message)
    else:
        number = message.arbitration_id
        data = message.data
        if hasattr(number, "__index__") and 0 <= operator.index(number) < NO_CAN_ID:
            can_id[0] = operator.index(number)
        can_id[0] = flagged_id(can_id[0], message.is_extended_id)
    return bytes_of(data)


cdef inline bytes bytes_of(object data):
    if type(data) is bytes:
        return data
    if data is None:
        return b""
    if isinstance(data, int):
        raise TypeError(f"data of a CAN message must be bytes, not {data!r}")   # bytes() would make as many zeros
    return bytes(data)


cdef class Watchers:
    """The engines that use some Params: told when they change, so that each can flatten them anew."""

    cdef readonly object engines
    cdef object changing           # threading.RLock: a set must not grow while it is gone through

    def __cinit__(self):
        self.engines = weakref.WeakSet()
        self.changing = threading.RLock()

    def add(self, engine):
        """Tell this engine too."""
        with self.changing:
            self.engines.add(engine)

    def discard(self, engine):
        """Tell this engine no more."""
        with self.changing:
            self.engines.discard(engine)

    def __call__(self):
        cdef Engine engine
        with self.changing:
            for engine in self.engines:
                with cython.critical_section(engine):      # before it reads the Params, or after it began to
                    engine.stale = True


cdef int require_address(object address) except -1:
    if not isinstance(address, AbstractAddress):
        raise ValueError(f"address must be an isotp.Address or isotp.AsymmetricAddress, not {address!r}")
    return 0


cdef int require_both_directions(object address) except -1:
    require_address(address)
    if address.is_partial_address():
        raise ValueError(f"address is for one direction only, a layer needs both: {address!r}")
    return 0


cdef AddressFilter flatten_receiving(object address) except *:
    cdef AddressFilter new
    cdef bint wide = address.is_rx_29bits()
    memset(&new, 0, sizeof(AddressFilter))
    new.rx_id_physical = flagged_id(address.get_rx_arbitration_id(TargetAddressType.Physical), wide)
    new.rx_id_functional = flagged_id(address.get_rx_arbitration_id(TargetAddressType.Functional), wide)
    if address.requires_rx_extension_byte():
        new.rx_prefix_size = 1
        new.rx_prefix = address.get_rx_extension_byte()
    return new


cdef AddressFilter flatten_address(object address) except *:
    """Both directions; of a partial address the one that it has, the other one is heard by no ID."""
    cdef AddressFilter new
    cdef bint is_partial = address.is_partial_address()
    cdef bint wide
    if is_partial and address.is_tx_only():
        memset(&new, 0, sizeof(AddressFilter))
        new.rx_id_physical = new.rx_id_functional = CAN_NO_ID
    else:
        new = flatten_receiving(address)
    if is_partial and address.is_rx_only():
        new.tx_id_physical = new.tx_id_functional = CAN_NO_ID
        return new
    wide = address.is_tx_29bits()
    new.tx_id_physical = flagged_id(address.get_tx_arbitration_id(TargetAddressType.Physical), wide)
    new.tx_id_functional = flagged_id(address.get_tx_arbitration_id(TargetAddressType.Functional), wide)
    prefix = bytes(address.get_tx_payload_prefix())
    if len(prefix) > 1:
        raise ValueError(f"address {address!r} puts {len(prefix)} bytes before the N_PCI, at most 1 is possible")
    new.tx_prefix_size = <uint8_t>len(prefix)
    new.tx_prefix = prefix[0] if prefix else 0
    return new


cdef bint takes_frames_by_filter(object address):
    """False for a user's class that decides for itself which frames it takes: it is asked for each frame."""
    if "is_for_me" in getattr(address, "__dict__", ()):
        return False
    if type(address).is_for_me is AsymmetricAddress.is_for_me:
        return takes_frames_by_filter(address.rx_addr)
    return type(address).is_for_me is Address.is_for_me


@cython.final
cdef class BufferWriter:
    """Called with bytes: puts them into a writable buffer, one after the other."""

    cdef object view
    cdef Py_ssize_t filled

    def __call__(self, bytes chunk):
        self.view[self.filled:self.filled + len(chunk)] = chunk
        self.filled += len(chunk)


cdef object writer_to(object target, uint64_t size):
    """What fills a target of receive_into: itself, if it can be called with bytes."""
    cdef BufferWriter writer
    if callable(target):
        return target
    view = memoryview(target).cast("B")
    if view.readonly or <uint64_t>view.nbytes < size:
        raise ValueError(f"a message of {size} bytes needs a writable buffer of that size, not {target!r}")
    writer = BufferWriter.__new__(BufferWriter)
    writer.view = view
    return writer


cdef class Engine:
    """Runs the two state machines of one session: frames from rxfn, frames to txfn, messages in queues.

    Only one thread at a time runs the machines; who comes meanwhile leaves its work (a frame in the inbox,
    a message in the queue) to that thread and goes on. Every change of state is one step without Python code
    in it, so that stopping and resetting act at once from any thread, even while a callback runs.
    """

    def __cinit__(self, *args, **kwargs):
        receiver_init(&self.rx)
        transmitter_init(&self.tx)
        memset(&self.outcome, 0, sizeof(Outcome))
        self.rx_queue = MessageQueue.__new__(MessageQueue)
        self.tx_queue = MessageQueue.__new__(MessageQueue)
        self.inbox = MessageQueue.__new__(MessageQueue)
        self.rate_limiter = RateLimiter.__new__(RateLimiter)
        self.logger = logging.getLogger("isotp")
        self.wake_ns = NEVER
        self.heard_ns = NEVER
        self.no_room_since = NEVER
        self.retry_ns = NEVER
        self.burst_limit = FRAMES_PER_CLOCK_READ
        self.further_addresses = ()
        self.matched = -1
        self.tx_config = &self.config
        self.tx_filter = &self.filter
        self.rx_filter = &self.filter
        self.stale = True
        memset(&self.counted, 0, sizeof(Counters))
        memset(&self.zero, 0, sizeof(Counters))
        self.error_counts = {}

    def __dealloc__(self):
        receiver_free(&self.rx)

    # ------------------------------------------------ settings

    @cython.final
    cdef int64_t _read_clock(self) except? -1:
        cdef int64_t given
        if self.clock is None:
            return isotp_monotonic_ns()
        given = self.clock()
        return max(-LONGEST_WAIT_NS, min(given, LONGEST_WAIT_NS))   # deadlines are added to it

    def _set_rxfn(self, rxfn, bint takes_timeout):
        self._rxfn = rxfn
        self.takes_timeout = takes_timeout

    @property
    def blocking_rxfn(self):
        """rxfn takes a time-out."""
        return self.takes_timeout

    @property
    def logger(self):
        """`logging.Logger` of this layer."""
        with cython.critical_section(self):
            logger = self._logger
        return logger

    @logger.setter
    def logger(self, logger):
        # logging keeps the answers of isEnabledFor() in a dict and clears it whenever a level changes.
        # Reading it is much cheaper than the call; a missing answer falls back on the call.
        levels = getattr(logger, "_cache", None)
        if type(levels) is not dict:
            levels = None
        with cython.critical_section(self):
            self._logger, logger = logger, self._logger     # what was there dies after the step, here as below
            self.logger_levels, levels = levels, self.logger_levels

    @cython.final
    cdef bint _is_logging_frames(self) except -1:
        cdef PyObject *cached
        cdef dict levels
        with cython.critical_section(self):
            levels = self.logger_levels
        if levels is not None:
            cached = PyDict_GetItemWithError(levels, LOG_DEBUG)
            if cached != NULL:
                return <object>cached is True
        return self.logger.isEnabledFor(LOG_DEBUG)

    @property
    def params(self):
        """Parameters of the layer; changes take effect with the next frame, `tx_data_length` with the next message."""
        with cython.critical_section(self):
            params = self._params
        return params

    @params.setter
    def params(self, params):
        if not isinstance(params._on_change, Watchers):
            params._on_change = Watchers()
        params._on_change.add(self)
        given = params
        with cython.critical_section(self):
            self._params, params = params, self._params
            self.stale = True
        if params is not None and params is not given:
            params._on_change.discard(self)

    @cython.final
    cdef int _flatten(self) except -1:
        """Read the Params into the C struct that the protocol works with."""
        cdef Config config
        cdef bint default_functional
        cdef bint blocking_send
        cdef uint64_t rx_limit
        cdef uint64_t tx_limit
        cdef uint64_t turn
        params = self.params
        if params is None:
            raise RuntimeError(f"{type(self).__name__}.__init__() of the base class was not called")
        with cython.critical_section(self):
            self.stale = False
            self.flattenings += 1
            turn = self.flattenings
        memset(&config, 0, sizeof(Config))
        try:
            config.tx_dl = params.tx_data_length
            config.min_length = params.tx_data_min_length or 0
            config.pads_classic = params.tx_padding is not None and config.min_length == 0
            config.padding = DEFAULT_PADDING if params.tx_padding is None else params.tx_padding
            config.frame_flags = (CANFD_FDF if params.can_fd else 0) | (CANFD_BRS if params.bitrate_switch else 0)
            config.blocksize = params.blocksize
            config.stmin = params.stmin
            config.listen = params.listen_mode
            config.strict = params.strict
            config.awaits_fc = params.tx_flow_control
            override = params.effective_override_stmin
            config.overrides_stmin = override is not None
            if override is not None:
                config.override_stmin_ns = math.ceil(min(override * 1e9, <double>LONGEST_WAIT_NS))
            config.wftmax = min(params.wftmax, 0xFFFFFFFF)
            config.max_frame_size = min(params.max_frame_size, 0xFFFFFFFF)
            config.n_as_ns = min(int(params.tx_frame_timeout * 1_000_000), LONGEST_WAIT_NS)
            config.n_bs_ns = min(int(params.rx_flowcontrol_timeout * 1_000_000), LONGEST_WAIT_NS)
            config.n_cr_ns = min(int(params.rx_consecutive_frame_timeout * 1_000_000), LONGEST_WAIT_NS)
            default_functional = (
                TargetAddressType(params.default_target_address_type) == TargetAddressType.Functional)
            blocking_send = params.blocking_send
            rx_limit = NO_LIMIT if params.rx_queue_limit is None else min(params.rx_queue_limit, NO_LIMIT)
            tx_limit = NO_LIMIT if params.tx_queue_limit is None else min(params.tx_queue_limit, NO_LIMIT)
            if (config.tx_dl < CAN_DLEN_CLASSIC or config.tx_dl > CAN_DLEN_MAX
                    or FD_LENGTH[config.tx_dl] != config.tx_dl or config.min_length > config.tx_dl):
                raise ValueError("tx_data_length and tx_data_min_length must be CAN frame lengths that fit")
        except (TypeError, ValueError, ArithmeticError) as error:
            self.stale = True
            raise ValueError(f"parameters were assigned values that they can not have: {params!r}: {error}") from error
        with cython.critical_section(self):
            # Reading Params lets other threads in: what one of them read later is not to be undone.
            if turn < self.flattened:
                return 0
            self.flattened = turn
            self._use_config(&config)
            self.default_functional = default_functional
            self.blocking_send = blocking_send
            self.rx_limit = rx_limit
            self.tx_limit = tx_limit
            if config.listen and self.rx.due != FS_NONE:
                flow_control_sent(&self.rx, &self.config, self.now)
        return 0

    # What is changed in the middle of a message, and what is not. Each of these is within a step.

    @cython.final
    cdef void _use_config(self, const Config *new) noexcept:
        cdef uint8_t tx_dl = self.tx_config.tx_dl
        self.config = new[0]
        self.tx_config = &self.config
        if self.tx.state != TX_IDLE and tx_dl != new.tx_dl:
            # CFs are as long as the FF (9.5.3): the receiver takes no others.
            self.kept_config = new[0]
            self.kept_config.tx_dl = tx_dl
            self.kept_config.min_length = min(new.min_length, tx_dl)
            self.tx_config = &self.kept_config
        self._look_closer_if_needed()

    @cython.final
    cdef void _use_filter(self, const AddressFilter *new) noexcept:
        # A message is one N_AI's (9.9): the rest of it would be somebody else's on another one.
        self.tx_filter = still_bound(self.tx.state != TX_IDLE, self.tx_filter, &self.tx_kept, new)
        self.rx_filter = still_bound(
            self.rx.state != RX_IDLE or self.rx.due != FS_NONE, self.rx_filter, &self.rx_kept, new)
        self.filter = new[0]
        if self.tx_filter == NULL:
            self.tx_filter = &self.filter
        if self.rx_filter == NULL:
            self.rx_filter = &self.filter
        self._look_closer_if_needed()

    @cython.final
    cdef void _look_closer_if_needed(self) noexcept:
        self.looks_closer = (self.asks_address or self.config.strict
                             or self.tx_filter != &self.filter or self.rx_filter != &self.filter)

    @cython.final
    cdef void _bind_sending(self) noexcept:
        """Nothing of the message to send has gone: it is made from what is in force."""
        self.tx_config = &self.config
        if self.tx_filter != &self.filter:
            self.tx_filter = &self.filter
            self._look_closer_if_needed()

    @cython.final
    cdef void _bind_reception(self, const AddressFilter *judged) noexcept:
        """A FF came in on `judged`; the layer's own address may have changed since that was found."""
        cdef const AddressFilter *bound = &self.filter
        self.source = judged[0]
        if self.matched < 0 and not same_address(judged, &self.filter):
            self.rx_kept = judged[0]
            bound = &self.rx_kept
        if self.rx_filter != bound:
            self.rx_filter = bound
            self._look_closer_if_needed()

    def load_params(self):
        """Validate the parameters and bring the rate limiter up to date.

        :raises ValueError: if a parameter has a value that it can not have.
        """
        params = self.params
        params.validate()
        self._flatten()
        self.rate_limiter.configure(params.rate_limit_max_bitrate, params.rate_limit_window_size)
        if not params.rate_limit_enable:
            self.rate_limiter.disable()

    @property
    def address(self):
        """N_AI of this layer."""
        with cython.critical_section(self):
            address = self._address
        return address

    @address.setter
    def address(self, address):
        self.set_address(address)

    def set_address(self, address):
        """Use this address from the next message on; frames are heard on it at once.

        A message that is on its way keeps the address that it began with; docs/threads.md has what that means.

        :param address: `isotp.Address` or `isotp.AsymmetricAddress`, for both directions.
        :raises ValueError: if it is something else, or an address for one direction only.
        """
        cdef AddressFilter new
        cdef bint asks_address
        require_both_directions(address)
        new = flatten_address(address)
        asks_address = not takes_frames_by_filter(address)
        is_for_me = address.is_for_me if asks_address else None
        with cython.critical_section(self):
            # What was there dies after the step: its end may run Python code.
            self._address, address = address, self._address
            self.is_for_me, is_for_me = is_for_me, self.is_for_me
            self.asks_address = asks_address
            self._use_filter(&new)

    def receive_also(self, addresses):
        """Receive on these addresses too, as an ECU does on its functional one; answers go by the layer's own.

        :param addresses: up to 8 `isotp.Address`; their receiving side counts. They replace those of earlier calls.
        :raises ValueError: if there are too many, or one is no address, or one with rules of its own.
        """
        cdef AddressFilter[MAX_FURTHER_ADDRESSES] further
        cdef int count = 0
        addresses = tuple(addresses)
        if len(addresses) > MAX_FURTHER_ADDRESSES:
            raise ValueError(
                f"a layer receives on up to {MAX_FURTHER_ADDRESSES} further addresses, not {len(addresses)}")
        for address in addresses:
            if not isinstance(address, AbstractAddress) or not takes_frames_by_filter(address):
                raise ValueError(f"further addresses must be plain isotp.Address objects, not {address!r}")
        for address in addresses:
            further[count] = flatten_receiving(address)
            count += 1
        with cython.critical_section(self):
            memcpy(self.further, further, <size_t>count * sizeof(AddressFilter))
            self.further_addresses, addresses = addresses, self.further_addresses
            self.further_count = count

    # ------------------------------------------------ sending and receiving messages

    def send(self, data, target_address_type=None, send_timeout=None):
        """Queue a message.

        :param data: bytes, bytearray, memoryview, an iterable of byte values; `(generator, size)`, which is
            consumed frame by frame; a binary file, read from its position on in blocks as it is sent, or
            `(file, size)`. 1 to 2^32-1 bytes; an empty message is done at once, with nothing sent.
        :param target_address_type: Physical (0, 1-to-1) or Functional (1, 1-to-n; must fit a single frame).
            None: parameter `default_target_address_type`.
        :param send_timeout: seconds to wait for the end of the transmission if the parameter `blocking_send` is
            set. None: no limit.
        :raises ValueError: if the payload is no sequence of bytes, or too long for functional addressing; if
            `send_timeout` is NaN.
        :raises RuntimeError: in listen mode; if too many messages wait (parameter `tx_queue_limit`); and if a
            callback of this layer asks for a blocking send.
        :raises isotp.BlockingSendTimeout: if a blocking send is not done in time.
        :raises isotp.BlockingSendFailure: if it failed; the reason is its `__cause__`.
        """
        cdef SendRequest request = self._request(data, target_address_type)
        cdef bint waits = self.blocking_send      # once: it may change meanwhile
        if waits:
            seconds = seconds_to_wait("send_timeout", send_timeout)
            if self._is_mine():
                raise RuntimeError("a callback of the layer can not wait for that same layer to send")
            request.event = threading.Event()
        self._enqueue(request)
        if waits:
            self._await(request, seconds)

    def _submit(self, data, target_address_type, on_done):
        """Queue a message as send() does, but never wait; `on_done(request)` is called when it was sent or given up.

        :returns: :class:`SendRequest`
        """
        cdef SendRequest request = self._request(data, target_address_type)
        request.on_done = on_done
        self._enqueue(request)
        return request

    @cython.final
    cdef SendRequest _request(self, object data, object target_address_type):
        cdef SendRequest request
        cdef bint functional
        if self.stale:
            self._flatten()
        if self.config.listen:
            raise RuntimeError("a layer in listen mode can not send")
        if target_address_type is None:
            functional = self.default_functional
        else:
            functional = TargetAddressType(target_address_type) == TargetAddressType.Functional
        request = SendRequest.__new__(SendRequest)
        request._set(data, functional)
        if functional and request.size > <uint64_t>sf_capacity(&self.config, &self.filter):
            raise self._functional_limit(request.size)
        return request

    @cython.final
    cdef int _enqueue(self, SendRequest request) except -1:
        if self.tx_queue.is_full(self.tx_limit):
            raise RuntimeError(
                f"the send queue is full: {self.tx_queue.count} messages wait (parameter tx_queue_limit)")
        if self._is_logging_frames():
            self.logger.debug("Enqueuing a message of %d bytes", request.size)
        self.tx_queue.push(request)
        with cython.critical_section(self):
            post_send_callback = self.post_send_callback
        try:
            if post_send_callback is not None:
                post_send_callback(request)
        finally:
            if self.driven:
                self.drive()
        return 0

    def _functional_limit(self, size):
        return ValueError(
            f"payload of {size} bytes: functional addressing takes single frames only, that is up to"
            f" {sf_capacity(&self.config, &self.filter)} bytes here")

    def _await(self, SendRequest request not None, timeout):
        if not request.event.wait(timeout):
            raise errors.BlockingSendTimeout(
                f"message of {request.size} bytes not sent within {timeout} s ({request.taken} bytes are)")
        self._require_sent(request)

    def _require_sent(self, SendRequest request not None):
        """Raise BlockingSendFailure if the message, which is done, was not sent."""
        if not request.success:
            reason = f": {request.failure}" if request.failure is not None else ": it was stopped"
            raise errors.BlockingSendFailure(
                f"message of {request.size} bytes was not sent{reason}") from request.failure

    def recv(self, block=False, timeout=None):
        """The next message received, or None.

        :param block: wait for one.
        :param timeout: seconds to wait at the most; None: no limit.
        :raises ValueError: if `timeout` is negative or NaN.
        """
        if not block:
            return self.rx_queue.pop()
        try:
            return self.rx_queue.get(True, timeout)
        except queue.Empty:
            return None

    def available(self):
        """True if a message can be taken with recv()."""
        return self.rx_queue.count > 0

    def transmitting(self):
        """True while a message is being sent or waits for that."""
        return self.tx.state != TX_IDLE or self.tx_queue.count > 0

    # ------------------------------------------------ who runs the machines

    @cython.final
    cdef bint _enter(self) noexcept:
        """True: this thread runs the machines now. False: another one does, and will look again."""
        cdef bint entered
        with cython.critical_section(self):
            entered = not self.busy
            if entered:
                self.busy = True
                self.again = False
                self.turned = TURN_NONE
                self.owner = PyThread_get_thread_ident()
            else:
                self.again = True
        return entered

    @cython.final
    cdef bint _leave(self) noexcept:
        """False: there is new work, this thread stays in charge."""
        cdef bint left
        with cython.critical_section(self):
            left = not self.again
            self.again = False
            self.busy = not left
        return left

    @cython.final
    cdef bint _exit(self) noexcept:
        """Let others in, whatever work there is. True: they left some."""
        cdef bint again
        with cython.critical_section(self):
            again = self.again
            self.busy = False
        return again

    @cython.final
    cdef int _exit_polled(self) except -1:
        """Let others in; what they left is done now, if the layer was started meanwhile."""
        with cython.critical_section(self):
            self.polls = False
        if self._exit():
            self._open_gate()
            if self.driven:
                self.drive()
        return 0

    @cython.final
    cdef int _open_gate(self) except -1:
        """Let a reader go on that waits for the end of process()."""
        cdef object gate = None
        with cython.critical_section(self):
            gate, self.gate = self.gate, gate
        if gate is not None:
            gate.set()
        return 0

    def _let_poll_end(self, patience):
        """Wait up to `patience` seconds (None: no limit) while a call of process(), begun before start(), may be amid
        rxfn; it leaves with the next frame. Or until the layer is stopped."""
        cdef bint polls
        cdef object gate = threading.Event()
        cdef object wait = gate.wait
        with cython.critical_section(self):
            polls = self.polls and self.driven
            if polls:
                gate, self.gate = self.gate, gate
                self.again = True
        if polls:
            wait(patience)

    @cython.final
    cdef bint _is_mine(self) noexcept:
        """True if this thread runs the machines: it is a callback that asks."""
        cdef bint mine
        with cython.critical_section(self):
            mine = self.busy and self.owner == PyThread_get_thread_ident()
        return mine

    def process(self, rx_timeout=0.0, bint do_rx=True, bint do_tx=True):
        """Take frames from rxfn, handle them, give frames to txfn; does not wait unless rxfn does.

        :param rx_timeout: seconds given to rxfn, if it takes a time-out.
        :param do_rx: read frames.
        :param do_tx: send frames.
        :returns: :class:`ProcessStats`
        :raises RuntimeError: if the layer was started: its thread does this.
        """
        if self.driven:
            raise RuntimeError("process() is done by the layer itself once it was started")
        if not self._enter():
            return new_stats(0, 0, 0, 0)
        with cython.critical_section(self):
            self.polls = True
        try:
            self._begin_pass()
            return self._run(NO_TIMEOUT if rx_timeout is None else rx_timeout, do_rx, do_tx)
        finally:
            self._exit_polled()

    def feed(self, message):
        """Give one received frame to a started layer, from any thread."""
        self._put_into_inbox(message)
        self.drive()

    @cython.final
    cdef int _put_into_inbox(self, object message) except -1:
        """Keep a frame for the thread that runs the machines, if there is room."""
        if self.inbox.count < MOST_WAITING_FRAMES:
            return self.inbox.push(message)
        with cython.critical_section(self):
            self.counted.frames_dropped += 1
        return 0

    @cython.final
    cdef int _tell_of_lost_frames(self) except -1:
        cdef uint64_t lost
        with cython.critical_section(self):
            lost = self.counted.frames_dropped - self.frames_told
            self.frames_told = self.counted.frames_dropped
        self._hand_to_handler(errors.FramesLostError(
            f"{lost} received frames were lost: {MOST_WAITING_FRAMES} waited already"))
        return 0

    cpdef drive(self):
        """Do what is to be done now, on a started layer, from any thread. Errors of callbacks are reported."""
        if self._enter():
            self._drive_entered()

    def _drive_unread(self):
        """drive(), by a reader that found no frame just now: the first frame that is due goes without another look."""
        self.has_read = True
        self.drive()

    @cython.final
    cdef int feed_frames(
            self, const Frame *frames, const int64_t *arrivals, int count, int64_t heard_ns) except -1:
        """Give received frames, with the times of their arrival, to a started layer, from a native driver.

        What came until `heard_ns` is given by now; no later time can tell that a frame did not come. NEVER: no limit.
        """
        cdef int k
        if not self._enter():
            for k in range(count):
                self._put_into_inbox(message_of_frame(&frames[k]))
            self.heard_ns = heard_ns
            self.drive()
            return 0
        self.batch = frames
        self.arrivals = arrivals
        self.batch_left = count
        self.looks_first = True
        self.heard_ns = heard_ns
        if self.inbox.count > 0:
            self._save_batch()     # behind those that could not be handled when they came
        self._drive_entered()
        return 0

    @cython.final
    cdef int _drive_entered(self) except -1:
        """What drive() does once this thread is in charge."""
        cdef bint is_able
        try:
            is_able = self._drive_until_done()
        except BaseException:
            # Such as KeyboardInterrupt: this thread does no more, but frames, deadlines and others' work remain.
            self._save_batch()
            self._exit()
            with cython.critical_section(self):
                waker = self.waker
            if waker is not None:
                waker(isotp_monotonic_ns())
            raise
        return self._tell_deadline() if is_able else 0

    @cython.final
    cdef bint _drive_until_done(self) except -1:
        """Pass after pass, and out. False: the parameters, or the clock, are such that nothing can be done."""
        while True:
            try:
                self._begin_pass()
            except BaseException as error:
                self._save_batch()     # the frames wait until that is mended
                self._survive(error)
                if self._leave():
                    return False
                continue               # perhaps it was mended meanwhile
            try:
                if self.frames_told != self.counted.frames_dropped:
                    self._tell_of_lost_frames()
                if self.driven:
                    self._run(None, True, True)
                self.batch_left = 0    # what a stopped layer was still to hear
            except BaseException as error:
                self._survive(error)
                continue
            if self._leave():
                return True

    @cython.final
    cdef int _survive(self, object error) except -1:
        """A callback raised while this thread is in charge: report that, and go on. KeyboardInterrupt is the user's."""
        if is_interrupt(error):
            raise error
        self._report_callback_error(error)
        return 0

    @cython.final
    cdef int _tell_deadline(self) except -1:
        """Have the driver wake, or guard, the next deadline, if it does not look early enough by itself."""
        cdef int64_t deadline
        cdef object tell = None
        with cython.critical_section(self):
            deadline = self._deadline()
            if deadline < self.wake_ns:
                tell = self.waker
            elif deadline < self.guard_ns:
                tell = self.guard
                if tell is not None:
                    self.guard_ns = deadline
        if tell is not None:
            tell(deadline)
        return 0

    @cython.final
    cdef int _save_batch(self) except -1:
        """Move the frames of the native driver, which are gone when it returns, to the inbox."""
        while self.batch_left > 0:
            self._put_into_inbox(message_of_frame(self.batch))
            self.batch += 1
            self.batch_left -= 1
        return 0

    def _report_callback_error(self, error):
        """A callback of the user raised on a thread that must go on: log it and tell the error handler."""
        self._log_raised("a callback of the layer", error)
        report = errors.CallbackError(f"a callback of the layer raised {text_of(error)}")
        report.__cause__ = error
        self._count_error(report)
        with cython.critical_section(self):
            error_handler = self.error_handler
        if callable(error_handler):
            try:
                error_handler(report)
            except BaseException as second:
                if is_interrupt(second):
                    raise
                # The handler itself may be what raises: there is nobody left to tell but the log.
                self._log_raised("the error handler", second)

    @cython.final
    cdef int _log_raised(self, str what, object error) except -1:
        try:
            if self._is_to_be_logged():
                self.logger.error("%s raised %s", what, type(error).__name__, exc_info=error)
        except BaseException as second:
            # A filter of the log is the user's as well, and so is the clock.
            if is_interrupt(second):
                raise
        return 0

    def _set_reader(self):
        """The calling thread is the one that calls rxfn from now on."""
        self.reader = PyThread_get_thread_ident()

    def _set_readers(self, set readers not None):
        """The threads that may be amid rxfn, which the driver keeps in there: while there are any, nobody polls it."""
        self.readers = readers

    def _set_driven(self, bint driven, waker, guard=None):
        """Begin or end to be driven: by feed() and drive(), which call `waker(deadline_ns)` for a deadline before
        the next look of the driver, and `guard(deadline_ns)` for one that the driver may miss nonetheless."""
        if driven:
            self.inbox.clear()         # before: of what comes from now on nothing is missed
        with cython.critical_section(self):
            self.driven = driven
            if not driven:
                self.turned = TURN_STOPPED
            elif self.busy and self.turned == TURN_NONE:
                self.turned = TURN_STARTED
            self.looks_first = True
            self.waker, waker = waker, self.waker
            self.guard, guard = guard, self.guard
            self.guard_ns = NEVER
            self.wake_ns = NEVER
            self.heard_ns = NEVER
            self.reader = 0
            self.batch_left = 0        # who reads from now on may use its memory
        if not driven:
            self.inbox.clear()
            self._open_gate()

    def _forget_threads(self):
        """After a fork, in the child: whoever ran the machines, or waited for a message, is not there any more."""
        self.busy = False
        self.again = False
        self.polls = False
        self.rx_queue = MessageQueue.__new__(MessageQueue)
        self.tx_queue = MessageQueue.__new__(MessageQueue)
        self.inbox = MessageQueue.__new__(MessageQueue)
        # Not completed: nobody waits for it, and the lock of its event may have been held.
        self.active_send_request = None
        transmitter_stop(&self.tx)
        self._end_reception()
        self._set_driven(False, None, None)
        (<Watchers?>self._params._on_change).changing = threading.RLock()

    def _set_wake(self, deadline_ns):
        """When the driver will look at the deadline again; None: not by itself."""
        cdef int64_t wake_ns = NEVER if deadline_ns is None else deadline_ns
        with cython.critical_section(self):
            self.wake_ns = wake_ns

    def _wake(self, int64_t deadline_ns):
        """What the driver does at a deadline that `waker` told it."""
        with cython.critical_section(self):
            # An earlier one may have come between; this one was told again then, if it still counts.
            if 0 < self.wake_ns <= deadline_ns:
                self.wake_ns = NEVER
        self.drive()

    def _look_after(self, int64_t deadline_ns):
        """What the driver does some time after a deadline that `guard` told it."""
        cdef bint counts
        with cython.critical_section(self):
            counts = self.guard_ns <= deadline_ns
            if counts:
                self.guard_ns = NEVER
        if counts:
            self.drive()

    def _plan_wait(self, double longest):
        """Seconds that the driver may wait for a frame before it must call drive(); at most `longest`."""
        return self._planned(longest, self._read_clock())

    @cython.final
    cdef double _planned(self, double longest, int64_t now) noexcept:
        cdef int64_t wake_ns
        cdef double longest_ns = longest * 1e9
        if not longest_ns < <double>LONGEST_WAIT_NS:       # nor a number: C would make anything of it
            longest_ns = <double>LONGEST_WAIT_NS
        with cython.critical_section(self):
            wake_ns = min(self._deadline(), now + <int64_t>max(0.0, longest_ns))
            self.wake_ns = wake_ns
        return max(0, wake_ns - now) / 1e9

    def _read_on(self, double longest):
        """What the reader does while nothing but frames and deadlines is to be waited for: read and handle, again and
        again.

        :param longest: seconds that one read may wait.
        :returns: time-out of the last read and what was left of it (s), if it brought no frame or was late; None if
            there is more to look at than frames: a Consecutive Frame is to be sent, or this is not the reader any more.
        """
        cdef unsigned long me = PyThread_get_thread_ident()
        cdef int64_t began
        cdef double timeout, left
        cdef bint takes_timeout, is_reader, has_come, goes_on
        while True:
            began = self._read_clock()
            timeout = self._planned(longest, began)
            with cython.critical_section(self):
                rxfn, takes_timeout = self._rxfn, self.takes_timeout
            message = call_with(rxfn, timeout) if takes_timeout else call_without(rxfn)
            left = timeout - (self._read_clock() - began) / 1e9
            with cython.critical_section(self):
                is_reader = self.reader == me
                if is_reader:
                    self.wake_ns = 0       # this thread looks at the deadline itself, right after
            if not is_reader:
                self._pass_on(message)
                return None
            has_come = message is not None
            if has_come:
                self._put_into_inbox(message)
                message = None             # not to be kept until the next one comes
            else:
                self.has_read = True       # as _drive_unread() does
            self.drive()
            if not has_come or left <= 0:
                return timeout, left
            with cython.critical_section(self):
                goes_on = self.reader == me and self.tx.state != TX_TRANSMIT_CF
            if not goes_on:                # a callback may have stopped the layer
                return None

    def _pass_on(self, message):
        """Who is not the reader any more has read this (None: nothing): it is for whoever started the layer again."""
        cdef bint driven
        with cython.critical_section(self):
            self.wake_ns = NEVER           # what this thread has planned does not count
            driven = self.driven
        if driven:
            if message is not None:
                self._put_into_inbox(message)
            self.drive()

    @cython.final
    cdef int64_t _deadline(self) noexcept:
        cdef int64_t deadline = self.rx.deadline
        if self.tx.state == TX_WAIT_FC:
            deadline = min(deadline, self.tx.fc_deadline)
        elif self.tx.state != TX_IDLE:
            deadline = min(deadline, self._earliest_frame())
        return min(deadline, self.retry_ns)

    @cython.final
    cdef int64_t _earliest_frame(self) noexcept:
        """When STmin and the rate limiter let the next frame go, as far as known now."""
        cdef int64_t due = self.tx.cf_due if self.tx.state == TX_TRANSMIT_CF else 0
        if self.rate_limiter.is_enabled:
            due = max(due, self.rate_limiter._not_before(next_rate_size(&self.tx, self.tx_config, self.tx_filter)))
        return due if self.retry_ns == NEVER else max(due, self.retry_ns)

    def deadline_ns(self):
        """Time (of the layer's clock, ns) at which the layer wants to run again without a frame, or None."""
        cdef int64_t deadline = self._deadline()
        return None if deadline == NEVER else deadline

    # ------------------------------------------------ the loop

    @cython.final
    cdef ProcessStats _run(self, object rx_timeout, bint do_rx, bint do_tx):
        """One pass, which was begun: polled with rx_timeout, or driven (rx_timeout is None)."""
        cdef bint tx_first
        cdef bint rx_again
        cdef uint64_t received = self.counted.frames_received
        cdef uint64_t processed = self.counted.frames_for_us
        cdef uint64_t sent = self.counted.frames_sent
        cdef uint64_t messages = self.counted.messages_received
        tx_first = do_tx and self.tx.state == TX_IDLE and self.rx.state == RX_IDLE and self.tx_queue.count > 0
        if self.batch_left == 0:
            self._expire(self.now if rx_timeout is not None else min(self.now, self.heard_ns), do_rx, do_tx)
        while True:
            rx_again = tx_first
            if do_rx and not tx_first:
                self._receive_pass(rx_timeout, do_tx)
            if do_tx and self._transmit_pass(do_rx):
                rx_again = True
            tx_first = False
            if not (rx_again and do_rx) or self.turned != TURN_NONE:
                break
        return new_stats(
            <int>(self.counted.frames_received - received), <int>(self.counted.frames_for_us - processed),
            <int>(self.counted.frames_sent - sent), <int>(self.counted.messages_received - messages))

    @cython.final
    cdef bint _rests(self) noexcept:
        """No timer runs and none is read before a frame came or went: the time does not matter now."""
        return (self.rx.state == RX_IDLE and self.tx.state == TX_IDLE and self.rx.due == FS_NONE
                and self.batch_left == 0 and self.retry_ns == NEVER and not self.rate_limiter.is_enabled)

    @cython.final
    cdef inline int _begin_pass(self) except -1:
        if self.stale:
            self._flatten()
        if self._rests():
            self.clock_due = self.counted.frames_received + 1      # a frame is the first that needs the time
        else:
            self.now = self._read_clock()
            self.clock_due = self.counted.frames_received + FRAMES_PER_CLOCK_READ
        self.logs_frames = self._is_logging_frames()
        return 0

    @cython.final
    cdef inline int _expire(self, int64_t until, bint do_rx, bint do_tx) except -1:
        """Give up what waited too long. A frame that is read after that comes too late."""
        if until >= self.rx.deadline or until >= self.tx.fc_deadline:
            self._run_out(until, do_rx, do_tx)
        return 0

    @cython.final
    cdef int _run_out(self, int64_t until, bint do_rx, bint do_tx) except -1:
        cdef bint expired = False
        with cython.critical_section(self):
            if do_rx:
                expired = receiver_expired(&self.rx, until, &self.outcome)
        if expired:
            self._report()
            expired = False
        with cython.critical_section(self):
            if do_tx:
                expired = transmitter_expired(&self.tx, until, &self.outcome)
        if expired:
            self._fail_active()
        return 0

    @cython.final
    cdef inline int _receive_pass(self, object rx_timeout, bint do_tx) except -1:
        """Read until there is no frame, or until a flow control frame is due."""
        # A rxfn without parameter should not wait, but those of the first generation often do.
        cdef bint is_driven = rx_timeout is None
        cdef bint waits = not is_driven and (not self.takes_timeout or rx_timeout != 0)
        while True:
            if self.looks_first:
                if (self.turned != TURN_NONE or self.batch_left <= 0) and self._has_turned(is_driven):
                    return 0
                if self.batch_left > 0:
                    self._take_from_batch()
                    if self.rx.due != FS_NONE and self.retry_ns == NEVER:
                        return 0
                    if self.batch_left <= 0:
                        # Its frames came in time; what did not come is judged by the time that it is now.
                        self.now = self._read_clock()
                        self._expire(min(self.now, self.heard_ns), True, do_tx)
                    continue
            if is_driven:
                message = self.inbox.pop()
                if (message is None and self.tx.state == TX_TRANSMIT_CF and self.takes_timeout
                        and self.owner == self.reader and not self.has_read):
                    # This thread is the one that reads: while it sends a long message nobody else does.
                    # (A rxfn without a parameter might wait, and keep the message from going on.)
                    message = call_with(self._rxfn, NO_TIMEOUT)
                    # Nobody else reads before this thread has left rxfn: that frame is the first of what comes now.
                    if self.turned != TURN_NONE and self._has_turned(True):
                        return 0
                self.has_read = False
            elif self.inbox.count > 0:
                message = self.inbox.pop()
            elif self.takes_timeout:
                message = call_with(self._rxfn, rx_timeout)
            else:
                message = call_without(self._rxfn)
            if waits:
                self._note_arrival(message, True, do_tx)
            if message is None:
                return 0
            if not waits and self.counted.frames_received + 1 >= self.clock_due:
                self.clock_due = self.counted.frames_received + 1 + FRAMES_PER_CLOCK_READ
                if self.clock is None:
                    self.now = isotp_monotonic_ns()
                else:
                    self._note_arrival(message, False, do_tx)
            self.counted.frames_received += 1
            self._take(message)
            if self.rx.due != FS_NONE and self.retry_ns == NEVER:
                return 0

    @cython.final
    cdef bint _has_turned(self, bint is_driven) except -1:
        """Look whether the layer was stopped or started meanwhile. True: this pass reads no more."""
        cdef bint is_leaving
        with cython.critical_section(self):
            if self.turned != TURN_NONE:
                self.turned = TURN_NONE
                self.batch_left = 0
            # A reader on its way out may be amid rxfn: two in there would mix up the order of their frames.
            is_leaving = not self.driven and bool(self.readers)
            self.looks_first = self.batch_left > 0 or is_leaving
            return is_driven != self.driven or is_leaving

    @cython.final
    cdef int _note_arrival(self, object message, bint expires, bint do_tx) except -1:
        """Read the clock after a frame was read, or none; if it `expires` anything, tell that first.

        If a callback raises there, the frame waits for the next pass.
        """
        try:
            self.now = self._read_clock()
            if expires:
                self._expire(self.now, True, do_tx)
        except BaseException:
            if message is not None:
                self.inbox.put_back(message)
            raise
        return 0

    @cython.final
    cdef int _take(self, object message) except -1:
        """Handle one received frame, of our own type or of any with the same attributes."""
        cdef uint32_t can_id
        cdef const uint8_t *data
        cdef Py_ssize_t size
        cdef object given          # owns what the bytes point at
        if type(message) is CanMessage and (<CanMessage>message).frame.res0 & INLINE:
            can_id = (<CanMessage>message).frame.can_id
            data = (<CanMessage>message).frame.data
            size = (<CanMessage>message).frame.len
        else:
            given = data_of(message, &can_id)
            data = <const uint8_t *>PyBytes_AS_STRING(given)
            size = PyBytes_GET_SIZE(given)
        if takes_next_cf(self, can_id, data, size):
            return 0
        return self._take_bytes(message, can_id, data, size)

    @cython.final
    cdef int _take_from_batch(self) except -1:
        """Handle the next frame of the native driver, at the time at which it arrived."""
        cdef const Frame *frame = self.batch
        self.now = self.arrivals[0]
        # Before the frame counts as taken: an error handler that raises does not cost it.
        self._expire(self.now, True, True)
        if self.batch_left <= 0:
            return 0               # the error handler stopped the layer
        self.batch += 1
        self.arrivals += 1
        self.batch_left -= 1
        self.counted.frames_received += 1
        return self._take_bytes(None, frame.can_id, frame.data, frame.len)

    @cython.final
    cdef bint _judge(
            self, object message, uint32_t can_id, const uint8_t *data, Py_ssize_t size, AddressFilter *judged,
            bint *apart) except -1:
        """Whether a frame is for us, where the layer's own filter does not tell all, and a line of the log for it.

        `judged` becomes the address that it came in on. `apart` becomes True if it is to be handled as an N_PDU with a
        functional address, see _stands_apart().
        """
        cdef bint is_own
        cdef int k
        with cython.critical_section(self):
            is_for_me = self.is_for_me
            judged[0] = self.filter    # what was looked at counts, whatever address there is later
        if is_for_me is None:
            is_own = is_for_us(judged, can_id, data, size)
        else:
            if message is None:
                message = CanMessage(
                    can_id & 0x1FFFFFFF, 0, data[:size], (can_id & <uint32_t>CAN_EFF_FLAG) != 0)
            is_own = bool(is_for_me(message))
        with cython.critical_section(self):
            if is_own:
                apart[0] = self._stands_apart(judged, is_functional(judged, can_id), data, size)
            for k in range(0 if is_own else self.further_count):
                if is_for_us(&self.further[k], can_id, data, size):
                    self.matched = k
                    judged[0] = self.further[k]
                    # One with a single identifier is functional: that is what most are for.
                    apart[0] = self._stands_apart(judged, can_id == judged.rx_id_functional, data, size)
                    break
        is_own = is_own or self.matched >= 0
        if self.logs_frames:
            self._log_frame("Rx", can_id, data[:size], "p" if is_own else "i")
        return is_own

    @cython.final
    cdef bint _stands_apart(
            self, const AddressFilter *judged, bint functional, const uint8_t *data, Py_ssize_t size) noexcept:
        """Whether the frame at hand, which came in on `judged`, can be nothing but an SF.

        Each N_AI's N_PDUs stand apart (9.9): by the standard, and where the layer's own address has changed.
        """
        cdef int n_pci_type = data[judged.rx_prefix_size] >> 4 if size > judged.rx_prefix_size else -1
        if self.matched < 0 and self._belongs_elsewhere(judged, n_pci_type):
            return True
        if functional or not self.config.strict:
            return self.config.strict
        if n_pci_type == N_PCI_FC:
            return self.matched >= 0           # what the layer sends has its own address
        return self.rx.state == RX_WAIT_CF and not hears_alike(&self.source, judged)

    @cython.final
    cdef bint _belongs_elsewhere(self, const AddressFilter *judged, int n_pci_type) noexcept:
        """Whether the layer's own address has changed since the message began that a CF or FC would go on with."""
        if n_pci_type == N_PCI_CF:
            return self.rx.state == RX_WAIT_CF and not hears_alike(self.rx_filter, judged)
        if n_pci_type == N_PCI_FC:
            return ((self.tx.state == TX_WAIT_FC or self.tx.state == TX_TRANSMIT_CF)
                    and not hears_alike(self.tx_filter, judged))
        return False

    @cython.final
    cdef object _address_of_frame(self):
        """The address that the frame at hand came in on."""
        with cython.critical_section(self):
            address = self._address
            further = self.further_addresses
        # Another thread may have changed them meanwhile.
        return further[self.matched] if 0 <= self.matched < len(further) else address

    @cython.final
    cdef int _take_bytes(self, object message, uint32_t can_id, const uint8_t *data, Py_ssize_t size) except -1:
        cdef RxEvent event = RX_NOTHING
        cdef AddressFilter judged
        cdef const AddressFilter *came_by = NULL
        cdef bint gave_up = False
        cdef bint apart = False
        cdef bint closer = self.looks_closer or self.logs_frames
        self.matched = -1
        while came_by == NULL:
            if closer:
                if not self._judge(message, can_id, data, size, &judged, &apart):
                    return 0
                came_by = &judged
            with cython.critical_section(self):
                if came_by == NULL and not self.looks_closer and is_for_us(&self.filter, can_id, data, size):
                    came_by = &self.filter     # which stays as it is for this step
                if came_by != NULL and self.turned == TURN_STOPPED:
                    # stop() forgets it, and it begins no message if the layer was started again.
                    self.counted.frames_for_us += 1
                    self.outcome.code = self.outcome.interruption = OK
                elif came_by != NULL:
                    event = receive_frame(self, came_by, apart, data, <int>min(size, 0x7FFFFFFF), &gave_up)
                    if event == RX_MESSAGE:
                        payload = PyByteArray_FromStringAndSize(
                            <char *>self.rx.message, <Py_ssize_t>self.rx.message_size)
            if came_by == NULL and self.further_count == 0 and not self.looks_closer:
                return 0
            closer = True
        if (event == RX_NOTHING and self.write is None
                and self.outcome.code == OK and self.outcome.interruption == OK):
            return 0
        broken = came_in_on = None
        try:
            if self.write is not None:
                came_in_on = self._address_of_frame()      # what is called here may change it
                if self.outcome.interruption != OK:
                    broken = self._part_from_target()
                elif event == RX_MESSAGE and not apart:
                    payload = self._finish_target(payload)
                elif self.rx.state == RX_WAIT_CF:
                    self._fill_target()
            if event == RX_MESSAGE and payload is not None:
                self._hand_over(payload, came_in_on)
            elif event == RX_STARTED:
                if not self.config.listen and self._has_no_room():
                    self._refuse_reception()
                elif self.receive_into is not None:
                    self._open_target()
        finally:
            # Last, so that an error handler that raises costs no message
            if self.outcome.code != OK or self.outcome.interruption != OK:
                self._report_reception(gave_up, broken)
        return 0

    @cython.final
    cdef int _open_target(self) except -1:
        """Ask the user where the message that begins is to go."""
        with cython.critical_section(self):
            receive_into = self.receive_into
        if receive_into is None:
            return 0               # taken away since it was looked at
        write = None
        try:
            target = receive_into(self.rx.size)
            if target is not None:
                write = writer_to(target, self.rx.size)
        except BaseException:
            with cython.critical_section(self):
                if self.rx.state == RX_WAIT_CF:
                    receiver_stop(&self.rx)
                    if not self.config.listen:
                        self.rx.due = FS_OVFLW
            raise
        with cython.critical_section(self):
            # Unless it was stopped meanwhile, by receive_into itself or by another thread
            if self.rx.state == RX_WAIT_CF:
                self.target, target = target, self.target
                self.write, write = write, self.write
        return 0

    @cython.final
    cdef object _part_from_target(self):
        """What the message in progress went to, if anything; it goes there no more."""
        cdef object target = None
        cdef object write = None
        with cython.critical_section(self):
            if self.write is not None:
                self.target, target = target, self.target
                self.write, write = write, self.write
        return target

    @cython.final
    cdef int _fill_target(self) except -1:
        """Hand out what arrived, before the buffer has to grow."""
        cdef bytes chunk
        if self.rx.got - self.rx.taken <= <uint64_t>(BUFFER_FIRST - CAN_DLEN_MAX):
            return 0
        with cython.critical_section(self):
            chunk = PyBytes_FromStringAndSize(<char *>self.rx.buffer, <Py_ssize_t>(self.rx.got - self.rx.taken))
            self.rx.taken = self.rx.got
            write = self.write
        if write is None:
            return 0               # another thread stopped the reception
        try:
            write(chunk)
        except BaseException:
            self.stop_receiving()
            raise
        return 0

    @cython.final
    cdef object _finish_target(self, object rest):
        """The target, with the last bytes of its message in it; None if another thread stopped the reception."""
        with cython.critical_section(self):
            write = self.write
        target = self._part_from_target()
        if target is not None:
            write(bytes(rest))
        return target

    @cython.final
    cdef inline int _hand_over(self, object payload, object address) except -1:
        """A message is complete; it came in on `address`. None: on that of the frame at hand."""
        if self._has_no_room():
            self.counted.messages_dropped += 1
            error = errors.ReceptionQueueFullError(f"a message is lost: {self._full_queue()}")
            error.target = payload if type(payload) is not bytearray else None
            self._hand_to_handler(error)
            return 0
        with cython.critical_section(self):
            on_message = self.on_message
        if on_message is None:
            self.rx_queue.push(payload)
            return 0
        with cython.critical_section(self):
            courier = self.courier
        if address is None:
            address = self._address_of_frame()
        if courier is None:
            on_message(payload, address, self.now)
        else:
            courier.carry(weight_of(payload), on_message, payload, address, self.now)
        return 0

    @cython.final
    cdef bint _has_no_room(self) except -1:
        """Whether too many received messages wait to be taken."""
        if self.on_message is None:
            return self.rx_queue.is_full(self.rx_limit)
        with cython.critical_section(self):
            courier = self.courier
        return courier is not None and courier.weight >= self.rx_limit

    @cython.final
    cdef int _refuse_reception(self) except -1:
        """A message that begins finds no room: its sender is told, before it has sent it all."""
        cdef bint is_on
        with cython.critical_section(self):
            is_on = self.rx.state == RX_WAIT_CF
            if is_on:
                receiver_stop(&self.rx)
                self.rx.due = FS_OVFLW
        if not is_on:
            return 0               # another thread stopped it
        self.counted.receptions_refused += 1
        self._hand_to_handler(errors.ReceptionQueueFullError(
            f"a message of {self.rx.size} bytes is refused: {self._full_queue()}"))
        return 0

    def _full_queue(self):
        waiting = self.rx_queue.count if self.on_message is None else "those before"
        return f"{waiting} messages wait to be taken (parameter rx_queue_limit)"

    @cython.final
    cdef int _report_reception(self, bint gave_up, object broken) except -1:
        try:
            if self.outcome.interruption != OK:
                error = make_error(self.outcome.interruption, &self.outcome)
                error.target = broken
                self._hand_to_handler(error)
        finally:
            if gave_up:
                self._fail_active()
            elif self.outcome.code != OK:
                self._report()
        return 0

    @cython.final
    cdef int _transmit_pass(self, bint do_rx) except -1:
        """Send what may be sent now. 1: reception is to have a turn before more is sent."""
        cdef int again
        if self.retry_ns != NEVER and not self._has_room_again():
            return 0
        again = self._transmit_frames(do_rx)
        if self.port is not None and self.retry_ns == NEVER:
            # What still waits are frames of a message whose next one can not go yet.
            self._flush_or_fail()
        return again

    @cython.final
    cdef bint _has_room_again(self) except -1:
        """Whether frames can go again after a pause; those that the port kept go first."""
        if self._read_clock() < self.retry_ns:
            return False
        self.retry_ns = NEVER
        if self.port is None:
            return True
        if self.tx.epoch != self.refused_epoch:
            self._forget_waiting()     # their message was given up meanwhile
        return self._flush_or_fail()

    @cython.final
    cdef bint _flush_or_fail(self) except -1:
        """As _flush_port(); an error ends the message, and with it what waits."""
        cdef SendRequest request
        cdef uint32_t epoch
        try:
            return self._flush_port()
        except Exception as error:
            with cython.critical_section(self):
                request = self.active_send_request
                epoch = self.tx.epoch
            if not self._fail_with(request, epoch, error):
                raise
            return True

    @cython.final
    cdef bint _flush_port(self) except -1:
        """Have the port send what waits; OSError. False: there is no room for all of it."""
        cdef int before = self.port.waiting
        cdef uint32_t epoch = self.tx.epoch
        try:
            self.port.flush()
        except BaseException:
            self.counted.frames_sent -= <uint64_t>self.port.lost
            raise
        if self.port.waiting < before:
            self.no_room_since = NEVER     # N_As is the time of one frame
        if self.port.waiting == 0:
            return True
        self._wait_for_room(None, epoch)
        return False

    @cython.final
    cdef int _wait_for_room(self, object refusal, uint32_t epoch) except -1:
        """The bus has no room for a frame: try again after a pause. TransmitTimeoutError after N_As."""
        cdef int64_t now = self._read_clock()
        if self.no_room_since == NEVER or self.refused_epoch != epoch:
            self.no_room_since = now
        if now - self.no_room_since >= self.config.n_as_ns:
            self.no_room_since = NEVER
            if self.port is not None:
                refusal = self.port.refusal()
                self._forget_waiting()
            raise errors.TransmitTimeoutError(
                f"the transmit queue of the bus stayed full for {self.config.n_as_ns / 1e9} s") from refusal
        self.counted.retries += 1
        self.refused_epoch = epoch
        self.retry_ns = now + PAUSE_WITHOUT_ROOM_NS
        return 0

    @cython.final
    cdef int _forget_waiting(self) except -1:
        """The frames that the port keeps are not to go any more."""
        self.counted.frames_sent -= <uint64_t>self.port.waiting
        self.port.waiting = 0
        return 0

    @cython.final
    cdef int _transmit_frames(self, bint do_rx) except -1:
        cdef int burst = 0
        cdef Frame native
        cdef Frame *out = &native
        cdef bint ready
        cdef bint ran_dry
        cdef uint64_t allowed
        cdef uint32_t epoch
        cdef CanMessage message = None
        cdef SendRequest request = None
        while True:
            if self.rx.due != FS_NONE:
                self._send_flow_control()
                return 1
            if self.tx.state == TX_IDLE:
                if self.tx_queue.count == 0 or not self._begin_next():
                    return 0
            elif self.tx.state == TX_TRANSMIT_CF:
                if self.now < self.tx.cf_due:
                    self.now = self._read_clock()
                    if self.now < self.tx.cf_due:
                        return 0
            elif self.tx.state == TX_WAIT_FC:
                return 0
            elif not self._bind_first_frame():
                continue
            if request is not self.active_send_request or request is None:
                with cython.critical_section(self):
                    request = self.active_send_request
            if request is None:
                continue               # stopped by another thread since the state was looked at
            if request.streams and not self._fill_stage(request):
                continue
            allowed = 0xFFFFFFFF
            if self.rate_limiter.is_enabled:
                allowed = self.rate_limiter._allowed(self.now)
            if self.port is None:
                message = new_frame_message()
                out = &message.frame
            else:
                message = None
                out = &native
            with cython.critical_section(self):
                ready = transmit(&self.tx, self.tx_config, self.tx_filter, self.now, allowed, out)
                ran_dry = (request.streams
                           and self.tx.in_frame < next_payload_size(&self.tx, self.tx_config, self.tx_filter))
                epoch = self.tx.epoch
            if not ready:
                self._note_if_held_back(allowed)
                return 0
            burst += 1
            if not send_frame(self, message, out, request, epoch, burst >= self.burst_limit):
                if self.retry_ns != NEVER:
                    return 0
                continue               # given up: nobody would call for the next message
            if ran_dry and self.tx.epoch == epoch:
                self._give_up(request, epoch, ended_early(request, request.taken))
                continue
            if self.tx.state == TX_WAIT_FC:
                return 1
            if burst >= self.burst_limit:
                self.now = self._read_clock()
                burst = 0
                if self.shares_thread:
                    self.retry_ns = self.now
                    self.refused_epoch = self.tx.epoch
                    return 0
                if do_rx:
                    return 1

    @cython.final
    cdef void _note_if_held_back(self, uint64_t allowed) noexcept:
        if self.rate_limiter.is_enabled and not self.held_back:
            self.held_back = next_rate_size(&self.tx, self.tx_config, self.tx_filter) > allowed
            self.counted.throttled += self.held_back

    @cython.final
    cdef int _send_flow_control(self) except -1:
        cdef CanMessage message = None
        cdef FlowStatus due
        cdef Frame native
        cdef Frame *out = &native
        cdef bint went
        if self.port is None:
            message = new_frame_message()
            out = &message.frame
        with cython.critical_section(self):
            due = self.rx.due
            self.stopped_receiving = False
            if due != FS_NONE:
                encode_flow_control(due, &self.config, self.rx_filter, out)
                # A txfn that raises leaves a reception that ends by N_Cr.
                flow_control_sent(&self.rx, &self.config, self.now)
        if due == FS_NONE:
            return 0               # another thread stopped the reception
        try:
            if message is None:
                went = self._put_natively(out, True)
            else:
                went = put_frame(self, message)
                if not went:
                    self._put_again()
        except errors.IsoTpError as error:
            # N_Ar: the sender waits in vain, and so would the receiver.
            with cython.critical_section(self):
                receiver_stop(&self.rx)
            self._hand_to_handler(error)
            return 0
        self.now = self._read_clock()
        with cython.critical_section(self):
            if went:
                self.counted.flow_controls_sent += 1
                # N_Cr runs from the moment at which the frame was sent.
                flow_control_sent(&self.rx, &self.config, self.now)
            elif not self.stopped_receiving and not self.config.listen:
                self.rx.due = due
        return 0

    @cython.final
    cdef bint _send_natively(self, const Frame *frame, SendRequest request, uint32_t epoch, bint flush) except -1:
        """Send one frame of the active message by the port. False: it did not go."""
        try:
            return self._put_natively(
                frame, flush or self.tx.sent + self.tx.in_frame >= self.tx.size)
        except BaseException as error:
            if not self._fail_with(request, epoch, error):
                raise
            return False

    @cython.final
    cdef bint _put_natively(self, const Frame *frame, bint flush) except -1:
        """Give a frame to the port; OSError. False: there is no room, and it does not have the frame."""
        if self.logs_frames:
            self._log_frame("Tx", frame.can_id, frame.data[:frame.len], "p")
        self.port.put(frame)
        self.counted.frames_sent += 1
        if flush and not self._flush_port():
            self.port.waiting -= 1     # the last one of those that still wait
            self.counted.frames_sent -= 1
            return False
        return True

    @cython.final
    cdef int _put_again(self) except -1:
        """txfn raised: plan another try if it said TryAgain; any other exception goes on to the caller."""
        try:
            raise_current()
        except TryAgain as refusal:
            self._wait_for_room(refusal.__cause__ or refusal, self.tx.epoch)
        return 0

    @cython.final
    cdef int _retry_or_fail(self, SendRequest request, uint32_t epoch) except -1:
        """txfn raised: the message fails with that exception, unless the frame is to be given again."""
        try:
            self._put_again()
        except BaseException as error:
            if not self._fail_with(request, epoch, error):
                raise
        return 0

    @cython.final
    cdef bint _fail_with(self, SendRequest request, uint32_t epoch, object error) except -1:
        """Sending a frame raised. True: an error of the bus, reported now. False: it is the caller's to raise."""
        if isinstance(error, errors.IsoTpError):
            self._give_up(request, epoch, error)
            return True
        self._stop_active(request, epoch, error)
        return False

    @cython.final
    cdef bint _begin_next(self) except -1:
        """Take the next message out of the queue."""
        cdef SendRequest request
        while True:
            request = self.tx_queue.pop()
            if request is None:
                return False
            if request.size == 0:
                request._complete(True, None)
                continue
            with cython.critical_section(self):
                self.active_send_request = request
                self._bind_sending()
                begin_message(&self.tx, self.tx_config, self.tx_filter, request.size, request.functional)
                if not request.streams:
                    supply(&self.tx, <const uint8_t *>PyBytes_AS_STRING(request.source), request.size)
            if not request.functional or self._bind_first_frame():
                return True

    @cython.final
    cdef bint _bind_first_frame(self) except -1:
        """The SF or FF that is next is made from what is in force. False: what send() let pass can not go like that."""
        cdef SendRequest request
        cdef bint fits
        cdef uint32_t epoch
        with cython.critical_section(self):
            self._bind_sending()
            choose_first_frame(&self.tx, self.tx_config, self.tx_filter)
            fits = not self.tx.functional or self.tx.state != TX_FF_STANDBY
            request = self.active_send_request
            epoch = self.tx.epoch
        if not fits:
            self._stop_active(request, epoch, self._functional_limit(request.size))
        return fits

    @cython.final
    cdef bint _fill_stage(self, SendRequest request) except -1:
        """Take the bytes of the next frame from the generator. False: the message was given up."""
        cdef uint64_t wanted
        cdef uint64_t have
        cdef uint32_t epoch
        cdef uint64_t k
        with cython.critical_section(self):
            epoch = self.tx.epoch
            wanted = next_payload_size(&self.tx, self.tx_config, self.tx_filter)
            have = self.tx.chunk_size - self.tx.chunk_used
            # Bytes that were left when the frames became larger move to the front.
            if 0 < have < wanted:
                memmove(self.stage, &self.tx.chunk[self.tx.chunk_used], <size_t>have)
        if have >= wanted:
            return True            # left over from a frame that the rate limiter held back
        if request.reads:
            return self._fill_block(request, epoch, have, wanted)
        k = have
        while k < wanted:
            try:
                item = next(request.source)
            except StopIteration:
                break
            except BaseException as error:
                self._stop_active(request, epoch, error)
                raise
            if self.tx.epoch != epoch:
                return False           # the generator stopped its own message
            try:
                self.stage[k] = operator.index(item)
            except (TypeError, OverflowError) as error:
                report = errors.BadGeneratorError(
                    f"generator gave {item!r}, which is no byte value, at {request.taken + k} of"
                    f" {request.size} bytes")
                report.__cause__ = error
                self._give_up(request, epoch, report)
                return False
            except BaseException as error:
                self._stop_active(request, epoch, error)
                raise
            k += 1
        if self.tx.epoch != epoch:
            return False
        if k == 0 or (k < wanted and self.tx.state != TX_TRANSMIT_CF):
            self._give_up(request, epoch, ended_early(request, request.taken + k))
            return False
        with cython.critical_section(self):
            if self.tx.epoch == epoch:
                supply(&self.tx, self.stage, k)
        return self.tx.epoch == epoch

    @cython.final
    cdef bint _fill_block(self, SendRequest request, uint32_t epoch, uint64_t have, uint64_t wanted) except -1:
        """Read the next block of a file, behind what is on the stage. False: the message was given up."""
        cdef bytes block = (<const char *>self.stage)[:have]
        try:
            while <uint64_t>len(block) < wanted:
                more = request.source(min(<uint64_t>READ_AT_ONCE, request.size - request.taken - <uint64_t>len(block)))
                if not more:
                    break
                block += more
        except BaseException as error:
            self._stop_active(request, epoch, error)
            raise
        if <uint64_t>len(block) < wanted and self.tx.epoch == epoch:
            self._give_up(request, epoch, errors.BadGeneratorError(
                f"file ended after {request.taken + len(block)} of {request.size} bytes"))
        with cython.critical_section(self):
            if self.tx.epoch == epoch:
                self.block = block
                supply(&self.tx, <const uint8_t *>PyBytes_AS_STRING(block), len(block))
        return self.tx.epoch == epoch

    # ------------------------------------------------ the end of a message, errors

    @cython.final
    cdef int _stop_active(self, SendRequest request, uint32_t epoch, object error) except -1:
        with cython.critical_section(self):
            if self.tx.epoch == epoch:
                transmitter_stop(&self.tx)
                self.active_send_request = None
                self.block = None
        if request is not None:
            request._complete(False, error)
        return 0

    @cython.final
    cdef int _give_up(self, SendRequest request, uint32_t epoch, object error) except -1:
        self._stop_active(request, epoch, error)
        self._hand_to_handler(error)
        return 0

    @cython.final
    cdef int _fail_active(self) except -1:
        """The transmitter gave the active message up; self.outcome says why."""
        cdef SendRequest request
        # First: to make the error lets other threads in.
        with cython.critical_section(self):
            request = self.active_send_request
            self.active_send_request = None
            self.block = None
        error = make_error(self.outcome.code, &self.outcome)
        try:
            self._hand_to_handler(error)
        finally:
            if request is not None:
                request._complete(False, error)
        return 0

    @cython.final
    cdef int _report(self) except -1:
        self._hand_to_handler(make_error(self.outcome.code, &self.outcome))
        return 0

    @cython.final
    cdef int _count_error(self, object error) except -1:
        """An error is reported."""
        with cython.critical_section(self):
            self.error_counts[type(error)] = self.error_counts.get(type(error), 0) + 1
            self.last_error, error = error, self.last_error    # dies after the step: its end may run Python code
        return 0

    @cython.final
    cdef int _hand_to_handler(self, object error) except -1:
        if self.write is not None and self.rx.state == RX_IDLE:
            # The message that went there broke off.
            error.target = self._part_from_target()
        self._tell_handler(error)
        return 0

    @cython.final
    cdef int _tell_handler(self, object error) except -1:
        self._count_error(error)
        if self._is_to_be_logged():
            self.logger.warning("%s: %s", type(error).__name__, error)
        with cython.critical_section(self):
            error_handler = self.error_handler
            courier = self.courier
        if error_handler is None:
            return 0
        if not callable(error_handler):
            self.logger.warning("error_handler is not callable: %r", error_handler)
            return 0
        if courier is None:
            error_handler(error)
        elif not courier(error_handler, error):
            self.counted.errors_dropped += 1
        return 0

    @cython.final
    cdef bint _is_to_be_logged(self) except -1:
        """False: so many errors were logged within a second that this one is merely counted."""
        cdef int64_t now
        cdef uint64_t unlogged = 0
        cdef bint is_last
        try:
            now = self._read_clock()
        except Exception:              # which may be what is to be logged
            now = self.now
        with cython.critical_section(self):
            if self.logged == 0 or now - self.log_since >= SECOND_NS or now < self.log_since:
                unlogged = self.unlogged
                self.log_since = now
                self.logged = 0
                self.unlogged = 0
            if self.logged > ERRORS_LOGGED:
                self.unlogged += 1
                return False
            self.logged += 1
            is_last = self.logged > ERRORS_LOGGED
            self.unlogged += is_last
        if unlogged > 0:
            self.logger.warning("%d errors before were not logged", unlogged)
        if is_last:
            self.logger.warning(
                "more than %d errors within a second: no more are logged until it is over", ERRORS_LOGGED)
        return not is_last

    def trigger_error(self, error):
        """Report an error as the layer itself does: log, then error handler."""
        self._tell_handler(error)

    def _log_frame(self, direction, can_id, data, mark):
        identifier = f"{can_id & 0x1FFFFFFF:08x}" if can_id & CAN_EFF_FLAG else f"{can_id:03x}"
        self.logger.debug("%s: <%s> (%02d) [%s] %s", direction, identifier, len(data), mark, data.hex())

    # ------------------------------------------------ stopping

    def stop_sending(self):
        """Give up the message that is being sent; messages in the queue stay. Acts at once, from any thread."""
        cdef SendRequest request
        with cython.critical_section(self):
            request = self.active_send_request
            self.active_send_request = None
            transmitter_stop(&self.tx)
            self.block = None
            if self.retry_ns != NEVER:
                # What the port keeps is dropped by who runs the machines, at once.
                self.retry_ns = NEVER if self.port is None or self.port.waiting == 0 else AT_ONCE
        if request is not None:
            request._complete(False, None)
        if self.driven:
            self.drive()           # there may be other messages, or flow control that waited for the same pause

    def _withdraw(self, SendRequest request not None):
        """Give up this message, and no other, if it waits or is being sent. False: it has ended already."""
        cdef bint active
        with cython.critical_section(self):
            active = self.active_send_request is request
        if active:
            self.stop_sending()
            return True
        if not self.tx_queue.remove(request):
            return False
        request._complete(False, None)
        return True

    def stop_receiving(self):
        """Give up the message that is being received. Acts at once, from any thread."""
        self._end_reception()

    @cython.final
    cdef int _end_reception(self) except -1:
        write = target = None
        with cython.critical_section(self):
            receiver_stop(&self.rx)
            self.stopped_receiving = True
            self.write, write = write, self.write
            self.target, target = target, self.target
        return 0

    def clear_rx_queue(self):
        """Drop the messages that were received and not taken."""
        self.rx_queue.clear()

    def clear_tx_queue(self):
        """Drop the messages that wait to be sent; who waits for one gets BlockingSendFailure."""
        cdef SendRequest request
        while True:
            request = self.tx_queue.pop()
            if request is None:
                return
            request._complete(False, None)

    def reset(self):
        """Back to the start: nothing sent, nothing received, queues empty.

        :raises RuntimeError: if the layer was started.
        """
        if self.driven:
            raise RuntimeError("reset() is not possible while the layer is started")
        self._reset()

    def _reset(self):
        self.clear_tx_queue()
        self.clear_rx_queue()
        self.stop_sending()
        self.stop_receiving()
        self.inbox.clear()
        self.rate_limiter.reset()

    # ------------------------------------------------ counters

    def _stats(self, bint reset):
        """What was counted since the last reset, from any thread; `reset` begins anew in the same step."""
        from isotp.stats import Stats  # what it imports takes long, and not everybody counts

        cdef Counters counted
        cdef Counters zero
        cdef dict error_counts
        cdef Py_ssize_t rx_most, tx_most, inbox_most
        with cython.critical_section(self):
            counted = self.counted
            zero = self.zero
            error_counts = self.error_counts
            rx_most, tx_most, inbox_most = self.rx_queue.most, self.tx_queue.most, self.inbox.most
            if reset:
                self.zero = counted
                self.error_counts = {}
                self.rx_queue.most = self.tx_queue.most = self.inbox.most = 0
            else:
                error_counts = error_counts.copy()
        dropped = {
            "receptions": counted.receptions_refused - zero.receptions_refused,
            "messages": counted.messages_dropped - zero.messages_dropped,
            "frames": counted.frames_dropped - zero.frames_dropped,
            "errors": counted.errors_dropped - zero.errors_dropped,
        }
        by_name = {}
        for error_class, count in error_counts.items():
            by_name[error_class.__name__] = by_name.get(error_class.__name__, 0) + count
        return Stats(
            frames_received=counted.frames_received - zero.frames_received,
            frames_for_us=counted.frames_for_us - zero.frames_for_us,
            frames_sent=counted.frames_sent - zero.frames_sent,
            messages_received=counted.messages_received - zero.messages_received,
            bytes_received=counted.bytes_received - zero.bytes_received,
            messages_sent=counted.messages_sent - zero.messages_sent,
            bytes_sent=counted.bytes_sent - zero.bytes_sent,
            flow_controls_received=counted.flow_controls_received - zero.flow_controls_received,
            waits_received=counted.waits_received - zero.waits_received,
            flow_controls_sent=counted.flow_controls_sent - zero.flow_controls_sent,
            retries=counted.retries - zero.retries,
            throttled=counted.throttled - zero.throttled,
            dropped={name: count for name, count in dropped.items() if count > 0},
            rx_queue_most=rx_most,
            tx_queue_most=tx_most,
            inbox_most=inbox_most,
            errors=by_name,
        )

    # ------------------------------------------------ state, for those who look

    @property
    def rx_state_code(self):
        """State of reception as an int, see TransportLayerLogic.RxState."""
        return <int>self.rx.state

    @property
    def tx_state_code(self):
        """State of transmission as an int, see TransportLayerLogic.TxState."""
        return <int>self.tx.state

    @property
    def rx_buffer(self):
        """Copy of what was received so far of the current message and is not in the target of receive_into yet."""
        cdef Py_ssize_t size
        with cython.critical_section(self):
            size = 0 if self.rx.state == RX_IDLE else <Py_ssize_t>(self.rx.got - self.rx.taken)
            received = PyByteArray_FromStringAndSize(<char *>self.rx.buffer, size)
        return received

    @property
    def last_seqnum(self):
        """SN of the last consecutive frame received."""
        return self.rx.sn

    @property
    def tx_seqnum(self):
        """SN of the next consecutive frame to send."""
        return self.tx.sn

    @property
    def remote_blocksize(self):
        """BS that the last flow control frame asked for; None before the first one."""
        return None if self.tx.blocksize == NO_BLOCKSIZE else self.tx.blocksize

    @property
    def actual_rxdl(self):
        """RX_DL of the message being received, or None."""
        return None if self.rx.state == RX_IDLE else self.rx.rx_dl

    @property
    def rx_frame_length(self):
        """FF_DL of the last first frame."""
        return self.rx.size

    @property
    def tx_frame_length(self):
        """Length of the last message to send."""
        return self.tx.size

    @property
    def rx_block_counter(self):
        """Consecutive frames received since our last flow control frame."""
        return self.rx.in_block

    @property
    def tx_block_counter(self):
        """Consecutive frames sent since the receiver's last flow control frame."""
        return self.tx.in_block

    @property
    def pending_flow_control_tx(self):
        """A flow control frame is due."""
        return self.rx.due != FS_NONE

    @property
    def wft_counter(self):
        """Wait frames in a row."""
        return self.tx.waits

    @property
    def tx_standby_msg(self):
        """Frame that the rate limiter holds back, or None. (Payload of a generator: as far as taken.)"""
        cdef Frame frame
        cdef Transmitter tx
        cdef bint is_there
        with cython.critical_section(self):
            is_there = self.tx.state == TX_SF_STANDBY or self.tx.state == TX_FF_STANDBY
            if is_there:
                tx = self.tx           # the layer's own takes note of the frame that it made last
                choose_first_frame(&tx, &self.config, &self.filter)
                encode_next(&tx, &self.config, &self.filter, 0xFFFFFFFF, &frame)
        return message_of_frame(&frame) if is_there else None

    def is_tx_throttled(self):
        """True while the rate limiter holds the first frame of a message back."""
        return self.tx.state == TX_SF_STANDBY or self.tx.state == TX_FF_STANDBY

    def is_rx_active(self):
        """True while a message is being received."""
        return self.rx.state != RX_IDLE

    def is_tx_transmitting_cf(self):
        """True while consecutive frames are being sent."""
        return self.tx.state == TX_TRANSMIT_CF

    def next_cf_delay(self):
        """Seconds until STmin lets the next consecutive frame go; None if none is to be sent."""
        if self.tx.state != TX_TRANSMIT_CF:
            return None
        return max(0, self.tx.cf_due - self._read_clock()) / 1e9

    def _frame_delay_ns(self):
        """Time (ns) until STmin and the rate limiter let the next consecutive frame go; None if none is to be sent."""
        if self.tx.state != TX_TRANSMIT_CF:
            return None
        return max(0, self._earliest_frame() - self._read_clock())

    def _timer_state(self, which):
        """(start, length) in ns of the timer "fc", "cf" or "stmin"; None if it does not run."""
        if which == "fc" and self.tx.state == TX_WAIT_FC:
            return self.tx.fc_deadline - self.config.n_bs_ns, self.config.n_bs_ns
        if which == "cf" and self.rx.deadline != NEVER:
            return self.rx.deadline - self.config.n_cr_ns, self.config.n_cr_ns
        if which == "stmin" and self.tx.state == TX_TRANSMIT_CF:
            return self.tx.cf_due - self.tx.stmin_ns, self.tx.stmin_ns
        return None

    # ------------------------------------------------ single steps, as the first generation had them

    def _one_step(self, step):
        """Run `step()`. False: another thread, or a callback, runs the machines."""
        if not self._enter():
            return False
        try:
            self._begin_pass()
            self.now = self._read_clock()
            step()
        finally:
            self._exit_polled()
        return True

    def process_rx(self, msg):
        """Handle one received frame."""
        if not self._one_step(lambda: self._receive_one(msg)):
            self._put_into_inbox(msg)
            if self.driven:
                self.drive()

    def _receive_one(self, msg):
        self.counted.frames_received += 1
        self._take(msg)

    def process_tx(self):
        """The next frame to send, which counts as sent; None if there is none now."""
        frames = []
        self._one_step(lambda: self._transmit_one(frames))
        return frames[0] if frames else None

    def _transmit_one(self, frames):
        txfn, self.txfn = self.txfn, frames.append
        self.burst_limit = 1
        try:
            self._expire(self.now, False, True)
            self._transmit_pass(True)
        finally:
            self.txfn = txfn
            self.burst_limit = FRAMES_PER_CLOCK_READ

    def check_timeouts_rx(self):
        """Report a reception that waited longer than N_Cr."""
        self._one_step(lambda: self._expire(self.now, True, False))

    def start_rx_fc_timer(self):
        """Start N_Bs anew, if a flow control frame is awaited."""
        if self.tx.state == TX_WAIT_FC:
            self.tx.fc_deadline = self._read_clock() + self.config.n_bs_ns

    def start_rx_cf_timer(self):
        """Start N_Cr anew, if a consecutive frame is awaited."""
        if self.rx.state == RX_WAIT_CF:
            self.rx.deadline = self._read_clock() + self.config.n_cr_ns

    def _close_message(self, uint32_t arbitration_id, bytes data, bint is_extended_id):
        """A frame to send with this data, padded and flagged as the parameters say."""
        cdef CanMessage message = new_frame_message()
        if self.stale:
            self._flatten()
        if len(data) > CAN_DLEN_MAX:
            raise ValueError(f"no CAN frame holds {len(data)} bytes")
        memcpy(message.frame.data, PyBytes_AS_STRING(data), <size_t>len(data))
        close_frame(&message.frame, &self.config, <int>len(data))
        message.frame.can_id = flagged_id(arbitration_id, is_extended_id)
        message.frame.res1 = DLC_CODE[message.frame.len]
        return message

    def make_flow_control(self, flow_status=FS_CTS, blocksize=None, stmin=None):
        """A flow control frame as this layer would send it now, or with other values."""
        cdef Frame frame
        cdef Config config
        if self.stale:
            self._flatten()
        config = self.config
        blocksize = config.blocksize if blocksize is None else blocksize
        stmin = config.stmin if stmin is None else stmin
        check_flow_control(flow_status, blocksize, stmin)
        config.blocksize = blocksize
        config.stmin = stmin
        encode_flow_control(<FlowStatus><int>flow_status, &config, &self.filter, &frame)
        return message_of_frame(&frame)


cdef inline bint takes_next_cf(Engine engine, uint32_t can_id, const uint8_t *data, Py_ssize_t size) noexcept:
    """What most frames are: the CF that is due, where nobody has to hear of it. False: nothing was done."""
    cdef bint taken
    if engine.logs_frames or engine.write is not None:
        return False
    with cython.critical_section(engine):
        taken = False
        if not engine.looks_closer and is_for_us(&engine.filter, can_id, data, size):
            taken = receive_next_cf(
                &engine.rx, &engine.config, engine.filter.rx_prefix_size, data, <int>min(size, 0x7FFFFFFF), engine.now)
        engine.counted.frames_for_us += taken
    return taken


cdef inline RxEvent receive_frame(
        Engine engine, const AddressFilter *came_by, bint apart, const uint8_t *data, int size,
        bint *gave_up) noexcept:
    """Within a step: a frame that is for us."""
    cdef RxEvent event
    engine.counted.frames_for_us += 1
    if apart:
        event = receive_functional(
            &engine.rx, &engine.config, came_by.rx_prefix_size, data, size, &engine.outcome)
    else:
        event = receive(
            &engine.rx, &engine.config, came_by.rx_prefix_size, data, size, engine.now, &engine.outcome)
    if event == RX_MESSAGE:
        engine.counted.messages_received += 1
        # What went to a target of receive_into is no more in the buffer.
        engine.counted.bytes_received += (
            engine.rx.size if engine.rx.message == engine.rx.buffer else engine.rx.message_size)
    elif event == RX_FLOW_CONTROL:
        engine.counted.flow_controls_received += 1
        if engine.rx.flow_control.flow_status == FS_WAIT:
            engine.counted.waits_received += 1
        gave_up[0] = on_flow_control(
            &engine.tx, &engine.config, &engine.rx.flow_control, engine.now, &engine.outcome)
    elif event == RX_STARTED or engine.outcome.code == FF_DL_TOO_LONG:
        engine._bind_reception(came_by)
    return event


cdef inline const AddressFilter *still_bound(
        bint is_active, const AddressFilter *bound, AddressFilter *kept, const AddressFilter *new) noexcept:
    """What a message in one direction is bound to when the layer's address becomes `new`; NULL: to that one."""
    if not is_active or same_address(bound, new):
        return NULL
    kept[0] = bound[0]
    return kept


cdef inline bint put_frame(Engine engine, CanMessage message) except -1:
    """Give a frame to txfn. False: it raised, and the exception is the caller's to handle."""
    cdef PyObject *returned
    message.frame.res1 = DLC_CODE[message.frame.len]
    if engine.logs_frames:
        engine._log_frame("Tx", message.frame.can_id, message.frame.data[:message.frame.len], "p")
    with cython.critical_section(engine):
        txfn = engine.txfn
    returned = try_call_with(txfn, message)
    if returned == NULL:
        return False
    Py_XDECREF(returned)
    engine.counted.frames_sent += 1
    engine.no_room_since = NEVER
    return True


cdef inline bint send_frame(
        Engine engine, CanMessage message, Frame *frame, SendRequest request, uint32_t epoch,
        bint ends_burst) except -1:
    """Send one frame of the active message, then tell the transmitter, unless it was stopped meanwhile.

    False: there is no room for it now, or it failed.
    """
    cdef bint limited = engine.rate_limiter.is_enabled
    cdef bint needs_time = limited or starts_timer(&engine.tx)
    if message is None:
        if not engine._send_natively(frame, request, epoch, needs_time or ends_burst):
            return False
    elif not put_frame(engine, message):
        engine._retry_or_fail(request, epoch)
        return False
    if needs_time:
        try:
            engine.now = engine._read_clock()
        except BaseException:
            # The frame went: it is not to go again.
            note_sent(engine, frame, request, epoch, limited)
            raise
    note_sent(engine, frame, request, epoch, limited)
    return True


cdef inline int note_sent(
        Engine engine, const Frame *frame, SendRequest request, uint32_t epoch, bint limited) except -1:
    """A frame of the active message is on the bus."""
    cdef bint last = False
    if limited:
        engine.held_back = False
        engine.rate_limiter._count(engine.now, frame.len)
    with cython.critical_section(engine):
        if engine.tx.epoch == epoch:
            request.taken += engine.tx.in_frame
            last = transmitted(&engine.tx, &engine.config, engine.now)
            if last:
                engine.active_send_request = None
                engine.counted.messages_sent += 1
                engine.counted.bytes_sent += request.size
                if request.reads:
                    engine.block = None
    if last:
        request._complete(True, None)
    return 0


cdef inline ProcessStats new_stats(int received, int processed, int sent, int messages):
    cdef ProcessStats stats = ProcessStats.__new__(ProcessStats)
    stats.received = received
    stats.received_processed = processed
    stats.sent = sent
    stats.frame_received = messages
    return stats
