"""tools.release: the checklist finds what is wrong with a release, and sets the version in its one place."""

from __future__ import annotations

import datetime
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tools import release

READ = (
    *("pyproject.toml", "setup.py", "CHANGELOG.md", "release-constraints.txt", "docs/conf.py"),
    *("CITATION.cff", "tools/recipe.yaml"),
    *("src/isotp/_version.py", "src/isotp/__init__.py", ".github/workflows/wheels.yml"),
)
TODAY = datetime.date(2026, 1, 2)

pytestmark = pytest.mark.skipif(
    not (release.ROOT / ".github").is_dir(), reason="no checkout: the sdist has no workflows"
)


NEWS = """## [Unreleased]

### Highlights

- **Gain**: something that users can do now.

### Fixed

- Something.
"""


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with what the checklist looks at, as it is here."""
    for name in READ:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(release.ROOT / name, tmp_path / name)
    change(tmp_path, "CHANGELOG.md", "## [Unreleased]\n", NEWS)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "remote", "add", "origin", f"{release.repository_of(tmp_path)}.git")
    commit(tmp_path)
    return tmp_path


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", "all of it")


def change(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text()
    assert old in text
    (root / name).write_text(text.replace(old, new, 1))


def test_this_checkout_goes_together() -> None:
    assert list(release.problems_of_files(release.ROOT)) == []


def test_from_prepare_to_tag(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert release.main(["check"], root) == 1
    assert "[Unreleased] is not empty" in capsys.readouterr().out
    release.prepare(root, "7.0.0", TODAY)
    assert release.version_of(root) == "7.0.0"
    assert release.sections((root / "CHANGELOG.md").read_text())["7.0.0"][0] == "2026-01-02"
    assert {**release.cited(root), "version": "7.0.0", "date-released": "2026-01-02"} == release.cited(root)
    commit(root)
    assert release.main(["check"], root) == 0
    assert "git push origin v7.0.0" in capsys.readouterr().out
    git(root, "tag", "v7.0.0")
    assert list(release.problems_of_moment(root)) == ["the tag v7.0.0 is there already"]


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("src/isotp/_version.py", '__version__ = "', '__version__ = "x', "no semantic version"),
        ("pyproject.toml", 'dynamic = ["version", ', 'version = "1.0"\ndynamic = [', "does not come from"),
        ("pyproject.toml", '"cp310-*", ', "", "wheels for"),
        ("CHANGELOG.md", "## [Unreleased]", "## [Next]", "first section"),
        ("CHANGELOG.md", "### Added", "### News", "has News"),
        (
            "CHANGELOG.md",
            "## [Unreleased]",
            "## [Unreleased]\n\n## [7.0.0] - 2026-01-02\n\n### Fixed",
            "Highlights",
        ),
        ("CITATION.cff", "version: 2", "version: 1", "not that of the last release"),
        ("CITATION.cff", "https://github.com/", "https://example.com/", "not that of pyproject.toml"),
        ("tools/recipe.yaml", "cython >=", "cython >=9.", "another Cython"),
        ("release-constraints.txt", "Cython==", "Cython==9.", "is not within"),
        (
            ".github/workflows/wheels.yml",
            "attestations: true",
            "attestations: false",
            "nothing of attestations",
        ),
    ],
)
def test_what_files_say_wrongly(root: Path, name: str, old: str, new: str, problem: str) -> None:
    change(root, name, old, new)
    assert any(problem in found for found in release.problems_of_files(root))


def test_version_stands_in_one_place(root: Path) -> None:
    version = release.version_of(root)
    change(root, "setup.py", "import os\n", f"import os\n\nversion = '{version}'\n")
    assert [found for found in release.problems_of_files(root) if "setup.py" in found]


def test_what_is_to_be_done_before_a_tag(root: Path) -> None:
    release.prepare(root, "7.0.0", TODAY)
    assert list(release.problems_of_moment(root)) == ["there are changes that are not committed"]
    commit(root)
    git(root, "tag", "v7.1.0")
    git(root, "switch", "-q", "-c", "other")
    assert list(release.problems_of_moment(root)) == [
        "7.0.0 comes after 7.1.0",
        "this is not the branch main",
    ]
    over_ssh = release.repository_of(root).replace("https://github.com/", "git@github.com:")
    git(root, "remote", "set-url", "origin", f"{over_ssh}.git")
    assert len(list(release.problems_of_moment(root))) == 2
    git(root, "remote", "set-url", "origin", "https://example.com/somewhere/else.git")
    assert "is not where this was cloned from" in list(release.problems_of_moment(root))[-1]


def test_what_can_not_be_prepared(root: Path) -> None:
    with pytest.raises(ValueError, match="no semantic version"):
        release.prepare(root, "seven", TODAY)
    release.prepare(root, "7.0.0", TODAY)
    with pytest.raises(ValueError, match=r"nothing is under \[Unreleased\]"):
        release.prepare(root, "7.1.0", TODAY)
    change(root, "CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n\n### Fixed\n\n- Something.\n")
    with pytest.raises(ValueError, match="does not begin with Highlights"):
        release.prepare(root, "7.1.0", TODAY)
    change(root, "CHANGELOG.md", "## [Unreleased]\n\n### Fixed\n\n- Something.\n", NEWS)
    with pytest.raises(ValueError, match="is not after"):
        release.prepare(root, "6.9.9", TODAY)
    with pytest.raises(ValueError, match="already"):
        release.prepare(root, "7.0.0", TODAY)


def test_notes_of_a_release(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release.prepare(root, "7.0.0", TODAY)
    assert release.main(["notes"], root) == 0
    said = capsys.readouterr().out
    assert said.startswith("### Highlights\n\n- **Gain**: something")
    assert said.endswith("- Something.\n")
    assert release.main(["notes", "6.0.0"], root) == 1
    assert "there is no release 6.0.0; there are: 7.0.0" in capsys.readouterr().out


def test_recipe_is_of_the_sdist(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sdist = tmp_path / "can_isotp_cython-7.0.0.tar.gz"
    sdist.write_bytes(b"not packed, and no matter")
    assert release.main(["recipe", str(sdist)], root) == 0
    said = capsys.readouterr().out
    assert 'version: "7.0.0"' in said
    assert f'sha256: "{hashlib.sha256(sdist.read_bytes()).hexdigest()}"' in said
    assert f'repository: "{release.repository_of(root)}"' in said
    assert "@" not in said
    assert release.main(["recipe", str(tmp_path / "numpy-2.0.0.tar.gz")], root) == 1
    assert "no sdist of can-isotp-cython" in capsys.readouterr().out


def test_recipe_needs_what_the_package_needs() -> None:
    """The requirements of the build, the least versions of what is optional, the command."""
    recipe = (release.ROOT / release.RECIPE).read_text()
    project = (release.ROOT / "pyproject.toml").read_text()
    of_the_build = re.findall(
        r'"([\w-]+)([<>=][^"]+)"', re.search(r"^requires = (.+)$", project, re.MULTILINE)[1]
    )
    assert of_the_build
    for name, versions in of_the_build:
        assert f"    - {name.lower()} {versions}\n" in recipe
    optional, _, _ = project.partition("[project.optional-dependencies]")[2].partition("[project.scripts]")
    beside = dict(
        re.findall(r"^    - ([\w-]+) ([<>=]\S+)$", recipe.partition("run_constraints:")[2], re.MULTILINE)
    )
    for name, versions in beside.items():
        assert re.search(rf'"{name.removesuffix("-base")}(?:\[\w+\])?{re.escape(versions)}"', optional), name
    assert "- isotp = isotp.cli:main\n" in recipe
    assert 'isotp = "isotp.cli:main"' in project
