# Where a long message goes while it comes: what receive_into gave for it.


@cython.final
cdef class BufferWriter:
    """Called with bytes: puts them into a writable buffer, one after the other."""

    cdef object view
    cdef Py_ssize_t filled

    def __call__(self, bytes chunk):
        self.view[self.filled:self.filled + len(chunk)] = chunk
        self.filled += len(chunk)


cdef object writer_to(object target, uint64_t size):
    """What fills a target of receive_into: itself, if it can be called with bytes."""
    cdef BufferWriter writer
    if callable(target):
        return target
    view = memoryview(target).cast("B")
    if view.readonly or <uint64_t>view.nbytes < size:
        raise ValueError(f"a message of {size} bytes needs a writable buffer of that size, not {target!r}")
    writer = BufferWriter.__new__(BufferWriter)
    writer.view = view
    return writer


@cython.final
cdef class Target:
    """The target of the message that is being received, if there is one. Another thread may part it from its message.

    What was there dies after each step: its end may run Python code.
    """

    cdef inline bint is_there(self) noexcept:
        return self.write is not None

    cdef object part(self):
        """What the message went to, if anything; it goes there no more."""
        cdef object given = None
        cdef object write = None
        with cython.critical_section(self):
            self.given, given = given, self.given
            self.write, write = write, self.write
        return given

    cdef int put(self, bytes chunk) except -1:
        """Hand out what arrived, unless another thread parted it from its message."""
        with cython.critical_section(self):
            write = self.write
        if write is not None:
            write(chunk)
        return 0

    cdef object finish(self, object rest):
        """The target, with the last bytes of its message in it; None if another thread parted them."""
        with cython.critical_section(self):
            write = self.write
        target = self.part()
        if write is None:
            return None
        write(bytes(rest))
        return target
