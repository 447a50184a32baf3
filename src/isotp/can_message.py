"""Where user code imports the CAN frame type from: it is a type of the compiled core."""

from isotp._core import CanMessage

__all__ = ["CanMessage"]
