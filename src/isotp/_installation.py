"""Tells a user whose environment also holds can-isotp that two packages now share the folder of this one."""

from __future__ import annotations

import warnings
from pathlib import Path

__all__ = ["warn_of_shared_folder"]


def warn_of_shared_folder(site: Path) -> None:
    """Warn (RuntimeWarning) if can-isotp is in `site` too: whichever is removed takes the other's files."""
    if next(site.glob("can_isotp-*.dist-info"), None) is not None:
        warnings.warn(
            f"can-isotp and can-isotp-cython are both installed in {site}, and both are imported as 'isotp':"
            " their files are mixed. To mend it: pip uninstall -y can-isotp can-isotp-cython, then"
            " pip install can-isotp-cython",
            RuntimeWarning,
            stacklevel=3,
        )
