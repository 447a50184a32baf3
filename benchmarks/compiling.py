"""C code of the floors, compiled on the spot by the system's compiler (CC, else cc)."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path


def compile_library(folder: Path, name: str, code: str, suffix: str, *flags: str) -> Path:
    """Compile C code into a folder, unless it is there; CalledProcessError if the compiler fails."""
    library = folder / f"{name}{suffix}"
    if library.exists():
        return library
    source = folder / f"{name}.c"
    source.write_text(code)
    subprocess.run(
        [
            *shlex.split(os.environ.get("CC", "cc")),
            *("-O3", "-DNDEBUG", "-shared", "-fPIC", *flags),
            *(str(source), "-o", str(library)),
        ],
        check=True,
    )
    return library
