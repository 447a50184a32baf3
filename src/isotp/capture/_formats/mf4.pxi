# Records of an MF4 data group that is not sorted: those of several channel groups, one behind the other, each with the
# number of its group before it.


cdef enum:
    LONGEST_RECORD = 1 << 24       # what a longer one says of its size is damage: it is not waited for


cdef class RecordSorter:
    """RecordSorter(id_size, sizes)\n--\n\n
    Splits the data of a group into the records of each of its channel groups.

    :param id_size: bytes of the number before each record.
    :param sizes: bytes of a record by the number of its group; None: it says it itself, in the four bytes before it.
    """

    cdef int id_size
    cdef dict taken                # of each number: a bytearray of its records
    cdef dict sizes
    cdef bytes tail
    cdef readonly int64_t offset   # of the tail in the data
    cdef readonly bint lost        # nobody knows how long a record is

    def __cinit__(self, *args, **kwargs):
        self.sizes = {}
        self.tail = b""

    def __init__(self, id_size, dict sizes not None):
        self.id_size = operator.index(id_size)
        if self.id_size not in (1, 2, 4, 8):
            raise ValueError(f"the number of a record has 1, 2, 4 or 8 bytes, not {id_size!r}")
        if any(size is not None and size < 0 for size in sizes.values()):
            raise ValueError(f"records have no negative size: {sizes!r}")
        self.sizes = dict(sizes)
        self.taken = {number: bytearray() for number in sizes}
        self.offset = 0
        self.lost = False

    def feed(self, bytes block not None):
        """The records of the next bytes of the data: by number; a bytearray of them, or a list if they vary in size."""
        cdef bytes data = self.tail + block if self.tail else block
        cdef const uint8_t *p = <const uint8_t *>PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), pos = 0, length, begin
        cdef uint64_t number, last = 0
        cdef int k
        cdef bint known = False, varies = False
        cdef Py_ssize_t fixed = 0
        found = {each: ([] if of is None else bytearray()) for each, of in self.sizes.items()}
        records = None
        while not self.lost and size - pos >= self.id_size:
            number = 0
            for k in range(self.id_size):
                number |= <uint64_t>p[pos + k] << 8 * k
            if not known or number != last:
                if number not in self.sizes:
                    self.lost = True
                    break
                last, known = number, True
                records = found[number]
                varies = self.sizes[number] is None
                fixed = 0 if varies else self.sizes[number]
            begin = pos + self.id_size
            length = fixed
            if varies:
                if size - begin < 4:
                    break
                length = little32(p + begin)
                begin += 4
            if length > LONGEST_RECORD:
                self.lost = True
                break
            if size - begin < length:
                break
            if varies:
                records.append(data[begin:begin + length])
            else:
                records += data[begin:begin + length]
            pos = begin + length
        self.tail = b"" if self.lost else data[pos:]
        self.offset += pos
        return found

    @property
    def left(self):
        """Bytes of a record that is not whole yet."""
        return len(self.tail)
