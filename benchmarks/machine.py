"""Facts about the machine that a figure means nothing without."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import sys
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path


def facts() -> dict[str, object]:
    """Return the facts, by name, ready for JSON."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": processor(),
        "cores": len(cores()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": platform.python_compiler(),
        "gc": f"on, thresholds {gc.get_threshold()}" if gc.isenabled() else "off",
        "packages": packages(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def packages() -> str:
    """Return the releases of the packages that take part, as far as they are installed."""
    found = []
    for name in ("python-can", "udsoncan", "numpy", "scapy"):
        with suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return " ".join(found)


def processor() -> str:
    """Return the model name of the CPU, as far as the system tells."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def cores() -> list[int]:
    """Return the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
