# Calls of Python functions from C, in fewer steps than Cython makes.


cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident() noexcept nogil


cdef extern from "Python.h":
    # NULL for the value: the attribute is deleted
    int set_attribute "PyObject_GenericSetAttr"(object owner, object name, PyObject *value) except -1


cdef extern from *:
    """
    /* Calls with one or no positional argument, without the tuple and the checks of a general call. */
    static CYTHON_INLINE PyObject *isotp_call_one(PyObject *callable, PyObject *argument) {
        PyObject *arguments[2] = {NULL, argument};
        return PyObject_Vectorcall(callable, arguments + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    static CYTHON_INLINE PyObject *isotp_call_none(PyObject *callable) {
        PyObject *arguments[1] = {NULL};
        return PyObject_Vectorcall(callable, arguments + 1, 0 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    /* Puts an item into a place of a list, and returns what was there. */
    static CYTHON_INLINE PyObject *isotp_exchange(PyObject *items, Py_ssize_t place, PyObject *item) {
        PyObject *before = PyList_GET_ITEM(items, place);
        Py_INCREF(item);
        PyList_SET_ITEM(items, place, item);
        return before;
    }
    """
    # The function is borrowed: it is of a Wiring or port that whoever calls holds, and that never changes.
    object call_with "isotp_call_one"(PyObject *function, object argument)
    object call_without "isotp_call_none"(PyObject *function)
    # NULL: the call raised
    PyObject *try_call_with "isotp_call_one"(PyObject *function, object argument)
    object exchange "isotp_exchange"(list items, Py_ssize_t place, object item)


cdef int raise_current() except -1:
    """Hand the exception that a C call left behind to Python code."""
    return -1
