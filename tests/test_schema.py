"""One schema: every table and every file of messages has the same columns, with the same values."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

import isotp
from isotp import Messages, capture
from tests.documentation import DOCS
from tests.frames import SECOND

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pytest.importorskip("typer", reason="the command is an extra")

from tests.cli.command import isotp_command  # noqa: E402

# Two channels by name, a name with an ESC, one direction alone, an extended address, 29 bits, all that can be null.
LOG = """\
(1700000000.000240) can0 7E0#0322F190
(1700000000.001000) can0 7E8#100A62F190574442
(1700000000.001200) can0 7E0#300814
(1700000000.021400) can0 7E8#2141424344454647
(1700000000.030000) rear\x1b[0m 6F1#40023E00
(1700000000.040000) rear\x1b[0m 640#F1027E00
(1700000001.000000) can1 18DB10F1#023E00
(1700000001.100000) can1 7DF#020100
(1700000001.200000) can1 7E8#1014AABBCCDDEEFF
(1700000001.300000) can1 7E8#2201020304050607
(1700000001.400000) can1 7E8#1014AABBCCDDEEFF
"""
ADDRESSES = ("7E0:7E8", "6F1:640,ext=40:F1", "ta=10,sa=F1", "7DF:")
WORDS = [word for text in ADDRESSES for word in ("-a", text)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "drive.log"
    path.write_bytes(LOG.encode("latin-1"))
    return path


@pytest.fixture
def messages(log: Path) -> Messages:
    modes = isotp.AddressingMode
    addresses = (
        isotp.Address(txid=0x7E0, rxid=0x7E8),
        isotp.Address(
            modes.Extended_11bits, txid=0x6F1, rxid=0x640, target_address=0x40, source_address=0xF1
        ),
        isotp.Address(modes.NormalFixed_29bits, target_address=0x10, source_address=0xF1),
        isotp.Address(txid=0x7DF, tx_only=True),
    )
    with capture.decode(log, addresses) as decoding:
        return decoding.table()


def documented() -> dict[str, str]:
    """Names and types of the columns, as docs/table.md has them."""
    text = (DOCS / "table.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", text, re.MULTILINE))


def plain() -> dict[str, str]:
    """Without those of UDS."""
    return {name: kind for name, kind in documented().items() if not name.startswith("uds_")}


def as_text(row: dict[str, Any]) -> dict[str, Any]:
    """A row of Arrow in the way in which text has it."""
    return {
        name: value.hex()
        if isinstance(value, bytes)
        else written(row[name.removesuffix("_time")])
        if name.endswith("_time")
        else value
        for name, value in row.items()
    }


def written(ns: int) -> str:
    """By another way than the package's."""
    text = str(pyarrow.scalar(ns, pyarrow.timestamp("ns")).cast(pyarrow.string()))
    return text.replace(" ", "T") + "Z"


def rows_of(table: Any) -> list[dict[str, Any]]:
    """With time stamps as what they are in ns, which Python's datetime has no room for."""
    for name in ("start_time", "end_time"):
        place = table.column_names.index(name)
        assert table[name].cast(pyarrow.int64()).equals(table[name.removesuffix("_time")])
        table = table.set_column(place, name, table[name].cast(pyarrow.int64()))
    return table.to_pylist()


@pytest.mark.parametrize("part", [slice(None), slice(0, 0)])
def test_the_documentation_has_names_and_types(messages: Messages, part: slice) -> None:
    for uds, wanted in ((False, plain()), (True, documented())):
        schema = messages[part].to_arrow(uds=uds).schema
        types = {
            field.name: str(field.type.value_type if pyarrow.types.is_dictionary(field.type) else field.type)
            for field in schema
        }
        assert list(types.items()) == list(wanted.items())


def test_what_a_message_is_as_a_row(messages: Messages) -> None:
    rows = [as_text(row) for row in rows_of(messages.to_arrow())]
    by_payload = {row["payload"]: row for row in rows}
    assert by_payload["62f19057444241424344"] == {
        "start": 1_700_000_000 * SECOND + 1_000_000,
        "end": 1_700_000_000 * SECOND + 21_400_000,
        "start_time": "2023-11-14T22:13:20.001000000Z",
        "end_time": "2023-11-14T22:13:20.021400000Z",
        **{"channel": "can0", "session": "7E0:7E8", "direction": "rx", "can_id": "7E8"},
        **{"target_type": "physical", "status": "ok", "length": 10, "frames": 2, "blocksize": 8},
        **{"stmin_us": 20_000, "waits": 0, "flow_controls": 1, "payload": "62f19057444241424344"},
    }
    assert {name: by_payload["3e00"][name] for name in ("channel", "session", "can_id", "stmin_us")} in (
        {"channel": r"rear\x1b[0m", "session": ADDRESSES[1], "can_id": "6F1/40", "stmin_us": None},
        {"channel": "can1", "session": ADDRESSES[2], "can_id": "18DB10F1", "stmin_us": None},
    )
    assert [row["status"] for row in rows].count("open") == 1
    assert {row["target_type"] for row in rows} == {"physical", "functional"}


@pytest.mark.parametrize("uds", [False, True])
@pytest.mark.parametrize("part", [slice(None), slice(2, 5), slice(0, 0)])
def test_text_says_the_same(log: Path, messages: Messages, part: slice, uds: bool) -> None:
    wanted = [as_text(row) for row in rows_of(messages.to_arrow(uds=uds))[part]]
    words = ["--uds"] * uds + WORDS
    lines = [json.loads(line) for line in isotp_command("decode -q --json", *words, log).lines]
    assert lines[part] == wanted
    assert all(list(line) == list(documented() if uds else plain()) for line in lines)
    table = list(csv.DictReader(io.StringIO(isotp_command("decode -q -f csv", *words, log).text)))
    assert table[part] == [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in wanted
    ]


@pytest.mark.parametrize("uds", [False, True])
def test_parquet_has_the_same_table(log: Path, messages: Messages, tmp_path: Path, uds: bool) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    output = tmp_path / "messages.parquet"
    isotp_command("decode -q", *["--uds"] * uds, *WORDS, "-o", output, log)
    written, ours = parquet.read_table(output), messages.to_arrow(uds=uds)
    assert written.schema.equals(ours.schema)
    assert written.to_pylist() == ours.to_pylist()


def test_pandas_has_the_same_table(messages: Messages) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame, ours = messages.to_pandas(uds=True), messages.to_arrow(uds=True)
    assert list(frame.columns) == ours.column_names
    back = pyarrow.Table.from_pandas(frame, preserve_index=False)
    assert rows_of(back) == rows_of(ours)
    assert frame[frame.channel == "can0"].start_time.iloc[0].value == messages[0].start


def test_polars_has_the_same_table(messages: Messages) -> None:
    polars = pytest.importorskip("polars", reason="Polars is not installed")
    frame, ours = messages.to_polars(uds=True), messages.to_arrow(uds=True)
    assert frame.columns == ours.column_names
    assert rows_of(frame.to_arrow()) == rows_of(ours)
    assert len(frame.filter(polars.col("channel") == "can0")) == 2


def test_times_before_1970_and_at_the_ends(messages: Messages) -> None:
    from isotp.bulk._schema import time_stamp

    for ns in (0, -1, -SECOND, 1, 999_999_999, 2**62, -(2**62), 2**63 - 1, 1 - 2**63):
        assert time_stamp(ns) == written(ns)


# ---------------------------------------------------------------- names of channels


def named(channels: Any, *payloads: str, channel: int = 1) -> Messages:
    frames = isotp.Records("classic")
    for payload in payloads:
        frames.append(0, 0x7E0, bytes.fromhex("01" + payload), channel=channel)
    tester = isotp.Address(txid=0x7E0, rxid=0x7E8)
    return isotp.Reassembler([tester]).feed(frames).with_channels(channels)


def channels_of(messages: Messages) -> list[str]:
    return messages.to_arrow()["channel"].to_pylist()


def test_channels_have_the_names_that_they_are_given() -> None:
    plain = named(None, "AA", "BB")
    assert channels_of(plain) == ["1", "1"]
    assert channels_of(plain.with_channels({1: "body"})) == ["body", "body"]
    assert channels_of(plain.with_channels(capture.Channels({"can5": 1}))[1:]) == ["can5"]
    assert channels_of(plain.with_channels(capture.Channels())) == ["1", "1"]
    assert channels_of(plain.with_channels({1: "body"}).filter(since=0)[::-1]) == ["body", "body"]


def test_joined_tables_keep_the_names_of_their_channels() -> None:
    """The same number may be another channel in another log."""
    tables = [named({1: "body"}, "AA"), named({1: "drive"}, "BB"), named({7: "body"}, "CC", channel=7)]
    joined = Messages.concat(tables)
    assert channels_of(joined) == ["body", "drive", "body"]
    assert joined.column("channel").tolist() == [1, 256, 1]
    assert joined.payloads == [b"\xaa", b"\xbb", b"\xcc"]
    assert channels_of(joined + named(None, "DD", channel=3)) == ["body", "drive", "body", "3"]
    assert channels_of(Messages.concat([])) == []


def test_names_of_channels_are_pickled() -> None:
    import pickle

    table = named(capture.Channels({"body": 1, "drive": 2}), "AA")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert channels_of(pickle.loads(pickle.dumps(table, protocol))) == ["body"]
    rebuild, (*state, names) = table.__reduce_ex__(2)
    assert names == {1: "body"}
    for wrong in ({}, {1: 5}, ["body", "drive"]):
        with pytest.raises(ValueError, match="no names"):
            rebuild(*state, wrong)
