"""What user code sees of can-isotp and of this package is the same, but for what is listed with a reason."""

from __future__ import annotations

import re

import pytest

from checks.surface.__main__ import RELEASES, peer
from checks.surface.overriding import HOOKS, STORIES, play

# --- A subclass that overrides one method ---


def without_idle_calls(log: list[str]) -> list[str]:
    """process_tx() is called for each frame that goes, and not when there is none."""
    after = dict(enumerate(log[1:]))
    return [
        line for at, line in enumerate(log) if line != "process_tx()" or after.get(at, "").startswith(">")
    ]


def seen(generation: int, hook: str, log: list[str]) -> object:
    """What counts of a log: not how often a method asks in vain, nor whether an end or what is told of it is first."""
    # A flag of the second generation for the method itself
    log = [re.sub(r", inhibit_in_listen_mode=\w+", "", line) for line in log]
    if hook == "process_tx":
        return without_idle_calls(log)
    if hook == "check_timeouts_rx":
        return set(log)
    if hook.startswith("stop_"):
        return sorted(log)
    return log


@pytest.mark.parametrize("generation", sorted(RELEASES))
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("story", STORIES)
def test_an_overridden_method_is_called_alike(generation: int, hook: str, story: str) -> None:
    params, steps = STORIES[story]
    ours, theirs = play(generation, hook, params, steps), peer(generation)["overriding"][hook][story]
    if generation == 1 and hook.startswith("stop_"):
        # 1.x calls at each end what others call to stop; here as in 2.x, which has another method for that.
        calls = hook in steps or "reset" in steps
        theirs = [line for line in theirs if calls or not line.startswith(hook)]
    assert seen(generation, hook, ours) == seen(generation, hook, theirs)


# --- Names, signatures, attributes ---


@pytest.fixture(scope="module")
def found() -> dict[int, list[str]]:
    pytest.importorskip("can")
    from checks.surface import compare

    return {generation: compare.differences(generation) for generation in RELEASES}


def test_each_difference_has_one_reason(found: dict[int, list[str]]) -> None:
    from checks.surface import compare

    wrong = {
        fact: [reason.what for reason in compare.reasons_of(fact)]
        for facts in found.values()
        for fact in facts
        if len(compare.reasons_of(fact)) != 1
    }
    assert wrong == {}


def test_each_reason_has_a_difference(found: dict[int, list[str]]) -> None:
    from checks.surface import compare

    used = {reason for facts in found.values() for fact in facts for reason in compare.reasons_of(fact)}
    assert [reason.what for reason in compare.REASONS if reason not in used] == []


def test_the_page_has_the_list() -> None:
    pytest.importorskip("can")
    from checks.surface import compare

    assert compare.PAGE.read_text(encoding="utf-8") == compare.page(), (
        "python -m checks.surface.compare --page"
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "alike"),
    [
        ("f(a, b=1)", "f(a)", True),
        ("f(a, b)", "f(a)", False),
        ("f(a=1)", "f(a)", True),
        ("f(a=2)", "f(a=1)", False),
        ("f(a)", "f(a=1)", False),
        ("f(b, a)", "f(a, b)", False),
        ("f(a, *args, **kwargs)", "f(a, b)", True),
        ("f(a, b)", "f(*args, **kwargs)", True),
    ],
)
def test_what_is_a_signature_that_takes_all(ours: str, theirs: str, alike: bool) -> None:
    pytest.importorskip("can")
    from checks.surface import compare

    assert compare.accepts(ours, theirs) is alike
