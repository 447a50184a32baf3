# One call at a time, for objects that are for one thread at a time: a second call is refused.

cimport cython


cdef inline int claim(object owner, bint *busy, str name) except -1:
    """Begin a call, which release() ends. RuntimeError: another one has not ended yet."""
    cdef bint was_busy
    with cython.critical_section(owner):
        was_busy = busy[0]
        busy[0] = True
    if was_busy:
        raise RuntimeError(f"another thread feeds this {name} at this moment")
    return 0


cdef inline void release(object owner, bint *busy) noexcept:
    with cython.critical_section(owner):
        busy[0] = False
