"""What other releases and architectures of Debian have, by an apt configuration of its own: this system stays as it is.

Needs a Debian with apt-get, and its mirror: the one that its own packages come from.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

SOURCES = Path("/etc/apt")


class NotRun(Exception):
    """What a check needs is not to be had here; says why."""


class Failure(Exception):
    """Something is not as it has to be."""


def report(what: str) -> None:
    print(f"--- {what}", flush=True)


def output_of(
    *command: str | Path,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    timeout: float | None = None,
) -> str:
    """What a command says; Failure with all of it if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        timeout=timeout,
    )
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-6000:]}")
    return done.stdout


def paragraphs(text: str) -> Iterator[dict[str, str]]:
    """The entries of a file of apt's `.sources` format."""
    for block in re.split(r"\n\s*\n", text):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        joined = re.sub(r"\n[ \t]+", " ", "\n".join(lines))
        yield {
            key.strip().lower(): value.strip()
            for key, _, value in (line.partition(":") for line in joined.splitlines())
        }


def codename() -> str:
    """Of the release that this Debian is."""
    try:
        system = platform.freedesktop_os_release()
    except OSError as error:
        raise NotRun("this system does not say that it is a Debian") from error
    if system.get("ID") != "debian" or shutil.which("apt-get") is None:
        raise NotRun(f"this system is {system.get('ID', 'unknown')}, not a Debian with apt-get")
    return system.get("VERSION_CODENAME", "")


def mirror() -> tuple[str, str]:
    """URI and signing key ("" for apt's own) of the mirror that this Debian has its packages from."""
    release = codename()
    for file in sorted(SOURCES.glob("sources.list.d/*.sources")):
        for entry in paragraphs(file.read_text()):
            if release in entry.get("suites", "").split() and "main" in entry.get("components", "").split():
                return entry["uris"].split()[0], entry.get("signed-by", "")
    for file in (SOURCES / "sources.list", *sorted(SOURCES.glob("sources.list.d/*.list"))):
        if file.exists():
            for line in file.read_text().splitlines():
                found = re.match(rf"deb\s+(?:\[(.*?)\]\s+)?(\S+)\s+{release}\s.*\bmain\b", line)
                if found:
                    key = re.search(r"signed-by=(\S+)", found[1] or "")
                    return found[2], key[1] if key else ""
    raise NotRun(f"apt's sources name no mirror for {release}")


class Archive:
    """A suite of the mirror, for one architecture. `folder` is new, and all that apt keeps is in there."""

    def __init__(self, folder: Path, suite: str, architecture: str = "", sources: bool = False) -> None:
        self.folder = folder
        uri, key = mirror()
        for part in ("lists/partial", "cache/archives/partial", "parts"):
            (folder / part).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "parts/archive.sources").write_text(
            f"Types: {'deb-src' if sources else 'deb'}\nURIs: {uri}\nSuites: {suite}\nComponents: main\n"
            + (f"Signed-By: {key}\n" if key else "")
        )
        settings: dict[str, object] = {
            "Dir::Etc::SourceList": "/dev/null",
            "Dir::Etc::SourceParts": folder / "parts",
            "Dir::State::Lists": folder / "lists",
            "Dir::State::Status": folder / "status",
            "Dir::Cache": folder / "cache",
            "APT::Sandbox::User": "root",
            "Acquire::Retries": "2",
        }
        if architecture:
            settings |= {"APT::Architecture": architecture, "APT::Architectures": architecture}
        self.options = [f"-o{name}={value}" for name, value in settings.items()]
        try:
            self._run("apt-get", "--error-on=any", "update")
        except Failure as failure:
            raise NotRun(
                f"apt-get has no {suite} {architecture}: {str(failure).splitlines()[-1]}"
            ) from failure

    def _run(self, program: str, *arguments: str) -> str:
        return output_of(program, *self.options, *arguments, cwd=self.folder)

    def source(self, packages: Sequence[str]) -> Path:
        """The source archive of the first package that the mirror has: it may list what it does not have."""
        refused = []
        for package in packages:
            listed = self._run("apt-cache", "showsrc", "--only-source", package)
            # In the order of the index, which is that of the versions
            for version in reversed(re.findall(r"^Version: (\S+)", listed, re.MULTILINE)):
                wanted = f"{package}={version}"
                try:
                    self._run("apt-get", "source", "--download-only", "--only-source", wanted)
                except Failure:
                    refused.append(wanted)
                    continue
                if refused:
                    report(f"listed by the mirror, but not there: {', '.join(refused)}")
                found = self.folder.glob(f"{package}_*.orig.tar.*")
                (archive,) = (path for path in found if path.suffix != ".asc")
                return archive
        raise NotRun(
            f"the mirror has none of the sources that it lists: {', '.join(refused) or 'none is listed'}"
        )

    def unpack(self, packages: Sequence[str], root: Path, alone: bool = False) -> None:
        """Unpack packages and, unless `alone`, all that they depend on; no script of theirs runs."""
        try:
            if alone:
                self._run("apt-get", "download", *packages)
            else:
                self._run(
                    *("apt-get", "install", "-y", "--download-only", "--no-install-recommends"), *packages
                )
        except Failure as failure:
            raise NotRun(f"the mirror does not have {' '.join(packages)}: {failure}") from failure
        for package in sorted((self.folder if alone else self.folder / "cache/archives").glob("*.deb")):
            output_of("dpkg-deb", "-x", package, root)
