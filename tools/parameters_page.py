"""docs/parameters.md, made of the table of params.py: python -m tools.parameters_page"""

from __future__ import annotations

import re
import time
from pathlib import Path

from isotp.params import _ALIASES, _RULES

PAGE = Path(__file__).parent.parent / "docs" / "parameters.md"

GROUPS = {
    "What we ask of a sender": ("stmin", "blocksize", "max_frame_size", "listen_mode"),
    "How we send": (
        "override_receiver_stmin",
        "squash_stmin_requirement",
        "wftmax",
        "tx_flow_control",
        "blocking_send",
        "default_target_address_type",
    ),
    "Frames": ("tx_data_length", "tx_data_min_length", "tx_padding", "can_fd", "bitrate_switch"),
    "Time": (
        "rx_flowcontrol_timeout",
        "rx_consecutive_frame_timeout",
        "wait_frame_interval",
        "tx_frame_timeout",
        "busy_wait",
        "wait_func",
    ),
    "Room": ("rx_queue_limit", "tx_queue_limit"),
    "Rate limit": ("rate_limit_enable", "rate_limit_max_bitrate", "rate_limit_window_size"),
    "The standard": ("strict",),
    "Log": ("logger_name",),
}

HEAD = """\
# Parameters

Given as `params={...}` to any layer, changed by `layer.params.set(name, value)`, and looked up as attributes of
`layer.params`. What is refused raises a `ValueError` that says what would be accepted. Parameters that change while
a message is on its way take effect with the next frame, `tx_data_length` with the next message.

```python
import isotp

address = isotp.Address(txid=0x7E0, rxid=0x7E8)
layer = isotp.TransportLayer(
    rxfn=lambda timeout: None, txfn=print, address=address, params={"stmin": 5, "blocksize": 16}
)
try:
    layer.params.set("tx_data_length", 9)
except ValueError as error:
    print(error)
```

```text
tx_data_length must be one of 8, 12, 16, 20, 24, 32, 48, 64, not 9
```

This page is made of the table in the source (`python -m tools.parameters_page`). Clauses are those of ISO 15765-2:2016.
"""

TAIL = """
## Other names

{aliases}

## Combinations

- `tx_data_min_length` must not be above `tx_data_length`.
- `rate_limit_max_bitrate * rate_limit_window_size` must allow at least one frame of `tx_data_length` bytes.
- `override_receiver_stmin`, if not None, comes before `squash_stmin_requirement`.
"""


def default_of(name: str) -> str:
    """The default as one writes it."""
    default = _RULES[name].default
    if default is time.sleep:
        return "time.sleep"
    if name == "default_target_address_type":
        return f"TargetAddressType.{default.name}"
    return repr(default)


def marked(text: str) -> str:
    """Names of parameters, and values, in the type of code."""
    names = "|".join(sorted((*_RULES, *_ALIASES), key=len, reverse=True))
    text = re.sub(rf"\b(?:{names})\b(?:=[\d.]+\d)?", lambda match: f"`{match[0]}`", text)
    return re.sub(r"\b0x[0-9A-F]{2}(?:\.\.0x[0-9A-F]{2})?", lambda match: f"`{match[0]}`", text)


def page() -> str:
    """The whole page."""
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(_RULES)
    parts = [HEAD]
    for title, names in GROUPS.items():
        parts.append(f"\n## {title}\n\n| parameter | unless set | accepted | meaning |\n|---|---|---|---|\n")
        for name in names:
            rule = _RULES[name]
            parts.append(
                f"| `{name}` | `{default_of(name)}` | {rule.check.expected} | {marked(rule.doc)} |\n"
            )
    aliases = "\n".join(f"- `{other}` is `{name}`" for other, name in _ALIASES.items())
    parts.append(TAIL.format(aliases=aliases))
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
