# What a layer is wired to: the functions of its user, and the port that its frames go to.


@cython.final
cdef class Wiring:
    """Never changed: who sets an attribute of the layer makes a new one. A pass keeps the one that it began with."""

    def __cinit__(self):
        self.port = NO_PORT

    cdef Wiring but(self, dict changes):
        """One that differs in this."""
        cdef Wiring other = Wiring.__new__(Wiring)
        for name in ("rxfn", "takes_timeout", "txfn", "port", "error_handler", "post_send_callback", "on_message",
                     "on_reception", "on_begin", "receive_into", "is_ready", "courier"):
            setattr(other, name, changes[name] if name in changes else getattr(self, name))
        return other
