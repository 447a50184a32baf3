"""Whether can-isotp lies in the folder of this package: then a warning says so when it is imported.

Imports nothing of this package: files of it may be those of can-isotp.
"""

from __future__ import annotations

import os
import sys
import warnings

__all__ = ["warn_of_shared_folder"]

# The release that the stand-in of can-isotp has, see _doctor.py.
_STAND_IN = "2.0.7+cython"


def warn_of_shared_folder(site: str | os.PathLike[str]) -> None:
    """Warn (RuntimeWarning) if can-isotp is in `site` too: whichever is removed takes the other's files."""
    if "_can_isotp_cython" in sys.modules:
        return  # which keeps this package what it is
    try:
        names = os.listdir(site)
    except OSError:
        return  # inside an archive, say: nothing else can be installed there
    if any(
        name.startswith("can_isotp-") and name.endswith(".dist-info") and _STAND_IN not in name
        for name in names
    ):
        warnings.warn(
            f"can-isotp and can-isotp-cython are both installed in {os.fspath(site)}, and both are imported as"
            " 'isotp': their files are mixed. To mend it: pip uninstall -y can-isotp can-isotp-cython, then"
            " pip install can-isotp-cython",
            RuntimeWarning,
            stacklevel=3,
        )
