"""What the messages of a log say in UDS: the columns of `Messages.to_arrow(uds=True)`, and how requests and responses
belong together.
"""

from isotp.bulk._uds import Exchanges, UdsRow

__all__ = ["Exchanges", "UdsRow"]
