# Stubs of the compiled module _reassembler.pyx, which has the documentation.

from collections.abc import Iterable
from typing import Any, Literal, TypedDict

from typing_extensions import Buffer, Self, disjoint_base

from isotp.address import AbstractAddress
from isotp.bulk._message import Direction
from isotp.bulk._messages import Messages
from isotp.errors import IsoTpError

class _Statistics(TypedDict):
    session: int
    address: AbstractAddress
    channel: int
    direction: Direction
    frames: int
    messages: int
    errors: dict[type[IsoTpError], int]

@disjoint_base
class Reassembler:
    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def __init__(
        self,
        addresses: Iterable[AbstractAddress | tuple[AbstractAddress, int]],
        *,
        rx_consecutive_frame_timeout: float = 1000,
        max_frame_size: int | None = None,
        strict: bool = False,
    ) -> None: ...
    @property
    def sessions(self) -> tuple[AbstractAddress, ...]: ...
    @property
    def passed_over(self) -> int: ...
    def feed(self, frames: Buffer, layout: Literal["classic", "fd"] | None = None) -> Messages: ...
    def flush(self) -> Messages: ...
    def statistics(self) -> list[_Statistics]: ...
