"""Objects whose ``__init__()`` never ran raise exceptions when they are used, and do not take the process with them."""

from __future__ import annotations

from tests import half_made
from tests.processes import python


def test_no_use_of_what_is_half_made_ends_the_process() -> None:
    assert python("-m", "tests.half_made", timeout=300).stdout.splitlines()[-1] == "all used"


def test_all_compiled_classes_are_used() -> None:
    assert {"Engine", "CanMessage", "Reassembler", "Messages", "Records", "Observer", "PcapParser"} <= {
        kind.__name__ for kind in half_made.classes()
    }
