"""The checklist of a release, as far as a program can go through it.

    python -m tools.release check            what has to be true before a tag is set
    python -m tools.release check --quick    the part that only reads files
    python -m tools.release prepare 2.2.0    sets the version, and closes the changelog's section

A release is made by pushing the tag `vVERSION`: .github/workflows/wheels.yml builds the sdist and the wheels, tests
each where it was made, attests where they come from and publishes them. `check` ends with what is left to do by hand.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

VERSION_FILE = "src/isotp/_version.py"
VERSION = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
SEMANTIC = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:(?:a|b|rc)\d+)?")
SECTION = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?$", re.MULTILINE)
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}

LEFT_TO_DO = """\
By hand, then:
  1. CI is green for this commit.
  2. git tag --sign v{version} && git push origin v{version}
  3. The workflow "Wheels" waits for approval of its environment: look at the artifacts first.
  4. In a fresh environment: pip install can-isotp-cython=={version}; python -c "import isotp; print(isotp.__version__)"
  5. The release notes are the changelog's section."""


def read(root: Path, name: str) -> str:
    return (root / name).read_text(encoding="utf-8")


def version_of(root: Path) -> str:
    (version,) = VERSION.findall(read(root, VERSION_FILE))
    return version


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def sections(changelog: str) -> dict[str, tuple[str | None, str]]:
    """The changelog by version: its date, and what it says."""
    found = list(SECTION.finditer(changelog))
    ends = [match.start() for match in found[1:]] + [len(changelog)]
    return {
        match[1]: (match[2], changelog[match.end() : end].strip())
        for match, end in zip(found, ends, strict=True)
    }


def problems_of_files(root: Path) -> Iterator[str]:
    """What files say that does not go together, whatever the moment."""
    version = version_of(root)
    if SEMANTIC.fullmatch(version) is None:
        yield f"{VERSION_FILE}: {version} is no semantic version"
    project = read(root, "pyproject.toml")
    if 'dynamic = ["version"]' not in project or "isotp._version.__version__" not in project:
        yield "pyproject.toml: the version does not come from isotp._version"
    for name in ("setup.py", "docs/conf.py", "src/isotp/__init__.py"):
        if version in read(root, name):
            yield f"{name}: has the version, which stands in {VERSION_FILE} only"

    known = sections(read(root, "CHANGELOG.md"))
    if next(iter(known), None) != "Unreleased":
        yield "CHANGELOG.md: the first section is not [Unreleased]"
    for name, (date, text) in known.items():
        if (name == "Unreleased") != (date is None):
            yield f"CHANGELOG.md: [{name}] and its date do not go together"
        kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
        if kinds - KINDS:
            yield f"CHANGELOG.md: [{name}] has {', '.join(sorted(kinds - KINDS))}, Keep a Changelog has not"

    built = {f"{a}.{b}" for a, b in re.findall(r'"cp(\d)(\d+)-\*"', project)}
    promised = set(re.findall(r'"Programming Language :: Python :: (\d\.\d+)"', project))
    if built != promised:
        yield f"pyproject.toml: wheels for {sorted(built)}, classifiers for {sorted(promised)}"
    low, high = re.search(r'"Cython>=([\d.]+),<([\d.]+)"', project).groups()
    (pinned,) = re.findall(r"^Cython==([\d.]+)$", read(root, "release-constraints.txt"), re.MULTILINE)
    if not numbers(low) <= numbers(pinned) < numbers(high):
        yield f"release-constraints.txt: Cython {pinned} is not within {low} and {high}"

    workflow = read(root, ".github/workflows/wheels.yml")
    for needed in ("id-token: write", "attestations: true", "attest-build-provenance", "SOURCE_DATE_EPOCH"):
        if needed not in workflow:
            yield f"wheels.yml: nothing of {needed}"


def problems_of_moment(root: Path) -> Iterator[str]:
    """What has to be done before a tag is set."""
    version = version_of(root)
    known = sections(read(root, "CHANGELOG.md"))
    if version not in known:
        yield f"CHANGELOG.md: no section [{version}]; python -m tools.release prepare {version}"
    elif not known[version][1]:
        yield f"CHANGELOG.md: [{version}] is empty"
    if known.get("Unreleased", (None, ""))[1]:
        yield "CHANGELOG.md: [Unreleased] is not empty"
    if git(root, "tag", "--list", f"v{version}"):
        yield f"the tag v{version} is there already"
    earlier = [tag.removeprefix("v") for tag in git(root, "tag", "--list", "v*").split()]
    later = [tag for tag in earlier if SEMANTIC.fullmatch(tag) and numbers(tag) > numbers(version)]
    if later:
        yield f"{version} comes after {', '.join(later)}"
    if git(root, "status", "--porcelain"):
        yield "there are changes that are not committed"
    if git(root, "branch", "--show-current") != "main":
        yield "this is not the branch main"


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def prepare(root: Path, version: str, today: datetime.date) -> None:
    """Set the version and give the changelog's open section its name.

    :raises ValueError: if there is nothing to release, or the version is none or not a later one.
    """
    if SEMANTIC.fullmatch(version) is None:
        raise ValueError(f"{version} is no semantic version")
    changelog = read(root, "CHANGELOG.md")
    known = sections(changelog)
    if not known["Unreleased"][1]:
        raise ValueError("CHANGELOG.md: nothing is under [Unreleased]")
    if version in known:
        raise ValueError(f"CHANGELOG.md: there is a section [{version}] already")
    released = [name for name in known if name != "Unreleased"]
    if released and numbers(version) <= numbers(released[0]):
        raise ValueError(f"{version} is not after {released[0]}")
    closed = f"## [Unreleased]\n\n## [{version}] - {today.isoformat()}"
    (root / "CHANGELOG.md").write_text(changelog.replace("## [Unreleased]", closed, 1), encoding="utf-8")
    text = VERSION.sub(f'__version__ = "{version}"', read(root, VERSION_FILE))
    (root / VERSION_FILE).write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.release", description="The checklist of a release."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="what has to be true before a tag is set")
    checking.add_argument("--quick", action="store_true", help="only what files say")
    preparing = commands.add_parser("prepare", help="set the version, close the changelog's section")
    preparing.add_argument("version")
    options = parser.parse_args(arguments)

    if options.command == "prepare":
        try:
            prepare(root, options.version, datetime.datetime.now(datetime.timezone.utc).date())
        except ValueError as error:
            print(f"FAILED: {error}")
            return 1
        print(
            f"{VERSION_FILE} and CHANGELOG.md are set to {options.version}: look at them, commit, then check"
        )
        return 0

    problems = list(problems_of_files(root))
    if not options.quick:
        problems += problems_of_moment(root)
    for problem in problems:
        print(f"FAILED: {problem}")
    if not problems:
        print("ok: what files say goes together")
        if not options.quick:
            print(LEFT_TO_DO.format(version=version_of(root)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
