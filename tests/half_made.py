"""Uses objects of all compiled classes whose ``__init__()`` never ran, or left out that of its base class.

``python -m tests.half_made`` prints what it is about to do, and ends with a line of its own: any exception is fine.
tests/test_half_made.py looks at how it ended.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import inspect
import logging
import operator
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import isotp

FOLDER: Final = Path(isotp.__file__).parent
MODULES: Final = sorted(
    ".".join((*path.parent.relative_to(FOLDER).parts, path.name.split(".")[0]))
    for path in FOLDER.rglob("_*")
    if path.suffix in (".so", ".pyd")
)
# They wait without an end for what only others can bring.
BLOCKING: Final = {
    *(("MessageQueue", name) for name in ("get", "_get", "_wait")),
    *(("Layer", name) for name in ("recv", "recvmsg", "_await_message")),
}
# What says how objects are made, and nothing of one object
OF_THE_CLASS: Final = {"__class__", "__new__", "__init_subclass__", "__subclasshook__"}
# What pickle calls with what it was given before: Cython does not look whether it is a tuple.
OF_PICKLE: Final = {"__setstate__", "__setstate_cython__"}

GIVEN: Final[tuple[tuple[Any, ...], ...]] = ((), (None,), (0,), (b"\x01\x02",), (None, None))
USES: Final[tuple[Callable[[Any], object], ...]] = (
    repr,
    len,
    bytes,
    list,
    hash,
    bool,
    memoryview,
    pickle.dumps,
    copy.copy,
    operator.itemgetter(0),
    operator.itemgetter(slice(None)),
    lambda made: made == made,
    lambda made: made + made,
)


def classes() -> Iterator[type]:
    for name in MODULES:
        module = importlib.import_module(f"isotp.{name}")
        for each in vars(module).values():
            if inspect.isclass(each) and each.__module__ == module.__name__ and not issubclass(each, tuple):
                yield each


def makers(kind: type) -> Iterator[Callable[[], Any]]:
    yield lambda: kind.__new__(kind)
    with contextlib.suppress(TypeError):  # some are final
        yield type(f"Own{kind.__name__}", (kind,), {"__init__": lambda self: None})


def use(kind: type, make: Callable[[], Any]) -> None:
    for name in sorted(set(dir(kind)) - OF_THE_CLASS - OF_PICKLE):
        for given in GIVEN:
            if (kind.__name__, name) not in BLOCKING:
                print(f"{kind.__name__}.{name}{given}", flush=True)
                with contextlib.suppress(Exception):
                    getattr(make(), name)(*given)
    for each in USES:
        print(f"{each} of {kind.__name__}", flush=True)
        with contextlib.suppress(Exception):
            each(make())


def main() -> None:
    logging.disable()
    for kind in classes():
        for make in makers(kind):
            use(kind, make)
    print("all used")


if __name__ == "__main__":
    sys.exit(main())
