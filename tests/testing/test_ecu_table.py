"""ECUs that a file describes, and what is said of a file that does not."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import isotp
from isotp.testing import Access, Did, Ecu, Routine, Tester
from tests.documentation import DOCS, ROOT, blocks
from tests.frames import octets, words

# All that a table may have.
TABLE = """
name = "engine"
address = "7E8:7E0"
functional = ":7DF"
delay_ms = 5
p2_ms = 25
p2_star_ms = 2000
s3_ms = 4000
reset_ms = 300
sessions = [1, 2, 3, 64]
block_length = 258
one_at_a_time = true

[[testers]]
address = "ta=F2,sa=18"
functional = "ta=F2,sa=33"

[dids]
2001 = "0B B8 5A"
F190 = { text = "WVW" }
0100 = { hex = "00 00", write = { sessions = [3], security = "01" } }
0101 = { hex = "", write = true, any_length = true, read = { sessions = [3] } }

[routines]
FF00 = { result = "00", sessions = [2], security = "01" }
0203 = "AB"

[security.01]
seed = "12 34 56 78"
xor = "FF 0F"
attempts = 2
delay_ms = 1000
sessions = [2, 3]

[security.03]
seed = 4
key = "AA"

[dtcs]
030100 = "2F"
"44 21 00" = "24"

[memory]
08000000 = { hex = "FF 00", size = 5 }
1000 = "01 02"

[services]
14 = { sessions = [3] }
2E = false
22 = true

[[rules]]
request = "22 F1 8C"
answer = "62 F1 8C 01"
times = 1

[[rules]]
request = "31 01 *"
pending = 3
every_ms = 20
delay_ms = 1
sessions = [2]

[[rules]]
request = "19 .. 08"
nrc = "22"

[[rules]]
request = "85 *"
silent = true
"""
fixed = isotp.AddressingMode.NormalFixed_29bits


@pytest.mark.skipif(sys.version_info < (3, 11), reason="TOML is read by Python 3.11 and later")
def test_everything_that_a_table_may_have(tmp_path: Path) -> None:
    path = tmp_path / "engine.toml"
    path.write_text(TABLE)
    ecu = Ecu.from_file(path)
    assert (ecu.name, ecu.delay_ms, ecu.p2_ms, ecu.p2_star_ms, ecu.s3_ms, ecu.reset_ms) == (
        *("engine", 5),
        *(25, 2000, 4000, 300),
    )
    assert (ecu.sessions, ecu.block_length, ecu.one_at_a_time) == ({1, 2, 3, 64}, 258, True)
    assert ecu.testers == [
        Tester(isotp.Address(txid=0x7E8, rxid=0x7E0), isotp.Address(rxid=0x7DF, rx_only=True)),
        Tester(
            isotp.Address(fixed, target_address=0xF2, source_address=0x18),
            isotp.Address(fixed, target_address=0xF2, source_address=0x33),
        ),
    ]
    assert ecu.dids == {
        0x2001: Did(b"\x0b\xb8\x5a"),
        0xF190: Did(b"WVW"),
        0x0100: Did(bytes(2), write=Access([3], security=1)),
        0x0101: Did(b"", write=Access(), any_length=True, read=Access([3])),
    }
    assert ecu.routines == {0xFF00: Routine(b"\x00", Access([2], 1)), 0x0203: Routine(b"\xab")}
    first, third = ecu.security[1], ecu.security[3]
    assert first.fits(first.new_seed(), octets("ED 3B A9 77"))
    assert (first.attempts, first.delay_ms, first.access) == (2, 1000, Access([2, 3]))
    assert len(third.new_seed()) == 4
    assert third.new_seed() != third.new_seed()
    assert third.fits(third.new_seed(), b"\xaa")
    assert ecu.dtcs == {0x030100: 0x2F, 0x442100: 0x24}
    assert ecu.memory == {0x0800_0000: octets("FF 00 FF 00 FF"), 0x1000: b"\x01\x02"}
    assert (ecu.services[0x14], ecu.services[0x2E], ecu.services[0x22]) == (Access([3]), None, Access())
    assert [
        (rule.request, rule.answer, rule.nrc, rule.silent, rule.pending, rule.delay_ms, rule.every_ms)
        for rule in ecu.rules
    ] == [
        ("22 F1 8C", octets("62 F1 8C 01"), None, False, 0, None, 50),
        ("31 01 *", None, None, False, 3, 1, 20),
        ("19 .. 08", None, 0x22, False, 0, None, 50),
        ("85 *", None, None, True, 0, None, 50),
    ]
    assert [(rule.times, rule.sessions) for rule in ecu.rules] == [(1, None), (None, [2])] + [
        (None, None)
    ] * 2


@pytest.mark.skipif(sys.version_info < (3, 11), reason="TOML is read by Python 3.11 and later")
def test_table_of_the_page_is_the_example() -> None:
    example = ROOT / "examples" / "gearbox.toml"
    tables = [block.text for block in blocks(DOCS / "ecu.md") if block.text.startswith("# A gearbox")]
    assert tables == [example.read_text()]
    assert Ecu.from_file(example).name == "gearbox"


def test_json_has_the_same(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text(json.dumps({"name": "engine", "dids": {"F190": "57"}}))
    ecu = Ecu.from_file(path)
    assert [words(each.payload) for each in ecu.answer(octets("22 F1 90"), 0)] == ["62 F1 90 57"]


def test_names_and_codecs_of_udsoncan() -> None:
    pytest.importorskip("udsoncan")
    ecu = Ecu.from_table(
        {
            "dids": {"0100": {"codec": ">HB", "value": [12, 3]}, "0101": {"codec": "B", "value": 7}},
            "rules": [{"request": "3E 00", "nrc": "ConditionsNotCorrect"}],
        }
    )
    assert ecu.dids == {0x0100: Did(octets("00 0C 03")), 0x0101: Did(b"\x07")}
    assert ecu.rules[0].nrc == 0x22


@pytest.mark.parametrize(
    "table",
    [
        {"dids": {"0100": {"codec": ">H", "value": 1}}},
        {"rules": [{"request": "3E 00", "nrc": "ConditionsNotCorrect"}]},
    ],
)
def test_without_udsoncan_it_says_what_to_install(
    table: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "udsoncan", None)
    with pytest.raises(RuntimeError, match=r"pip install 'can-isotp-cython\[uds\]'"):
        Ecu.from_table(table)
    # What needs no names works without it.
    assert Ecu.from_table({"rules": [{"request": "3E 00", "nrc": "22"}]}).rules[0].nrc == 0x22


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"did": {}}, "did: there are dids, routines, "),
        ({"dids": 3}, "dids: 3 is no table"),
        ({"dids": {"F19x": "57"}}, "dids: 'F19x' is no number in hex"),
        ({"dids": {"F190": "5"}}, "dids.F190: '5' is no text with bytes in hex"),
        ({"dids": {"F190": 5}}, "dids.F190: 5 is no table"),
        ({"dids": {"F190": {"txt": "a"}}}, "dids.F190 has none of hex, text, codec"),
        ({"dids": {"F190": {"text": "a", "hex": "00"}}}, "dids.F190 has a value in several ways"),
        ({"dids": {"F190": {"text": "a", "write": {"session": 3}}}}, "dids.F190.write.session: there are"),
        (
            {"dids": {"F190": {"text": "a", "write": {"sessions": 3}}}},
            "dids.F190.write.sessions: 3 is no list",
        ),
        ({"dids": {"F190": {"codec": ">H"}}}, "dids.F190: codec and value need each other"),
        ({"security": {"01": {}}}, "security.01 has no seed"),
        ({"security": {"01": {"seed": "00"}}}, "security.01 has one of key, xor"),
        ({"security": {"01": {"seed": True, "key": "00"}}}, "security.01.seed: True is no whole number"),
        ({"dtcs": {"030100": "2F 00"}}, "dtcs.030100: '2F 00' is no status of a byte"),
        ({"memory": {"0": {"size": 5}}}, "memory.0 has none of hex, text, codec"),
        ({"rules": {}}, "rules: {} is no list"),
        ({"rules": [{"answer": "00"}]}, "rules[1] has no request"),
        ({"rules": [{"request": "22"}, {"request": "Q"}]}, "rules[2]: 'Q' is no request"),
        ({"rules": [{"request": "22", "delay": 5}]}, "rules[1].delay: there are request, answer, nrc"),
        ({"delay_ms": "5"}, "delay_ms: '5' is no number of ms"),
        ({"delay_ms": -1}, "delay_ms: -1 is no number of ms"),
        ({"one_at_a_time": 1}, "one_at_a_time: 1 is neither true nor false"),
        ({"block_length": 2.5}, "block_length: 2.5 is no whole number"),
        ({"name": 5}, "name: 5 is no text"),
        ({"address": "7E8"}, "address: '7E8' is no address"),
        ({"address": ":7E8"}, "address: ':7E8': both CAN IDs"),
        ({"functional": ":7DF"}, "functional: it goes with address"),
        ({"address": "7E8:7E0", "functional": "7DF:"}, "functional: '7DF:' is no address to hear"),
        ({"testers": [{"functional": ":7DF"}]}, "testers[1] has no address"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(table: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        Ecu.from_table(table)
    assert str(refusal.value).startswith(complaint)


def test_a_value_that_the_codec_does_not_take() -> None:
    pytest.importorskip("udsoncan")
    with pytest.raises(ValueError, match=r"dids\.0100: .*pack expected 1"):
        Ecu.from_table({"dids": {"0100": {"codec": ">H", "value": [1, 2]}}})


def test_a_name_that_udsoncan_does_not_know() -> None:
    pytest.importorskip("udsoncan")
    with pytest.raises(ValueError, match=r"rules\[1\]\.nrc: 'Foo' is neither"):
        Ecu.from_table({"rules": [{"request": "3E", "nrc": "Foo"}]})


@pytest.mark.parametrize(
    ("name", "content"), [("ecu.json", "[1]"), ("ecu.json", "{"), ("ecu.toml", "name =")]
)
def test_files_that_are_something_else(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=name):
        Ecu.from_file(path)
