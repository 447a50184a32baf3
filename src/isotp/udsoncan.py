"""A connection for udsoncan whose time-outs are to the first frame of an answer: UDS counts P2 so (ISO 14229-2)."""

from __future__ import annotations

from udsoncan.connections import PythonIsoTpV2Connection
from udsoncan.exceptions import TimeoutException

from isotp.started import TransportLayer

__all__ = ["IsoTpConnection"]


class IsoTpConnection(PythonIsoTpV2Connection):
    """udsoncan's connection to a layer, but for its time-outs.

    P2 and P2* are over when the answer begins. A long one that has begun in time is waited for as long as its frames
    come in time (N_Cr), and one that breaks off says so.

    :param isotp_layer: :class:`isotp.TransportLayer`, such as a `CanStack`. :meth:`open` starts it, :meth:`close` stops
        it.
    :param name: for the name of its logger.
    """

    isotp_layer: TransportLayer

    def specific_wait_frame(self, timeout: float | None = None) -> bytes | None:
        """The next message.

        :raises udsoncan.exceptions.TimeoutException: if none begins within `timeout` seconds.
        :raises isotp.BlockingReceiveFailure: if one does, and breaks off.
        """
        self.check_connection_opened()
        message = self.isotp_layer.recv(block=True, timeout=timeout, until_begin=True)
        if message is None:
            raise TimeoutException(  # type: ignore[no-untyped-call]  # udsoncan says little of its types
                f"no message has begun within {timeout} s"
            )
        return bytes(message)
