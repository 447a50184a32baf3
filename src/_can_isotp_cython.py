"""Keeps `import isotp` this package where can-isotp is installed into the same folder, before or after it.

Both have files of the same names: whichever comes last overwrites those of the other, and whichever is uninstalled
takes them along. So a wheel holds those files a second time, in isotp/_kept. Python runs this at each start, by
can_isotp_cython.pth; only where isotp/__init__.py is another one does it do more than look.

So it is there before pytest is, which would warn of that: PYTEST_DONT_REWRITE.
"""

import os
import sys

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "isotp")
KEPT = os.path.join(FOLDER, "_kept")
# How isotp/__init__.py of this package begins.
MARK = b'"""ISO-TP (ISO 15765-2) for Python, with a compiled core'


def is_in_place() -> bool:
    """Whether isotp/__init__.py is there, and is that of this package."""
    try:
        with open(os.path.join(FOLDER, "__init__.py"), "rb") as file:
            return file.read(len(MARK)) == MARK
    except OSError:
        return False


class KeptFiles:
    """Finds `isotp` in the files that were kept, where Python would find it, or what is left of it, in their folder."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "isotp":
            return None
        from importlib.machinery import PathFinder
        from importlib.util import spec_from_file_location

        found = PathFinder.find_spec(name)
        places = [] if found is None else list(found.submodule_search_locations or ())
        if FOLDER not in map(os.path.abspath, places):
            return None  # another one comes first
        init = os.path.join(KEPT, "__init__.py")
        return spec_from_file_location(name, init, submodule_search_locations=[KEPT, FOLDER])


if not is_in_place() and os.path.isdir(KEPT):
    sys.meta_path.insert(0, KeptFiles)
