# Stubs of the compiled module _observer.pyx, which has the documentation.

from typing import Any, Literal, TypeVar

from typing_extensions import Buffer, Self, disjoint_base

_Line = TypeVar("_Line", bound=tuple[Any, ...])
_Pair = TypeVar("_Pair", bound=tuple[Any, ...])

# What Cython makes for pickling.
def __reduce_cython__(self: object) -> tuple[Any, ...]: ...
def __setstate_cython__(self: object, __pyx_state: Any) -> None: ...

@disjoint_base
class Observer:
    def __new__(cls) -> Self: ...
    def feed(self, frames: Buffer, layout: Literal["classic", "fd"] | None = None) -> None: ...
    @property
    def passed_over(self) -> int: ...
    @property
    def news(self) -> int: ...
    def counts(
        self, line_type: type[_Line], pair_type: type[_Pair]
    ) -> tuple[dict[int, _Line], list[_Pair]]: ...
