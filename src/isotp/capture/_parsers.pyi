# Stubs of the compiled module _parsers.pyx, which has the documentation.

from collections.abc import Callable, Iterable
from typing import Any, Final

from typing_extensions import Self, disjoint_base

from isotp.bulk._records import Records

DEFECTS_KEPT: Final[int]
MOST_CONTAINERS_AHEAD: Final[int]

# What Cython makes for pickling.
def __reduce_cython__(self: object) -> tuple[Any, ...]: ...
def __setstate_cython__(self: object, __pyx_state: Any) -> None: ...

@disjoint_base
class FrameCollector:
    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def __init__(
        self, start: int | None = None, end: int | None = None, channels: Iterable[int] | None = None
    ) -> None: ...
    def left_out(self) -> list[int]: ...

@disjoint_base
class LogParser(FrameCollector):
    def __init__(
        self,
        number_of: Callable[[str], int],
        start: int | None = None,
        end: int | None = None,
        channels: Iterable[int] | None = None,
    ) -> None: ...
    def feed(self, block: bytes, final: bool = False) -> Records: ...
    def defects_found(self) -> tuple[list[tuple[int, int, str]], int]: ...
    def others_found(self) -> dict[str, int]: ...

@disjoint_base
class TextParser(LogParser):
    @property
    def lines(self) -> int: ...
    def state(self) -> tuple[Any, ...] | None: ...
    def read_ahead(
        self, state: tuple[Any, ...], head: bytes, block: bytes, begin: int, end: int, offset: int
    ) -> Records | None: ...
    def follow(self, twin: TextParser) -> None: ...

@disjoint_base
class NamedParser(TextParser): ...

@disjoint_base
class CandumpParser(NamedParser):
    def __init__(
        self,
        number_of: Callable[[str], int],
        hour_of: Callable[[bytes], int],
        start: int | None = None,
        end: int | None = None,
        channels: Iterable[int] | None = None,
    ) -> None: ...

@disjoint_base
class AscParser(TextParser):
    def __init__(
        self,
        number_of: Callable[[str], int],
        start_of: Callable[[bytes], int | None],
        start: int | None = None,
        end: int | None = None,
        channels: Iterable[int] | None = None,
    ) -> None: ...

@disjoint_base
class BlfParser(LogParser):
    def __init__(
        self,
        number_of: Callable[[str], int],
        began: int,
        start: int | None = None,
        end: int | None = None,
        channels: Iterable[int] | None = None,
    ) -> None: ...
    def gap(self) -> None: ...
    @property
    def at_object(self) -> bool: ...
    @property
    def layout(self) -> bool: ...
    @staticmethod
    def first_frame(data: bytes) -> int: ...
    def read_ahead(self, contents: list[bytes], begin: int, wide: bool) -> Records | None: ...
    def follow(self, twin: BlfParser) -> None: ...

@disjoint_base
class TrcParser(TextParser): ...

class CsvParser(TextParser): ...

@disjoint_base
class GvretParser(TextParser): ...

class CrtdParser(TextParser): ...

@disjoint_base
class BusmasterParser(TextParser):
    def __init__(
        self,
        number_of: Callable[[str], int],
        start_of: Callable[[bytes], int | None],
        start: int | None = None,
        end: int | None = None,
        channels: Iterable[int] | None = None,
    ) -> None: ...

class CarbusParser(TextParser): ...

@disjoint_base
class VspyParser(NamedParser):
    def __init__(
        self,
        number_of: Callable[[str], int],
        began: int,
        foreign: Iterable[str],
        start: int | None = None,
        end: int | None = None,
        channels: Iterable[int] | None = None,
    ) -> None: ...

@disjoint_base
class PcapParser(LogParser): ...

@disjoint_base
class RecordSorter:
    offset: Final[int]
    lost: Final[bool]
    @property
    def left(self) -> int: ...
    def __init__(self, id_size: int, sizes: dict[int, int | None]) -> None: ...
    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def feed(self, block: bytes) -> dict[int, Any]: ...
