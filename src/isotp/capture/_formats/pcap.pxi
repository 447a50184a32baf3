# pcap and pcapng with SocketCAN frames: link types CAN_SOCKETCAN (227), and LINUX_SLL and LINUX_SLL2 (113, 276), which
# capturing on all interfaces at once gives. See tcpdump.org/linktypes.html and the Internet-Drafts of both formats.


cdef Reason BAD_PACKET = reason_for("the header of a packet cannot be right")
cdef Reason BAD_BLOCK = reason_for("the length of a block cannot be right")
cdef Reason BAD_SECTION = reason_for("a section without a byte order")
cdef Reason NO_INTERFACE = reason_for("a packet of an interface that was not described")
cdef Reason NOT_CAN = reason_for("packets of a link type that is not CAN")

cdef Other PCAP_XL = other_kind("CAN XL")
cdef Other PCAP_PACKET = other_kind("packet of another protocol")
cdef Other PCAP_BLOCK = other_kind("block of another kind")

cdef enum:
    LINK_SLL = 113
    LINK_CAN = 227
    LINK_SLL2 = 276
    ETH_P_CAN = 0x000C             # linux/if_ether.h
    ETH_P_CANFD = 0x000D
    ETH_P_CANXL = 0x000E
    SENT_BY_US = 4                 # PACKET_OUTGOING, linux/if_packet.h
    ERROR_CLASSES = 0x3FF          # linux/can/error.h
    CANXL_XLF = 0x80               # linux/can.h: in the byte where the others have their length
    CAN_HEAD = 8                   # bytes before the data
    CANFD_MTU = 72
    CANXL_MTU = 2060               # no frame is longer; those of CAN XL are not read
    MOST_SNAPPED = 262_144         # libpcap: no packet is longer
    MOST_INTERFACES = 1024
    PCAP_HEAD = 24
    PACKET_HEAD = 16
    BLOCK_HEAD = 8                 # type and length, which comes again at the end of a block
    LEAST_DESCRIBED = 20           # bytes of the description of an interface,
    MOST_DESCRIBED = 1024          # and of one whose length is searched for
    PACKET_BLOCK = 32              # bytes of an ENHANCED_PACKET around the packet, and of a PACKET
    PLAIN_BLOCK = 256              # bytes of one with a frame and few options
    SECTION_HEADER = 0x0A0D0D0A    # types of blocks
    INTERFACE_DESCRIPTION = 1
    PACKET = 2                     # obsolete
    SIMPLE_PACKET = 3
    ENHANCED_PACKET = 6
    OPT_IF_NAME = 2
    OPT_EPB_FLAGS = 2
    OPT_IF_TSRESOL = 9
    OPT_IF_TSOFFSET = 14


cdef struct Interface:
    uint32_t link
    uint16_t channel
    uint8_t resolution             # as if_tsresol: 10^-n s, with bit 7 2^-n s
    Reason refused                 # why its packets cannot be read; READABLE: they can
    int64_t offset                 # ns


cdef class PcapParser(LogParser):
    """Parser of pcap and pcapng. Times are ns since 1970; the channel is the interface, by name if the file has it."""

    cdef bint started
    cdef bint is_ng
    cdef bint swapped              # big-endian
    cdef bint told_link
    cdef int64_t other_order       # frames whose identifier is in the other byte order, less those in the usual one
    cdef bint knows_time           # of a packet, in seconds
    cdef int64_t last_seconds
    cdef uint32_t skip_length      # of what is passed over, which must come again at its end; 0: it ends so
    cdef bint skip_searches        # it may be damaged, and packets be in it
    cdef Interface[MOST_INTERFACES] interfaces
    cdef int interface_count

    cdef inline uint32_t u32(self, const uint8_t *p) noexcept nogil:
        return big32(p) if self.swapped else little32(p)

    cdef inline uint16_t u16(self, const uint8_t *p) noexcept nogil:
        return <uint16_t>(p[0] << 8 | p[1]) if self.swapped else little16(p)

    cdef Py_ssize_t consume(self, const uint8_t *data, Py_ssize_t size, int64_t offset, bint final) noexcept nogil:
        cdef Py_ssize_t done
        cdef Py_ssize_t pos = 0
        if not self.started:
            if size < PCAP_HEAD:
                if final and size > 0:
                    self.defect(offset, 0, CUT_OFF)
                return size if final else 0
            if not self.begin_file(data):
                self.defect(offset, 0, BAD_HEADER)
                self.skip = INT64_MAX
            self.started = True
            pos = 0 if self.is_ng else PCAP_HEAD
        while pos < size:
            if self.skip > 0:
                pos += self.pass_over(data + pos, size - pos, final)
                if self.skip > 0:
                    break
                continue
            if self.is_ng:
                done = self.read_block(data + pos, size - pos, offset + pos, final)
            else:
                done = self.read_packet(data + pos, size - pos, offset + pos)
            if self.question > 0:
                return pos
            if done == 0:
                if not final:
                    return pos
                # Others follow if it is the length that is wrong.
                if not self.lost:
                    self.lose(offset + pos, CUT_OFF)
                done = min(size - pos, 4 if self.is_ng else 1)
            pos += done
        if final and self.skip > 0 and self.skip_length > 0:
            self.defect(self.skip_from, 0, CUT_OFF)
        return pos

    cdef Py_ssize_t pass_over(self, const uint8_t *p, Py_ssize_t size, bint final) noexcept nogil:
        """Bytes of what is passed over, up to its end, or to a packet in a block whose length is wrong then."""
        cdef Py_ssize_t reach = min(self.skip, <int64_t>size), pos = 0
        if self.skip_length > 0:
            while self.skip_searches and reach - pos >= PACKET_BLOCK:
                if self.skip > size and size - pos < PLAIN_BLOCK and not final:
                    break
                if self.is_packet_block(p + pos, reach - pos):
                    self.skip = 0
                    self.defect(self.skip_from, 0, BAD_BLOCK)
                    return pos
                pos += 4
            if self.skip > size and not final:
                # What is looked for may begin here, and the length be cut.
                reach = pos if self.skip_searches else max(0, size - 4)
            elif self.skip <= size and self.u32(p + reach - 4) != self.skip_length:
                self.lose(self.skip_from, BAD_BLOCK)
        self.skip = self.skip - reach
        return reach

    cdef bint begin_file(self, const uint8_t *p) noexcept nogil:
        cdef uint32_t magic = little32(p)
        if magic == SECTION_HEADER:
            self.is_ng = True
            return True
        self.swapped = magic == 0xD4C3B2A1U or magic == 0x4D3CB2A1
        magic = self.u32(p)
        if magic != 0xA1B2C3D4U and magic != 0xA1B23C4DU:
            return False
        self.interfaces[0].link = self.u32(p + 20) & 0xFFFF
        self.interfaces[0].resolution = 6 if magic == 0xA1B2C3D4U else 9
        self.interfaces[0].offset = 0
        self.interfaces[0].channel = 0
        self.interfaces[0].refused = READABLE
        self.interface_count = 1
        return True

    # --- pcap ---

    cdef bint may_begin(self, const uint8_t *p) noexcept nogil:
        """Whether this can be the header of a packet with a frame: asked where the next one is not known."""
        cdef uint32_t length = self.u32(p + 8)
        return (
            CAN_HEAD <= length <= CANFD_MTU + 20 and length == self.u32(p + 12)
            and self.u32(p + 4) < self.fractions())

    cdef bint begins_packet(self, const uint8_t *p, Py_ssize_t size) noexcept nogil:
        """Whether it is one indeed: it has about the time of the last one, or of the one behind it."""
        cdef const uint8_t *next_one
        if self.knows_time and is_near(self.last_seconds, self.u32(p)):
            return True
        if size < PACKET_HEAD + <Py_ssize_t>self.u32(p + 8) + PACKET_HEAD:
            return False
        next_one = p + PACKET_HEAD + self.u32(p + 8)
        return self.may_begin(next_one) and is_near(self.u32(p), self.u32(next_one))

    cdef inline bint is_length(self, uint32_t length) noexcept nogil:
        """Whether packets on this link have such lengths."""
        return CAN_HEAD <= length <= CANXL_MTU if self.interfaces[0].link == LINK_CAN else length <= MOST_SNAPPED

    cdef inline uint32_t fractions(self) noexcept nogil:
        """Of a second."""
        return 1_000_000 if self.interfaces[0].resolution == 6 else NS

    cdef Py_ssize_t read_packet(self, const uint8_t *p, Py_ssize_t size, int64_t offset) noexcept nogil:
        """Bytes of the packet, 0: there are not enough of them."""
        cdef uint32_t length, fraction
        cdef int64_t time
        cdef Reason reason
        if size < PACKET_HEAD:
            return 0
        if self.lost:
            if not self.may_begin(p):
                return 1
            if not self.begins_packet(p, size):
                # With more of the log it may be.
                return 0 if size < PACKET_HEAD + <Py_ssize_t>self.u32(p + 8) + PACKET_HEAD else 1
            self.lost = False
        length = self.u32(p + 8)
        fraction = self.u32(p + 4)
        # Bytes of the packet in the file, and on the wire: some may have been left out.
        if fraction >= self.fractions() or length > self.u32(p + 12) or not self.is_length(length):
            self.lose(offset, BAD_PACKET)
            return 1
        if length > LONGEST:
            # No frame of CAN is that long.
            self.defect(offset, 0, BAD_PACKET)
            self.skip = length
            self.skip_length = 0
            return PACKET_HEAD
        if size < PACKET_HEAD + <Py_ssize_t>length:
            return 0
        time = self.u32(p) * <int64_t>NS + fraction * (NS // self.fractions())
        reason = self.read_link(&self.interfaces[0], time, 0, p + PACKET_HEAD, length)
        if reason != READABLE:
            self.defect(offset, 0, reason)
        else:
            self.last_seconds = self.u32(p)
            self.knows_time = True
        return PACKET_HEAD + <Py_ssize_t>length

    # --- pcapng ---

    cdef Py_ssize_t read_block(
        self, const uint8_t *p, Py_ssize_t size, int64_t offset, bint final,
    ) noexcept nogil:
        """Bytes that are done with, 0: there are not enough of them."""
        cdef uint32_t length, kind
        cdef Py_ssize_t found
        cdef Reason reason = READABLE
        if size < 12:
            return 0
        if little32(p) == SECTION_HEADER:
            if little32(p + 8) == 0x4D3C2B1A:
                self.swapped = True
            elif little32(p + 8) == 0x1A2B3C4D:
                self.swapped = False
            elif not self.lost:
                reason = BAD_SECTION
        kind = self.u32(p)
        length = self.u32(p + 4)
        if kind == INTERFACE_DESCRIPTION and not self.lost and not self.is_whole(p, size):
            if size < MOST_DESCRIBED and not final:
                return 0
            found = self.true_length(p, size)
            if found > 0:
                self.defect(offset, 0, BAD_BLOCK)
                self.ask(p, p, found)
                self.skip = found
                self.skip_length = 0
                return found
        if reason == READABLE and (length < 12 or length % 4 != 0 or length > 0x4000_0000):
            reason = BAD_BLOCK
        if self.lost and (reason != READABLE or length > LONGEST or kind > ENHANCED_PACKET and kind != SECTION_HEADER):
            return 4
        if reason != READABLE:
            return self.refuse_block(kind, offset, reason)
        if length > LONGEST:
            return self.read_long_block(p, size, offset, kind, length)
        if size < <Py_ssize_t>length:
            return 0
        if self.u32(p + length - 4) != length:
            return 4 if self.lost else self.refuse_block(kind, offset, BAD_BLOCK)
        self.lost = False
        if kind == SECTION_HEADER:
            self.interface_count = 0
        elif kind == INTERFACE_DESCRIPTION:
            if length < 20:
                return self.refuse_block(kind, offset, BAD_BLOCK)
            self.ask(p, p, length)
            self.skip = length
            self.skip_length = 0
        elif is_packet(kind):
            reason = self.read_ng_packet(p, length, kind)
            if reason != READABLE:
                self.defect(offset, 0, reason)
        else:
            self.pass_by(PCAP_BLOCK)
        return length

    cdef inline bint is_whole(self, const uint8_t *p, Py_ssize_t size) noexcept nogil:
        """It is here up to its end, where its length comes again."""
        cdef uint32_t length = self.u32(p + 4)
        return 12 <= length <= size and self.u32(p + length - 4) == length

    cdef Py_ssize_t true_length(self, const uint8_t *p, Py_ssize_t size) noexcept nogil:
        """Of the description of an interface, without which all its packets are lost. It says twice how long it is;
        one of them may be damaged. 0: neither fits."""
        cdef Py_ssize_t length
        for length in range(LEAST_DESCRIBED, min(size, MOST_DESCRIBED) + 1, 4):
            if self.u32(p + length - 4) == <uint32_t>length:
                return length
        length = self.u32(p + 4)
        if length < LEAST_DESCRIBED or length % 4 != 0 or length > size - BLOCK_HEAD:
            return 0
        p += length
        if self.u32(p) > ENHANCED_PACKET and self.u32(p) != SECTION_HEADER:
            return 0
        return length if 12 <= self.u32(p + 4) <= LONGEST and self.u32(p + 4) % 4 == 0 else 0

    cdef Py_ssize_t refuse_block(self, uint32_t kind, int64_t offset, Reason reason) noexcept nogil:
        """Bytes after which to look for the next block."""
        self.lose(offset, reason)
        if kind == SECTION_HEADER:
            self.interface_count = 0
        elif kind == INTERFACE_DESCRIPTION:
            # Those behind it keep their numbers.
            self.add_interface(NO_INTERFACE)
        return 4

    cdef Interface *add_interface(self, Reason refused) noexcept nogil:
        """NULL: there are too many of them."""
        cdef Interface *interface = &self.interfaces[self.interface_count]
        if self.interface_count == MOST_INTERFACES:
            return NULL
        memset(interface, 0, sizeof(Interface))
        interface.resolution = 6
        interface.refused = refused
        self.interface_count = self.interface_count + 1
        return interface

    cdef Py_ssize_t read_long_block(
        self, const uint8_t *p, Py_ssize_t size, int64_t offset, uint32_t kind, uint32_t length,
    ) noexcept nogil:
        """Pass over a block that no frame is in, or take its length for damaged."""
        cdef uint32_t said, index = 0
        if kind == SECTION_HEADER or kind == INTERFACE_DESCRIPTION:
            return self.refuse_block(kind, offset, BAD_BLOCK)
        self.skip_searches = not is_packet(kind)
        if is_packet(kind):
            if size < PACKET_BLOCK:
                return 0
            # How long the packet is, it says once more. It may hold anything then, also a file of this format.
            said = self.u32(p + (8 if kind == SIMPLE_PACKET else 20))
            if said > MOST_SNAPPED or not 0 <= <int64_t>length - said < LONGEST:
                return self.refuse_block(kind, offset, BAD_BLOCK)
            if kind != SIMPLE_PACKET:
                index = self.u32(p + 8) if kind == ENHANCED_PACKET else self.u16(p + 8)
            if index < <uint32_t>self.interface_count and self.interfaces[index].link == LINK_CAN:
                self.defect(offset, 0, BAD_PACKET)
        if not is_packet(kind):
            self.pass_by(PCAP_BLOCK)
        self.skip = length - BLOCK_HEAD
        self.skip_from = offset
        self.skip_length = length
        return BLOCK_HEAD

    cdef bint is_packet_block(self, const uint8_t *p, Py_ssize_t size) noexcept nogil:
        """Whether a packet with a frame is here, and whole: asked where nothing of that kind should be."""
        cdef uint32_t kind = self.u32(p), length = self.u32(p + 4)
        cdef uint32_t captured
        if kind != ENHANCED_PACKET and kind != PACKET:
            return False
        if not PACKET_BLOCK + CAN_HEAD <= length <= min(size, <Py_ssize_t>PLAIN_BLOCK) or length % 4 != 0:
            return False
        captured = self.u32(p + 20)
        return self.u32(p + length - 4) == length and CAN_HEAD <= captured <= length - PACKET_BLOCK

    cdef int answer(self, bytes matter) except -1:
        """Learn an interface from its description; consume() passes over the block by `skip`."""
        cdef Interface *interface = self.add_interface(READABLE)
        cdef const uint8_t *p = <const uint8_t *>PyBytes_AS_STRING(matter)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(matter) - 4, pos = 16
        cdef uint16_t code, length
        name = None
        if interface == NULL:
            return 0
        interface.link = self.u16(p + 8)
        while pos + 4 <= size:
            code = self.u16(p + pos)
            length = self.u16(p + pos + 2)
            pos += 4
            if code == 0 or pos + length > size:
                break
            if code == OPT_IF_NAME:
                name = matter[pos:pos + length].decode("utf-8", "replace").rstrip("\0")
            elif code == OPT_IF_TSRESOL and length == 1:
                interface.resolution = p[pos]
            elif code == OPT_IF_TSOFFSET and length == 8:
                seconds = struct.unpack_from(">q" if self.swapped else "<q", matter, pos)[0]
                if abs(seconds) < 1 << 32:
                    interface.offset = seconds * NS
                else:
                    interface.refused = BAD_TIME
            pos += (length + 3) & ~3
        number = self.number_named(name) if name else self.interface_count - 1
        if number < 0:
            interface.refused = MANY_CHANNELS
        else:
            interface.channel = <uint16_t>number
        return 0

    cdef Reason read_ng_packet(self, const uint8_t *p, uint32_t length, uint32_t kind) noexcept nogil:
        cdef const Interface *interface
        cdef uint32_t index = 0, captured
        cdef uint64_t ticks
        cdef int64_t time = 0
        cdef uint8_t flags = 0
        if length < <uint32_t>(16 if kind == SIMPLE_PACKET else PACKET_BLOCK):
            return BAD_BLOCK
        if kind != SIMPLE_PACKET:
            index = self.u32(p + 8) if kind == ENHANCED_PACKET else self.u16(p + 8)
        if index >= <uint32_t>self.interface_count:
            return NO_INTERFACE
        interface = &self.interfaces[index]
        if interface.refused != READABLE:
            return interface.refused
        if kind == SIMPLE_PACKET:
            return self.read_link(interface, 0, 0, p + 12, min(self.u32(p + 8), length - 16))
        captured = self.u32(p + 20)
        if captured > length - PACKET_BLOCK:
            return BAD_LENGTH
        ticks = <uint64_t>self.u32(p + 12) << 32 | self.u32(p + 16)
        if not ng_time(ticks, interface.resolution, interface.offset, &time):
            return BAD_TIME
        if self.was_sent(p + 28 + ((captured + 3) & ~<uint32_t>3), p + length - 4):
            flags = RECORD_SENT
        return self.read_link(interface, time, flags, p + 28, captured)

    cdef bint was_sent(self, const uint8_t *p, const uint8_t *end) noexcept nogil:
        """The option epb_flags: the two lowest bits tell the direction, 2: outbound."""
        cdef uint16_t code, length
        while end - p >= 8:
            code = self.u16(p)
            length = self.u16(p + 2)
            if code == 0:
                return False
            if code == OPT_EPB_FLAGS and length == 4:
                return self.u32(p + 4) & 3 == 2
            if length > end - p - 4:
                return False
            p += 4 + ((length + 3) & ~3)
        return False

    # --- both ---

    cdef Reason read_link(
        self, const Interface *interface, int64_t time, uint8_t flags, const uint8_t *p, uint32_t size,
    ) noexcept nogil:
        """Strip what the link type puts before the frame."""
        cdef uint32_t protocol
        cdef uint16_t channel = interface.channel
        if interface.link == LINK_CAN:
            return self.read_frame(time, flags, channel, p, size, True)
        if interface.link == LINK_SLL and size >= 16:
            protocol = p[14] << 8 | p[15]
            if (p[0] << 8 | p[1]) == SENT_BY_US:
                flags |= RECORD_SENT
            p += 16
            size -= 16
        elif interface.link == LINK_SLL2 and size >= 20:
            protocol = p[0] << 8 | p[1]
            channel = <uint16_t>big32(p + 4)
            if p[10] == SENT_BY_US:
                flags |= RECORD_SENT
            p += 20
            size -= 20
        else:
            # One defect for all packets of that kind.
            if self.told_link:
                return READABLE
            self.told_link = True
            return NOT_CAN
        if protocol != ETH_P_CAN and protocol != ETH_P_CANFD:
            return self.pass_by(PCAP_XL if protocol == ETH_P_CANXL else PCAP_PACKET)
        if protocol == ETH_P_CANFD:
            flags |= CANFD_FDF
        # Here the identifier has the byte order of the machine that captured, as a rule.
        return self.read_frame(time, flags, channel, p, size, self.swapped)

    cdef Reason read_frame(
        self, int64_t time, uint8_t flags, uint16_t channel, const uint8_t *p, uint32_t size, bint big_endian,
    ) noexcept nogil:
        cdef uint32_t can_id
        cdef int length
        if size < CAN_HEAD:
            return CUT_OFF
        can_id = self.read_id(p, big_endian)
        length = p[4]
        if p[5] & CANFD_FDF or length > 8 or size == CANFD_MTU:
            flags |= CANFD_FDF
        if flags & CANFD_FDF:
            flags |= p[5] & (CANFD_BRS | CANFD_ESI)
        if length & CANXL_XLF:
            return self.pass_by(PCAP_XL)
        if length > 64:
            return BAD_LENGTH
        if can_id & CAN_RTR_FLAG:
            if length > 8:
                return BAD_LENGTH
            put(&self.sink, time, can_id, length, flags, channel, p, 0)
            return READABLE
        if length > <int>(size - CAN_HEAD):
            return CUT_OFF
        put(&self.sink, time, can_id, length, flags, channel, p + CAN_HEAD, length)
        return READABLE

    cdef inline uint32_t read_id(self, const uint8_t *p, bint big_endian) noexcept nogil:
        """Identifier and flags. Some tools have the other byte order: where only that makes sense, it is meant."""
        cdef uint32_t usual = big32(p) if big_endian else little32(p)
        cdef uint32_t other = little32(p) if big_endian else big32(p)
        if is_plausible(usual) != is_plausible(other):
            self.other_order = self.other_order + (1 if is_plausible(other) else -1)
            if is_plausible(other):
                usual = other
        elif self.other_order > 0:
            usual = other
        return usual & (
            <uint32_t>CAN_EFF_FLAG | CAN_RTR_FLAG | CAN_ERR_FLAG
            | (CAN_EFF_MASK if usual & (<uint32_t>CAN_EFF_FLAG | CAN_ERR_FLAG) else CAN_SFF_MASK))


cdef inline bint is_plausible(uint32_t can_id) noexcept nogil:
    """No identifier of 11 bits has more of them, and that of an error frame has one bit for each class of errors."""
    if can_id & CAN_ERR_FLAG:
        return can_id & ~<uint32_t>CAN_ERR_FLAG <= ERROR_CLASSES
    return can_id & CAN_EFF_FLAG != 0 or can_id & CAN_EFF_MASK <= CAN_SFF_MASK


cdef inline bint is_near(int64_t one, int64_t other) noexcept nogil:
    """Within a day of each other, in seconds."""
    return -86_400 < one - other < 86_400


cdef inline bint is_packet(uint32_t kind) noexcept nogil:
    return kind == ENHANCED_PACKET or kind == PACKET or kind == SIMPLE_PACKET


cdef inline bint ng_time(uint64_t ticks, uint8_t resolution, int64_t offset, int64_t *ns) noexcept nogil:
    """Time in units of 10^-n or 2^-n s to ns, rounded down. False: it does not fit."""
    cdef uint64_t seconds, part
    cdef int n = resolution & 0x7F, k
    cdef uint64_t unit = 1
    if resolution & 0x80:
        if n > 63:
            return False
        seconds = ticks >> n
        part = ticks & ((<uint64_t>1 << n) - 1)
        if n > 33:
            # So that the product fits 64 bits; less than 1 ns is lost.
            part >>= n - 33
            n = 33
        part = part * NS >> n
    else:
        if n > 19:
            return False
        for k in range(n):
            unit *= 10
        seconds = ticks // unit
        part = ticks % unit
        for k in range(n, 9):
            part *= 10
        for k in range(9, n):
            part //= 10
    if seconds >= 4_000_000_000ULL:
        return False
    # Below 2^62 both.
    ns[0] = <int64_t>(seconds * NS + part) + offset
    return True
