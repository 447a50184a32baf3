"""How Sphinx makes the documentation: python -m sphinx -W -n -b html docs build/docs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import isotp

project = "can-isotp-cython"
(repository,) = re.findall(
    r'^Repository = "(.+)"$',
    (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"),
    re.MULTILINE,
)
author = isotp.__author__
copyright = isotp.__author__
release = version = isotp.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosectionlabel", "sphinx_copybutton"]
exclude_patterns = ["_build"]
# Pages are also read where no Sphinx is: links to headings are those that GitHub makes of them.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
# Labels carry the name of their page: "Speed" may be on several.
autosectionlabel_prefix_document = True
# Each release has the same headings. The word Hub alone is that of isotp or of isotp.aio: each page links to its own.
suppress_warnings = ["autosectionlabel.changelog", "ref.python"]

html_theme = "furo"
html_title = f"can-isotp-cython {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_theme_options = {
    "source_repository": repository,
    "source_branch": "main",
    "source_directory": "docs/",
}
# Prompts and what commands print are not to be typed.
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
autodoc_preserve_defaults = True
nitpicky = True
# What is documented elsewhere, which this build does not fetch lists of: python-can, and Python itself.
# And types in signatures that are the package's own.
nitpick_ignore_regex = [(r"py:.*", r"(?!isotp\b).*"), (r"py:.*", r"isotp\..*\b_.*")]
# What faults and wires give each other.
nitpick_ignore = [("py:class", f"isotp.testing.{name}") for name in ("faults.Passing", "wire.WireFeed")]

_ERROR_SECTION = re.compile(r"docs/errors\.md#(\w+)")


def link_error_sections(
    app: Any, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Docstrings of errors say where docs/errors.md has more of them: here that is a link."""
    titles = {error.lower(): error for error in isotp.errors.__all__}
    lines[:] = [
        _ERROR_SECTION.sub(lambda match: f":ref:`{titles[match[1]]} <errors:{titles[match[1]]}>`", line)
        for line in lines
    ]


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", link_error_sections)
