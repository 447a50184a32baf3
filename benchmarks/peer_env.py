"""Make an isolated virtual environment with a release of can-isotp, and what works with it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

DEFAULT_VERSION = "2.0.7"

# Written last, so that an environment whose installation was interrupted is made again.
COMPLETE = "complete"


def default_directory() -> Path:
    """Return the directory where environments are kept from run to run."""
    return (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "can-isotp-cython" / "benchmarks"
    )


def environment(version: str, directory: Path) -> Path:
    """Return the path of the environment for this version and this interpreter.

    Raises ValueError if `version` is not an exact version number.
    """
    if not re.fullmatch(r"\d+(\.\d+)*((a|b|rc)\d+)?(\.(post|dev)\d+)*", version):
        raise ValueError(f"can-isotp version must be exact, as {DEFAULT_VERSION}, not {version!r}")
    interpreter = hashlib.sha256(f"{sys.base_prefix}\n{sys.version}".encode()).hexdigest()[:8]
    company = "-".join(companions()).replace("==", "-")
    return directory / f"can-isotp-{version}-{company}-{sys.implementation.cache_tag}-{interpreter}"


def companions(names: Sequence[str] = ("python-can", "udsoncan")) -> list[str]:
    """Return the requirements of what stands beside isotp: the releases that this interpreter has, if any."""
    found = []
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name}=={importlib.metadata.version(name)}")
    return found


def python_of(path: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return path / "Scripts" / "python.exe" if os.name == "nt" else path / "bin" / "python"


def make(version: str = DEFAULT_VERSION, directory: Path | None = None) -> Path:
    """Return the interpreter of an environment with can-isotp `version`, making it if it is not there yet.

    Raises ValueError for a bad version, RuntimeError with a failed command's output if it can't be made.
    """
    path = environment(version, directory or default_directory())
    python = python_of(path)
    if not (path / COMPLETE).exists():
        path.mkdir(parents=True, exist_ok=True)
        command([sys.executable, "-m", "venv", "--clear", str(path)])
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        command([*pip, *companions(), f"can-isotp=={version}"])
        (path / COMPLETE).touch()
    return python


def command(arguments: list[str]) -> None:
    """Run a command; RuntimeError with its output if it fails."""
    done = subprocess.run(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=isolated()
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed with status {done.returncode}:\n{done.stdout}")


def isolated() -> dict[str, str]:
    """Return the process's environment without what would let other packages in."""
    foreign = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    return {key: value for key, value in os.environ.items() if key not in foreign}
