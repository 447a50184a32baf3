"""What programs written for can-isotp find otherwise here: each fact that differs, and the reason of each.

    python -m checks.surface.compare [--page]

What was recorded of can-isotp is compared with this package as it is. --page writes the list into
docs/compatibility.md.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checks.surface.__main__ import RELEASES, peer
from checks.surface.inventory import observe

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
BEGIN = "<!-- surface: python -m checks.surface.compare --page -->"
END = "<!-- surface end -->"

_CLOSED = "what the machines work with: no other thread may find half of a change"
_BUFFERS = "the compiled core has the bytes; `receive_into` and `rx_buffer` show them"
_QUEUE = "the queues are the core's own; what programs do with them is there: `put`, `get`, `qsize`, `queue`, `mutex`"
_ADDRESS = "an address is a value that layers have read: make another one, and `set_address()`"
_ONE_THREAD = "there is one thread, and no handshake between two"


@dataclass(frozen=True)
class Reason:
    """Why facts differ that match a pattern."""

    what: str
    pattern: str
    reason: str


REASONS = (
    Reason(
        "`active_send_request`, `actual_rxdl`, `blocking_rxfn`, `last_flow_control_frame`, `last_rx_state`,"
        " `last_tx_state`, `rate_limiter`, `rx_buffer`, `rx_frame_length`, `rx_queue`, `rx_relay_queue`, `timer_...`,"
        " `tx_frame_length`, `tx_queue`, `tx_standby_msg`, `user_rxfn` of a layer cannot be set",
        r"(Stack|TransportLayer): (active_send_request|actual_rxdl|blocking_rxfn|last_[rt]x_state"
        r"|last_flow_control_frame|rate_limiter|rx_buffer|[rt]x_frame_length|[rt]x_queue|rx_relay_queue|timer_\w+"
        r"|tx_standby_msg|user_rxfn) can be set",
        _CLOSED,
    ),
    Reason("queues are no `queue.Queue`", r"(Stack|TransportLayer): \w+_queue: Queue", _QUEUE),
    Reason(
        "`all_tasks_done`, `not_empty`, `not_full`, `unfinished_tasks`, `join()`, `task_done()` of a queue, and to set"
        " its `maxsize`, `mutex`, `queue`",
        r"attributes/\w+_queue: (all_tasks_done|not_empty|not_full|unfinished_tasks|maxsize|mutex|queue)",
        _QUEUE,
    ),
    Reason(
        "attributes of an `Address` cannot be set",
        r"attributes/Address.*: \w+ can be set|AsymmetricAddress: \w+ can be set",
        _ADDRESS,
    ),
    Reason("attributes of a `SendRequest` cannot be set", r"SendRequest: \w+ can be set", _CLOSED),
    Reason(
        "`SendRequest.success` is None, not False, until it has ended",
        r"SendRequest: success: number",
        "what is not decided can be told from what has failed",
    ),
    Reason(
        "`SendRequest.generator` is an iterator, no `FiniteByteGenerator`",
        r"SendRequest: generator: FiniteByteGenerator",
        "bytes are sent from where they are, with no generator around them",
    ),
    Reason(
        "`RateLimiter.bit_total`, `burst_bitcount`, `burst_time`, `error_reason`, `window_bit_max`,"
        " `TIME_SLOT_LENGTH` cannot be set",
        r"RateLimiter: \w+ can be set",
        "they tell of the window that the core keeps",
    ),
    Reason(
        "`append_rx_data`, `empty_rx_buffer`, `empty_tx_buffer`, `tx_buffer`,"
        " `start_reception_after_first_frame_if_valid`, with and without the underscore",
        r": _?(append_rx_data|empty_[rt]x_buffer|start_reception_after_first_frame_if_valid)\("
        r"|: tx_buffer(: bytearray| can be set)",
        _BUFFERS,
    ),
    Reason(
        "`_main_thread_fn`, `_relay_thread_fn`, `_read_relay_queue`, and the events `reset_tx`, `reset_tx_complete`,"
        " `reset_rx`, `reset_rx_complete`",
        r": _(main_thread_fn|relay_thread_fn|read_relay_queue)\(|Events: reset_",
        _ONE_THREAD,
    ),
    Reason(
        "`post_send_callback` of a started layer that was given none is None",
        r": post_send_callback: callable",
        "nobody needs to be told that a message waits",
    ),
    Reason("`FiniteByteGenerator._depleted`", r"FiniteByteGenerator: _depleted", "`depleted()` tells it"),
    Reason(
        "modules that can-isotp imports for itself, but for those of `isotp.protocol`",
        r"names/isotp\.(address|can_message|tools|tpsock|tpsock\.opts)/names: \w+",
        "no program is known that reaches through them",
    ),
    Reason(
        "`from isotp.protocol import *` and that of `isotp.tpsock` bring no modules and names of other modules",
        r"names/isotp\.(protocol|tpsock|tpsock\.opts)/star: \w+",
        "each module has `__all__`",
    ),
    Reason(
        "`from isotp import *` brings no modules, as in 2.x",
        r"names/isotp/star: (address|errors|protocol|tpsock)$",
        "1.x had no `__all__`",
    ),
    Reason(
        "members of `AddressingMode` and `TargetAddressType` equal their numbers, and are true, all of them",
        r"truths: |classes/(AddressingMode|TargetAddressType): (__init__|get_name)|classes/tpsock\.\w+: __init__",
        "numbers in 1.x, true in 2.x: they are members of an `IntEnum`, `tpsock.flags` of an `IntFlag`",
    ),
    Reason(
        "`CanMessage()`, `PDU()`, `RateLimiter()` and their attributes have the defaults of 2.x",
        r"classes/(CanMessage|PDU|RateLimiter): __init__|attributes/CanMessage: dlc: |attributes/PDU \(FC\): data: "
        r"|: last_seqnum: NoneType",
        "the generations contradict each other",
    ),
    Reason(
        "`socket()` without a time-out waits, `recv(n)` is `recv(bufsize)`",
        r"classes/socket: (__init__|recv\(self, n)",
        "as in 2.x; `isotp.socket(legacy=True)` as in 1.x",
    ),
    Reason(
        "`_tx_canbus_3minus`",
        r": _tx_canbus_3minus\(",
        "python-can before 3.0 is not supported; `tx_canbus` sends",
    ),
    Reason("`is_for_me` of an `Address` is a method", r"is_for_me: callable", "as in 2.x"),
    Reason(
        "`tx_canbus` of a `CanStack` is a method",
        r"tx_canbus(: callable| can be set)",
        "as in 2.x it can be overridden",
    ),
)


def flat(found: Any, path: str = "") -> Iterator[str]:
    """Facts as lines: where, what."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from flat(value, f"{path}/{key}" if path else key)
    else:
        for fact in found:
            yield f"{path}: {fact}"


def parameters(fact: str) -> list[tuple[str, str | None]]:
    """Name and default of each parameter but those with a star."""
    shown = fact[fact.index("(") + 1 : -1]
    split = [each.partition("=") for each in shown.split(", ") if each]
    return [
        (name, default if equals else None) for name, equals, default in split if not name.startswith("*")
    ]


def accepts(ours: str, theirs: str) -> bool:
    """Whether each call that theirs takes means the same to ours."""
    have, want = parameters(ours), parameters(theirs)
    if "*args" in theirs or "*args" in ours:
        shared = min(len(have), len(want))
        return have[:shared] == want[:shared]
    return (
        len(have) >= len(want)
        and all(
            name == wanted and (default == want_default or (want_default is None and default is not None))
            for (name, default), (wanted, want_default) in zip(have, want, strict=False)
        )
        and all(default is not None for _, default in have[len(want) :])
    )


def has_alike(fact: str, ours: set[str]) -> bool:
    """The same, or a signature that takes all that theirs does, or a name of a module that is there when asked for."""
    where, _, what = fact.partition(": ")
    if fact in ours:
        return True
    if what.endswith(")"):
        head = f"{where}: {what[: what.index('(') + 1]}"
        return any(
            each.startswith(head) and each.endswith(")") and accepts(each[len(where) + 2 :], what)
            for each in ours
        )
    if re.fullmatch(r"names/[\w.]+/names", where):
        return hasattr(importlib.import_module(where.split("/")[1]), what)
    return False


def differences(generation: int) -> list[str]:
    """What programs of this generation find otherwise."""
    theirs = peer(generation)["inventory"]
    ours = set(flat(observe(generation)))
    return [fact for fact in flat(theirs) if not has_alike(fact, ours)]


def reasons_of(fact: str) -> list[Reason]:
    return [reason for reason in REASONS if re.search(reason.pattern, fact)]


def table() -> str:
    """The list, as the page has it."""
    rows = ["| what | seen from | why |", "|---|---|---|"]
    found = {generation: differences(generation) for generation in RELEASES}
    for reason in REASONS:
        seen_from = [
            RELEASES[generation]
            for generation, facts in found.items()
            if any(reason in reasons_of(f) for f in facts)
        ]
        rows.append(f"| {reason.what} | {', '.join(seen_from)} | {reason.reason} |")
    return "\n".join(rows)


def page() -> str:
    """The page with the list of now."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    if "--page" in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
    for generation, version in RELEASES.items():
        for fact in differences(generation):
            found = reasons_of(fact)
            print(f"{version}  {fact}   {'NO REASON' if not found else ''}")


if __name__ == "__main__":
    main()
