# cython: language_level=3
"""A bus in this process: frames in one order, carried to all ends by whoever brings one.

There is no thread. Who sends a frame carries it to the other ends and runs the engines there; what these send in turn
waits in the line until it is its turn, and so does what other threads bring meanwhile. So all ends hear the same
frames in the same order, nobody waits for anybody, and no frame is an object of Python on its way.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from isotp._core cimport ECHO, CanMessage, DrivenEngine, FramePort, frame_of_message, message_of_frame
from isotp._protocol.types cimport CAN_DLEN_MAX, NEVER, Frame

import threading
import time

from isotp._core import TryAgain


cdef extern from "_clock.h":
    int64_t isotp_monotonic_ns() noexcept nogil


cdef enum:
    BATCH = 64                     # frames that go to an end at once
    FIRST_PLACES = 64              # of a ring; it doubles as needed
    MOST_WAITING = 65536           # frames in the line, or at an end where nobody takes them
    CAN_RTR_FLAG = 0x40000000      # linux/can.h
    CAN_ERR_FLAG = 0x20000000

# What became of a frame, beside that it was carried.
cdef enum FateCode:
    CARRIED = 0
    LOST = 1


# One frame on its way.
cdef struct Passage:
    Frame frame
    int64_t when
    int sender                     # number of the end
    int fate                       # CARRIED, LOST or what the judge calls it


@cython.final
cdef class Ring:
    """Frames in their order."""

    cdef Passage *room
    cdef Py_ssize_t places
    cdef Py_ssize_t first
    cdef Py_ssize_t count

    def __dealloc__(self):
        free(self.room)

    cdef Passage *at(self, Py_ssize_t k) noexcept:
        return &self.room[(self.first + k) & (self.places - 1)]

    cdef Passage *add(self) except NULL:
        """A place behind the last one."""
        cdef Passage *room
        cdef Py_ssize_t k, places
        if self.count == self.places:
            places = max(2 * self.places, FIRST_PLACES)
            room = <Passage *>malloc(places * sizeof(Passage))
            if room == NULL:
                raise MemoryError(f"no memory for {places} frames")
            for k in range(self.count):
                room[k] = self.at(k)[0]
            free(self.room)
            self.room = room
            self.places = places
            self.first = 0
        self.count += 1
        return self.at(self.count - 1)

    cdef void drop_first(self, Py_ssize_t count) noexcept:
        self.first = (self.first + count) & (self.places - 1)
        self.count -= count

    cdef void clear(self) noexcept:
        self.count = 0


cdef tuple described(const Passage *passage):
    """What Python sees of a frame: time, sender, fate, identifier (bit 31: 29 bits), data, flags of CAN FD."""
    cdef const Frame *frame = &passage.frame
    data = PyBytes_FromStringAndSize(<const char *>frame.data, frame.len)
    return passage.when, passage.sender, passage.fate, frame.can_id, data, frame.flags


cdef int describe(Passage *passage, uint32_t can_id, bytes data, uint8_t flags) except -1:
    cdef Py_ssize_t size = len(data)
    if size > CAN_DLEN_MAX:
        raise ValueError(f"a CAN frame has at most {CAN_DLEN_MAX} bytes, not {size}")
    memset(&passage.frame, 0, sizeof(Frame))
    passage.frame.can_id = can_id
    passage.frame.len = <uint8_t>size
    passage.frame.flags = flags
    memcpy(passage.frame.data, <const char *>data, <size_t>size)
    return 0


# One that __init__() did not make has nothing in its places: that is an exception, not the end of the process.
@cython.nonecheck(True)
cdef class Line:
    """Line(clock=None, kept=65536)\n--\n\n
    The wire itself: what was put on it and is not carried yet, and what went over it.

    :param clock: callable that returns ns; None: the clock of every layer.
    :param kept: frames that the log keeps; beyond, the oldest are forgotten.
    """

    cdef Ring waiting
    cdef Ring log
    cdef Py_ssize_t kept
    cdef uint64_t forgotten        # by the log
    cdef readonly object clock
    cdef public bint jammed        # it takes no frame
    cdef public object judge       # (when, sender, can_id, data, flags) -> what comes of it, or None: as it is
    cdef tuple ends
    cdef int numbers               # of ends that ever were
    cdef bint busy                 # somebody carries
    cdef Frame[BATCH] run          # what he carries now
    cdef int64_t[BATCH] times

    def __init__(self, clock=None, Py_ssize_t kept=MOST_WAITING):
        self.waiting = Ring()
        self.log = Ring()
        self.ends = ()
        self.clock = clock
        self.kept = kept

    cdef int64_t now(self) except? -1:
        return isotp_monotonic_ns() if self.clock is None else self.clock()

    @cython.final
    cdef bint put(self, int sender, const Frame *frames, int count, int fate) except -1:
        """Frames of an end. False: there is no room for them."""
        cdef int64_t now = self.now()
        cdef Passage *passage
        cdef bint has_room
        cdef int k
        with cython.critical_section(self):
            has_room = self.waiting.count + count <= MOST_WAITING and not (self.jammed and fate == CARRIED)
            if has_room:
                for k in range(count):
                    passage = self.waiting.add()
                    passage.frame = frames[k]
                    passage.frame.res0 = 0
                    passage.when = now
                    passage.sender = sender
                    passage.fate = fate
        if has_room:
            self.carry()
        return has_room

    @cython.final
    cdef int carry(self) except -1:
        """Bring to the ends what waits, unless somebody does so already."""
        cdef bint is_free
        cdef int count, sender, fate
        cdef object judge
        with cython.critical_section(self):
            is_free = not self.busy
            self.busy = True
        if not is_free:
            return 0
        try:
            while True:
                judge = self.judge
                with cython.critical_section(self):
                    if self.waiting.count == 0:
                        self.busy = False
                        return 0
                    sender = self.waiting.at(0).sender
                    fate = self.waiting.at(0).fate
                    if fate != CARRIED:
                        judge = None
                    count = self.take_run(1 if judge is not None else BATCH)
                if judge is None:
                    self.bring(sender, count, fate)
                else:
                    self.bring_judged(judge, sender)
        except BaseException:
            with cython.critical_section(self):
                self.busy = False
            raise

    @cython.final
    cdef int take_run(self, int most) noexcept:
        """The first frames that one end sent with one identifier, as the CFs of a block; how many."""
        cdef const Passage *first = self.waiting.at(0)
        cdef const Passage *passage
        cdef int count = 0
        most = min(most, <int>min(self.waiting.count, <Py_ssize_t>BATCH))
        while count < most:
            passage = self.waiting.at(count)
            if (passage.sender != first.sender or passage.fate != first.fate
                    or passage.frame.can_id != first.frame.can_id):
                break
            self.run[count] = passage.frame
            self.times[count] = passage.when
            count += 1
        self.waiting.drop_first(count)
        return count

    @cython.final
    cdef int bring(self, int sender, int count, int fate) except -1:
        cdef End end
        self.note(sender, count, fate)
        if fate == LOST:
            return 0
        for end in self.ends:
            if end.number != sender:
                end.hear(self.run, self.times, count)
            elif end.hears_own:
                end.hear_own(self.run, self.times, count)
        return 0

    @cython.final
    cdef int bring_judged(self, object judge, int sender) except -1:
        """Whoever judges says what comes of the frame: several frames, later ones, or none."""
        cdef Frame frame = self.run[0]
        cdef int64_t when = self.times[0]
        cdef Passage passage
        data = PyBytes_FromStringAndSize(<const char *>frame.data, frame.len)
        verdict = judge(when, sender, frame.can_id, data, frame.flags)
        if verdict is None:
            return self.bring(sender, 1, CARRIED)
        for who, fate, can_id, data, flags in verdict:
            describe(&passage, can_id, data, flags)
            self.run[0] = passage.frame
            self.times[0] = when
            self.bring(who, 1, fate)
        return 0

    def inject(self, int sender, int fate, uint32_t can_id, bytes data, uint8_t flags):
        """Have a frame come now, as one that was delayed; it was judged before."""
        cdef Passage passage
        describe(&passage, can_id, data, flags)
        self.put(sender, &passage.frame, 1, fate)

    @cython.final
    cdef int note(self, int sender, int count, int fate) except -1:
        cdef Passage *passage
        cdef int k
        if self.kept <= 0:
            return 0
        with cython.critical_section(self):
            for k in range(count):
                if self.log.count >= self.kept:
                    self.log.drop_first(1)
                    self.forgotten += 1
                passage = self.log.add()
                passage.frame = self.run[k]
                passage.when = self.times[k]
                passage.sender = sender
                passage.fate = fate
        return 0

    def entries(self, uint64_t first=0):
        """What went over the wire from a number on, counted from 0; each as a tuple."""
        cdef uint64_t k
        with cython.critical_section(self):
            begin = max(first, self.forgotten) - self.forgotten
            return [described(self.log.at(<Py_ssize_t>k)) for k in range(begin, <uint64_t>self.log.count)]

    @property
    def carried(self):
        """How many frames went over the wire, lost ones as well."""
        return self.forgotten + <uint64_t>self.log.count

    @cython.final
    cdef int join(self, End end) except -1:
        with cython.critical_section(self):
            self.numbers += 1
            end.number = self.numbers
            self.ends = (*self.ends, end)
        return 0

    @cython.final
    cdef int leave(self, End end) except -1:
        with cython.critical_section(self):
            self.ends = tuple([other for other in self.ends if other is not end])
        return 0


@cython.nonecheck(True)
cdef class End:
    """End(line, name="")\n--\n\n
    One end of the wire: hears what all others send.

    It gives the frames at once to the layers that listen, or keeps them for who asks. Threads may wait for a frame as
    at a raw socket, and whatever reads one of those can read this.
    """

    cdef readonly Line line
    cdef readonly int number
    cdef public str name
    cdef public object on_frame    # (when, can_id, data, flags) for each frame that it hears, or None
    cdef public object on_kept     # called when there is something for who asks, or None
    cdef public bint keeps         # frames that nobody listens to, for who asks
    cdef public bint hears_own     # frames too, marked as echoes
    cdef public object takes       # (can_id) -> whether a frame is kept; None: all are
    cdef dict layers               # those that listen, as of isotp.bus.table, or None
    cdef tuple others
    cdef dict senders
    cdef Ring box                  # what it keeps
    cdef uint64_t lost             # for which the box had no room
    cdef Frame[BATCH] batch        # what was taken out of it ...
    cdef int64_t[BATCH] times
    cdef int taken                 # ... so many ...
    cdef int next                  # ... from this one on
    cdef object bell               # a lock that who waits stands behind
    cdef bint woken
    cdef readonly bint closed

    def __init__(self, Line line not None, str name=""):
        if self.line is not None:
            raise RuntimeError("this end is on a wire already")
        self.box = Ring()
        self.bell = threading.Lock()
        self.keeps = True
        self.line = line
        self.name = name
        line.join(self)

    def close(self):
        """Leave the wire; who waits for a frame waits no more."""
        self.closed = True
        self.listen(None, (), {})
        self.line.leave(self)
        self.ring()

    # ------------------------------------------------ what comes

    def listen(self, layers, others, senders):
        """Bring frames to these layers, on the thread that brings them; None: keep them again."""
        with cython.critical_section(self):
            self.layers, layers = layers, self.layers
            self.others, others = others, self.others
            self.senders, senders = senders, self.senders

    def hear_echoes(self):
        """Hear the own frames too, as those who wait for them do."""
        self.hears_own = True

    @cython.final
    cdef int hear(self, const Frame *frames, const int64_t *times, int count) except -1:
        cdef dict layers
        cdef tuple others
        cdef int k
        on_frame = self.on_frame
        if on_frame is not None and count > 1:
            # What it does with one may be to listen, or not to, to the next.
            for k in range(count):
                self.hear(&frames[k], &times[k], 1)
            return 0
        with cython.critical_section(self):
            layers = self.layers
            others = self.others
        if on_frame is not None:
            data = PyBytes_FromStringAndSize(<const char *>frames.data, frames.len)
            on_frame(times[0], frames.can_id, data, frames.flags)
        if layers is None:
            if self.keeps:
                self.keep(frames, times, count)
        elif not frames.can_id & (<uint32_t>CAN_RTR_FLAG | <uint32_t>CAN_ERR_FLAG):
            give(layers.get(frames.can_id, others), frames, times, count)
        return 0

    @cython.final
    cdef int hear_own(self, Frame *frames, const int64_t *times, int count) except -1:
        """Its own frames, once they are on the wire."""
        cdef dict senders
        cdef int k
        for k in range(count):
            frames[k].res0 = ECHO
        try:
            with cython.critical_section(self):
                senders = self.senders
            if senders is not None:
                give(senders.get(frames.can_id, ()), frames, times, count)
            elif self.keeps:
                self.keep(frames, times, count)
        finally:
            for k in range(count):
                frames[k].res0 = 0     # for the other ends they are none
        return 0

    @cython.final
    cdef int keep(self, const Frame *frames, const int64_t *times, int count) except -1:
        cdef Passage *passage
        cdef int k
        if self.takes is not None and not self.takes(frames.can_id):
            return 0
        with cython.critical_section(self):
            for k in range(count):
                if self.box.count >= MOST_WAITING:
                    self.lost += 1
                    continue
                passage = self.box.add()
                passage.frame = frames[k]
                passage.when = times[k]
        self.ring()
        on_kept = self.on_kept
        if on_kept is not None:
            on_kept()
        return 0

    @property
    def waiting(self):
        """How many frames are kept for who asks."""
        return self.box.count

    @property
    def overrun(self):
        """How many frames were lost, as too many were kept already."""
        return self.lost

    # ------------------------------------------------ who waits

    @cython.final
    cdef int ring(self) except -1:
        if self.bell.locked():
            try:
                self.bell.release()
            except RuntimeError:
                pass               # another thread has just rung
        return 0

    def wake(self):
        """Let the thread that waits for a frame look around."""
        self.woken = True
        self.ring()

    def forget_threads(self):
        """After a fork, in the child: nobody waits there, and nobody carries."""
        self.bell = threading.Lock()
        self.line.busy = False

    def wait(self, double timeout):
        """Wait up to `timeout` seconds for frames; True if there are any for dispatch() or take()."""
        if self.next == self.taken:
            self.await_frame(timeout)
        return self.fill() > 0

    @cython.final
    cdef bint await_frame(self, double timeout) except -1:
        """Wait for a frame to be kept. False: time is up, or somebody has called wake()."""
        cdef double until
        cdef double left = timeout
        if self.box.count > 0:
            return True
        if timeout <= 0:
            return False
        if self.line.clock is not None and self.line.clock.is_held_here():
            return self.line.clock.wait_for(lambda: self.box.count > 0 or self.closed, timeout)
        until = time.monotonic() + timeout
        while self.box.count == 0 and not self.woken and not self.closed and left > 0:
            self.bell.acquire(True, min(left, threading.TIMEOUT_MAX))
            left = until - time.monotonic()
        self.woken = False
        if self.closed:
            self.ring()            # others may wait, too
        return self.box.count > 0

    @cython.final
    cdef int fill(self) noexcept:
        """Take frames out of the box, as many as go at once; how many there are now."""
        cdef int k
        with cython.critical_section(self):
            if self.next == self.taken:
                self.next = 0
                self.taken = <int>min(self.box.count, <Py_ssize_t>BATCH)
                for k in range(self.taken):
                    self.batch[k] = self.box.at(k).frame
                    self.times[k] = self.box.at(k).when
                self.box.drop_first(self.taken)
        return self.taken - self.next

    def dispatch(self, dict layers, tuple others, dict senders):
        """Give the frames that wait() found to started layers, as CanSocket.dispatch() does."""
        cdef int first, end
        cdef tuple takers
        # What a callback takes away meanwhile, take() gives to it.
        while self.next < self.taken:
            first = self.next
            end = first + 1
            while (end < self.taken and self.batch[end].can_id == self.batch[first].can_id
                    and self.batch[end].res0 == self.batch[first].res0):
                end += 1
            self.next = end
            if self.batch[first].can_id & (<uint32_t>CAN_RTR_FLAG | <uint32_t>CAN_ERR_FLAG):
                continue
            takers = layers.get(self.batch[first].can_id, others)
            if self.batch[first].res0 & ECHO:
                takers = takers + tuple([
                    layer for layer in senders.get(self.batch[first].can_id, ()) if layer not in takers])
            give(takers, &self.batch[first], &self.times[first], end - first)

    def take(self):
        """The frames that wait() found, each as a tuple, as CanSocket.take() does."""
        cdef int k
        cdef int first = self.next
        self.next = self.taken
        return [
            (self.times[k], self.batch[k].can_id, self.batch[k].data[:self.batch[k].len], self.batch[k].flags,
             not self.batch[k].res0 & ECHO)
            for k in range(first, self.taken)]

    def take_one(self, timeout):
        """The next frame as such a tuple, or None if there is none within `timeout` seconds. None: no limit."""
        cdef Passage passage
        cdef bint found
        cdef double seconds = NO_LIMIT_S if timeout is None else timeout
        self.await_frame(seconds)
        with cython.critical_section(self):
            found = self.box.count > 0
            if found:
                passage = self.box.at(0)[0]
                self.box.drop_first(1)
        if self.box.count > 0:
            self.ring()            # for another one who waits
        if not found:
            return None
        frame = &passage.frame
        return passage.when, frame.can_id, frame.data[:frame.len], frame.flags, not frame.res0 & ECHO

    def receive(self, double timeout=0.0):
        """The next data frame, or None if there is none within `timeout` seconds: a rxfn."""
        cdef Passage passage
        cdef bint found = True
        cdef CanMessage message
        while found:
            self.await_frame(timeout)
            with cython.critical_section(self):
                found = self.box.count > 0
                if found:
                    passage = self.box.at(0)[0]
                    self.box.drop_first(1)
            if found and not passage.frame.can_id & (<uint32_t>CAN_RTR_FLAG | <uint32_t>CAN_ERR_FLAG):
                message = message_of_frame(&passage.frame)
                message.stamp = passage.when / 1e9
                return message
        return None

    # ------------------------------------------------ what goes

    def send(self, CanMessage message not None):
        """Send a frame: a txfn. It raises `isotp.protocol.TryAgain` if the wire takes none."""
        cdef Frame frame
        frame_of_message(message, &frame)
        if not self.line.put(self.number, &frame, 1, CARRIED):
            raise TryAgain(full)

    def send_raw(self, uint32_t can_id, bytes data, uint8_t flags=0):
        """Send a frame by its identifier (bit 31: 29 bits), also one that no layer sends."""
        cdef Passage passage
        describe(&passage, can_id, data, flags)
        if not self.line.put(self.number, &passage.frame, 1, CARRIED):
            raise TryAgain(full)

    def port(self):
        """What sends the frames of one layer."""
        return WirePort(self)


cdef double NO_LIMIT_S = threading.TIMEOUT_MAX - 1
cdef str full = f"the wire takes no frame: it is jammed, or {MOST_WAITING} are on it"


cdef int give(tuple takers, const Frame *frames, const int64_t *times, int count) except -1:
    cdef DrivenEngine engine
    for engine in takers:
        engine.feed_frames(frames, times, count, NEVER)
    return 0


@cython.nonecheck(True)
cdef class WirePort(FramePort):
    """WirePort(end)\n--\n\n
    Sends the frames of one engine at an end of the wire, up to 64 of them at once."""

    cdef End end
    cdef Frame[BATCH] batch

    def __init__(self, End end not None):
        self.end = end
        self.keep(0)

    cdef void keep(self, int count) noexcept:
        self.waiting = count
        self.next = &self.batch[min(count, BATCH - 1)]

    cdef bint put(self) except -1:
        if self.waiting == BATCH:
            return False
        self.keep(self.waiting + 1)
        return True

    cdef int flush(self) except -1:
        cdef int count = self.waiting
        if count == 0:
            return 0
        self.keep(0)
        try:
            if not self.end.line.put(self.end.number, self.batch, count, CARRIED):
                self.keep(count)
        except BaseException:
            self.lost = 0          # they are on the wire, whoever raised there
            raise
        return 0

    cdef object refusal(self):
        return TryAgain(full)
