"""The interpreters of other platforms, each in a folder of the cache: unpacked packages of Debian under an emulator,
and CPython for Windows under wine.

A machine looks like an environment of Python: a program that runs Python there, and a folder of packages. What it has
is made once; remove its folder to have it made anew.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from checks.debian_archive import Archive, Failure, output_of

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "can-isotp-cython/platforms")


@dataclass(frozen=True)
class Machine:
    """A Python of another platform that this system can run."""

    folder: Path
    python: Path
    site: Path
    version: str  # "3.11"
    free_threaded: bool
    # Tags of the wheels that it takes, best first
    tags: tuple[str, ...]
    # Where the compiler finds Python's own headers
    headers: Path
    environment: dict[str, str]

    def run(
        self, *arguments: str | Path, cwd: Path, timeout: float, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Python with these arguments. Its output is a pipe: wine has none for a file."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        return subprocess.run(
            [str(self.python), *map(str, arguments)],
            cwd=cwd,
            env=inherited | self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )

    def says(self, *arguments: str | Path, cwd: Path, timeout: float = 600.0, **environment: str) -> str:
        done = self.run(*arguments, cwd=cwd, timeout=timeout, **environment)
        if done.returncode != 0:
            raise Failure(
                f"{self.python.name} {' '.join(map(str, arguments))[:200]} ended with {done.returncode}:\n"
                f"{done.stdout[-6000:]}"
            )
        return done.stdout

    def install(self, *requirements: str | Path) -> None:
        """By the pip of this system, which takes nothing but wheels for the other one."""
        abis = [f"cp{self.version.replace('.', '')}{'t' if self.free_threaded else ''}", "none"]
        if not self.free_threaded:
            abis.append("abi3")
        output_of(
            *(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"),
            *("--upgrade", "--target", self.site, "--only-binary=:all:", "--implementation=cp"),
            f"--python-version={self.version}",
            *(f"--platform={tag}" for tag in self.tags),
            *(f"--abi={abi}" for abi in abis),
            *("--root-user-action=ignore", *requirements),
        )


def made_once(folder: Path) -> bool:
    """Whether a folder of the cache is whole; what is left of one that is not has gone."""
    if (folder / "complete").exists():
        return True
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return False


def script(file: Path, *lines: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(("#!/bin/sh", *lines, "")))
    file.chmod(0o755)


# ---------------------------------------------------------------- Debian


@dataclass(frozen=True)
class Debian:
    """A release and an architecture of Debian."""

    suite: str
    architecture: str
    python: str
    # How this system runs a program of it: {root} is where its packages are, {self} what the program takes itself for.
    runner: str
    triplet: str
    # The newest glibc (2.x) that wheels may want, and the name that they have for the architecture
    glibc: int
    wheels: str
    # Packages of Python that have no wheels for it
    packages: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.suite}-{self.architecture}-{self.python}"

    def machine(self) -> Machine:
        folder = CACHE / self.name
        root, environment = folder / "root", folder / "environment"
        python, site = environment / "bin/python", environment / f"lib/python{self.python}/site-packages"
        if not made_once(folder):
            with tempfile.TemporaryDirectory(prefix="isotp-apt-") as name:
                archive = Archive(Path(name), self.suite, self.architecture)
                archive.unpack([f"python{self.python}", f"libpython{self.python}-dev", "libstdc++6"], root)
                if self.packages:
                    archive.unpack(self.packages, root, alone=True)
            home = root / "usr/bin"
            runner = self.runner.format(root=root, self='"$0"', lib=root / f"usr/lib/{self.triplet}")
            script(python, f'exec {runner} {home}/python{self.python} "$@"')
            site.mkdir(parents=True)
            (environment / "pyvenv.cfg").write_text(f"home = {home}\n")
            if self.packages:
                (site / "debian.pth").write_text(f"{root}/usr/lib/python3/dist-packages\n")
            (folder / "complete").touch()
        tags = [f"manylinux_2_{minor}_{self.wheels}" for minor in range(self.glibc, 16, -1)]
        return Machine(
            folder=folder,
            python=python,
            site=site,
            version=self.python,
            free_threaded=False,
            tags=(*tags, f"manylinux2014_{self.wheels}", f"linux_{self.wheels}"),
            headers=root / "usr/include",
            # Python's own headers come behind those of the compiler: these are of its libc.
            environment={
                "CC": f"{self.triplet}-gcc",
                "LDSHARED": f"{self.triplet}-gcc -shared",
                "CPPFLAGS": f"-idirafter {root}/usr/include",
            },
        )


def emulated(program: str) -> str:
    return program + " -L {root} -0 {self}"


# Programs of this system's own kind, with their own loader and libraries
NATIVE = "{root}/usr/lib64/ld-linux-x86-64.so.2 --library-path {lib} --argv0 {self}"

ON_DEBIAN: dict[str, Debian] = {
    "aarch64": Debian(
        "bookworm", "arm64", "3.11", emulated("qemu-aarch64-static"), "aarch64-linux-gnu", 36, "aarch64"
    ),
    "armhf": Debian(
        *("bookworm", "armhf", "3.11", emulated("qemu-arm-static"), "arm-linux-gnueabihf", 36, "armv7l"),
        packages=("python3-msgpack",),
    ),
    "python3.14": Debian("sid", "amd64", "3.14", NATIVE, "x86_64-linux-gnu", 40, "x86_64"),
    "python3.15": Debian("sid", "amd64", "3.15", NATIVE, "x86_64-linux-gnu", 40, "x86_64"),
}


def names() -> Sequence[str]:
    return tuple(ON_DEBIAN)
