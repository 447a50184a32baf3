# C vocabulary of the protocol: the structs, codes and constants that the compiled modules share.
# The steps that work on them are in _protocol.pxi; the types that Python sees are in _core.pyx.

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    CAN_EFF_FLAG = 0x80000000      # linux/can.h: the identifier has 29 bits
    CAN_DLEN_CLASSIC = 8
    CAN_DLEN_MAX = 64
    CANFD_BRS = 0x01               # linux/can.h: bit rate switch
    CANFD_FDF = 0x04               # linux/can.h: this is a CAN FD frame
    DEFAULT_PADDING = 0xCC         # ISO 15765-2, 10.4.2.1: recommended filler byte
    INVALID_DLC = 0xFF
    MAX_FURTHER_ADDRESSES = 8      # that one session receives on, beside its own
    NO_BLOCKSIZE = 0x100           # no flow control frame came yet


# Time is always an argument, in nanoseconds of any monotonic clock.
cdef extern from *:
    """
    #define ISOTP_NEVER INT64_MAX
    """
    const int64_t NEVER "ISOTP_NEVER"


# One CAN frame, laid out as Linux's struct canfd_frame.
cdef struct Frame:
    uint32_t can_id                # with CAN_EFF_FLAG
    uint8_t len                    # bytes used in data
    uint8_t flags                  # CANFD_BRS | CANFD_FDF
    uint8_t res0
    uint8_t res1
    uint8_t data[64]


# ISO 15765-2, table 9: N_PCI type, the high nibble of the first byte.
cdef enum NPciType:
    N_PCI_SF = 0
    N_PCI_FF = 1
    N_PCI_CF = 2
    N_PCI_FC = 3


# ISO 15765-2, table 18: flow status.
cdef enum FlowStatus:
    FS_CTS = 0
    FS_WAIT = 1
    FS_OVFLW = 2
    FS_NONE = 255                  # no flow control frame is due


cdef enum RxStateCode:
    RX_IDLE = 0
    RX_WAIT_CF = 1


cdef enum TxStateCode:
    TX_IDLE = 0
    TX_WAIT_FC = 1
    TX_TRANSMIT_CF = 2
    TX_SF_STANDBY = 3              # the SF is ready, the rate limiter holds it
    TX_FF_STANDBY = 4              # the FF is ready, the rate limiter holds it


# What went wrong. _core.pyx turns a code into an exception class and a sentence (table OUTCOMES).
cdef enum OutcomeCode:
    OK = 0
    # a frame that is no N_PDU
    BAD_EMPTY
    BAD_CAN_DL
    BAD_N_PCI_TYPE
    BAD_SF_DL_ZERO
    BAD_SF_DL_TOO_LONG
    BAD_FF_SHORT
    BAD_FF_DL_ZERO
    BAD_FC_SHORT
    BAD_FC_STATUS
    BAD_FC_STMIN
    # reception
    MISSING_ESCAPE
    BAD_FF_RX_DL
    FF_DL_TOO_LONG
    OUT_OF_MEMORY
    INTERRUPTED_BY_SF
    INTERRUPTED_BY_FF
    UNEXPECTED_CF
    WRONG_SN
    CHANGING_RX_DL
    N_CR_TIMEOUT
    # transmission
    UNEXPECTED_FC
    N_BS_TIMEOUT
    WAIT_UNSUPPORTED
    WAIT_TOO_OFTEN
    PEER_OVERFLOW


# A code with the two numbers that make its sentence.
cdef struct Outcome:
    OutcomeCode code
    OutcomeCode interruption       # of a reception by the frame that gave `code`, or OK
    uint64_t given
    uint64_t expected


# A decoded N_PCI.
cdef struct NPci:
    NPciType type
    bint escape                    # SF_DL or FF_DL came in the escape form
    int offset                     # of the payload in the frame's data
    uint32_t length                # SF_DL or FF_DL
    uint8_t sn
    uint8_t flow_status
    uint8_t blocksize
    uint8_t stmin                  # as it was on the bus
    int64_t stmin_ns


# The parameters of a layer, flattened from Params.
cdef struct Config:
    uint8_t tx_dl
    uint8_t min_length             # 0: none asked for
    bint pads_classic              # fill classic frames up to 8 bytes
    uint8_t padding
    uint8_t frame_flags            # CANFD_BRS | CANFD_FDF of every frame sent
    uint8_t blocksize
    uint8_t stmin
    bint listen
    bint overrides_stmin
    int64_t override_stmin_ns
    uint32_t wftmax
    uint64_t max_frame_size
    int64_t n_bs_ns
    int64_t n_cr_ns


# An Address (N_AI) flattened to what has to be compared and written for each frame.
cdef struct AddressFilter:
    uint32_t rx_id_physical        # the three IDs and masks carry CAN_EFF_FLAG
    uint32_t rx_id_functional
    uint32_t tx_id_physical
    uint32_t tx_id_functional
    uint8_t rx_prefix_size         # 0, or 1 where N_TA or N_AE leads the data
    uint8_t rx_prefix
    uint8_t tx_prefix_size
    uint8_t tx_prefix


# Reassembly of one direction of one session.
cdef struct Receiver:
    RxStateCode state
    uint8_t sn                     # of the last frame of the message
    uint8_t rx_dl
    FlowStatus due                 # flow control to send, or FS_NONE
    uint32_t in_block              # CFs since the last FC
    uint64_t size                  # FF_DL
    uint64_t got
    uint8_t *buffer
    uint64_t capacity
    int64_t deadline               # N_Cr
    const uint8_t *message         # of the step that returned RX_MESSAGE
    uint64_t message_size
    NPci flow_control              # of the step that returned RX_FLOW_CONTROL


cdef enum RxEvent:
    RX_NOTHING = 0
    RX_MESSAGE
    RX_FLOW_CONTROL


# Segmentation of one message at a time.
cdef struct Transmitter:
    TxStateCode state
    bint functional
    uint8_t sn
    uint16_t blocksize             # as the receiver asked, or NO_BLOCKSIZE
    uint32_t in_block
    uint32_t waits                 # wait frames in a row
    uint64_t size
    uint64_t sent
    const uint8_t *chunk           # payload bytes at hand, owned by the caller
    uint64_t chunk_size
    uint64_t chunk_used
    int64_t stmin_ns
    int64_t cf_due
    int64_t fc_deadline            # N_Bs
    uint8_t in_frame               # payload bytes in the frame given out last
    uint32_t epoch                 # counts messages and aborts: tells a stale confirmation


# Bits sent within a sliding window, in slots.
cdef struct RateSlot:
    int64_t start                  # when its first frame was sent
    int64_t last                   # ... and its last one
    double bits


cdef struct RateWindow:
    int64_t window_ns
    double capacity                # bits that fit the window
    double used
    RateSlot *slots                # ring
    size_t size
    size_t first
    size_t count

# The types of _core.pyx, which has their documentation.


cdef class CanMessage:
    cdef Frame frame               # res0: INLINE or 0; res1: the DLC code
    cdef object held               # data as it was given, if not INLINE
    cdef dict loose                # attributes with values that no CAN frame can have

    cdef object _loose(self, str name, object value)


cdef class RateLimiter:
    cdef RateWindow window
    cdef bint is_enabled
    cdef readonly object mean_bitrate
    cdef readonly object window_size_sec


@cython.final
cdef class MessageQueue:
    cdef list ring                 # its length is a power of two; None where no item is
    cdef Py_ssize_t first
    cdef Py_ssize_t count
    cdef int waiting
    cdef object arrival            # threading.Condition of those who wait

    cdef int push(self, object item) except -1
    cdef object pop(self)


cdef class SendRequest:
    cdef object source             # bytes, or an iterator
    cdef bint streams              # source is an iterator
    cdef uint64_t size
    cdef uint64_t taken            # bytes that went out
    cdef bint functional
    cdef bint done
    cdef object event
    cdef readonly object success   # None until done
    cdef readonly object failure   # exception that ended the request, or None

    @cython.final
    cdef int _set(self, object data, bint functional) except -1
    @cython.final
    cdef int _complete(self, bint success, object failure) except -1


cdef class ProcessStats:
    cdef readonly int received
    cdef readonly int received_processed
    cdef readonly int sent
    cdef readonly int frame_received


# Where an engine sends frames in C.
cdef class FramePort:
    cdef int put(self, const Frame *frame) except -1
    cdef int flush(self) except -1


cdef class Engine:
    cdef object __weakref__
    cdef Receiver rx
    cdef Transmitter tx
    cdef Config config
    cdef AddressFilter filter
    cdef Outcome outcome
    cdef readonly object _rxfn
    cdef bint takes_timeout        # rxfn(timeout), not rxfn()
    cdef public object txfn
    cdef public object error_handler
    cdef public object post_send_callback
    cdef object _logger
    cdef dict logger_levels        # the logger's own cache of isEnabledFor()
    cdef object _params
    cdef bint stale                # the flattened parameters are older than the Params
    cdef bint default_functional
    cdef bint blocking_send
    cdef object _address
    cdef readonly bint asks_address         # a user's address class decides for itself which frames it takes:
    cdef object is_for_me          # by this method, else None
    cdef AddressFilter[MAX_FURTHER_ADDRESSES] further      # received as well
    cdef int further_count
    cdef readonly MessageQueue rx_queue
    cdef readonly MessageQueue tx_queue
    cdef readonly RateLimiter rate_limiter
    cdef readonly SendRequest active_send_request
    cdef readonly object last_error
    cdef uint8_t[64] stage         # bytes of a generated payload for the next frame
    cdef public object clock       # callable that returns ns, in place of the system's monotonic clock
    cdef int64_t now
    cdef bint logs_frames
    cdef int burst_limit           # frames sent before reception has a turn
    cdef int received
    cdef int processed
    cdef int sent
    cdef int messages
    cdef bint busy
    cdef bint again
    cdef unsigned long owner       # the thread that runs the machines while busy
    cdef unsigned long reader      # the thread that calls rxfn, if the layer was started
    cdef bint driven               # frames come by feed(), process() is not for the user
    cdef readonly MessageQueue inbox
    cdef public FramePort port     # where frames go without becoming CanMessages, or None
    cdef const Frame *batch        # frames of a native driver, read before the inbox
    cdef const int64_t *arrivals   # when they arrived
    cdef int batch_left
    cdef int64_t wake_ns           # when the driver will look at the deadline again
    cdef object waker              # callable(deadline_ns) of the driver, for an earlier one

    @cython.final
    cdef int64_t _read_clock(self) except? -1
    @cython.final
    cdef bint _is_logging_frames(self) except -1
    @cython.final
    cdef int _flatten(self) except -1
    @cython.final
    cdef bint _enter(self) noexcept
    @cython.final
    cdef bint _leave(self) noexcept
    @cython.final
    cdef void _exit(self) noexcept
    cpdef drive(self)
    @cython.final
    cdef int64_t _deadline(self) noexcept
    @cython.final
    cdef int64_t _earliest_frame(self) noexcept
    @cython.final
    cdef ProcessStats _run(self, object rx_timeout, bint do_rx, bint do_tx)
    @cython.final
    cdef int _begin_pass(self) except -1
    @cython.final
    cdef int _expire(self, bint do_rx, bint do_tx) except -1
    @cython.final
    cdef int _receive_pass(self, object rx_timeout, bint do_tx) except -1
    @cython.final
    cdef object _poll_rxfn(self)
    @cython.final
    cdef int _take(self, object message) except -1
    @cython.final
    cdef int _take_bytes(self, object message, uint32_t can_id, const uint8_t *data, Py_ssize_t size) except -1
    @cython.final
    cdef int _take_from_batch(self) except -1
    @cython.final
    cdef int _prefix_if_further(self, object message, uint32_t can_id, const uint8_t *data, Py_ssize_t size) except -2
    @cython.final
    cdef int feed_frames(self, const Frame *frames, const int64_t *arrivals, int count) except -1
    @cython.final
    cdef int _drive_entered(self) except -1
    @cython.final
    cdef int _report_reception(self, bint gave_up) except -1
    @cython.final
    cdef int _transmit_pass(self, bint do_rx) except -1
    @cython.final
    cdef int _send_flow_control(self) except -1
    @cython.final
    cdef int _transmit_frames(self, bint do_rx) except -1
    @cython.final
    cdef int _send_frame(
        self, CanMessage message, Frame *frame, SendRequest request, uint32_t epoch, bint ends_burst) except -1
    @cython.final
    cdef int _put(self, CanMessage message) except -1
    @cython.final
    cdef int _put_natively(self, const Frame *frame, bint flush) except -1
    @cython.final
    cdef int _fail_with_current_exception(self, SendRequest request, uint32_t epoch) except -1
    @cython.final
    cdef bint _begin_next(self) except -1
    @cython.final
    cdef bint _fill_stage(self, SendRequest request) except -1
    @cython.final
    cdef int _stop_active(self, SendRequest request, uint32_t epoch, object error) except -1
    @cython.final
    cdef int _give_up(self, SendRequest request, uint32_t epoch, object error, object cause) except -1
    @cython.final
    cdef int _fail_active(self) except -1
    @cython.final
    cdef int _report(self) except -1
    @cython.final
    cdef int _hand_to_handler(self, object error) except -1


cdef CanMessage message_of_frame(const Frame *frame)
cdef int frame_of_message(CanMessage message, Frame *frame) except -1
