# cython: language_level=3
"""Many frames at once: records in, a table of messages out, one Receiver for each direction of each session.

The loop runs without the GIL and calls the same steps of _protocol/ that a layer in listen mode does. What is here
is only which Receiver a frame is for, and what becomes a row of the table: a part of its own for each.
"""

cimport cython
from cpython.buffer cimport PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport INT64_MIN, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from isotp.bulk._message import Direction

from isotp._protocol.frames cimport *
from isotp._protocol.n_pci cimport *
from isotp._protocol.reception cimport *
from isotp._protocol.types cimport *
from isotp._core cimport error_class_of, require_address, takes_frames_by_filter
from isotp.bulk._guard cimport claim, release
from isotp.bulk._messages cimport Messages, Spares, forget_columns, messages_of, rows_clear
from isotp.bulk._records cimport KEY_CHANNEL_SHIFT, RECORDS_FLAGS, RECORDS_WITH_GIL, RecordBuffer, find_records
from isotp.bulk._slots cimport KEY_EMPTY, code_of, slots_free, slots_init


include "reassembly/lanes.pxi"         # the state
include "reassembly/keys.pxi"          # which lane a frame is for
include "reassembly/rows.pxi"          # what becomes a row
include "reassembly/reception.pxi"     # one frame on one lane
include "reassembly/turns.pxi"         # full CFs without a look-up
include "reassembly/singles.pxi"       # SFs, and frames of nobody, one behind the other
include "reassembly/feeding.pxi"       # all records of a buffer


@cython.auto_pickle(False)
cdef class Reassembler:
    """Reassembler(addresses, *, rx_consecutive_frame_timeout=1000, max_frame_size=None, strict=False)\n--\n\n
    Puts together the messages of many sessions from the frames of a log.

    It follows each session as a layer in listen mode does, in both directions, on each channel separately. If a log
    has only one direction, it reassembles that one.

    :param addresses: `isotp.Address` or `isotp.AsymmetricAddress` objects. Each is for both directions of a session,
        seen from one of its ends; a partial one is for one direction. An item may also be a pair of an address and
        the number of the one channel where it is used. If several have the same CAN ID and extension byte, its
        messages belong to the first of them. An address without a channel is followed on each channel where it is
        heard, up to a bound: all addresses together have room for one channel each and 16,384 more. `passed_over`
        counts the frames on others.
    :param rx_consecutive_frame_timeout: N_Cr in ms, by the time stamps of the frames. It starts anew with each flow
        control frame seen.
    :param max_frame_size: longest message in bytes; None: no limit. Memory grows only with what arrives.
    :param strict: receive by ISO 15765-2 where can-isotp deviates from it, like the layer's parameter of that name.
    :raises ValueError: for a wrong address, one given twice, or one that decides for itself which frames it takes.
    """

    cdef Machine machine
    cdef readonly tuple sessions
    cdef Spares spares
    cdef bint ready                # __init__() came to its end
    cdef bint busy

    def __cinit__(self, *args, **kwargs):
        memset(&self.machine, 0, sizeof(Machine))
        self.spares = Spares()
        self.machine.spare_columns = &self.spares.columns
        self.machine.spare_data = &self.spares.data
        self.machine.config.listen = True
        self.machine.latest = INT64_MIN
        self.machine.rows.varied = True
        rows_clear(&self.machine.rows)
        forget_recent(&self.machine)
        self.sessions = ()

    def __init__(self, addresses, *, rx_consecutive_frame_timeout=1000, max_frame_size=None, bint strict=False):
        # Addresses come from code of the user, which may call this object or another thread that does.
        claim(self, &self.busy, "Reassembler")
        try:
            if self.ready:
                raise RuntimeError("a Reassembler cannot be initialised again")
            if not rx_consecutive_frame_timeout >= 0:
                raise ValueError(
                    f"rx_consecutive_frame_timeout must be 0 or more ms, not {rx_consecutive_frame_timeout!r}")
            if max_frame_size is not None and not 0 <= max_frame_size <= 0xFFFFFFFF:
                raise ValueError(f"max_frame_size must be from 0 to 0xffffffff bytes, not {max_frame_size!r}")
            self.machine.config.n_cr_ns = int(min(rx_consecutive_frame_timeout * 1_000_000, 1 << 61))
            self.machine.config.max_frame_size = 0xFFFFFFFF if max_frame_size is None else max_frame_size
            self.machine.config.strict = strict
            self._add_sessions(addresses)
            self.ready = True
        finally:
            if not self.ready:
                self._forget_sessions()
            release(self, &self.busy)

    @cython.final
    cdef int _add_sessions(self, addresses) except -1:
        given = [each if isinstance(each, tuple) else (each, None) for each in addresses]
        for address, channel in given:
            require_address(address)
            if not takes_frames_by_filter(address):
                raise ValueError(f"addresses must be plain isotp.Address objects, not {address!r}")
            if channel is not None and not 0 <= channel <= 0xFFFF:
                raise ValueError(f"channel must be from 0 to 65535, not {channel!r}")
        if len(set(given)) != len(given):
            raise ValueError(f"an address is given twice: {given!r}")
        indices = {}
        for address, _ in given:
            indices.setdefault(address, len(indices))
        sessions = tuple(indices)
        places = [
            (indices[address], KEY_ANY_CHANNEL if channel is None else <uint64_t>channel << KEY_CHANNEL_SHIFT)
            for address, channel in given]
        self._make_keys(sessions)
        slots_init(&self.machine.slots)
        for session, channel_bits in places:
            if not template_add(&self.machine, session, channel_bits):
                raise MemoryError(f"no memory for {len(sessions)} sessions")
        for session, channel_bits in places:
            self._check_prefixes(session, channel_bits)
        self.machine.most_places = len(sessions) + MOST_FURTHER_PLACES
        self.sessions = sessions
        return 0

    @cython.final
    cdef void _forget_sessions(self) noexcept:
        slots_free(&self.machine.slots)
        free(self.machine.keys)
        self.machine.keys = NULL

    cdef int _make_keys(self, tuple sessions) except -1:
        cdef Py_ssize_t k = 0
        cdef bint functional
        self.machine.keys = <uint64_t *>malloc(max(4 * len(sessions), 1) * sizeof(uint64_t))
        if self.machine.keys == NULL:
            raise MemoryError(f"no memory for {len(sessions)} sessions")
        for address in sessions:
            for side in (address.tx_side(), address.rx_side()):
                for functional in range(2):
                    self.machine.keys[k] = side_key(side, functional)
                    k += 1
        return 0

    cdef int _check_prefixes(self, Py_ssize_t session, uint64_t channel_bits) except -1:
        cdef uint64_t key
        cdef Py_ssize_t k
        cdef bint asks_prefix
        for k in range(4 * session, 4 * session + 4):
            key = self.machine.keys[k]
            asks_prefix = code_of(&self.machine.slots, <uint32_t>key | channel_bits) == ASK_PREFIX
            if key != KEY_EMPTY and asks_prefix != (key & KEY_HAS_PREFIX != 0):
                raise ValueError(
                    f"CAN ID {<uint32_t>key & 0x1FFFFFFF:#x} is used both with and without an extension byte")
        return 0

    def __dealloc__(self):
        cdef Py_ssize_t k
        for k in range(self.machine.lane_count):
            receiver_free(&lane_at(self.machine.lanes, k).rx)
        free(self.machine.lanes_memory)
        self._forget_sessions()

    cdef void _drop_rows(self) noexcept:
        """Forget rows that did not become a table."""
        free(self.machine.columns.offsets)
        free(self.machine.columns.data)
        forget_columns(&self.machine.columns)
        rows_clear(&self.machine.rows)
        self.machine.data_used = 0

    @cython.final
    cdef int _enter(self) except -1:
        claim(self, &self.busy, "Reassembler")
        if not self.ready:
            release(self, &self.busy)
            raise RuntimeError(f"{type(self).__name__}.__init__() of the base class was not called, or failed")
        return 0

    def feed(self, frames: Buffer, layout: Literal["classic", "fd"] | None = None) -> Messages:
        """Take frames, in the order of the log; returns the messages that ended with them.

        A reception that N_Cr ended is reported with the next frame of its session, or by flush(), so the result as a
        whole does not depend on how the log is cut into pieces.

        :param frames: any C-contiguous buffer of records: `Records`, a NumPy array, bytes, mmap ...
        :param layout: "classic" or "fd", needed if the size of the buffer's items does not show it.
        :returns: :class:`Messages`, in the order in which they ended.
        :raises ValueError: if the buffer holds no records.
        :raises RuntimeError: if another thread feeds this object right now.
        """
        cdef RecordBuffer given
        cdef bint done
        PyObject_GetBuffer(frames, &given.view, RECORDS_FLAGS)
        try:
            find_records(&given, layout)
            self._enter()
            if given.count <= RECORDS_WITH_GIL:
                done = feed_buffer(&self.machine, given.items, given.count, given.fd)
            else:
                with nogil:
                    done = feed_buffer(&self.machine, given.items, given.count, given.fd)
            return self._table(done)
        finally:
            PyBuffer_Release(&given.view)

    def flush(self) -> Messages:
        """End what is still open, as at the end of a log; returns a table of it.

        Receptions whose N_Cr ran out before the latest frame have timed out, the others are OPEN.
        """
        self._enter()
        return self._table(end_all(&self.machine))

    cdef Messages _table(self, bint done):
        try:
            if not done:
                raise MemoryError(f"no memory for the messages of {len(self.sessions)} sessions")
            return messages_of(self.sessions, &self.machine.columns, &self.machine.rows, self.spares)
        finally:
            self._drop_rows()
            release(self, &self.busy)

    def statistics(self) -> list[dict[str, Any]]:
        """What was heard so far: a list of dictionaries, one for each direction of a session on a channel.

        ``session`` (index), ``address``, ``channel``, ``direction``, ``frames`` (all with this address), ``messages``
        (complete ones) and ``errors``: how often a layer in listen mode would have reported each class of error.

        :raises RuntimeError: if another thread feeds this object right now.
        """
        cdef Py_ssize_t k
        cdef int code
        cdef const Lane *lane
        found = []
        self._enter()
        try:
            for k in range(self.machine.lane_count):
                lane = lane_at(self.machine.lanes, k)
                counts = {}
                for code in range(OK + 1, OUTCOME_COUNT):
                    if lane.outcomes[code] > 0:
                        error = error_class_of(<OutcomeCode>code)
                        counts[error] = counts.get(error, 0) + lane.outcomes[code]
                open_frames = frames_of_reception(lane) if lane.rx.state == RX_WAIT_CF else 0
                found.append({
                    "session": lane.session, "address": self.sessions[lane.session], "channel": lane.channel,
                    "direction": Direction(lane.direction), "frames": lane.frames + open_frames,
                    "messages": lane.messages, "errors": counts})
        finally:
            release(self, &self.busy)
        return found

    @property
    def passed_over(self):
        """Frames that were not examined, because their addresses are heard on too many channels."""
        return self.machine.passed_over

    def __repr__(self):
        return f"<Reassembler {len(self.sessions)} sessions>"
