"""A connection for udsoncan whose time-outs end with the first frame of an answer, as UDS counts P2 (ISO 14229-2)."""

from __future__ import annotations

from udsoncan.connections import PythonIsoTpV2Connection
from udsoncan.exceptions import TimeoutException

from isotp.started import TransportLayer

__all__ = ["IsoTpConnection"]


class IsoTpConnection(PythonIsoTpV2Connection):
    """udsoncan's connection to a layer, with other time-outs.

    P2 and P2* end when the answer begins. If a long answer has begun in time, the connection waits for it as long as
    its frames come in time (N_Cr); if the answer breaks off, the connection raises an error.

    :param isotp_layer: :class:`isotp.TransportLayer`, such as a `CanStack`. :meth:`open` starts it, :meth:`close` stops
        it.
    :param name: for the name of its logger.
    """

    isotp_layer: TransportLayer

    def specific_wait_frame(self, timeout: float | None = None) -> bytes | None:
        """The next message.

        :raises udsoncan.exceptions.TimeoutException: if none begins within `timeout` seconds.
        :raises isotp.BlockingReceiveFailure: if one begins, but breaks off.
        """
        self.check_connection_opened()
        message = self.isotp_layer.recv(block=True, timeout=timeout, until_begin=True)
        if message is None:
            raise TimeoutException(  # type: ignore[no-untyped-call]  # udsoncan says little of its types
                f"no message has begun within {timeout} s"
            )
        return bytes(message)
