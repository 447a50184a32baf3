# A hash table of 64-bit keys to small numbers, with open addressing; it only grows.
#
# All of it is inline, so that the compiler can put it into the loops of the modules that look up a key for each frame.
#
# Keys have CAN IDs and channels in them, which whoever writes a log can choose. So that nobody can choose keys that
# collide, places depend on a secret of the process: the one of Python's own hashes of str and bytes, which
# PYTHONHASHSEED makes repeatable. Nothing goes through a table in the order of its places, so results do not depend on
# them.

from libc.stdint cimport int32_t, uint64_t
from libc.stdlib cimport free, malloc


cdef enum:
    FIRST_SLOTS_BITS = 6
    NO_CODE = -1                   # for a key that is not there


cdef extern from *:
    const uint64_t KEY_EMPTY "UINT64_MAX"


cdef struct Slot:
    uint64_t key
    int32_t code


cdef struct Slots:
    Slot *items
    uint64_t times                 # the secret: what keys are multiplied with
    int bits
    Py_ssize_t used


cdef inline uint64_t place_of(const Slots *slots, uint64_t key) noexcept nogil:
    """Where a key belongs."""
    # After one multiplication, keys at even distances still lie at even distances, which may be short ones.
    key *= slots.times
    return ((key ^ key >> 32) * <uint64_t>0x9E3779B97F4A7C15) >> (64 - slots.bits)


cdef inline Slot *slot_of(const Slots *slots, uint64_t key) noexcept nogil:
    """The slot of a key, or the empty one where it belongs. There must be a table: see slots_init()."""
    cdef uint64_t mask = (<uint64_t>1 << slots.bits) - 1
    cdef uint64_t place = place_of(slots, key)
    while slots.items[place].key != key and slots.items[place].key != KEY_EMPTY:
        place = (place + 1) & mask
    return &slots.items[place]


cdef inline int32_t code_of(const Slots *slots, uint64_t key) noexcept nogil:
    return slot_of(slots, key).code


cdef inline bint slots_double(Slots *slots) noexcept nogil:
    """Make the table, or one of twice its size. False: no memory."""
    cdef Slots old = slots[0]
    cdef Py_ssize_t k
    cdef Py_ssize_t old_count = <Py_ssize_t>1 << old.bits if old.items != NULL else 0
    slots.bits = old.bits + 1 if old.items != NULL else FIRST_SLOTS_BITS
    slots.items = <Slot *>malloc(sizeof(Slot) << slots.bits)
    if slots.items == NULL:
        slots[0] = old
        return False
    for k in range(<Py_ssize_t>1 << slots.bits):
        slots.items[k].key = KEY_EMPTY
        slots.items[k].code = NO_CODE      # so an empty slot need not be told from others
    for k in range(old_count):
        if old.items[k].key != KEY_EMPTY:
            slot_of(slots, old.items[k].key)[0] = old.items[k]
    free(old.items)
    return True


cdef inline int slots_init(Slots *slots) except -1:
    """Make an empty table of what is all zero."""
    slots.times = (<uint64_t>hash(b"high half") << 32 ^ <uint64_t>hash(b"low half")) | 1
    if not slots_double(slots):
        raise MemoryError("no memory for a table of CAN IDs")
    return 0


cdef inline void slots_free(Slots *slots) noexcept nogil:
    free(slots.items)
    slots.items = NULL
    slots.used = 0


cdef inline bint slots_reserve(Slots *slots, Py_ssize_t more) noexcept nogil:
    """Room for so many further keys. False: no memory."""
    while (slots.used + more) * 2 > <Py_ssize_t>1 << slots.bits:
        if not slots_double(slots):
            return False
    return True


cdef inline bint slot_add(Slots *slots, uint64_t key, int32_t code) noexcept nogil:
    """Let `key` stand for `code`, unless it stands for something already. False: no memory."""
    cdef Slot *slot
    if not slots_reserve(slots, 1):
        return False
    slot = slot_of(slots, key)
    if slot.key == KEY_EMPTY:
        slot.key = key
        slot.code = code
        slots.used += 1
    return True
