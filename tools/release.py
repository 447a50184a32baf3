"""The checklist of a release, as far as a program can go through it.

    python -m tools.release check            what has to be true before a tag is set
    python -m tools.release check --quick    the part that only reads files
    python -m tools.release prepare 2.2.0    sets version and date, and closes the changelog's section
    python -m tools.release notes [2.2.0]    what the changelog says of a release, by default of the last one
    python -m tools.release recipe SDIST     the recipe for conda-forge, with the version and the hash of the sdist

What users gain comes first: a section of the changelog begins with "Highlights", a line each.

A release is made by pushing the tag `vVERSION`: .github/workflows/wheels.yml builds the sdist and the wheels, tests
each where it was made, attests where they come from and publishes them. `check` ends with what is left to do by hand.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

VERSION_FILE = "src/isotp/_version.py"
CITATION = "CITATION.cff"
RECIPE = "tools/recipe.yaml"
VERSION = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
SEMANTIC = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:(?:a|b|rc)\d+)?")
SECTION = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?$", re.MULTILINE)
HIGHLIGHTS = "Highlights"
KINDS = {HIGHLIGHTS, "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}

LEFT_TO_DO = """\
By hand, then:
  1. CI is green for this commit.
  2. git tag --sign v{version} && git push origin v{version}
  3. The workflow "Wheels" waits for approval of its environment: look at the artifacts first.
  4. In a fresh environment: pip install can-isotp-cython=={version}; python -c "import isotp; print(isotp.__version__)"
  5. The release notes: python -m tools.release notes {version}
  6. python -m tools.release recipe SDIST: a pull request to conda-forge/staged-recipes, later to the feedstock."""


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


def repository_of(root: Path) -> str:
    (repository,) = re.findall(r'^Repository = "(.+)"$', read(root, "pyproject.toml"), re.MULTILINE)
    return repository


def cited(root: Path) -> dict[str, str]:
    """CITATION.cff: the lines with one word as their value."""
    return dict(re.findall(r"^([\w-]+): (\S+)$", read(root, CITATION), re.MULTILINE))


def problems_of_section(name: str, text: str) -> Iterator[str]:
    kinds = re.findall(r"^### (.+)$", text, re.MULTILINE)
    if unknown := set(kinds) - KINDS:
        yield f"CHANGELOG.md: [{name}] has {', '.join(sorted(unknown))}, Keep a Changelog has not"
    # Of what is not released yet, the highlights are written last.
    if name != "Unreleased" and kinds[:1] != [HIGHLIGHTS]:
        yield f"CHANGELOG.md: [{name}] does not begin with {HIGHLIGHTS}: what users gain, a line each"


def problems_of_files(root: Path) -> Iterator[str]:
    """What files say that does not go together, whatever the moment."""
    version = version_of(root)
    if SEMANTIC.fullmatch(version) is None:
        yield f"{VERSION_FILE}: {version} is no semantic version"
    project = read(root, "pyproject.toml")
    if 'dynamic = ["version"' not in project or "isotp._version.__version__" not in project:
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
        yield from problems_of_section(name, text)

    if cited(root).get("version") != next((name for name in known if name != "Unreleased"), version):
        yield f"{CITATION}: the version is not that of the last release"
    if cited(root).get("repository-code") != repository_of(root):
        yield f"{CITATION}: the repository is not that of pyproject.toml"
    if {f"cython {cython}" for cython in re.findall(r'"Cython(>=[^"]+)"', project)} != set(
        re.findall(r"- (cython .+)$", read(root, RECIPE), re.MULTILINE)
    ):
        yield f"{RECIPE}: needs another Cython than pyproject.toml"

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
    origin = git(root, "config", "--default", "", "remote.origin.url").removesuffix(".git")
    if re.sub(r"^git@([^:]+):", r"https://\1/", origin) != repository_of(root):
        yield f"pyproject.toml: {repository_of(root)} is not where this was cloned from (git remote origin)"


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def prepare(root: Path, version: str, today: datetime.date) -> None:
    """Set version and date where they stand, and give the changelog's open section its name.

    :raises ValueError: if there is nothing to release, the version is none or not a later one, or the highlights are
        missing.
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
    for problem in problems_of_section(version, known["Unreleased"][1]):
        raise ValueError(problem)
    closed = f"## [Unreleased]\n\n## [{version}] - {today.isoformat()}"
    write(root, "CHANGELOG.md", changelog.replace("## [Unreleased]", closed, 1))
    write(root, VERSION_FILE, VERSION.sub(f'__version__ = "{version}"', read(root, VERSION_FILE)))
    citation = re.sub(r"(?m)^version: .*$", f"version: {version}", read(root, CITATION))
    write(root, CITATION, re.sub(r"(?m)^date-released: .*$", f"date-released: {today.isoformat()}", citation))


def write(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text, encoding="utf-8")


def notes(root: Path, version: str | None) -> str:
    """What the changelog says of a release; of the last one, if none is named.

    :raises ValueError: There is no such release.
    """
    known = sections(read(root, "CHANGELOG.md"))
    released = [name for name in known if name != "Unreleased"]
    if version is None and released:
        version = released[0]
    if version not in released:
        raise ValueError(
            f"CHANGELOG.md: there is no release {version}; there are: {', '.join(released) or 'none'}"
        )
    return known[version][1]


def recipe(root: Path, sdist: Path) -> str:
    """The recipe for conda-forge of what is in an sdist.

    :raises ValueError: The file is no sdist of this package.
    """
    named = re.fullmatch(r"can_isotp_cython-(.+)\.tar\.gz", sdist.name)
    if named is None:
        raise ValueError(f"{sdist.name} is no sdist of can-isotp-cython")
    filled = {
        "VERSION": named[1],
        "SHA256": hashlib.sha256(sdist.read_bytes()).hexdigest(),
        "REPOSITORY": repository_of(root),
        "MAINTAINER": repository_of(root).split("/")[-2],
    }
    return re.sub(r"@(\w+)@", lambda name: filled[name[1]], read(root, RECIPE))


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.release", description="The checklist of a release."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="what has to be true before a tag is set")
    checking.add_argument("--quick", action="store_true", help="only what files say")
    preparing = commands.add_parser("prepare", help="set the version, close the changelog's section")
    preparing.add_argument("version")
    noting = commands.add_parser("notes", help="what the changelog says of a release")
    noting.add_argument("version", nargs="?")
    cooking = commands.add_parser("recipe", help="the recipe for conda-forge")
    cooking.add_argument("sdist", type=Path)
    options = parser.parse_args(arguments)

    try:
        if options.command == "prepare":
            prepare(root, options.version, datetime.datetime.now(datetime.timezone.utc).date())
            files = f"{VERSION_FILE}, {CITATION} and CHANGELOG.md"
            print(f"{files} are set to {options.version}: look at them, commit, then check")
            return 0
        if options.command == "notes":
            print(notes(root, options.version))
            return 0
        if options.command == "recipe":
            print(recipe(root, options.sdist), end="")
            return 0
    except ValueError as error:
        print(f"FAILED: {error}")
        return 1

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
