# C vocabulary of the protocol: the structs, codes and constants that its steps, and all compiled modules, share.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    CAN_EFF_FLAG = 0x80000000      # linux/can.h: the identifier has 29 bits
    CAN_NO_ID = 0xFFFFFFFF         # with all flags at once: an ID that no frame has
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
    TX_WAIT_CONFIRMATION = 5       # all frames were given to the bus, which has not confirmed the last one


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
    WAITED_TOO_OFTEN
    # reception, only where the standard is kept strictly
    BAD_SF_CAN_DL
    BAD_FF_ESCAPE
    FF_DL_TOO_SHORT
    NOT_FUNCTIONAL
    # transmission
    UNEXPECTED_FC
    INVALID_FS                     # only where the standard is kept strictly
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
    bint strict                    # by the standard also where can-isotp does otherwise
    bint awaits_fc                 # False: the receiver never sends flow control
    bint overrides_stmin
    int64_t override_stmin_ns
    uint32_t wftmax
    uint64_t max_frame_size
    int64_t n_as_ns
    int64_t n_bs_ns
    int64_t n_cr_ns
    int64_t n_br_ns                # from one wait frame of ours to the next


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


# Reassembly of one direction of one session. What most frames need comes first: 40 bytes.
cdef struct Receiver:
    RxStateCode state
    uint8_t sn                     # of the last frame of the message
    uint8_t rx_dl
    uint64_t got
    uint64_t taken                 # bytes of `got` that left the buffer before the end of the message
    uint8_t *buffer                # the bytes from `taken` on
    int64_t deadline               # N_Cr; N_Br while the sender is held
    uint64_t size                  # FF_DL
    uint64_t capacity
    FlowStatus due                 # flow control to send, or FS_NONE
    uint32_t in_block              # CFs since the last FC
    bint is_held                   # the last FC was Wait: another one is to follow
    bint was_cleared               # an FC said Continue To Send
    uint32_t waits                 # wait frames sent in a row
    uint32_t number                # counts receptions: tells a stale confirmation
    const uint8_t *message         # of the step that returned RX_MESSAGE
    uint64_t message_size
    NPci flow_control              # of the step that returned RX_FLOW_CONTROL


# What a step led to.
cdef enum RxEvent:
    RX_NOTHING = 0
    RX_STARTED                     # an FF was accepted
    RX_MESSAGE
    RX_FLOW_CONTROL
    RX_EXPIRED                     # a reception ended by N_Cr
    RX_ENDED_SENDING               # the message being sent is given up


# Segmentation of one message at a time.
cdef struct Transmitter:
    TxStateCode state
    bint functional
    uint8_t sn
    uint16_t blocksize             # as the receiver asked, or NO_BLOCKSIZE
    uint32_t in_block
    uint32_t waits                 # wait frames in a row
    bint saw_reserved_stmin        # counts until the end of the message
    uint64_t size
    uint64_t sent
    const uint8_t *chunk           # payload bytes at hand, owned by the caller
    uint64_t chunk_size
    uint64_t chunk_used
    int64_t stmin_ns
    int64_t cf_due
    int64_t fc_deadline            # N_Bs
    uint64_t given                 # frames of the message that the bus took and is to confirm ...
    uint64_t confirmed             # ... and those of them that it has
    uint8_t in_frame               # payload bytes in the frame given out last
    uint32_t epoch                 # counts messages and aborts: tells a stale confirmation
