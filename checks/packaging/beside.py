#!/usr/bin/env python3
"""Install this package and can-isotp into one environment, in every order, with pip and with uv: what answers then?

    python checks/packaging/beside.py [--wheel FILE] [--page]

Builds the wheel if none is given, fetches can-isotp with pip, and makes a fresh environment for each story. Exit
status 1 if anything but this package answers where it is installed. --page writes the table into docs/switching.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "switching.md"
BEGIN, END = "<!-- beside: python checks/packaging/beside.py --page -->", "<!-- beside end -->"
RELEASES = ("2.0.7", "1.9")
OURS, THEIRS = "can-isotp-cython", "can-isotp"

# Prints what `import isotp` gives, after having used it.
LOOK = """
import warnings
warnings.simplefilter("error")
try:
    import isotp
except ImportError:
    print("ImportError")
    raise SystemExit
if isotp.__file__ is None:
    print("an empty package")
    raise SystemExit
try:
    import isotp.address, isotp.errors, isotp.protocol, isotp.tpsock.opts
    frames = []
    layer = isotp.TransportLayer(rxfn=lambda: None, txfn=frames.append, address=isotp.Address(rxid=1, txid=2))
    layer.send(b"ab")
    layer.process()
    assert bytes(frames[0].data) == b"\\x02ab"
    import isotp._core
    print("can-isotp-cython" if type(frames[0]) is isotp._core.CanMessage else "can-isotp")
except ImportError as error:
    print("can-isotp" if "_core" in str(error) else f"broken: {error}")
"""


@dataclass(frozen=True)
class Story:
    """What is done, and what answers then if all is well."""

    steps: tuple[str, ...]
    answers: str = OURS

    def __str__(self) -> str:
        return ", then ".join(self.steps)


INSTALL, INSTALL_THEIRS, INSTALL_STAND_IN = "ours", "can-isotp", "the stand-in"
REMOVE, REMOVE_THEIRS, MEND = "ours uninstalled", "can-isotp uninstalled", "doctor --mend"
REQUIRED = "a package that requires can-isotp"
STORIES = (
    Story((INSTALL,)),
    Story((INSTALL_THEIRS, INSTALL)),
    Story((INSTALL, INSTALL_THEIRS)),
    Story((INSTALL_THEIRS, INSTALL, REMOVE_THEIRS)),
    Story((INSTALL, INSTALL_THEIRS, REMOVE_THEIRS)),
    Story((INSTALL, INSTALL_THEIRS, MEND)),
    Story((INSTALL, INSTALL_THEIRS, INSTALL_STAND_IN)),
    Story((INSTALL, INSTALL_STAND_IN, REQUIRED)),
    Story((INSTALL, REQUIRED)),
    Story((INSTALL_THEIRS, INSTALL, REMOVE), "ImportError"),
    Story((INSTALL_THEIRS, INSTALL, REMOVE, REMOVE_THEIRS), "ImportError"),
)


class Environment:
    """A fresh one, in which one of the two installers works."""

    def __init__(self, folder: Path, installer: str, wheels: dict[str, Path]) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.python = str(folder / ("Scripts" if sys.platform == "win32" else "bin") / "python")
        self.installer = installer
        self.wheels = wheels

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            arguments, capture_output=True, text=True, check=False, cwd=self.wheels["folder"]
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}\n{done.stdout}{done.stderr}")
        return done.stdout

    def install(self, *what: object) -> None:
        offline = ["--no-index", "--find-links", str(self.wheels["folder"]), *map(str, what)]
        if self.installer == "pip":
            self.run(sys.executable, "-m", "pip", "--python", self.python, "install", "-q", *offline)
        else:
            self.run(sys.executable, "-m", "uv", "pip", "install", "-q", "--python", self.python, *offline)

    def uninstall(self, name: str) -> None:
        if self.installer == "pip":
            self.run(sys.executable, "-m", "pip", "--python", self.python, "uninstall", "-q", "-y", name)
        else:
            self.run(sys.executable, "-m", "uv", "pip", "uninstall", "-q", "--python", self.python, name)

    def do(self, step: str) -> None:
        if step == MEND:
            self.run(self.python, "-m", "isotp", "doctor", "--mend")
        elif step == REMOVE:
            self.uninstall(OURS)
        elif step == REMOVE_THEIRS:
            self.uninstall(THEIRS)
        else:
            self.install(self.wheels[step])

    def answers(self) -> str:
        return self.run(self.python, "-c", LOOK).strip()

    def is_content(self) -> bool:
        """What the installer says of the requirements of all."""
        check = ["pip", "--python", self.python, "check"]
        command = check if self.installer == "pip" else ["uv", "pip", "check", "--python", self.python]
        return (
            subprocess.run([sys.executable, "-m", *command], capture_output=True, check=False).returncode == 0
        )


def wheel_that_requires(folder: Path) -> Path:
    """A package as there are some: it requires can-isotp."""
    source = folder / "requires"
    source.mkdir()
    (source / "pyproject.toml").write_text(
        '[project]\nname = "requires-isotp"\nversion = "1"\ndependencies = ["can-isotp"]\n'
        '[tool.setuptools]\npy-modules = []\n[build-system]\nrequires = ["setuptools"]\n'
        'build-backend = "setuptools.build_meta"\n'
    )
    return build(source, folder)


def build(source: str | Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    before = set(folder.glob("*.whl"))
    subprocess.run([*command, "-w", str(folder), str(source)], check=True, cwd=folder)
    (made,) = set(folder.glob("*.whl")) - before
    return made


def outcome(story: Story, installer: str, wheels: dict[str, Path]) -> tuple[str, bool]:
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(Path(folder, "env"), installer, wheels)
        for step in story.steps:
            environment.do(step)
        return environment.answers(), environment.is_content()


def table(found: dict[Story, dict[str, str]]) -> str:
    columns = next(iter(found.values()))
    rows = [f"| installed | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    rows += [f"| {story} | {' | '.join(answers.values())} |" for story, answers in found.items()]
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wheel", type=Path, help="of this package (default: build it)")
    parser.add_argument("--page", action="store_true", help="write the table into docs/switching.md")
    chosen = parser.parse_args()
    sys.path.insert(0, str(ROOT / "src" / "isotp"))
    from _doctor import stand_in  # the file itself: the package need not be installed here

    found: dict[Story, dict[str, str]] = {story: {} for story in STORIES}
    good = True
    with tempfile.TemporaryDirectory(prefix="isotp-beside-") as name:
        folder = Path(name)
        aside = folder / "stand-in"
        aside.mkdir()
        ours = chosen.wheel.resolve() if chosen.wheel else build(ROOT, folder)
        wheels = {"folder": folder, INSTALL: ours, INSTALL_STAND_IN: stand_in(aside)}
        wheels[REQUIRED] = wheel_that_requires(folder)
        for release in RELEASES:
            theirs = build(f"{THEIRS}=={release}", folder)
            for installer in ("pip", "uv"):
                for story in STORIES:
                    answers, content = outcome(story, installer, {**wheels, INSTALL_THEIRS: theirs})
                    print(
                        f"{installer}, can-isotp {release}: {story}: {answers}{'' if content else ', not content'}"
                    )
                    good = good and answers == story.answers
                    found[story][f"{installer}, {release}"] = answers
            theirs.unlink()
    if chosen.page:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(
            f"{before}{BEGIN}\n\n{table(found)}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8"
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
