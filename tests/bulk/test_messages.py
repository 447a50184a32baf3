"""Messages: columns without copies, selections, and the tables of others."""

from __future__ import annotations

import copy
import pickle
import sys
import xml.etree.ElementTree as ElementTree

import pytest

import isotp
from isotp import Direction, Message, Messages, MessageStatus
from tests.bulk.logs import FIXED, OTHER, TESTER, decoded
from tests.frames import MS, octets


@pytest.fixture
def messages() -> Messages:
    return decoded(
        *("7E0#02 10 03", "7E8#10 0A 50 03 01 02 03 04", "7E0#30 08 F3", "7E8#21 05 06 07 08"),
        *("7E1#01 3E", "1:7E9#10 14 00*6", "7E9#03 01 02 03", "7E0#07 07*7"),
        addresses=(TESTER, OTHER),
    )


def test_columns_are_the_memory_itself(messages: Messages) -> None:
    assert len(messages) == 6
    assert messages.column("offsets").tolist() == [0, 2, 12, 13, 16, 23, 29]
    assert messages.column("status").tolist() == [0, 0, 0, 0, 0, 9]
    assert messages.column("session").tolist() == [0, 0, 1, 1, 0, 1]
    assert messages.column("channel").tolist() == [0, 0, 0, 0, 0, 1]
    assert messages.column("stmin_us").tolist() == [-1, 300, -1, -1, -1, -1]
    assert bytes(messages.data[2:12]) == octets("50 03 01 02 03 04 05 06 07 08")
    assert messages.column("start").readonly
    assert messages.data.readonly
    with pytest.raises(ValueError, match="no column 'begin', there are: offsets, start"):
        messages.column("begin")


def test_columns_outlive_the_table(messages: Messages) -> None:
    data, start = messages[1:].data, messages.column("start")
    expected = bytes(data), start.tolist()
    del messages
    assert (bytes(data), start.tolist()) == expected


def test_indices_and_slices_are_those_of_a_list(messages: Messages) -> None:
    listed = list(messages)
    assert all(isinstance(each, Message) for each in listed)
    assert messages[-1] == listed[-1] == messages[5]
    slices = ((1, 4), (None, None, -1), (4, 1), (0, 6, 4), (-2, None), (0, 0))
    for part in (slice(*each) for each in slices):
        assert list(messages[part]) == listed[part]
        assert messages[part].payloads == [each.payload for each in listed[part]]
    assert list(messages[1:5][1:3]) == listed[2:4]
    for index in (6, -7):
        with pytest.raises(IndexError, match=f"no message {index}, there are 6"):
            messages[index]


def test_filter(messages: Messages) -> None:
    listed = list(messages)
    for conditions, wanted in (
        ({"session": 1}, [2, 3, 5]),
        ({"session": OTHER, "channel": 1}, [5]),
        ({"direction": Direction.TX}, [0, 2, 4]),
        ({"status": MessageStatus.OPEN}, [5]),
        ({"status": (MessageStatus.OPEN, 0)}, [0, 1, 2, 3, 4, 5]),
        ({"status": ()}, []),
        ({"since": 3 * MS, "until": 5 * MS}, [1, 2]),
        ({"until": 0}, []),
        ({"status": "open", "direction": "rx"}, [5]),
        ({"status": ("open", "ok"), "direction": "tx"}, [0, 2, 4]),
        ({}, [0, 1, 2, 3, 4, 5]),
    ):
        assert list(messages.filter(**conditions)) == [listed[k] for k in wanted], conditions
    for conditions, message in (
        ({"session": FIXED}, "no session has the address"),
        ({"session": 2}, "session must be from 0 to 1, not 2"),
        ({"status": 10}, "10 is not a valid MessageStatus"),
        ({"direction": 2}, "2 is not a valid Direction"),
        ({"status": "good"}, "'good' is none of ok, wrong_sequence_number, "),
        ({"direction": "TX"}, "'TX' is none of tx, rx"),
    ):
        with pytest.raises(ValueError, match=message):
            messages.filter(**conditions)


def test_concat_joins_sessions_by_address(messages: Messages) -> None:
    others = decoded("7E9#01 AA", "18DA10F1#01 BB", addresses=(FIXED, OTHER))
    joined = messages[2:] + others
    assert joined.sessions == (TESTER, OTHER, FIXED)
    assert joined.payloads == messages.payloads[2:] + others.payloads
    assert [each.address for each in joined][-2:] == [OTHER, FIXED]
    assert Messages.concat([messages]) == messages
    assert len(Messages.concat([])) == 0
    with pytest.raises(TypeError, match="only Messages can be joined, not 5"):
        Messages.concat([messages, 5])  # type: ignore[list-item]


def test_pickles_and_compares(messages: Messages) -> None:
    for table in (messages, messages[2:4], messages[0:0]):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(table, protocol)) == table
        assert copy.copy(table) == table
    pieces: list[pickle.PickleBuffer] = []
    frame = pickle.dumps(messages, 5, buffer_callback=pieces.append)
    assert len(frame) < 1000
    assert pickle.loads(frame, buffers=pieces) == messages
    assert messages != messages[1:]
    assert messages[0:1] != messages[2:3]
    assert messages != list(messages)


def test_only_a_reassembler_makes_them() -> None:
    class Own(Messages):
        def __init__(self) -> None:
            """Not that of Messages, which raises."""

    for kind in (Messages, Own):
        with pytest.raises(TypeError, match="made by a Reassembler"):
            kind()


def test_what_nobody_filled_is_an_empty_table(messages: Messages) -> None:
    empty = Messages.__new__(Messages)
    assert empty.sessions == ()
    assert (len(empty), list(empty), empty.payloads, bytes(empty.data), empty.nbytes) == (0, [], [], b"", 8)
    assert empty.column("offsets").tolist() == [0]
    assert empty == empty[:] == empty.filter() == pickle.loads(pickle.dumps(empty)) == Messages.concat([])
    assert empty + messages == messages
    assert repr(empty) == "<Messages 0, 0 bytes of payload, 0 sessions>"


def test_columns_are_not_pickled(messages: Messages) -> None:
    """Their memory is the table's."""
    column = messages.column("start").obj
    for alone in (column, type(column).__new__(type(column))):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="Column"):
                pickle.dumps(alone, protocol)
        with pytest.raises(AttributeError):
            alone.__setstate_cython__(())


def test_memory_is_payloads_and_columns(messages: Messages) -> None:
    assert messages.nbytes == 29 + 8 + 6 * (3 * 8 + 6 * 4 + 2 * 2 + 3)


def test_numpy(messages: Messages) -> None:
    numpy = pytest.importorskip("numpy", reason="NumPy is not installed")
    columns = messages[1:].to_numpy()
    assert columns["length"].tolist() == [10, 1, 3, 7, 20]
    assert columns["start"].dtype == numpy.int64
    assert columns["offsets"].tolist() == [2, 12, 13, 16, 23, 29]
    assert numpy.shares_memory(columns["data"], messages.to_numpy()["data"])
    assert not columns["data"].flags.writeable


@pytest.mark.parametrize("part", [slice(None), slice(2, 5), slice(0, 0)])
def test_arrow(messages: Messages, part: slice) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = messages[part].to_arrow()
    table.validate(full=True)
    listed = list(messages[part])
    assert table["payload"].to_pylist() == [m.payload for m in listed]
    assert table["start"].to_pylist() == [m.start for m in listed]
    assert table["status"].to_pylist() == [m.status.name.lower() for m in listed]
    assert table["direction"].to_pylist() == [m.direction.name.lower() for m in listed]
    assert table["stmin_us"].to_pylist() == [m.stmin_us for m in listed]
    assert table["blocksize"].to_pylist() == [m.blocksize for m in listed]
    assert table["session"].to_pylist() == [("7E0:7E8", "7E1:7E9")[m.session] for m in listed]
    if listed:
        address = table["payload"].chunk(0).buffers()[2].address
        assert address == pyarrow.py_buffer(messages.data).address


def test_pandas(messages: Messages) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = messages.to_pandas()
    assert frame["payload"].tolist() == messages.payloads
    assert frame.loc[frame["status"] == "open", "length"].tolist() == [20]


def test_polars(messages: Messages) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    polars = pytest.importorskip("polars", reason="Polars is not installed")
    frame = messages.to_polars()
    assert frame["payload"].to_list() == messages.payloads
    assert frame.filter(polars.col("status") == "open")["length"].to_list() == [20]


def test_names_are_public() -> None:
    assert isotp.Messages is Messages
    assert {"Messages", "Message", "MessageStatus", "Direction", "Reassembler"} <= set(dir(isotp))


@pytest.mark.parametrize(
    ("column", "item", "value"),
    [(0, 0, -8), (0, 1, 1 << 62), (0, -1, 0), (5, 0, -1), (5, 0, 1000), (11, 0, 2), (12, 0, 2), (13, 0, 10)],
)
def test_damaged_pickle(messages: Messages, column: int, item: int, value: int) -> None:
    """Offsets that lead nowhere, a session, direction, target type or status that there is not."""
    rebuild, (sessions, count, buffers) = messages.__reduce_ex__(2)
    kind = messages.column(("offsets", "session", "direction")[(column > 0) + (column > 5)]).format
    broken = memoryview(bytearray(buffers[column])).cast(kind)
    broken[item] = value
    buffers[column] = bytes(broken)
    with pytest.raises(ValueError, match=r"do not fit each other|in place of"):
        rebuild(sessions, count, buffers)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        *((0, None), (0, [b"no address"])),
        *((1, None), (1, "6"), (1, 1 << 70), (1, (1 << 63) - 1)),
        *((2, None), (2, [1] * 15)),
    ],
)
def test_pickle_with_something_else(messages: Messages, part: int, value: object) -> None:
    rebuild, state = messages.__reduce_ex__(2)
    with pytest.raises(ValueError, match=r"damaged|no columns|no addresses"):
        rebuild(*state[:part], value, *state[part + 1 :])


def test_pickle_without_a_column(messages: Messages) -> None:
    rebuild, (sessions, count, buffers) = messages.__reduce_ex__(2)
    for wrong in (buffers[:-1], [*buffers, b""], []):
        with pytest.raises(ValueError, match="no columns"):
            rebuild(sessions, count, wrong)
    for wrong_count in (-1, count + 1, sys.maxsize >> 3):
        with pytest.raises(ValueError, match="no columns"):
            rebuild(sessions, wrong_count, buffers)


@pytest.mark.parametrize(
    ("method", "package"),
    [
        ("to_numpy", "numpy"),
        ("to_arrow", "pyarrow"),
        ("to_pandas", "pandas"),
        ("to_pandas", "pyarrow"),
        ("to_polars", "polars"),
    ],
)
def test_without_the_package_it_says_what_to_install(
    messages: Messages, monkeypatch: pytest.MonkeyPatch, method: str, package: str
) -> None:
    if package == "pyarrow" and method == "to_pandas":
        pytest.importorskip("pandas")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError) as missing:
        getattr(messages, method)()
    assert str(missing.value) == f"{method}() needs {package}: pip install 'can-isotp-cython[tables]'"
    assert missing.value.name == package


def test_a_notebook_shows_the_first_messages(messages: Messages) -> None:
    table = ElementTree.fromstring(messages._repr_html_())
    assert table.findtext("caption") == "6 messages"
    rows = [[cell.text for cell in row] for row in table.iter("tr")]
    assert rows[0] == ["start_time", "channel", "session", "direction", "status", "length", "payload"]
    assert len(rows) == 7
    assert rows[2][2:] == ["7E0:7E8", "rx", "ok", "10", "50 03 01 02 03 04 05 06 07 08"]


def test_a_notebook_shows_no_markup_of_a_log() -> None:
    long = decoded("7E0#02 3E 00") + decoded(*["7E0#02 10 03"] * 30)
    table = ElementTree.fromstring(long.with_channels(["<b>&"])._repr_html_())
    assert table.findtext("caption") == "31 messages, the first 20"
    rows = [[cell.text for cell in row] for row in table.iter("tr")]
    assert len(rows) == 21
    assert rows[1][1] == "<b>&"


def test_a_notebook_shows_the_first_bytes_of_a_long_message() -> None:
    (record,) = isotp.encode(bytes(62), TESTER, params={"can_fd": True, "tx_data_length": 64})
    records = isotp.Records("fd")
    records.append(*record[:2], record.data, record.flags)
    shown = ElementTree.fromstring(records._repr_html_())
    assert shown.findtext("caption") == "1 frames"
    cells = [cell.text for cell in shown.iter("td")]
    assert cells[:4] == ["0", "0", "7E0", "04"]
    assert cells[4] == "00 3E" + " 00" * 30 + " ..."
