# cython: language_level=3
"""A native driver for tests: frames as C structs into an engine and out of it, at times that the test sets."""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from isotp._core cimport ECHO, DrivenEngine, FramePort
from isotp._protocol.types cimport Frame

cdef int64_t NO_LIMIT = 0x7FFFFFFFFFFFFFFF


cdef class Port(FramePort):
    """Hands the frames that an engine sends to ``sent(can_id, data)``; keeps them while it is full."""

    cdef object sent
    cdef list kept
    cdef public bint full
    cdef public object before_flush    # called as frames are about to be sent, or None

    def __init__(self, sent):
        self.sent = sent
        self.kept = []

    cdef bint put(self) except -1:
        del self.kept[self.waiting:]
        self.kept.append((self.next.can_id, (<const char *>self.next.data)[:self.next.len]))
        self.waiting += 1
        return True

    cdef int flush(self) except -1:
        if self.before_flush is not None:
            self.before_flush()
        if not self.full:
            kept, self.kept = self.kept[:self.waiting], []
            self.waiting = 0
            for can_id, data in kept:
                self.sent(can_id, data)
        return 0

    cdef object refusal(self):
        return OSError("no room")


def feed(DrivenEngine engine, frames, int64_t heard_ns=NO_LIMIT, bint echoes=False):
    """Give frames to a driven engine, as one batch: (time in ns, identifier with bit 31 for 29 bits, data).

    What came until `heard_ns` is in it. `echoes`: they are what the engine has sent.
    """
    cdef int count = len(frames)
    cdef Frame *batch = <Frame *>calloc(count, sizeof(Frame))
    cdef int64_t *arrivals = <int64_t *>calloc(count, sizeof(int64_t))
    cdef int k
    cdef bytes data
    if batch == NULL or arrivals == NULL:
        free(batch)
        free(arrivals)
        raise MemoryError(f"no memory for {count} frames")
    try:
        for k in range(count):
            arrivals[k] = frames[k][0]
            batch[k].can_id = <uint32_t>frames[k][1]
            data = frames[k][2]
            batch[k].len = <uint8_t>len(data)
            batch[k].res0 = ECHO if echoes else 0
            memcpy(batch[k].data, <const char *>data, min(len(data), 64))
        engine.feed_frames(batch, arrivals, count, heard_ns)
    finally:
        free(batch)
        free(arrivals)
