"""isotp._installation: the warning that can-isotp lies in the same folder, so that files are mixed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import isotp
from isotp._installation import warn_of_shared_folder

INSTALL = "pip uninstall -y can-isotp can-isotp-cython"


@pytest.mark.parametrize("name", ["can_isotp-2.0.7.dist-info", "can_isotp-1.9.dist-info"])
def test_can_isotp_in_the_same_folder(tmp_path: Path, name: str) -> None:
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
    """Import the package from this folder, in a Python that knows no other."""
    program = f"import sys; sys.path.insert(0, {str(site)!r})\nimport isotp\nprint(isotp.__file__)"
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
        source, tmp_path / "isotp", ignore=shutil.ignore_patterns("__pycache__", "*.c", "*.pyx", "*.pxi")
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
