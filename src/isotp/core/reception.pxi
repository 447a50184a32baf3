# One message that came, and what is known of it.


@cython.final
@cython.freelist(16)
@cython.auto_pickle(False)
cdef class Reception:
    """A message that was received, with its times and the address that it came in on: what `recvmsg()` gives.

    Layers make these. `payload` is what `recv()` gives; `address` the address that it came in on, the layer's own or
    one of `receive_also()`.
    """

    @property
    def began_ns(self):
        """When its first frame came: ns of `time.perf_counter_ns()`, or of the layer's clock."""
        return self.note.began_ns

    @property
    def ended_ns(self):
        """When its last frame came, by the same clock."""
        return self.note.ended_ns

    @property
    def arbitration_id(self):
        """CAN identifier of its last frame: who sent it, where an address hears several."""
        return self.note.can_id & ~<uint32_t>CAN_EFF_FLAG

    @property
    def is_extended_id(self):
        """That identifier has 29 bits."""
        return (self.note.can_id & <uint32_t>CAN_EFF_FLAG) != 0

    @property
    def timestamp(self):
        """When its last frame came by the clock of its driver, in s, as python-can's `Message.timestamp` has it.

        That is the driver's own clock, the adapter's where it has one. Of a frame that a raw CAN socket gave: the
        kernel's stamp, s since 1970. None if rxfn gave a frame without.
        """
        if self.note.is_native:
            return (self.note.ended_ns + isotp_wall_offset_ns()) / 1e9
        return self.note.stamp if self.note.stamp != 0 else None

    def __repr__(self):
        digits = 8 if self.is_extended_id else 3
        return f"<Reception of {len(self.payload)} bytes from {self.arbitration_id:0{digits}X}>"


cdef object reception_of(object payload, object address, const Note *note, Addresses origin):
    """What is known of a message. `address`: that it came in on, if known already; else `origin` and the note tell."""
    cdef Reception reception = Reception.__new__(Reception)
    reception.payload = payload
    reception.note = note[0]
    if address is None:
        # Another thread may have changed them as it came.
        is_further = 0 <= note.matched < len(origin.further)
        address = origin.further[note.matched] if is_further else origin.own
    reception.address = address
    return reception
