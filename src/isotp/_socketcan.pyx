# cython: language_level=3
"""A raw CAN socket (Linux): kernel filters, many frames a system call, the kernel's time stamps.

Frames go straight to and from the engine's C structs.
"""

cimport cython
from libc.errno cimport EAGAIN, EBADF, EINTR, ENOBUFS, errno
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memmove

from isotp._core cimport ECHO, CanMessage, DrivenEngine, FramePort, frame_of_message, message_of_frame
from isotp._protocol.types cimport CAN_EFF_FLAG, NEVER, Frame

import errno as errno_names
import os
import socket
import struct


cdef extern from "_clock.h":
    int64_t isotp_monotonic_ns() noexcept nogil


cdef extern from "_socketcan.h":
    enum:
        ISOTP_BATCH
        ISOTP_LOCAL
        SO_RCVBUFFORCE
        SO_TIMESTAMPNS
        CAN_ERR_FLAG
        CAN_RTR_FLAG
        CAN_SFF_MASK
        CAN_EFF_MASK
        CAN_RAW_FILTER_MAX         # that the kernel takes for one socket

    cdef struct isotp_batch:
        pass

    void isotp_batch_init(isotp_batch *batch) noexcept nogil
    Frame *isotp_batch_frame(isotp_batch *batch, int k) noexcept nogil
    int isotp_read_batch(int fd, isotp_batch *batch, int64_t *times, bint as_stamped) noexcept nogil
    int isotp_write_batch(int fd, isotp_batch *batch, int first, int count) noexcept nogil
    int isotp_wait_readable(int fd, int wake, int64_t timeout_ns) noexcept nogil
    void isotp_ring(int wake) noexcept nogil
    void isotp_close(int fd) noexcept nogil
    void isotp_sleep_ns(int64_t ns) noexcept nogil


cdef enum:
    N_AS_NS = 1_000_000_000        # of a frame that no layer sends
    PAUSE_NS = 100_000             # between two tries while the queue of the interface is full
    RECEIVE_BUFFER = 8_388_608     # bytes of kernel memory, which counts about 1 KiB a frame


cdef isotp_batch *new_batch() except NULL:
    cdef isotp_batch *batch = <isotp_batch *>malloc(sizeof(isotp_batch))
    if batch == NULL:
        raise MemoryError("no memory for a batch of CAN frames")
    isotp_batch_init(batch)
    return batch


cdef object ask_for_receive_buffer(object can_socket):
    """Room for bursts: a block without STmin comes faster than a thread is woken."""
    try:
        can_socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:
        # Only root may exceed net.core.rmem_max.
        can_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)


cdef object open_raw_socket(str interface):
    try:
        opened = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    except OSError as error:
        raise OSError(
            error.errno, f"{error.strerror}: this kernel has no CAN sockets (modprobe can-raw)") from error
    try:
        opened.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, b"")
        opened.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        ask_for_receive_buffer(opened)
        opened.bind((interface,))
    except OSError as error:
        opened.close()
        raise OSError(error.errno, f"{error.strerror}: CAN interface {interface!r}") from error
    return opened


cdef class CanSocket:
    """CanSocket(interface, opened=None)\n--\n\n
    A raw CAN socket bound to one interface. It receives nothing until set_filters().

    close() may come while other threads are amid a system call, or just before one, and a descriptor that is closed
    then may be that of somebody else's file by the time of the call. So each thread says that it uses the
    descriptors, and who is the last to leave closes them.

    :param interface: name, as `can0`.
    :param opened: a socket to take over in place of opening one: any datagram socket that carries struct can_frame
        and struct canfd_frame, as one that a privileged process opened.
    :raises ValueError: if the name is no string.
    :raises OSError: if there is no such interface, or no CAN in this kernel.
    """

    cdef isotp_batch *batch
    cdef int64_t[ISOTP_BATCH] times
    cdef int batch_count           # frames in `batch` ...
    cdef int batch_next            # ... and the next of them for receive()
    cdef int64_t read_until        # all frames that came before are in `batch` or were
    cdef int fd
    cdef int wake_fd
    cdef int users                 # threads that use the descriptors now
    cdef bint closing              # nobody begins to
    cdef bint takes_all            # the kernel filters nothing
    cdef bint as_stamped           # `times` are ns since 1970
    cdef bint hears_echoes         # of frames that were sent here, for who sent them and nobody else
    cdef public object clock       # callable that returns ns, in place of the system's monotonic clock
    cdef readonly object interface
    cdef readonly object socket

    def __cinit__(self, *args, **kwargs):
        self.fd = -1
        self.wake_fd = -1
        self.batch = new_batch()

    def __dealloc__(self):
        free(self.batch)
        if self.wake_fd >= 0:
            isotp_close(self.wake_fd)      # the socket closes itself

    def __init__(self, interface, opened=None):
        if not isinstance(interface, str):
            raise ValueError(f"interface must be the name of a CAN interface, not {interface!r}")
        if self.socket is not None:
            raise RuntimeError(f"the socket on {self.interface} was opened already")
        self.interface = interface
        if self.wake_fd < 0:
            self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # What is taken over stays as it is: no call here waits, but for those who use the same socket it may.
        self.socket = open_raw_socket(interface) if opened is None else opened
        self.fd = self.socket.fileno()

    def fileno(self):
        """Descriptor of the socket; -1 once it is closed."""
        return -1 if self.closing else self.fd

    def close(self):
        """Close the socket; those who wait for a frame wait no more."""
        if self._begin_use():
            with cython.critical_section(self):
                self.closing = True
            self._end_use()

    def forget_threads(self):
        """After a fork, in the child: those that used the descriptors are not there any more."""
        self.users = 0

    @cython.final
    cdef bint _begin_use(self) noexcept:
        """Keep the descriptors open until _end_use(). False: they are closed, or will be when others have left."""
        cdef bint is_open
        with cython.critical_section(self):
            is_open = self.fd >= 0 and not self.closing
            self.users += is_open
        return is_open

    @cython.final
    cdef int _end_use(self) except -1:
        cdef bint is_last
        if self.closing:
            # Of those who wait, one takes this; on leaving, that one wakes the next.
            isotp_ring(self.wake_fd)
        with cython.critical_section(self):
            self.users -= 1
            is_last = self.closing and self.users == 0
        if is_last:
            self._close_descriptors()
        return 0

    @cython.final
    cdef int _close_descriptors(self) except -1:
        cdef int wake_fd = self.wake_fd
        self.fd = -1
        self.wake_fd = -1
        isotp_close(wake_fd)
        self.socket.close()
        return 0

    def set_filters(self, identifiers):
        """Receive data frames with these identifiers (29-bit ones with bit 31 set), and no others.

        None: all data frames. The kernel takes 512 filters a socket; with more identifiers, all are received, too.
        """
        filters = []
        if identifiers is not None:
            if not isinstance(identifiers, dict):
                identifiers = set(identifiers)
            if len(identifiers) <= CAN_RAW_FILTER_MAX:
                for identifier in identifiers:
                    mask = CAN_EFF_MASK if identifier & <uint32_t>CAN_EFF_FLAG else CAN_SFF_MASK
                    mask |= <uint32_t>CAN_EFF_FLAG | <uint32_t>CAN_RTR_FLAG
                    filters.append(struct.pack("=II", identifier, mask))
            else:
                identifiers = None
        if identifiers is None:
            if self.takes_all:
                return
            filters = [struct.pack("=II", 0, CAN_RTR_FLAG)]
        if not self._begin_use():
            raise self._error(EBADF)
        try:
            self.socket.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, b"".join(filters))
            self.takes_all = identifiers is None
        finally:
            self._end_use()

    def hear_echoes(self):
        """Receive the frames that are sent by this socket, when they are on the bus: dispatch() gives them to those
        who send such, and to nobody else.

        :raises OSError: if it is closed.
        """
        if not self._begin_use():
            raise self._error(EBADF)
        try:
            self.socket.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_RECV_OWN_MSGS, 1)
            self.hears_echoes = True
        finally:
            self._end_use()

    cdef object _error(self, int number):
        if number == errno_names.EINVAL:
            return OSError(
                number, f"{os.strerror(number)}: {self.interface} takes no such frame (CAN FD on a classic bus?)")
        if number == errno_names.ENOBUFS:
            return OSError(number, f"{os.strerror(number)}: the transmit queue of {self.interface} is full")
        if number == errno_names.ENETDOWN:
            return OSError(number, f"{os.strerror(number)}: {self.interface} (ip link set {self.interface} up)")
        return OSError(number, f"{os.strerror(number)}: CAN interface {self.interface}")

    cdef int _read(self) except -1:
        """Read what is there, without waiting; the number of frames.

        The kernel's time stamps mean nothing on a clock of the user's: there, frames arrive when they are read.
        """
        cdef int count
        cdef int number
        cdef int k
        cdef int64_t now = isotp_monotonic_ns() if self.clock is None else self.clock()
        with nogil:
            count = isotp_read_batch(self.fd, self.batch, self.times, self.as_stamped)
            number = errno
        if count < 0:
            if number == EINTR:
                return 0
            if number != EAGAIN:
                raise self._error(number)
            count = 0
        if self.clock is not None:
            for k in range(count):
                self.times[k] = now
        # With a full batch there may be more.
        self.read_until = now if count < ISOTP_BATCH else self.times[ISOTP_BATCH - 1]
        return count

    cdef bint _wait(self, int64_t timeout_ns) except -1:
        """Wait for a frame or for wake(); False if neither came. A signal counts as either."""
        cdef int ready
        cdef int number
        with nogil:
            ready = isotp_wait_readable(self.fd, self.wake_fd, timeout_ns)
            number = errno
        if ready < 0 and number != EINTR:
            raise self._error(number)
        return ready != 0

    def wake(self):
        """Let the thread that waits for a frame look around."""
        if self._begin_use():
            isotp_ring(self.wake_fd)
            self._end_use()

    cdef int _fill(self, double timeout) except -1:
        """Have frames in the batch, if there are any in time; where they end. They begin at batch_next."""
        if self.batch_next == self.batch_count:
            self.batch_next = 0
            self.batch_count = 0
            if not self._begin_use():
                raise self._error(EBADF)
            try:
                self.batch_count = self._read()
                if self.batch_count == 0 and timeout > 0 and self._wait(<int64_t>(timeout * 1e9)):
                    self.batch_count = self._read()
            finally:
                self._end_use()
        return self.batch_count

    def receive(self, double timeout=0.0):
        """The next frame, or None if there is none within `timeout` seconds.

        :raises OSError: if the interface is gone or down.
        """
        cdef CanMessage message
        if self._fill(timeout) == self.batch_next:
            return None
        message = message_of_frame(isotp_batch_frame(self.batch, self.batch_next))
        self.batch_next += 1
        return message

    def receive_stamped(self, double timeout):
        """The data frames that are there, or come first within `timeout` seconds, each as a tuple.

        It has ns since 1970, the identifier (29-bit ones with bit 31 set), the data and the flags of CAN FD. Who takes
        frames so takes none in another way.
        """
        cdef const Frame *frame = isotp_batch_frame(self.batch, 0)
        cdef int k, end
        self.as_stamped = True
        end = self._fill(timeout)
        found = []
        for k in range(self.batch_next, end):
            if not frame[k].can_id & (<uint32_t>CAN_RTR_FLAG | <uint32_t>CAN_ERR_FLAG):
                found.append((self.times[k], frame[k].can_id, frame[k].data[:frame[k].len], frame[k].flags))
        self.batch_next = end
        return found

    def take(self):
        """The frames that wait() found, each as a tuple; remote and error frames, too.

        It has ns of the monotonic clock, the identifier with the flags of SocketCAN, the data, the flags of CAN FD, and
        whether it comes from another system.
        """
        cdef const Frame *frame = isotp_batch_frame(self.batch, 0)
        cdef int k
        found = [(self.times[k], frame[k].can_id, frame[k].data[:min(frame[k].len, 64)], frame[k].flags,
                  not frame[k].res0 & ISOTP_LOCAL)
                 for k in range(self.batch_next, self.batch_count)]
        self.batch_next = self.batch_count
        return found

    def receive_for(self, DrivenEngine engine not None, double timeout):
        """Wait up to `timeout` seconds for frames and give all that are there to a started layer."""
        cdef int end = self._fill(timeout)
        cdef int first = self.batch_next
        self.batch_next = end
        if end > first:
            engine.feed_frames(isotp_batch_frame(self.batch, first), &self.times[first], end - first, self.read_until)
        else:
            engine.heard_until(self.read_until)
        return end - first

    def wait(self, double timeout):
        """Wait up to `timeout` seconds for frames; True if there are any for dispatch()."""
        return self._fill(timeout) > self.batch_next

    def dispatch(self, dict layers, tuple others, dict senders):
        """Give the frames that wait() found to started layers: `layers` has a tuple of them for each identifier.

        Identifiers of 29 bits have bit 31 set. Frames with other identifiers go to the layers in `others`, and those
        that were sent here to the layers in `senders`, which has those who send frames with an identifier.
        """
        cdef Frame *frames = isotp_batch_frame(self.batch, 0)
        cdef int first, end
        cdef tuple takers
        cdef DrivenEngine engine
        # What a callback takes away meanwhile, take() gives to it.
        while self.batch_next < self.batch_count:
            first = self.batch_next
            # Frames in a row with the same identifier, as the CFs of a block, go to their layer together.
            end = first + 1
            while (end < self.batch_count and frames[end].can_id == frames[first].can_id
                    and frames[end].res0 == frames[first].res0):
                end += 1
            self.batch_next = end
            if frames[first].can_id & (<uint32_t>CAN_RTR_FLAG | <uint32_t>CAN_ERR_FLAG):
                continue           # no data: who is asked for each frame is not to be asked for these
            takers = layers.get(frames[first].can_id, others)
            if frames[first].res0 & ECHO:
                takers = senders.get(frames[first].can_id, ()) + (() if self.hears_echoes else takers)
            for engine in takers:
                engine.feed_frames(&frames[first], &self.times[first], end - first, NEVER)

    def send(self, CanMessage message not None):
        """Send one frame; waits up to N_As (ISO 15765-2, 9.8.1) while the queue of the interface is full.

        :raises OSError: if that is not possible.
        """
        cdef SocketPort port = SocketPort(self)
        cdef int64_t deadline = isotp_monotonic_ns() + N_AS_NS
        frame_of_message(message, port.next)
        port.put()
        port.flush()
        while port.waiting > 0:
            if isotp_monotonic_ns() >= deadline:
                raise port.refusal()
            with nogil:
                isotp_sleep_ns(PAUSE_NS)
            port.flush()


cdef class SocketPort(FramePort):
    """SocketPort(can_socket)\n--\n\n
    Sends the frames of one engine on a CanSocket, up to 64 of them with one system call.

    Frames that a full queue of the interface refuses (ENOBUFS) wait here until the engine tries again.

    :param can_socket: :class:`CanSocket`
    """

    cdef isotp_batch *batch
    cdef CanSocket socket

    def __cinit__(self, *args, **kwargs):
        self.batch = new_batch()
        self.keep(0)

    def __dealloc__(self):
        free(self.batch)

    def __init__(self, CanSocket can_socket not None):
        self.socket = can_socket

    cdef void keep(self, int count) noexcept:
        self.waiting = count
        self.next = isotp_batch_frame(self.batch, count)

    cdef bint put(self) except -1:
        if self.waiting == ISOTP_BATCH:
            return False
        self.keep(self.waiting + 1)
        return True

    cdef int flush(self) except -1:
        cdef Frame *frames = isotp_batch_frame(self.batch, 0)
        cdef int count = self.waiting
        cdef int sent = 0
        cdef int number
        if count == 0:
            return 0
        self.keep(0)
        if self.socket._begin_use():
            with nogil:
                number = self._write(count, &sent)
            self.socket._end_use()
        else:
            number = EBADF
        # ENOBUFS: the queue of the interface is full, which no poll() tells about
        if number not in (0, ENOBUFS, EAGAIN):
            self.lost = count - sent
            raise self.socket._error(number)
        if sent < count:
            memmove(frames, frames + sent, (count - sent) * sizeof(Frame))
            self.keep(count - sent)
        return 0

    cdef object refusal(self):
        return self.socket._error(ENOBUFS)

    cdef int _write(self, int count, int *sent) noexcept nogil:
        """Send `count` frames; 0 or an errno, after the first `sent` ones."""
        cdef int written
        while sent[0] < count:
            written = isotp_write_batch(self.socket.fd, self.batch, sent[0], count)
            if written > 0:
                sent[0] += written
            elif errno != EINTR:
                return errno
        return 0
