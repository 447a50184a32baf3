# N_PCI coding (ISO 15765-2, 9.6): what the first bytes of a frame say, and which lengths CAN frames have.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from isotp._protocol.types cimport *


cdef extern from *:
    """
    /* CAN FD data lengths: the smallest one that holds n bytes. */
    static const uint8_t ISOTP_FD_LENGTH[65] = {
        0, 1, 2, 3, 4, 5, 6, 7, 8,
        12, 12, 12, 12, 16, 16, 16, 16, 20, 20, 20, 20, 24, 24, 24, 24,
        32, 32, 32, 32, 32, 32, 32, 32, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48,
        64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64};
    /* Data length -> DLC code of ISO 11898-1; 255 where no frame has this length. */
    static const uint8_t ISOTP_DLC[65] = {
        0, 1, 2, 3, 4, 5, 6, 7, 8,
        255, 255, 255, 9, 255, 255, 255, 10, 255, 255, 255, 11, 255, 255, 255, 12,
        255, 255, 255, 255, 255, 255, 255, 13,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 14,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 15};
    """
    const uint8_t[65] FD_LENGTH "ISOTP_FD_LENGTH"
    const uint8_t[65] DLC_CODE "ISOTP_DLC"


cdef enum:
    LONGEST_STMIN_NS = 127_000_000


cdef inline int64_t stmin_to_ns(uint8_t stmin) noexcept nogil:
    """Separation time on the bus (table 20) in ns, or -1 for a reserved value."""
    if stmin <= 0x7F:
        return <int64_t>stmin * 1_000_000
    if 0xF1 <= stmin <= 0xF9:
        return <int64_t>(stmin - 0xF0) * 100_000
    return -1


cdef inline OutcomeCode decode_n_pci(
    const uint8_t *data, int size, int prefix, NPci *pci, Outcome *outcome,
) noexcept nogil:
    """Read the N_PCI (table 9) behind `prefix` address bytes. Anything but OK: the frame is no N_PDU."""
    cdef int room = size - prefix
    cdef uint8_t first
    outcome.given = <uint64_t>size
    if room < 1:
        return BAD_EMPTY
    first = data[prefix]
    if first < 0x10:
        pci.type = N_PCI_SF
        pci.escape = first == 0
        pci.offset = prefix + 1
        pci.length = first
        if pci.escape:
            pci.offset = prefix + 2
            pci.length = data[prefix + 1] if room > 1 else 0
        if pci.length == 0:
            return BAD_SF_DL_ZERO
        if <int>pci.length > size - pci.offset:
            outcome.given = pci.length
            outcome.expected = <uint64_t>(size - pci.offset)
            return BAD_SF_DL_TOO_LONG
        return OK
    if first < 0x20:
        pci.type = N_PCI_FF
        if room < 2:
            return BAD_FF_SHORT
        pci.length = (<uint32_t>(first & 0x0F) << 8) | data[prefix + 1]
        pci.offset = prefix + 2
        pci.escape = pci.length == 0
        if pci.escape:
            if room < 6:
                return BAD_FF_SHORT
            pci.length = (
                (<uint32_t>data[prefix + 2] << 24) | (<uint32_t>data[prefix + 3] << 16)
                | (<uint32_t>data[prefix + 4] << 8) | data[prefix + 5])
            pci.offset = prefix + 6
            if pci.length == 0:
                return BAD_FF_DL_ZERO
        return OK
    if first < 0x30:
        pci.type = N_PCI_CF
        pci.sn = first & 0x0F
        pci.offset = prefix + 1
        return OK
    if first < 0x40:
        pci.type = N_PCI_FC
        if room < 3:
            return BAD_FC_SHORT
        pci.flow_status = first & 0x0F
        pci.blocksize = data[prefix + 1]
        pci.stmin = data[prefix + 2]
        pci.stmin_ns = stmin_to_ns(pci.stmin)
        pci.offset = prefix + 3
        if pci.flow_status > FS_OVFLW:
            outcome.given = pci.flow_status
            return BAD_FC_STATUS
        if pci.stmin_ns < 0:
            outcome.given = pci.stmin
            return BAD_FC_STMIN
        return OK
    outcome.given = first >> 4
    return BAD_N_PCI_TYPE


cdef inline OutcomeCode check_strictly(
    OutcomeCode code, const Receiver *rx, const NPci *pci, int prefix, int size, Outcome *outcome,
) noexcept nogil:
    """What the standard says of a frame that decode_n_pci() gave `code`. Anything but OK: it is ignored.

    A flow control frame passes with a reserved value in it: that is the transmitter's to judge.
    """
    cdef uint64_t left
    if code == BAD_FC_STMIN or code == BAD_FC_STATUS:
        return OK
    if code != OK:
        return code
    outcome.given = <uint64_t>size
    if pci.type == N_PCI_SF:
        # 9.6.2.2: padded to 8 bytes or not padded; beyond 8 bytes, in the escape form and the shortest frame there is.
        if size <= CAN_DLEN_CLASSIC and pci.escape:
            return BAD_SF_DL_ZERO
        outcome.expected = pci.length
        if size < CAN_DLEN_CLASSIC and pci.offset + <int>pci.length != size:
            return BAD_SF_CAN_DL
        if pci.escape and (prefix + 1 + <int>pci.length <= CAN_DLEN_CLASSIC
                           or FD_LENGTH[pci.offset + <int>pci.length] != size):
            return BAD_SF_CAN_DL
    elif pci.type == N_PCI_FF:
        if size < CAN_DLEN_CLASSIC or FD_LENGTH[size] != size:      # 9.5.4
            return BAD_FF_RX_DL
        outcome.given = pci.length
        if pci.escape and pci.length <= 4095:                       # 9.6.3.2
            return BAD_FF_ESCAPE
        # FF_DLmin (9.6.3.1): what no SF of this length could have carried.
        outcome.expected = <uint64_t>((CAN_DLEN_CLASSIC if size == CAN_DLEN_CLASSIC else size - 1) - prefix)
        if pci.length < outcome.expected:
            return FF_DL_TOO_SHORT
    elif pci.type == N_PCI_CF and rx.state == RX_WAIT_CF:
        # 9.5.3, 10.4.3: as long as the FF, but for the last one, which holds what is left.
        left = rx.size - rx.got
        if size != rx.rx_dl and (
                size > rx.rx_dl or FD_LENGTH[size] != size or <uint64_t>(size - pci.offset) < left):
            outcome.expected = rx.rx_dl
            return CHANGING_RX_DL
    return OK
