"""The floor of the object path: what Python's calls and objects cost when the protocol costs nothing.

For a case of ``benchmarks.cases`` this makes the same workload with layers that do nothing. They first listen to our
own layers for one message and note, for each ``process()``, in which order rxfn and txfn were called; then they play
that back. So the floor contains exactly

- the same calls of ``send()``, ``process()``, ``available()`` and ``recv()``, of compiled methods that a Python class
  inherits, as TransportLayer does;
- the same calls of rxfn and txfn, with the same arguments and results, and the deques behind them;
- the same objects: each frame sent is an ``isotp.CanMessage`` from that type's own constructor and free list (empty:
  nothing is encoded into it) and ends as it ends in a layer; each message is a ``bytearray`` with a copy of its
  payload; each ``send()`` makes a request and each ``process()`` its statistics, of our types.

It contains no frame that is looked at, no state machine, clock, lock, queue, log level or parameter: what is above the
floor is the stack. The layers are C, compiled on the spot by the system's compiler (CC, else cc) against this
interpreter: Cython could not do it in fewer instructions.

It is the role ``floor`` of the cases of ``benchmarks.polled``.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import isotp
from benchmarks.case import Workload
from benchmarks.compiling import compile_library
from benchmarks.object_path import Listening, Loopback, RoundTrip
from isotp import _core

# The steps of a tape: what a layer does within process().
READ, READ_NONE, SEND, MESSAGE, RETURN = b"rntm."

C_LAYER = r"""
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyTypeObject *frame_type, *request_type, *stats_type;
static PyObject *no_arguments, *no_timeout;

typedef struct {
    PyObject_HEAD
    PyObject *rxfn, *txfn;
    PyObject *tape;             /* bytes */
    PyObject *payloads;         /* tuple of bytes, delivered by turns */
    PyObject *request;          /* of the last send() */
    PyObject *received;         /* what recv() returns next */
    Py_ssize_t step, turn;
} Layer;

static int init(Layer *self, PyObject *arguments, PyObject *keywords) {
    PyObject *rxfn, *txfn, *tape, *payloads;
    if (!PyArg_ParseTuple(arguments, "OOSO!", &rxfn, &txfn, &tape, &PyTuple_Type, &payloads)) return -1;
    self->rxfn = Py_NewRef(rxfn);
    self->txfn = Py_NewRef(txfn);
    self->tape = Py_NewRef(tape);
    self->payloads = Py_NewRef(payloads);
    return 0;
}

static int traverse(Layer *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->rxfn);
    Py_VISIT(self->txfn);
    Py_VISIT(self->payloads);
    return 0;
}

static int clear(Layer *self) {
    Py_CLEAR(self->rxfn);
    Py_CLEAR(self->txfn);
    Py_CLEAR(self->tape);
    Py_CLEAR(self->payloads);
    Py_CLEAR(self->request);
    Py_CLEAR(self->received);
    return 0;
}

static void dealloc(Layer *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *out_of_step(void) {
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, "the floor is out of step with its tape");
    return NULL;
}

static PyObject *process(Layer *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    const char *tape = PyBytes_AS_STRING(self->tape);
    Py_ssize_t step = self->step;
    if (count != 0 || names != NULL) return out_of_step();
    for (;; step++) {
        switch (tape[step]) {
        case 'r':
        case 'n': {
            PyObject *arguments[2] = {NULL, no_timeout};
            PyObject *frame = PyObject_Vectorcall(
                self->rxfn, arguments + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
            if (frame == NULL) return NULL;
            Py_DECREF(frame);
            if ((frame == Py_None) != (tape[step] == 'n')) return out_of_step();
            break;
        }
        case 't': {
            PyObject *arguments[2] = {NULL, frame_type->tp_new(frame_type, no_arguments, NULL)};
            PyObject *returned;
            if (arguments[1] == NULL) return NULL;
            returned = PyObject_Vectorcall(
                self->txfn, arguments + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
            Py_DECREF(arguments[1]);
            if (returned == NULL) return NULL;
            Py_DECREF(returned);
            break;
        }
        case 'm': {
            PyObject *payload = PyTuple_GET_ITEM(self->payloads, self->turn);
            self->turn = self->turn + 1 < PyTuple_GET_SIZE(self->payloads) ? self->turn + 1 : 0;
            Py_XSETREF(self->received,
                PyByteArray_FromStringAndSize(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload)));
            if (self->received == NULL) return NULL;
            break;
        }
        default:
            self->step = step + 1 < PyBytes_GET_SIZE(self->tape) ? step + 1 : 0;
            return stats_type->tp_new(stats_type, no_arguments, NULL);
        }
    }
}

static PyObject *send(Layer *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyObject *request;
    if (count != 1 || names != NULL || !PyBytes_CheckExact(args[0])) return out_of_step();
    request = request_type->tp_new(request_type, no_arguments, NULL);
    if (request == NULL) return NULL;
    Py_XSETREF(self->request, request);
    Py_RETURN_NONE;
}

static PyObject *recv_(Layer *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyObject *received = self->received;
    if (count != 0 || names != NULL || received == NULL) return out_of_step();
    self->received = NULL;
    return received;
}

static PyObject *available(Layer *self, PyObject *unused) { return PyBool_FromLong(self->received != NULL); }

static PyObject *transmitting(Layer *self, PyObject *unused) { return PyBool_FromLong(self->step != 0); }

static PyObject *rewind_(Layer *self, PyObject *unused) {
    self->step = self->turn = 0;
    Py_CLEAR(self->received);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"process", (PyCFunction)(void (*)(void))process, METH_FASTCALL | METH_KEYWORDS, NULL},
    {"send", (PyCFunction)(void (*)(void))send, METH_FASTCALL | METH_KEYWORDS, NULL},
    {"recv", (PyCFunction)(void (*)(void))recv_, METH_FASTCALL | METH_KEYWORDS, NULL},
    {"available", (PyCFunction)available, METH_NOARGS, NULL},
    {"transmitting", (PyCFunction)transmitting, METH_NOARGS, NULL},
    {"rewind", (PyCFunction)rewind_, METH_NOARGS, NULL},
    {NULL},
};

static PyType_Slot type_slots[] = {
    {Py_tp_new, PyType_GenericNew}, {Py_tp_init, init}, {Py_tp_traverse, traverse}, {Py_tp_clear, clear},
    {Py_tp_dealloc, dealloc}, {Py_tp_methods, methods}, {0},
};

static PyType_Spec type_spec = {
    "floor_layer.Layer", sizeof(Layer), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, type_slots,
};

/* use(frame type, request type, statistics type): what the layers make. */
static PyObject *use(PyObject *module, PyObject *arguments) {
    PyTypeObject *frame, *request, *stats;
    if (!PyArg_ParseTuple(arguments, "O!O!O!", &PyType_Type, &frame, &PyType_Type, &request, &PyType_Type, &stats))
        return NULL;
    frame_type = (PyTypeObject *)Py_NewRef(frame);
    request_type = (PyTypeObject *)Py_NewRef(request);
    stats_type = (PyTypeObject *)Py_NewRef(stats);
    Py_RETURN_NONE;
}

static int execute(PyObject *module) {
    PyObject *type = PyType_FromSpec(&type_spec);
    no_arguments = PyTuple_New(0);
    no_timeout = PyFloat_FromDouble(0.0);
    if (type == NULL || no_arguments == NULL || no_timeout == NULL) return -1;
    return PyModule_AddObjectRef(module, "Layer", type);
}

static PyMethodDef functions[] = {{"use", use, METH_VARARGS, NULL}, {NULL}};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, execute},
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "floor_layer", .m_methods = functions, .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit_floor_layer(void) { return PyModuleDef_Init(&definition); }
"""


def compile_module(folder: Path) -> Path:
    """Compile C_LAYER for this interpreter."""
    # On macOS the interpreter's symbols are found when the module is loaded.
    flags = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    return compile_library(
        folder, "floor_layer", C_LAYER, suffix, f"-I{sysconfig.get_path('include')}", *flags
    )


@functools.cache
def layer_class(folder: Path | None = None) -> Any:
    """The class of a layer that does nothing: a Python class on the compiled one, as TransportLayer is.

    What is compiled stays in `folder`, if one is given.
    """
    with tempfile.TemporaryDirectory() as temporary:
        library = compile_module(folder or Path(temporary))
        specification = importlib.util.spec_from_file_location("floor_layer", library)
        if specification is None or specification.loader is None:
            raise ImportError(f"no module can be made of {library}")
        module: ModuleType = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
    module.use(isotp.CanMessage, _core.SendRequest, _core.ProcessStats)
    return type("Layer", (module.Layer,), {})


def listen_to(layer: isotp.TransportLayer) -> bytearray:
    """Return a tape that grows by each step of a layer from now on."""
    tape = bytearray()
    rxfn, txfn, process = layer._rxfn, layer.txfn, layer.process

    def noting_rxfn(timeout: float) -> isotp.CanMessage | None:
        message = rxfn(timeout)
        tape.append(READ_NONE if message is None else READ)
        return message

    def noting_txfn(message: isotp.CanMessage) -> None:
        tape.append(SEND)
        txfn(message)

    def noting_process() -> isotp.TransportLayer.ProcessStats:
        stats = process()
        tape.append(RETURN)
        return stats

    layer._wire_rxfn(noting_rxfn, True)
    layer.txfn = noting_txfn
    layer.process = noting_process  # type: ignore[assignment,method-assign]
    layer.rx_queue.on_arrival = lambda: tape.append(MESSAGE)
    return tape


def roles(workload: Workload) -> dict[str, tuple[bytes, ...]]:
    """Return the attributes of a workload that are layers, and the payloads that each of them receives by turns.

    ValueError for a workload that is not one of one or two polled layers.
    """
    if isinstance(workload, Loopback):
        return {"client": (), "server": workload.payloads}
    if isinstance(workload, RoundTrip):
        requests, responses = zip(*workload.exchanges, strict=True)
        return {"client": responses, "server": requests}
    if isinstance(workload, Listening):
        return {"layer": workload.payloads}
    raise ValueError(f"there is no floor for {type(workload).__name__}")


@dataclass
class Floor:
    """A workload whose layers were replaced; each run begins with the first payload."""

    workload: Workload
    layers: list[Any] = field(default_factory=list)

    @property
    def units(self) -> int:
        return self.workload.units

    def run(self, messages: int) -> list[Any]:
        for layer in self.layers:
            layer.rewind()
        return self.workload.run(messages)

    def verify(self, messages: int, received: list[Any]) -> None:
        self.workload.verify(messages, received)


def floor(prepare: Callable[[], Workload], folder: Path | None = None) -> Floor:
    """Return the floor of a workload: the same, on layers that play the steps of our layers back."""
    model = prepare()
    model.verify(1, model.run(1))
    tapes = {role: listen_to(getattr(model, role)) for role in roles(model)}
    model.verify(1, model.run(1))
    made = Floor(prepare())
    for role, payloads in roles(made.workload).items():
        real = getattr(made.workload, role)
        layer = layer_class(folder)(real._rxfn, real.txfn, bytes(tapes[role]), payloads)
        setattr(made.workload, role, layer)
        made.layers.append(layer)
    return made
