"""coverage.py's plugin for Cython, which reads the C file of the core before it is asked for one of its sources.

Cython's own finds a .pxd only after it was asked for the .pyx of the module that uses it, and files come in any order.
"""

from __future__ import annotations

from typing import Any

from coverage.plugin_support import Plugins
from Cython import Coverage

import isotp._core


class Plugin(Coverage.Plugin):  # type: ignore[misc]
    def configure(self, config: Any) -> None:
        super().configure(config)
        base = isotp._core.__file__.partition(".")[0]
        self._read_source_lines(f"{base}.c", f"{base}.pyx")


def coverage_init(registry: Plugins, options: dict[str, Any]) -> None:
    plugin = Plugin()
    registry.add_configurer(plugin)
    registry.add_file_tracer(plugin)
