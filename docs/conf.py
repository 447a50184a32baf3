"""How Sphinx makes the documentation: python -m sphinx -W -n -b html docs build/docs."""

from __future__ import annotations

import re
from typing import Any

import isotp

project = "can-isotp-cython"
author = isotp.__author__
copyright = isotp.__author__
release = version = isotp.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosectionlabel"]
exclude_patterns = ["_build"]
# Pages are also read where no Sphinx is: links to headings are those that GitHub makes of them.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
# Labels carry the name of their page: "Speed" may be on several.
autosectionlabel_prefix_document = True

# Hub is of `isotp` and of `isotp.aio`; in signatures each module means its own.
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = f"can-isotp-cython {release}"
html_static_path: list[str] = []

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
nitpicky = True
# What is documented elsewhere, which this build does not fetch lists of: python-can, and Python itself.
# And types in signatures that are the package's own.
nitpick_ignore_regex = [(r"py:.*", r"(?!isotp\b).*"), (r"py:.*", r"isotp\..*\b_.*")]

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
