# Which lane a frame is for: CAN ID, channel and extension byte are the key of a table, which has a code for each.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from isotp.bulk._records cimport KEY_CHANNEL_SHIFT
from isotp.bulk._slots cimport KEY_EMPTY, NO_CODE, Slot, code_of, slot_add, slot_of, slots_reserve


cdef enum:
    KEY_PREFIX_SHIFT = 32
    MOST_FURTHER_PLACES = 16_384   # a place: an address on a channel that it was not given with; 1.5 KiB each

cdef uint64_t KEY_ANY_CHANNEL = <uint64_t>1 << 41
cdef uint64_t KEY_HAS_PREFIX = <uint64_t>1 << 40
cdef uint64_t KEY_CHANNEL = <uint64_t>0xFFFF << KEY_CHANNEL_SHIFT

# What a key stands for: 2 * lane + functional, or one of these, or FIRST_TEMPLATE less its place among `keys` if it was
# not heard on its channel yet.
cdef enum:
    NO_LANE = NO_CODE
    ASK_PREFIX = -2                # the ID's frames begin with N_TA or N_AE, which is part of the key
    FIRST_TEMPLATE = -3


cdef inline Slot *recent_place(Machine *machine, uint64_t key) noexcept nogil:
    """Where a key is, if it came and no other one of the same place since. It stands for a lane, or for none for ever.

    Whoever makes keys that share a place has them looked up in the table.
    """
    cdef uint32_t mixed = (<uint32_t>key + <uint32_t>(key >> KEY_CHANNEL_SHIFT)) * <uint32_t>0x9E3779B1
    return &machine.recent[mixed >> (32 - RECENT_BITS)]


cdef inline void remember(Machine *machine, uint64_t key, int32_t code) noexcept nogil:
    cdef Slot *place = recent_place(machine, key)
    place.key = key
    place.code = code


cdef void forget_recent(Machine *machine) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(1 << RECENT_BITS):
        machine.recent[k].key = KEY_EMPTY


cdef inline uint64_t any_channel(uint64_t key) noexcept nogil:
    return (key & ~KEY_CHANNEL) | KEY_ANY_CHANNEL


cdef inline int32_t code_anywhere(const Slots *slots, uint64_t key) noexcept nogil:
    """That of the key on its channel, or else on any."""
    cdef int32_t code = code_of(slots, key)
    return code_of(slots, any_channel(key)) if code == NO_LANE else code


cdef uint64_t side_key(object side, bint functional) except? 0:
    """The key of the frames of an AddressSide, without the channel; KEY_EMPTY where there is no such direction."""
    cdef uint32_t can_id
    cdef uint8_t prefix
    if side is None:
        return KEY_EMPTY
    can_id = side.functional_id if functional else side.physical_id
    if side.extension_byte is None:
        return can_id
    prefix = side.extension_byte
    return can_id | KEY_HAS_PREFIX | <uint64_t>prefix << KEY_PREFIX_SHIFT


cdef bint template_add(Machine *machine, Py_ssize_t session, uint64_t channel_bits) noexcept nogil:
    """Make an address known on a channel, or on all."""
    cdef Py_ssize_t k
    cdef uint64_t key
    for k in range(4 * session, 4 * session + 4):
        key = machine.keys[k]
        if key == KEY_EMPTY:
            continue
        if key & KEY_HAS_PREFIX and not slot_add(&machine.slots, <uint32_t>key | channel_bits, ASK_PREFIX):
            return False
        if not slot_add(&machine.slots, key | channel_bits, <int32_t>(<int>FIRST_TEMPLATE - k)):
            return False
    return True


cdef void lane_open(Machine *machine, Lane *lane, int32_t session, int direction, uint64_t key) noexcept nogil:
    """Make a lane, which is the next one or the one after it: the other direction has the other place."""
    memset(lane, 0, <size_t>lane_stride())
    receiver_init(&lane.rx)
    lane.next = -1
    lane_clear(lane)
    lane.prefix = machine.keys[4 * session + 2 * direction] & KEY_HAS_PREFIX != 0
    lane.session = session
    lane.peer = <int32_t>(machine.lane_count + 1 - direction)
    lane.channel = <uint16_t>(key >> KEY_CHANNEL_SHIFT)
    lane.direction = <uint8_t>direction


cdef bint open_session(Machine *machine, int32_t session, uint64_t key) noexcept nogil:
    """Make both lanes of a session on the channel of `key`, where one of its addresses was heard."""
    cdef int k                     # 2 * direction + functional
    cdef int32_t template
    cdef uint64_t exact
    cdef Slot *slot
    if not lanes_reserve(machine, 2) or not slots_reserve(&machine.slots, 4):
        return False
    for k in range(2):
        lane_open(machine, lane_at(machine.lanes, machine.lane_count + k), session, k, key)
    for k in range(4):
        template = <int32_t>(<int>FIRST_TEMPLATE - (4 * session + k))
        exact = machine.keys[4 * session + k]
        if exact == KEY_EMPTY:
            continue
        exact |= key & KEY_CHANNEL
        slot = slot_of(&machine.slots, exact)
        if slot.key != exact:
            # Where an ID belongs to several sessions, the first of them has it on every channel.
            if code_of(&machine.slots, any_channel(exact)) != template:
                continue
            slot_add(&machine.slots, exact, NO_LANE)       # there is room
            slot = slot_of(&machine.slots, exact)
        elif slot.code != template:
            continue
        slot.code = <int32_t>(2 * machine.lane_count + k)
    machine.lane_count += 2
    return True


cdef int32_t find_lane(
    Machine *machine, uint64_t key, const uint8_t *data, int size, bint *done,
) noexcept nogil:
    """The code of the lane for a frame, or NO_LANE."""
    cdef int32_t code = code_anywhere(&machine.slots, key)
    if code == ASK_PREFIX:
        if size < 1:
            return NO_LANE
        key |= KEY_HAS_PREFIX | <uint64_t>data[0] << KEY_PREFIX_SHIFT
        code = code_anywhere(&machine.slots, key)
    if code <= FIRST_TEMPLATE:
        if code_of(&machine.slots, key) == NO_LANE:
            if machine.places >= machine.most_places:
                machine.passed_over += 1
                return NO_LANE
            machine.places += 1
        if not open_session(machine, (FIRST_TEMPLATE - code) >> 2, key):
            done[0] = False
            return NO_LANE
        code = code_of(&machine.slots, key)
    if code >= NO_LANE and not key & KEY_HAS_PREFIX:
        remember(machine, key, code)
    return code
