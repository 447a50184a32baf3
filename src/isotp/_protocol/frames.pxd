# Addresses and frames: who a frame is for, and how one begins and ends (ISO 15765-2, 10.3 and 10.4).

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from isotp._protocol.n_pci cimport FD_LENGTH
from isotp._protocol.types cimport *


cdef extern from *:
    # Cython's macros: the compiler makes that branch the quick one, or the other one
    bint likely(bint condition) noexcept nogil
    bint unlikely(bint condition) noexcept nogil


cdef inline void copy_payload(uint8_t *to, const uint8_t *source, uint64_t size) noexcept nogil:
    """memcpy, with the sizes of full consecutive frames known to the compiler: it then needs no call."""
    if size == 7:
        memcpy(to, source, 7)
    elif size == 63:
        memcpy(to, source, 63)
    elif size > 0:                 # without bytes there may be no pointers
        memcpy(to, source, <size_t>size)


cdef inline bint is_for_us(
    const AddressFilter *address, uint32_t can_id, const uint8_t *data, Py_ssize_t size,
) noexcept nogil:
    if can_id != address.rx_id_physical and can_id != address.rx_id_functional:
        return False
    return address.rx_prefix_size == 0 or (size > 0 and data[0] == address.rx_prefix)


cdef inline bint same_address(const AddressFilter *one, const AddressFilter *other) noexcept nogil:
    return memcmp(one, other, sizeof(AddressFilter)) == 0


cdef inline bint hears_alike(const AddressFilter *one, const AddressFilter *other) noexcept nogil:
    """Whether both take the same frames."""
    return (one.rx_id_physical == other.rx_id_physical and one.rx_id_functional == other.rx_id_functional
            and one.rx_prefix_size == other.rx_prefix_size and one.rx_prefix == other.rx_prefix)


cdef inline bint is_functional(const AddressFilter *address, uint32_t can_id) noexcept nogil:
    return can_id == address.rx_id_functional and can_id != address.rx_id_physical


cdef inline uint8_t *open_frame(Frame *frame, const AddressFilter *address, bint functional) noexcept nogil:
    """Write ID and prefix; returns where the N_PCI goes."""
    frame.can_id = address.tx_id_functional if functional else address.tx_id_physical
    frame.data[0] = address.tx_prefix
    return &frame.data[address.tx_prefix_size]


cdef inline void close_frame(Frame *frame, const Config *config, int used) noexcept nogil:
    """Pad (10.4.2): classic frames on request, CAN FD frames up to a length that a DLC can tell."""
    cdef int size = used
    if size < config.min_length:
        size = config.min_length
    elif config.tx_dl == CAN_DLEN_CLASSIC and config.pads_classic:
        size = CAN_DLEN_CLASSIC
    size = FD_LENGTH[size]
    if size > used:
        memset(&frame.data[used], config.padding, size - used)
    frame.len = <uint8_t>size
    frame.flags = config.frame_flags
