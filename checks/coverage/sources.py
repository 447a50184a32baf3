"""coverage.py's plugin for Cython, which knows all sources of the package from the start.

Cython's own finds a .pxd or .pxi only after it was asked for the .pyx of the module that uses it, and files come in any
order; and it looks for them from where the program is just then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from coverage.plugin_support import Plugins
from Cython import Coverage


def lines_outside(included: str) -> Iterator[int]:
    """Lines of an included file that are in no function or class: they count as lines of the file that includes it."""
    is_inside = False
    for number, line in enumerate(included.splitlines(), 1):
        if line[:1].strip():
            is_inside = re.match(r"@|class |c?p?def .*(\(|:)$|c?p?def [^=]*\(", line) is not None
        if not is_inside:
            yield number


class Plugin(Coverage.Plugin):  # type: ignore[misc]
    def configure(self, config: Any) -> None:
        super().configure(config)
        # The core is found and not imported: lines that run on import count.
        package = find_spec("isotp")
        assert package is not None
        assert package.origin is not None
        core = Path(package.origin).with_name("_core.pyx")
        # What several modules cimport is told by the one that is read last: the core has the protocol.
        for module in (*sorted(core.parent.glob("*/**/*.pyx")), core):
            self._read_source_lines(str(module.with_suffix(".c")), str(module))
        # As setup.py, which is run beside src, has Cython name them
        names = {
            path: path.relative_to(core.parents[2]).as_posix() for path in core.parent.rglob("*.p[xy][xdi]")
        }
        self._file_path_map = {name: str(path) for path, name in names.items()}
        for path in core.parent.rglob("*.pxi"):
            code = self._c_files_map.get(str(path), (None, None, {}))[2]
            for line in lines_outside(path.read_text()):
                code.pop(line, None)


def coverage_init(registry: Plugins, options: dict[str, Any]) -> None:
    plugin = Plugin()
    registry.add_configurer(plugin)
    registry.add_file_tracer(plugin)
