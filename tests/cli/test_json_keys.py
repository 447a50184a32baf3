"""JSON lines: a key means the same in all commands, and docs/commands.md has them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from isotp.bulk._schema import COLUMNS
from isotp.cli.shown.keys import KEYS
from tests.cli.command import PAIR, RECEIVER, TALK, isotp_command, log_of
from tests.cli.live_command import EXCHANGE, LiveBus

WORDS = {word for words in KEYS for word in words.split(", ")}
# What tells when, where and whose it is.
FRAME = {"time", "channel", "session", "direction", "can_id"}


def test_the_columns_of_tables_are_among_them() -> None:
    assert set(COLUMNS) <= WORDS


@pytest.mark.parametrize("options", ["", "--uds"])
def test_logs(options: str, tmp_path: Path) -> None:
    (line, *_) = isotp_command(
        "decode --json", *options.split(), *PAIR, log_of(tmp_path / "a.log", *TALK)
    ).json
    assert set(line) <= WORDS


@pytest.mark.parametrize(
    ("words", "address", "keys"),
    [
        ("dump -n 2", PAIR, FRAME),
        ("sniff -n 1", PAIR, FRAME | {"start", "end", "status", "length", "payload"}),
        ("recv -n 1", RECEIVER, FRAME | {"length", "payload"}),
        ("perf -n 1", PAIR, {"channel", "can_id", "length", "duration", "rate"}),
    ],
)
def test_live_buses(words: str, address: tuple[str, ...], keys: set[str], bus: LiveBus) -> None:
    line = bus.hearing((*EXCHANGE, "7E8#225A5A5A5A5A5A5A"), f"{words} --json", *address).json[0]
    assert keys <= set(line) <= WORDS
    assert line.get("session", "7E0:7E8") in ("7E0:7E8", "7E8:7E0")
    assert isinstance(line.get("time", 0), int)


def test_messages_that_are_sent_and_who_is_found(bus: LiveBus) -> None:
    with bus.ecu() as ecu:
        ecu.answers = {b"\x3e\x00": [b"\x7e\x00"]}
        (sent,) = bus.run("send --json --answer --timeout 30 --data 3E00", *PAIR).json
        few = "--bits 11 --ids 7E0 --noise 0 --wait 200 --verify 1"
        (found,) = bus.run(f"scan --transmit --json -q {few}").json
    assert FRAME - {"can_id"} <= set(sent) <= WORDS
    assert (sent["direction"], sent["session"], found["session"]) == ("tx", "7E0:7E8", "7E0:7E8")
    assert set(found) <= WORDS
