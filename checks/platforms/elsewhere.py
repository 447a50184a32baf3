"""Platforms of which this system has a compiler and no interpreter: all modules compile and link, and nothing runs.

The compiler is `zig cc` (ziglang, of PyPI), which has the headers and libraries of these systems; Python's headers are
those of this interpreter, whose pyconfig.h is for another C library: sizes of types are the same.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

from checks.debian_archive import output_of
from checks.platforms.machines import CACHE, made_once, script
from checks.platforms.windows import cross_wheel


@dataclass(frozen=True)
class Elsewhere:
    """A target of zig, and what CPython calls it."""

    target: str
    platform: str
    suffix: str
    # Symbols of Python are found when it loads the module.
    shared: str = "-shared"

    def wheel(self, sources: Path) -> Path:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        nodot = version.replace(".", "")
        compiler = self._compiler()
        return cross_wheel(
            sources,
            platform=self.platform,
            compiler=str(compiler),
            shared=f"{compiler} {self.shared}",
            suffix=f".cpython-{nodot}-{self.suffix}.so",
            soabi=f"cpython-{nodot}-{self.suffix}",
            version=version,
            headers=Path(sysconfig.get_paths()["include"]),
            configuration=[],
        )

    def _compiler(self) -> Path:
        """A script that is `zig cc` for the target."""
        folder = CACHE / "zig"
        if not made_once(folder):
            with tempfile.TemporaryDirectory(prefix="isotp-zig-") as name:
                pip = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--root-user-action=ignore")
                output_of(*pip, "--target", Path(name, "site"), "ziglang")
                shutil.copytree(Path(name, "site/ziglang"), folder / "ziglang")
            (folder / "complete").touch()
        compiler = folder / f"cc-{self.target}"
        script(compiler, f'exec {shlex.quote(str(folder / "ziglang/zig"))} cc -target {self.target} "$@"')
        return compiler


# With -bundle, as CPython has it, the linker of zig 0.17 ends with a fault.
MACOS = "-shared -undefined dynamic_lookup"
ELSEWHERE: dict[str, tuple[Elsewhere, ...]] = {
    "musl": (
        Elsewhere("x86_64-linux-musl", "linux-x86_64", "x86_64-linux-musl"),
        Elsewhere("aarch64-linux-musl", "linux-aarch64", "aarch64-linux-musl"),
    ),
    "macos": (
        Elsewhere("x86_64-macos.11.0", "macosx-11.0-x86_64", "darwin", MACOS),
        Elsewhere("aarch64-macos.11.0", "macosx-11.0-arm64", "darwin", MACOS),
    ),
}
