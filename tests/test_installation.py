"""can-isotp in the same folder: the warning (_installation), the doctor (_doctor), and the files that are kept."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import isotp
from isotp._installation import warn_of_shared_folder

INSTALL = "pip uninstall -y can-isotp can-isotp-cython"


@pytest.mark.parametrize("name", ["can_isotp-2.0.7.dist-info", "can_isotp-1.9.dist-info"])
def test_can_isotp_in_the_same_folder(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A wheel brings what makes the warning needless.
    monkeypatch.delitem(sys.modules, "_can_isotp_cython", raising=False)
    (tmp_path / name).mkdir()
    (tmp_path / "can_isotp_cython-1.0.dist-info").mkdir()
    with pytest.warns(RuntimeWarning, match="can-isotp and can-isotp-cython") as warned:
        warn_of_shared_folder(tmp_path)
    (warning,) = warned
    assert str(tmp_path) in str(warning.message)
    assert INSTALL in str(warning.message)


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["can_isotp_cython-1.0.dist-info"],
        ["can_isotp_cython-1.0.dist-info", "python_can-4.5.0.dist-info", "udsoncan-1.24.dist-info"],
        ["can_isotp_cython.egg-info", "isotp"],
    ],
    ids=len,
)
def test_folder_without_can_isotp(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_shared_folder(tmp_path)


def test_folder_that_can_not_be_listed(tmp_path: Path) -> None:
    """Importing from an archive, for example: there is nothing to find out, and nothing to complain of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_shared_folder(tmp_path / "archive.zip")


def import_from(site: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Import the package from this folder, in a Python that knows no other, nor what a wheel brings to keep it."""
    program = (
        f"import sys; sys.path.insert(0, {str(site)!r}); sys.modules.pop('_can_isotp_cython', None)\n"
        "import isotp\nprint(isotp.__file__)"
    )
    return subprocess.run(
        [sys.executable, "-I", *options, "-c", program],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder as pip leaves it, with a copy of the package that is tested."""
    source = Path(isotp.__file__).parent
    shutil.copytree(
        source,
        tmp_path / "isotp",
        ignore=shutil.ignore_patterns("__pycache__", "_kept", "*.c", "*.pyx", "*.pxi"),
    )
    (tmp_path / "can_isotp_cython-1.0.dist-info").mkdir()
    return tmp_path


def test_import_beside_can_isotp(site: Path) -> None:
    (site / "can_isotp-2.0.7.dist-info").mkdir()
    done = import_from(site)
    assert done.returncode == 0
    assert Path(done.stdout.strip()) == site / "isotp" / "__init__.py"
    assert done.stderr.count("RuntimeWarning") == 1
    assert INSTALL in done.stderr
    assert str(site) in done.stderr


def test_import_beside_can_isotp_with_warnings_as_errors(site: Path) -> None:
    (site / "can_isotp-2.0.7.dist-info").mkdir()
    done = import_from(site, "-W", "error")
    assert done.returncode == 1
    assert "RuntimeWarning: can-isotp and can-isotp-cython are both installed" in done.stderr


def test_import_without_can_isotp(site: Path) -> None:
    done = import_from(site, "-W", "error")
    assert (done.stderr, done.returncode) == ("", 0)
    assert Path(done.stdout.strip()) == site / "isotp" / "__init__.py"


# --- Files that were overwritten, or went with can-isotp ---

GUARD = Path(__file__).parent.parent / "src" / "_can_isotp_cython.py"
SHARED = ("__init__.py", "address.py", "can_message.py", "errors.py", "protocol.py", "tools.py", "tpsock")


@pytest.fixture
def wheel_site(site: Path) -> Path:
    """As a wheel leaves it: with the files kept a second time, and what looks for them."""
    if not GUARD.exists():
        pytest.skip("needs the source of what a wheel adds")
    kept = site / "isotp" / "_kept"
    kept.mkdir()
    for name in SHARED:
        source = site / "isotp" / name
        if source.is_dir():
            shutil.copytree(source, kept / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, kept / name)
    shutil.copyfile(GUARD, site / GUARD.name)
    return site


def guarded(site: Path, program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a program where Python has looked at the .pth file of this folder, at its start."""
    start = f"import sys; sys.path.insert(0, {str(site)!r})\nimport _can_isotp_cython\n"
    # -S: no other one further down the path
    return subprocess.run(
        [sys.executable, "-I", "-S", *options, "-c", start + program],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


USE = """
import isotp, isotp.address, isotp.tpsock.opts, isotp.hub
frames = []
layer = isotp.TransportLayer(lambda: None, frames.append, isotp.Address(rxid=1, txid=2))
layer.send(b"ab")
layer.process()
print(frames[0].data.hex(), isotp.__file__)
"""


def overwrite(site: Path) -> None:
    for name in SHARED:
        path = site / "isotp" / name
        (path / "__init__.py" if path.is_dir() else path).write_text("answer = 'can-isotp'\n")


def remove(site: Path) -> None:
    for name in SHARED:
        path = site / "isotp" / name
        (path / "__init__.py" if path.is_dir() else path).unlink()


@pytest.mark.parametrize("happens", [overwrite, remove])
def test_what_is_kept_answers(wheel_site: Path, happens: Callable[[Path], None]) -> None:
    happens(wheel_site)
    (wheel_site / "can_isotp-2.0.7.dist-info").mkdir()
    done = guarded(wheel_site, USE, "-W", "error")
    assert done.stderr == ""
    assert done.stdout.split() == ["026162", str(wheel_site / "isotp" / "_kept" / "__init__.py")]


def test_files_in_place_are_taken(wheel_site: Path) -> None:
    """Also beside can-isotp, of which nobody needs to be warned then."""
    (wheel_site / "can_isotp-2.0.7.dist-info").mkdir()
    done = guarded(wheel_site, USE + "print(len(sys.meta_path))\n", "-W", "error")
    assert done.stderr == ""
    assert done.stdout.split()[:2] == ["026162", str(wheel_site / "isotp" / "__init__.py")]


def test_a_package_that_comes_first_on_the_path_is_left_alone(wheel_site: Path, tmp_path: Path) -> None:
    overwrite(wheel_site)
    other = tmp_path / "checkout"
    (other / "isotp").mkdir(parents=True)
    (other / "isotp" / "__init__.py").write_text("answer = 'mine'\n")
    program = f"sys.path.insert(0, {str(other)!r})\nimport isotp, json, xml\nprint(isotp.answer)\n"
    done = guarded(wheel_site, program)
    assert (done.stdout.strip(), done.stderr) == ("mine", "")


def test_without_what_is_kept_nothing_is_promised(site: Path) -> None:
    shutil.copyfile(GUARD, site / GUARD.name)
    overwrite(site)
    done = guarded(site, "import isotp; print(isotp.answer)")
    assert done.stdout.strip() == "can-isotp"


# --- python -m isotp doctor ---


def doctor_of(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m isotp doctor`, in a Python that knows this folder only."""
    program = (
        f"import runpy, sys; sys.path.insert(0, {str(site)!r}); sys.argv = {['isotp', 'doctor', *arguments]!r}\n"
        "runpy.run_module('isotp', run_name='__main__', alter_sys=True)"
    )
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_doctor_where_all_is_well(wheel_site: Path) -> None:
    done = doctor_of(wheel_site)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"in {wheel_site / 'isotp'}" in done.stdout
    assert "not in place" not in done.stdout


@pytest.mark.parametrize("happens", [overwrite, remove])
def test_doctor_tells_and_mends(wheel_site: Path, happens: Callable[[Path], None]) -> None:
    happens(wheel_site)
    done = doctor_of(wheel_site)
    assert done.returncode == 1
    assert done.stdout.count("not in place: ") == len(SHARED)
    assert "doctor --mend" in done.stdout
    done = doctor_of(wheel_site, "--mend")
    assert done.returncode == 0
    assert f"{len(SHARED)} files put back" in done.stdout
    assert import_from(wheel_site).stdout.strip() == str(wheel_site / "isotp" / "__init__.py")


def test_the_stand_in_is_a_wheel_that_requires_this_package(site: Path, tmp_path: Path) -> None:
    done = doctor_of(site, "--stand-in", str(tmp_path))
    assert done.returncode == 0
    (wheel,) = tmp_path.glob("*.whl")
    assert str(wheel) in done.stdout
    assert wheel.name == "can_isotp-2.0.7+cython-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        record = archive.read("can_isotp-2.0.7+cython.dist-info/RECORD").decode().splitlines()
        metadata = archive.read("can_isotp-2.0.7+cython.dist-info/METADATA").decode()
        assert [line.split(",")[0] for line in record] == archive.namelist()
    assert "Requires-Dist: can-isotp-cython\n" in metadata


def test_the_stand_in_is_not_warned_of(tmp_path: Path) -> None:
    (tmp_path / "can_isotp-2.0.7+cython.dist-info").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_shared_folder(tmp_path)


def test_the_command_without_doctor() -> None:
    pytest.importorskip("typer")
    done = subprocess.run(
        [sys.executable, "-m", "isotp", "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert "decode" in done.stdout
