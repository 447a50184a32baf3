"""Tells a user whose environment also holds can-isotp that two packages now share the folder of this one."""

from __future__ import annotations

import os
import sys
import warnings

__all__ = ["warn_of_shared_folder"]

# The end of the metadata of the stand-in that `python -m isotp doctor` makes: it has no files.
_STAND_IN = "+cython.dist-info"


def warn_of_shared_folder(site: str | os.PathLike[str]) -> None:
    """Warn (RuntimeWarning) if can-isotp is in `site` too: whichever is removed takes the other's files."""
    if "_can_isotp_cython" in sys.modules:
        return  # which keeps this package what it is
    try:
        names = os.listdir(site)
    except OSError:
        return  # inside an archive, say: nothing else can be installed there
    if any(
        name.startswith("can_isotp-") and name.endswith(".dist-info") and not name.endswith(_STAND_IN)
        for name in names
    ):
        warnings.warn(
            f"can-isotp and can-isotp-cython are both installed in {os.fspath(site)}, and both are imported as"
            " 'isotp': their files are mixed. To mend it: pip uninstall -y can-isotp can-isotp-cython, then"
            " pip install can-isotp-cython",
            RuntimeWarning,
            stacklevel=3,
        )
