"""What an index shows of the package: the text and its links, the addresses of the project, the extras."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
from email.message import Message

import pytest

from tests.documentation import PAGES, ROOT, blocks

# Metadata are made of these; nothing is compiled for them.
READ = (
    *("pyproject.toml", "setup.py", "README.md", "LICENSE", "src/_can_isotp_cython.py"),
    *("src/isotp/__init__.py", "src/isotp/_version.py"),
)
MAKE = """
import sys
import Cython.Build
Cython.Build.cythonize = lambda *given, **more: []
from setuptools import build_meta
print(build_meta.prepare_metadata_for_build_wheel(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> Message:
    """The METADATA of a wheel, as its build writes them."""
    if not (ROOT / "setup.py").is_file():
        pytest.skip("no sources here")
    folder = tmp_path_factory.mktemp("metadata")
    for name in READ:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "made").mkdir()
    made = subprocess.run(
        [sys.executable, "-c", MAKE, "made"], cwd=folder, capture_output=True, text=True, check=True
    )
    (name,) = re.findall(r"^can_isotp_cython-\S+\.dist-info$", made.stdout, re.MULTILINE)
    return email.message_from_bytes((folder / "made" / name / "METADATA").read_bytes())


def text_of(metadata: Message) -> str:
    payload = metadata.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


def addresses_of(metadata: Message) -> dict[str, str]:
    return dict(line.split(", ") for line in metadata.get_all("Project-URL", []))


def test_the_project_has_addresses(metadata: Message) -> None:
    addresses = addresses_of(metadata)
    assert set(addresses) == {"Repository", "Documentation", "Changelog", "Issues"}
    repository = addresses["Repository"]
    assert all(address.startswith(repository) for address in addresses.values())
    for name in ("Documentation", "Changelog"):
        _, _, path = addresses[name].partition("/blob/main/")
        assert (ROOT / path).is_file()


def test_the_pages_link_to_the_repository(metadata: Message) -> None:
    contents = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    (linked,) = re.findall(r"^Repository <(.+)>$", contents, re.MULTILINE)
    assert linked == addresses_of(metadata)["Repository"]


def test_each_link_leads_somewhere_from_the_index(metadata: Message) -> None:
    """A relative link leads to a page of the index that is not there."""
    text = text_of(metadata)
    linked = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    assert [target for target in linked if not target.startswith("https://")] == []
    assert "<img" not in text
    inside = f"{addresses_of(metadata)['Repository']}/(?:blob|raw)/v{re.escape(metadata['Version'])}/"
    ours = [re.sub(inside, "", target) for target in linked if re.match(inside, target)]
    assert {"CHANGELOG.md", "docs/index.md"} <= set(ours)
    for target in ours:
        assert (ROOT / target.partition("#")[0]).is_file()


def test_the_text_is_the_readme_otherwise(metadata: Message) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    without_targets = re.compile(r"\]\([^)]*\)")
    assert without_targets.sub("", text_of(metadata)).strip() == without_targets.sub("", readme).strip()
    assert metadata["Description-Content-Type"] == "text/markdown"
    for block in blocks(ROOT / "README.md"):
        assert block.text in text_of(metadata)


def requirements(metadata: Message) -> dict[str, set[str]]:
    """What each extra installs."""
    found: dict[str, set[str]] = {extra: set() for extra in metadata.get_all("Provides-Extra", [])}
    for line in metadata.get_all("Requires-Dist", []):
        need, extra = re.fullmatch(r"(.*?) *; *.*\bextra == ['\"](\w+)['\"]", line).groups()
        found[extra].add(need)
    return found


def test_the_extra_all_is_all_of_them(metadata: Message) -> None:
    extras = requirements(metadata)
    (need,) = extras.pop("all")
    assert set(re.fullmatch(r"can-isotp-cython\[(.+)\]", need)[1].split(",")) == set(extras)


def test_extras_that_are_named_are_there(metadata: Message) -> None:
    """By pages, docstrings and errors: pip installs an unknown extra with a warning only."""
    sources = [
        path for path in (ROOT / "src/isotp").rglob("*") if path.suffix in {".py", ".pyx", ".pyi", ".pxi"}
    ]
    texts = [path.read_text(encoding="utf-8") for path in (*PAGES, *sources)]
    named = {
        extra
        for text in texts
        for group in re.findall(r"(?:can-isotp-cython|'\.)\[([\w,]+)\]", text)
        for extra in group.split(",")
    }
    assert {"can", "cli", "all"} <= named
    assert named <= set(requirements(metadata))
