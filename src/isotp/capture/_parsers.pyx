# cython: language_level=3
"""Log files to frame records without the GIL: a parser for each format.

A parser is fed with the bytes of a file in blocks of any size and gives the records of each block. It keeps what is
cut at the end of a block until the next one, never more than LONGEST bytes, and is total: whatever cannot be read is
a defect with its position, and the parser goes on behind it.

Each format is a file of its own, beside its reader: _formats/*.pxi. What they share comes before them.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, INT64_MIN, int8_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset

from isotp._protocol.types cimport CAN_EFF_FLAG, CANFD_BRS, CANFD_FDF
from isotp.bulk._records cimport (
    CAN_ERR_FLAG,
    CAN_RTR_FLAG,
    CANFD_ESI,
    RECORD_SENT,
    ClassicRecord,
    FdRecord,
    RecordArray,
    Records,
    add_record,
    new_records,
)

import operator
import struct


cdef enum:
    LONGEST = 65_536               # bytes of a line, of an object with a frame, of a packet
    MOST_DEFECTS = 1000            # kept of one block; all are counted
    MOST_KINDS = 512               # of things beside frames, in all formats
    MOST_NAMES = 256               # of channels in one log
    CHANNELS = 65_536
    CAN_EFF_MASK = 0x1FFFFFFF
    CAN_SFF_MASK = 0x7FF
    NS = 1_000_000_000


include "_frames.pxi"
include "_blocks.pxi"
include "_text.pxi"
include "_names.pxi"

include "_formats/asc.pxi"
include "_formats/blf.pxi"
include "_formats/candump_screen.pxi"
include "_formats/candump.pxi"
include "_formats/trc.pxi"
include "_formats/csv.pxi"
include "_formats/gvret.pxi"
include "_formats/crtd.pxi"
include "_formats/busmaster.pxi"
include "_formats/carbus.pxi"
include "_formats/vspy.pxi"
include "_formats/pcap.pxi"
include "_formats/mf4.pxi"
