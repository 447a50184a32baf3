# Stubs of the compiled module _records.pyx, which has the documentation.

from typing import Any, Final, Literal, NamedTuple, SupportsIndex, TypeAlias, final, overload

import numpy
from typing_extensions import Buffer, Self

_Layout: TypeAlias = Literal["classic", "fd"]

__pyx_capi__: Final[dict[str, Any]]

class Record(NamedTuple):
    timestamp: int
    can_id: int
    flags: int
    channel: int
    data: bytes

def record_dtype(layout: _Layout) -> numpy.dtype[numpy.void]: ...

@final
class Records(Buffer):
    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def __init__(self, layout: _Layout = "classic", capacity: int = 0) -> None: ...
    @staticmethod
    def from_buffer(source: Buffer, layout: _Layout | None = None) -> Records: ...
    @property
    def layout(self) -> _Layout: ...
    @property
    def itemsize(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def append(
        self,
        timestamp: SupportsIndex,
        can_id: SupportsIndex,
        data: Buffer,
        flags: SupportsIndex = 0,
        channel: SupportsIndex = 0,
    ) -> None: ...
    def extend(self, source: Buffer) -> None: ...
    def reserve(self, more: int) -> None: ...
    def clear(self) -> None: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Record: ...
    @overload
    def __getitem__(self, index: slice, /) -> Records: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]
