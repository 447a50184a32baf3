# cython: language_level=3
"""The compiled core as Python sees it: frames, queues, and the engine that runs the machines of one session.

The protocol is in _protocol/: C structs and functions, where time is an argument and nobody is called. What is here
has it meet Python: callbacks, threads, the clock, queues, exceptions. The parts are in core/, and are included below
in the order in which they build on each other.


Theory of operation
===================

**Who is who.** A Session (_protocol/session.pxd) owns both machines. An Endpoint is a session with what it is set to:
Params as a C struct, addresses as filters, the functions of its user. Sending adds what has frames go, Receiving what
becomes of those that come, Engine decides who runs all that and has the loop, DrivenEngine is run by whoever brings
something, and Layer has what its user calls. Each is a class because Python's objects are; they are one object, in
six rooms.

Beside them stand parts that know nothing of the session: Outlet gives frames to a port and waits while that has no
room, Target is where a long message goes while it comes, Inlet keeps what nobody has handled yet, Reporter tells of
errors.

**Who runs.** One thread at a time runs the machines of an engine. enter() lets one in, and says no to all others:
they leave their work where it will be found, a message in tx_queue, a frame in the inbox, and go on at once; nobody
waits. enter() notes that they came (`again`), and leave() keeps the thread that is in there until it has looked once
more. So work that anybody left is done by somebody, and never by two. This holds for callbacks too: a handler that
calls send() is the thread in charge, its message goes when the handler has returned. `owner` is that thread, which is
how process() and reset() tell a callback from a stranger.

**How it is woken.** A layer that is polled runs in process(), and only there. A started one (`driven`) is run by

- a frame: _feed() from a bus or a notifier, feed_frames() from a native driver, which has the times of arrival, or
  _read_on(), in which a thread of the layer reads rxfn itself;
- a message: send(), on the thread of its caller;
- stop_sending(), since other messages may have waited behind that one;
- a deadline: deadline() says when the session wants to be run without a frame. Who drives the engine either plans it
  (_plan_wait(): how long it may wait for frames) or is told of it (`waker`, and `guard` for one that it may miss).

All of them end in _drive(): enter, pass after pass until leave() agrees, then tell the next deadline.

**What a pass is.** begin_pass() takes what is in force: parameters that changed are flattened, `using` becomes the
Wiring of now, and the time is read. Then reception and transmission take turns. receive_pass() reads until nothing
comes or a Flow Control is due, which must go first; transmit_pass() sends until nothing may go, and after each burst
reception has its turn, since the other end may have said "overflow". The time is read again where a timer starts or
may have run out, and each 64 frames: a frame that came is judged by a time at which it had come, a silence only by a
time until which all was read.

**A frame in.** takes_next_cf() comes first: most frames are the Consecutive Frame that is due, and cost no more than
that. Others are for take(): the address decides whether a frame is ours (session_hears(), or judge() where that takes
more than a look at the ID), session_receive() says what happened, and follow() does what is to be done about it: hand
over a message, ask for a target, refuse, report. Nothing in there decides what the protocol does; that is done by
then.

**A frame out.** session_next() writes a frame where the port wants it (`next`), the outlet has the port take it, and
session_sent() counts it, with the time from which STmin and N_Bs run. Between the two txfn may do anything: stop the
message, begin another, change the address. `epoch` tells the message that the frame belongs to; if it is not the one
that is being sent any more, what happened to the frame changes nothing. A port without room (TryAgain, or ENOBUFS)
ends the pass, and the outlet says when to come again; the frame was not counted, so session_next() makes the same one
anew.

**What a step is.** Every change of state stands in one critical section of the object that owns it, and in there no
Python code runs: no callback, no import, no allocation that could start the garbage collector, and no end of an
object's life. With the GIL such a section costs nothing, and nothing can come between its lines, because Cython gives
the GIL up only where Python code runs. On a free-threaded Python it takes the lock of the object. So stop_sending(),
stop_receiving(), set_address() and changes of parameters act at once, from any thread, even while a callback of the
same layer runs.

**Why what was there dies after the step.** An assignment to an attribute drops what stood in it, and if nobody else
has that, its end runs: `__del__`, or the callback of a weak reference, which may call this very layer. In the midst
of a step they would see half of a change. So a step exchanges what it sets with a local variable,

    with cython.critical_section(self):
        self.given, given = given, self.given

and the old value dies when the function ends. A local that lives on in a loop is set to None where it is done with.

**What is never changed.** Wiring and Addresses are made anew by who sets an attribute, and then put in place in one
step. The thread in charge works with the Wiring that its pass began with, so that rxfn belongs to its `takes_timeout`
and txfn to its port. Params are the user's to change at any time; `stale` says that they did, and flatten() reads all
of them before the first is used. Session binds a message to the address and parameters that it began with.

**What raises.** A callback may raise anything. Of a polled layer its user gets that from process(); of a started one
it is reported as CallbackError, and the thread goes on; KeyboardInterrupt is always the user's. In either case no
frame is lost: what was read is handled before any callback hears of it, what was not handled yet waits in the inbox,
and a frame that txfn raised on ends its message with that exception. Errors of the bus (IsoTpError) are no exceptions
here until they are made, from an Outcome, for the error handler, the log and the request that failed.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.limits cimport INT_MAX
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import collections
import collections.abc
import logging
import math
import operator
import queue
import sys
import threading
import time
import weakref

from isotp import errors
from isotp.address import AbstractAddress, TargetAddressType, judges_frames_itself

from isotp._protocol.frames cimport *
from isotp._protocol.n_pci cimport *
from isotp._protocol.rate cimport *
from isotp._protocol.reception cimport *
from isotp._protocol.session cimport *
from isotp._protocol.transmission cimport *
from isotp._protocol.types cimport *


cdef enum:
    INLINE = 1                     # Frame.res0 of a CanMessage: its data is in the frame itself
    NO_CAN_ID = 0x7FFFFFFF         # never the identifier of a frame
    FIRST_PLACES = 8               # of a queue; it doubles as needed
    FRAMES_PER_CLOCK_READ = 64     # also the longest burst before reception gets its turn
    READ_AT_ONCE = 65536           # bytes of a file that is sent
    MOST_WAITING_FRAMES = 65536    # that came while a started layer was busy
    ERRORS_LOGGED = 100            # in one second
    MESSAGE_WEIGHT = 100           # of an object in a queue, beside its payload
    REQUEST_WEIGHT = 400

cdef int64_t LONGEST_WAIT_NS = <int64_t>1 << 61    # sums of two such times still fit
cdef int64_t AT_ONCE = -LONGEST_WAIT_NS            # no clock is before
cdef object LONGEST_WAIT_S = threading.TIMEOUT_MAX - 1    # what a lock takes, and a fraction when it is computed
cdef int64_t PAUSE_WITHOUT_ROOM_NS = 500_000       # before a refused frame is given again
cdef int64_t SECOND_NS = 1_000_000_000
cdef uint64_t NO_LIMIT = 0xFFFFFFFFFFFFFFFF

cdef object LARGEST_FLOAT = sys.float_info.max
cdef object LOG_DEBUG = logging.DEBUG
cdef object NO_TIMEOUT = 0.0


include "core/calls.pxi"
include "core/outcomes.pxi"
include "core/clock.pxi"
include "core/frames.pxi"
include "core/limiter.pxi"
include "core/reception.pxi"
include "core/queue.pxi"
include "core/request.pxi"
include "core/addresses.pxi"
include "core/settings.pxi"
include "core/echoes.pxi"
include "core/outlet.pxi"
include "core/wiring.pxi"
include "core/target.pxi"
include "core/reporter.pxi"
include "core/inlet.pxi"
include "core/endpoint.pxi"
include "core/sending.pxi"
include "core/receiving.pxi"
include "core/engine.pxi"
include "core/driven.pxi"
include "core/layer.pxi"
include "core/hooks.pxi"
