# One message to send: its bytes, and how it ended.


cdef object as_payload(object data):
    """The bytes of a message that a user gives to send(); see Engine.send for what is accepted."""
    if type(data) is bytes:
        return data
    if isinstance(data, (bytes, bytearray)):
        return bytes(data)
    if isinstance(data, (str, int)) or not hasattr(data, "__iter__"):
        raise ValueError(f"payload must be bytes or an iterable of byte values, not {data!r}")
    try:
        view = memoryview(data)
    except TypeError:
        view = None
    # Other item types than bytes count by value: an array of 16-bit numbers below 256 is as good as a list.
    if view is not None and view.itemsize == 1 and view.c_contiguous:
        return bytes(view)
    payload = bytearray()
    for item in data:
        try:
            payload.append(item)
        except (TypeError, ValueError):
            raise ValueError(
                f"payload must consist of integers from 0 to 255, but item {len(payload)} is {item!r}") from None
    return bytes(payload)


cdef uint64_t rest_of_file(object file) except? 0xFFFFFFFFFFFFFFFF:
    """Bytes from the position of a binary file to its end."""
    try:
        position = file.tell()
        size = file.seek(0, 2) - position
        file.seek(position)
    except OSError as error:
        raise ValueError(f"size of {file!r} is not known: give (file, size)") from error
    if not 0 <= size <= 0xFFFFFFFF:
        raise ValueError(f"{size} bytes to send from {file!r}: must be 0 to 2^32-1")
    return size


@cython.final
cdef class OwnConfig:
    """Parameters of one message; never changed."""


cdef OwnConfig own_config(object params, object values):
    """Those of some Params, but for these."""
    cdef OwnConfig own = OwnConfig.__new__(OwnConfig)
    own.config = settings_of(params._for_message(values)).config
    return own


cdef inline const Config *config_or_null(OwnConfig own) noexcept:
    return NULL if own is None else &own.config


@cython.freelist(16)
@cython.auto_pickle(False)
cdef class SendRequest:
    """SendRequest(data, target_address_type=0)\n--\n\n
    A message on its way out: what it is, and how it ended.

    It is made once: calling `__init__` again changes nothing, because it may be being sent.

    :param data: payload, a binary file, `(generator, size)` or `(file, size)`.
    :param target_address_type: physical or functional.
    :raises ValueError: if this cannot be sent.
    """

    def __init__(self, data, target_address_type=TargetAddressType.Physical):
        cdef bint is_new
        with cython.critical_section(self):
            # Once: a transmitter may point at the payload.
            is_new = self.source is None and not self.being_made
            self.being_made = True
        if not is_new:
            return
        try:
            self._set(data, TargetAddressType(target_address_type) == TargetAddressType.Functional)
        finally:
            self.being_made = False

    @cython.final
    cdef int _set(self, object data, bint functional) except -1:
        """Make a new request; nothing of it is set if that fails."""
        cdef object source
        cdef uint64_t length
        cdef bint reads = False
        size = None
        if (isinstance(data, tuple) and len(data) == 2
                and (hasattr(data[0], "__next__") or hasattr(data[0], "readinto"))):
            data, size = data
            if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= 0xFFFFFFFF:
                raise ValueError(f"size of a generated payload must be an int of 0 to 2^32-1, not {size!r}")
        if hasattr(data, "readinto"):
            reads = True
            length = rest_of_file(data) if size is None else size
            source = data.read
        elif size is not None:
            length = size
            source = data
        else:
            source = as_payload(data)
            length = <uint64_t>PyBytes_GET_SIZE(source)
            if length > 0xFFFFFFFF:
                raise ValueError(f"payload of {length} bytes: FF_DL ends at 2^32-1")
            self.source = source
            self.size = length
            self.functional = functional
            return 0
        self.source = source
        self.size = length
        self.functional = functional
        self.streams = True
        self.reads = reads
        return 0

    @cython.final
    cdef bytes next_bytes(self, bytes have, uint64_t wanted):
        """`have`, and behind it what comes next of the generator or file: so many bytes in all; of a file, more.

        Fewer: it has ended, or this message has. BadGeneratorError: it gave what is no byte value.
        """
        cdef bytearray more
        if self.reads:
            while <uint64_t>len(have) < wanted:
                block = self.source(min(<uint64_t>READ_AT_ONCE, self.size - self.taken - <uint64_t>len(have)))
                if not block:
                    break
                have += block
            return have
        more = bytearray(have)
        while <uint64_t>len(more) < wanted and not self.done:
            try:
                item = next(self.source)
            except StopIteration:
                break
            try:
                byte = operator.index(item)
            except TypeError as error:
                raise self._bad_item(item, len(more)) from error
            try:
                more.append(byte)
            except (ValueError, OverflowError) as error:
                raise self._bad_item(item, len(more)) from error
        return bytes(more)

    @cython.final
    cdef object _bad_item(self, object item, Py_ssize_t at):
        return errors.BadGeneratorError(
            f"generator gave {item!r}, which is no byte value, at {self.taken + <uint64_t>at} of {self.size} bytes")

    @property
    def generator(self):
        """The iterator that the payload comes from; of a file, its read method."""
        return self.source if self.streams else iter(self.source)

    @property
    def consumed_size(self):
        """Payload bytes that went out so far."""
        return self.taken

    @property
    def total_length(self):
        """Payload bytes in all."""
        return self.size

    @property
    def target_address_type(self):
        """Physical or functional."""
        return TargetAddressType.Functional if self.functional else TargetAddressType.Physical

    @property
    def sent_ns(self):
        """When its last frame was on the bus: ns of the layer's clock. None unless the layer has `tx_confirmation`, and
        the bus has confirmed that."""
        return self.when if self.is_confirmed else None

    @property
    def complete_event(self):
        """`threading.Event` that is set when the message was sent or given up."""
        event = threading.Event()
        with cython.critical_section(self):
            if self.event is None:
                self.event = event
            event = self.event
            done = self.done
        if done:
            event.set()
        return event

    def complete(self, success: bool) -> None:
        """Say how the request ended and release who waits for it."""
        self._complete(success, None)

    def _tell_also(self, function):
        """Call this, too, with the request when it is done."""
        before = self.on_done
        if before is None:
            self.on_done = function
            return

        def tell_both(request):
            try:
                before(request)
            finally:
                function(request)

        self.on_done = tell_both

    @cython.final
    cdef int _sent_at(self, int64_t when) except -1:
        """All of it is sent."""
        self.when = when
        self.is_confirmed = True
        return self._complete(True, None)

    @cython.final
    cdef int _complete(self, bint success, object failure) except -1:
        with cython.critical_section(self):
            self.done = True
            self.success = success
            event = self.event
            self.failure = failure     # last: the end of the one before may run Python code
        if event is not None:
            event.set()
        if self.on_done is not None:
            self.on_done(self)
        return 0

    def __repr__(self):
        state = "pending" if not self.done else "sent" if self.success else f"failed: {self.failure!r}"
        return f"<SendRequest of {self.size} bytes, {self.taken} sent, {state}>"


cdef object ended_early(SendRequest request, uint64_t at):
    what = "file" if request.reads else "generator"
    return errors.BadGeneratorError(f"{what} ended after {at} of {request.size} bytes")
