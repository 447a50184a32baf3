"""Names of one message of a log."""

from isotp.bulk._message import Direction, Message, MessageStatus

__all__ = ["Direction", "Message", "MessageStatus"]
