"""CPython for Windows under wine.

Its DLL and extension modules are in wheels of panda3d, which carries them for the programs that it packs; the library
in Python is that of Debian's package of the same minor version, Python's headers are too. A program of one line calls
what python.exe calls. The compiler is mingw-w64; what Windows users get is compiled by Microsoft's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from checks.debian_archive import Archive, Failure, NotRun, output_of
from checks.platforms.machines import CACHE, Machine, made_once, script

PANDA3D = "panda3d==1.10.16"
# pyconfig.h of Windows is in the source of CPython alone; it is the same for the minor versions that are built here.
SOURCE = "python3.13", "trixie"
GCC = "x86_64-w64-mingw32-gcc"
PROGRAM = "#include <Python.h>\nint wmain(int argc, wchar_t **argv) { return Py_Main(argc, argv); }\n"

# wine 8 has no WMI, there is no Tk, and tests of CPython's own are of no use here.
WITHOUT = ("_wmi", "tcl", "tk8", "_tkinter", "_test", "api-ms")

# wine 8 has these four as functions that end the process; numpy calls them. What they are, in machine code: a complex
# number of floats comes in a register, one of doubles by its address.
# CopyFile2(), which shutil calls if it is there, is the fifth: shutil does without it.
SITE = '''"""Does without the functions that wine lacks."""
import _winapi
import ctypes

vars(_winapi).pop("CopyFile2", None)

runtime, kernel = ctypes.CDLL("ucrtbase"), ctypes.WinDLL("kernel32")
for name, text in {
    "crealf": "66 0f 6e c1 c3",
    "cimagf": "48 c1 e9 20 66 0f 6e c1 c3",
    "creal": "f2 0f 10 01 c3",
    "cimag": "f2 0f 10 41 08 c3",
}.items():
    place, code = ctypes.cast(getattr(runtime, name), ctypes.c_void_p), bytes.fromhex(text)
    kernel.VirtualProtect(place, ctypes.c_size_t(len(code)), 0x40, ctypes.byref(ctypes.c_ulong()))
    ctypes.memmove(place, code, len(code))
'''


def wine() -> Path:
    for candidate in ("/usr/lib/wine/wine64", shutil.which("wine64"), shutil.which("wine")):
        if candidate and Path(candidate).exists():
            return Path(candidate)
    raise NotRun("wine is missing: checks/debian-packages platforms")


@dataclass(frozen=True)
class Windows:
    """A CPython for Windows, x86-64."""

    python: str
    suite: str  # of Debian, that has this minor version
    free_threaded: bool = False

    @property
    def tag(self) -> str:
        return self.python.replace(".", "") + ("t" if self.free_threaded else "")

    def machine(self) -> Machine:
        folder = CACHE / f"windows-{self.tag}"
        home, prefix = folder / "python", folder / "prefix"
        if shutil.which(GCC) is None:
            raise NotRun(f"{GCC} is missing: checks/debian-packages platforms")
        loader = wine()
        if not made_once(folder):
            self._make(home)
            script(
                folder / "bin/python",
                'export WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml,winemenubuilder.exe="',
                f'export WINEPREFIX="${{WINEPREFIX:-{prefix}}}"',
                f'exec {loader} {home}/python.exe "$@"',
            )
            (folder / "complete").touch()
        return Machine(
            folder=folder,
            python=folder / "bin/python",
            site=home / "Lib/site-packages",
            version=self.python,
            free_threaded=self.free_threaded,
            tags=("win_amd64",),
            headers=home / "include",
            environment={"WINEPREFIX": str(prefix)},
        )

    def _make(self, home: Path) -> None:
        library = f"python{self.tag}.dll"
        (home / "DLLs").mkdir(parents=True)
        with tempfile.TemporaryDirectory(prefix="isotp-windows-") as name:
            folder = Path(name)
            output_of(
                *(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"),
                *("--platform=win_amd64", f"--python-version={self.python}", f"--abi=cp{self.tag}"),
                *("-d", folder, PANDA3D),
            )
            (wheel,) = folder.glob("panda3d-*.whl")
            with zipfile.ZipFile(wheel) as archive:
                for path in archive.namelist():
                    file = Path(path).name
                    if path.startswith("deploy_libs/") and not file.startswith(WITHOUT):
                        beside = file.startswith(("python3", "VCRUNTIME"))
                        (home / file if beside else home / "DLLs" / file).write_bytes(archive.read(path))
            packages = [f"libpython{self.python}-{part}" for part in ("minimal", "stdlib", "dev")]
            (folder / "apt").mkdir()
            Archive(folder / "apt", self.suite, "amd64").unpack(packages, folder / "root", alone=True)
            shutil.copytree(
                folder / f"root/usr/lib/python{self.python}",
                home / "Lib",
                ignore=shutil.ignore_patterns(
                    "lib-dynload", "config-*", "_sysconfigdata*", "sitecustomize.py"
                ),
            )
            shutil.copytree(folder / f"root/usr/include/python{self.python}", home / "include")
            (folder / "source").mkdir()
            source = Archive(folder / "source", SOURCE[1], sources=True).source(SOURCE[:1])
            with tarfile.open(source) as archive:
                (member,) = (each for each in archive if each.name.endswith("/PC/pyconfig.h.in"))
                content = archive.extractfile(member)
                assert content is not None
                (home / "include/pyconfig.h").write_bytes(content.read())
            (folder / "python.c").write_text(PROGRAM)
            output_of(
                *(GCC, "-municode", "-O1", "-s", f"-I{home}/include", folder / "python.c"),
                *(home / library, "-o", home / "python.exe"),
            )
        (home / "Lib/site-packages").mkdir(exist_ok=True)
        (home / "Lib/sitecustomize.py").write_text(SITE)

    def wheel(self, machine: Machine, sources: Path) -> Path:
        """Built by this system's Python with the settings of the other one."""
        define = "Py_GIL_DISABLED" if self.free_threaded else ""
        return cross_wheel(
            sources,
            platform="win-amd64",
            compiler=GCC,
            shared=f"{GCC} -shared -static-libgcc",
            suffix=f".cp{self.tag}-win_amd64.pyd",
            soabi=f"cp{self.tag}-win_amd64",
            version=self.python,
            headers=machine.headers,
            free_threaded=self.free_threaded,
            configuration=[
                f"libraries = python{self.tag}",
                f"library_dirs = {machine.headers.parent}",
                *([f"define = {define}"] if define else []),
            ],
        )


def end_wine(machine: Machine) -> None:
    """End all that runs in the machine's own world of Windows; it starts anew with the next program."""
    server = wine().with_name("wineserver")
    subprocess.run([server, "-k"], env=os.environ | machine.environment, check=False, timeout=60)


def cross_wheel(
    sources: Path,
    *,
    platform: str,
    compiler: str,
    shared: str,
    suffix: str,
    soabi: str,
    version: str,
    headers: Path,
    free_threaded: bool = False,
    configuration: list[str],
) -> Path:
    """The wheel for another platform, as CPython's own cross builds are made: with settings of another name."""
    settings = sources / "settings"
    settings.mkdir()
    values: dict[str, object] = {
        "CC": compiler,
        "CXX": compiler,
        "CFLAGS": "-DNDEBUG -fwrapv -Wall",
        "CCSHARED": "" if platform.startswith("win") else "-fPIC",
        "LDSHARED": shared,
        "LDCXXSHARED": shared,
        "AR": "ar",
        "ARFLAGS": "rcs",
        "SHLIB_SUFFIX": Path(suffix).suffix,
        "EXT_SUFFIX": suffix,
        "SOABI": soabi,
        "INCLUDEPY": str(headers),
        "CONFINCLUDEPY": str(headers),
        "py_version_short": version,
        "py_version_nodot": version.replace(".", ""),
        "Py_GIL_DISABLED": int(free_threaded),
        "Py_DEBUG": 0,
    }
    (settings / "_sysconfigdata_other.py").write_text(f"build_time_vars = {values!r}\n")
    lines = ["[build_ext]", f"include_dirs = {headers}", *configuration, ""]
    (sources / "setup.cfg").write_text("\n".join(lines))
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    said = output_of(
        *(sys.executable, "setup.py", "-q", "bdist_wheel", "-d", "dist"),
        cwd=sources,
        env=inherited
        | {
            "_PYTHON_HOST_PLATFORM": platform,
            "_PYTHON_SYSCONFIGDATA_NAME": "_sysconfigdata_other",
            "PYTHONPATH": str(settings),
        },
    )
    wheels = sorted((sources / "dist").glob("*.whl"))
    if len(wheels) != 1:
        raise Failure(f"no wheel was built:\n{said[-3000:]}")
    return wheels[0]
