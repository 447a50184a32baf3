# The rate window: how many bytes may be sent now, so that a mean bit rate is kept.

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport realloc

from isotp._protocol.types cimport NEVER


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


cdef enum:
    RATE_SLOT_NS = 5_000_000       # frames of one slot are counted, and forgotten, together


cdef inline void rate_window_init(RateWindow *window, double bits_per_second, double seconds) noexcept nogil:
    window.window_ns = <int64_t>(min(seconds, 1e9) * 1e9)
    window.capacity = bits_per_second * seconds
    window.used = 0
    window.first = 0
    window.count = 0


cdef inline void rate_forget(RateWindow *window, int64_t now) noexcept nogil:
    """Drop the slots that left the window."""
    while window.count > 0 and now - window.slots[window.first].last > window.window_ns:
        window.used -= window.slots[window.first].bits
        window.first = (window.first + 1) % window.size
        window.count -= 1
    if window.count == 0:
        window.used = 0            # fractions of a bit do not pile up


cdef inline uint64_t rate_allowed_bytes(const RateWindow *window) noexcept nogil:
    cdef double free_bits = window.capacity - window.used
    if not free_bits > 0:          # none, or no number: that is what somebody said was sent
        return 0
    return <uint64_t>min(free_bits / 8, 4294967295.0)


cdef inline bint rate_grow(RateWindow *window) noexcept nogil:
    cdef size_t size = window.size * 2 if window.size else 64
    cdef size_t k
    cdef RateSlot *slots = <RateSlot *>realloc(window.slots, size * sizeof(RateSlot))
    if slots == NULL:
        return False
    # The part of the ring that had wrapped moves behind the rest.
    for k in range(window.first):
        slots[window.size + k] = slots[k]
    window.slots = slots
    window.size = size
    return True


cdef inline void rate_count(RateWindow *window, int64_t now, double sent_bytes) noexcept nogil:
    cdef RateSlot *last
    window.used += sent_bytes * 8
    if window.count > 0:
        last = &window.slots[(window.first + window.count - 1) % window.size]
        # With no memory for a further slot the last one goes on: stricter, never laxer.
        if now - last.start < RATE_SLOT_NS or (window.count == window.size and not rate_grow(window)):
            last.bits += sent_bytes * 8
            last.last = now
            return
    elif window.size == 0 and not rate_grow(window):
        return
    last = &window.slots[(window.first + window.count) % window.size]
    last.start = now
    last.last = now
    last.bits = sent_bytes * 8
    window.count += 1


cdef inline int64_t rate_next_change(const RateWindow *window) noexcept nogil:
    """When the oldest slot leaves the window."""
    if window.count == 0:
        return NEVER
    return window.slots[window.first].last + window.window_ns + 1
