"""The log that the pages of the documentation show, and the example that records it."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from types import ModuleType

from tests.documentation import DOCS, ROOT

LOG = DOCS / "drive.log.gz"
BLF = DOCS / "drive.blf"


@cache
def recorder() -> ModuleType:
    """examples/record_a_drive.py as a module."""
    path = ROOT / "examples" / "record_a_drive.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where typing looks names up
    spec.loader.exec_module(module)
    return module
