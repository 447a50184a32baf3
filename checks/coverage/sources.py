"""coverage.py's plugin for Cython, which reads the C files of all modules before it is asked for one of their sources.

Cython's own finds a .pxd only after it was asked for the .pyx of the module that uses it, and files come in any order.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from coverage.plugin_support import Plugins
from Cython import Coverage


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


def coverage_init(registry: Plugins, options: dict[str, Any]) -> None:
    plugin = Plugin()
    registry.add_configurer(plugin)
    registry.add_file_tracer(plugin)
