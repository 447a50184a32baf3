"""`python -m isotp doctor`: whether can-isotp is in the way of this package, and what can be done about that.

Imports nothing of this package: files of it may be those of can-isotp.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import shutil
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

__all__ = ["doctor", "stand_in"]

OURS, THEIRS = "can-isotp-cython", "can-isotp"
# The stand-in is this release of can-isotp, for packages that require it: installers prefer a local version to the
# plain one.
STAND_IN = "2.0.7+cython"


def stand_in(folder: Path) -> Path:
    """Write the wheel of a `can-isotp` that is nothing but a requirement of this package; returns its path.

    Installed, it satisfies what requires can-isotp, so that no installer brings the other one.
    """
    info = f"can_isotp-{STAND_IN}.dist-info"
    files = {
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: {THEIRS}\nVersion: {STAND_IN}\n"
            f"Summary: Stands in for can-isotp where {OURS} is installed\nRequires-Dist: {OURS}\n"
        ),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: {OURS}\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(content.encode())}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    path = folder / f"can_isotp-{STAND_IN}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
    return path


def _version_of(name: str) -> str | None:
    try:
        return metadata.version(name)
    # The second one since Python 3.15, where a folder has no metadata in it
    except (metadata.PackageNotFoundError, FileNotFoundError):
        return None


def _kept_files(folder: Path) -> list[Path]:
    """What a wheel has a second time, relative to the folder of the package."""
    kept = folder / "_kept"
    return sorted(path.relative_to(kept) for path in kept.rglob("*.py"))


def _lost_files(folder: Path) -> list[Path]:
    """Those of which another package's are in place, or none."""
    return [
        path
        for path in _kept_files(folder)
        if not (folder / path).is_file()
        or (folder / path).read_bytes() != (folder / "_kept" / path).read_bytes()
    ]


def doctor(arguments: Sequence[str]) -> int:
    """Tell whether this package and can-isotp are in each other's way; returns 0 if they are not, else 1."""
    parser = argparse.ArgumentParser(prog="python -m isotp doctor", description=doctor.__doc__)
    parser.add_argument(
        "--mend", action="store_true", help="put files of this package back that are not in place"
    )
    parser.add_argument(
        "--stand-in",
        metavar="FOLDER",
        type=Path,
        help="write the wheel of a can-isotp that only requires this package, for pip and uv to install",
    )
    chosen = parser.parse_args(arguments)
    if chosen.stand_in is not None:
        print(f"{stand_in(chosen.stand_in)} written; it is installed as any other wheel")
        return 0
    folder = Path(__file__).parent
    theirs = _version_of(THEIRS)
    print(f"{OURS} {_version_of(OURS) or 'without metadata'}, in {folder}")
    print(f"{THEIRS} {theirs or 'is not installed'}{' (the stand-in)' if theirs == STAND_IN else ''}")
    lost = _lost_files(folder)
    if chosen.mend:
        for path in lost:
            (folder / path).parent.mkdir(exist_ok=True)
            shutil.copyfile(folder / "_kept" / path, folder / path)
        print(f"{len(lost)} files put back")
        lost = _lost_files(folder)
    for path in lost:
        print(f"not in place: {folder / path}")
    if lost:
        print(
            "'import isotp' brings this package nonetheless; type checkers and tools that read files see the others."
        )
        print("To put them back: python -m isotp doctor --mend")
    if theirs is not None and theirs != STAND_IN:
        print(
            "To have nothing in the way: python -m isotp doctor --stand-in . and install the wheel that it writes"
        )
    return 1 if lost else 0
