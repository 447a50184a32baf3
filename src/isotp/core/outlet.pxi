# Where the frames of an engine go: a port, and what is done while it has no room.


class TryAgain(Exception):
    """What txfn raises if the bus has no room for the frame just now: the layer gives it again a little later.

    After N_As (ISO 15765-2, 9.8.1) it gives up: TransmitTimeoutError, from the `__cause__` of this one.
    """


cdef class FramePort:
    """Sends the frames of an engine, one after the other, on the thread that runs its machines.

    The engine writes a frame to `next`, then either calls put(), or leaves it and writes another one there.
    """

    def __cinit__(self, *args, **kwargs):
        self.next = &self.room

    cdef bint put(self) except -1:
        """Take the frame in `next`: it was sent, or waits for flush(). False: it did not go; ask refusal() at once."""
        raise NotImplementedError(f"{type(self).__name__}.put")

    cdef int flush(self) except -1:
        """Send the frames that wait, as far as there is room; the others wait on, but after an error they are lost."""
        raise NotImplementedError(f"{type(self).__name__}.flush")

    cdef object refusal(self):
        """What the bus said to the frame that it has no room for. Raises what else kept it from going."""
        raise NotImplementedError(f"{type(self).__name__}.refusal")

    cdef void keep(self, int count) noexcept:
        """Of the frames that wait, those behind so many are not to go any more."""
        self.waiting = count


@cython.final
@cython.no_gc_clear                # `next` must not outlive the message; cycles end at the layer
cdef class FunctionPort(FramePort):
    """Calls a function with each frame, as a CanMessage; the function raises TryAgain if there is no room."""

    cdef object function
    cdef CanMessage message        # whose frame is `next`

    def __cinit__(self):
        self.message = new_frame_message()
        self.next = &self.message.frame

    cdef bint put(self) except -1:
        cdef PyObject *returned
        cdef CanMessage message = new_frame_message()
        self.message, message = message, self.message
        self.next = &self.message.frame
        message.frame.res1 = DLC_CODE[message.frame.len]
        returned = try_call_with(<PyObject *>self.function, message)
        if returned == NULL:
            return False               # the exception is left for refusal()
        Py_XDECREF(returned)
        return True

    cdef int flush(self) except -1:
        return 0

    cdef object refusal(self):
        try:
            raise_current()
        except TryAgain as refused:
            return refused.__cause__ or refused


cdef FramePort port_of(object function):
    cdef FunctionPort port = FunctionPort.__new__(FunctionPort)
    port.function = function
    return port


cdef FramePort NO_PORT = FramePort.__new__(FramePort)


@cython.final
cdef class Outlet:
    """Gives frames to a port, and waits where that has no room: for so long as N_As and N_Ar allow."""

    def __cinit__(self):
        self.port = NO_PORT
        self.no_room_since = NEVER
        self.resumes = NEVER

    cdef inline bint put(self) except -1:
        """Give the frame in the port's `next` to the port. False: it does not have it; call refused() at once."""
        if not self.port.put():
            return False
        self.sent += 1
        if self.port.waiting == 0:
            self.no_room_since = NEVER     # N_As is the time of one frame
        return True

    cdef bint give(self, uint32_t epoch, int64_t n_as_ns) except -1:
        """The same, and have it go now. False: there is no room for it, and the port does not have it.

        `epoch` tells the message that is active. TransmitTimeoutError: there was no room for N_As.
        """
        if self.put():
            return self.flush_last(epoch, n_as_ns)
        self.refused(epoch, n_as_ns)
        return False

    cdef int refused(self, uint32_t epoch, int64_t n_as_ns) except -1:
        """put() said False: wait for room, or raise what else went wrong."""
        if self.echoes is not None:
            self.echoes.drop_newest(1)
        return self._pause(epoch, n_as_ns, self.port.refusal())

    cdef bint flush_last(self, uint32_t epoch, int64_t n_as_ns) except -1:
        """Have all frames go that wait in the port. False: there is no room, and the last one was taken back."""
        if self.flush(epoch, n_as_ns):
            return True
        self.port.keep(self.port.waiting - 1)
        self.take_back(1)
        return False

    cdef void take_back(self, int count) noexcept:
        """The last frames did not go."""
        self.sent -= <uint64_t>count
        if self.echoes is not None:
            self.echoes.drop_newest(count)

    cdef bint flush(self, uint32_t epoch, int64_t n_as_ns) except -1:
        """Have the frames go that wait in the port. False: there is no room for all of them."""
        cdef int before = self.port.waiting
        if before == 0:
            return True
        try:
            self.port.flush()
        except BaseException:
            self.take_back(self.port.lost)
            self.sent_in_batches += <uint64_t>(before - self.port.lost)
            raise
        self.sent_in_batches += <uint64_t>(before - self.port.waiting)
        if self.port.waiting < before:
            self.no_room_since = NEVER
        if self.port.waiting == 0:
            return True
        self._pause(epoch, n_as_ns, None)
        return False

    cdef int _pause(self, uint32_t epoch, int64_t n_as_ns, object refusal) except -1:
        """There is no room for a frame: nothing goes for a while."""
        cdef int64_t now = self.clock.read()
        if self.no_room_since == NEVER or self.refused_epoch != epoch:
            self.no_room_since = now
        if now - self.no_room_since >= n_as_ns:
            self.no_room_since = NEVER
            if refusal is None:
                refusal = self.port.refusal()
            self.forget()
            raise errors.TransmitTimeoutError(
                f"the transmit queue of the bus stayed full for {n_as_ns / 1e9} s") from refusal
        self.retries += 1
        self.refused_epoch = epoch
        self.resumes = now + PAUSE_WITHOUT_ROOM_NS
        return 0

    cdef bint resume(self, uint32_t epoch, int64_t n_as_ns) except -1:
        """Whether frames can go again after a pause; those that the port kept go first."""
        if self.clock.read() < self.resumes:
            return False
        self.resumes = NEVER
        if self.refused_epoch != epoch:
            self.forget()              # their message was given up meanwhile
        return self.flush(epoch, n_as_ns)

    cdef void rest(self, int64_t until, uint32_t epoch) noexcept:
        """Give no frame before that time, though there is room."""
        self.resumes = until
        self.refused_epoch = epoch

    cdef void end_pause(self) noexcept:
        """The message is stopped, by any thread: what the port keeps of it is dropped by who runs the machines, at
        once."""
        if self.resumes != NEVER:
            self.resumes = NEVER if self.port.waiting == 0 else AT_ONCE

    cdef void forget(self) noexcept:
        """The frames that the port keeps are not to go any more."""
        self.take_back(self.port.waiting)
        self.port.keep(0)
