# Addresses, flattened to what is compared and written for each frame.


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
    prefix_size = address.get_rx_prefix_size()
    if not 0 <= prefix_size <= 1:
        raise ValueError(f"address {address!r} has {prefix_size} bytes before the N_PCI, at most 1 is possible")
    new.rx_prefix_size = prefix_size
    if address.requires_rx_extension_byte():
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
    return not judges_frames_itself(address)
