# Stubs of the compiled module _observer.pyx, which has the documentation.

from typing import Any, Literal, NamedTuple

from typing_extensions import Buffer, Self, disjoint_base

# What Cython makes for pickling.
def __reduce_cython__(self: object) -> tuple[Any, ...]: ...
def __setstate_cython__(self: object, __pyx_state: Any) -> None: ...

class LineCounts(NamedTuple):
    channel: int
    can_id: int
    prefix: int | None
    first_start: int | None
    frames: int
    bad: int
    single: int
    first: int
    consecutive: int
    flow_control: int
    single_fresh: int
    untidy: int
    complete: int
    fresh: int
    fresh_lengths: int
    sizes: int
    fresh_frames: int
    neat_ends: int
    untidy_ends: int
    broken: int
    dead: int
    followed: int
    even: int
    overruns: int
    strays: int
    requests: int
    answers: int

class PairCounts(NamedTuple):
    answering: int
    asking: int
    hits: int
    blocks: int
    misses: int
    late: int
    replies: int
    services: int

@disjoint_base
class Observer:
    def __new__(cls) -> Self: ...
    def feed(self, frames: Buffer, layout: Literal["classic", "fd"] | None = None) -> None: ...
    @property
    def passed_over(self) -> int: ...
    def counts(self) -> tuple[dict[int, LineCounts], list[PairCounts]]: ...
