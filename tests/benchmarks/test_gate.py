"""The gate tells what grew and by how much, and nothing else. Here without callgrind: its files are made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import callgrind, gate, shares
from benchmarks.callgrind import Function, Profile
from benchmarks.gate import Counts, changes, readable

OURS = next(iter(sorted(gate.LIBRARIES)))

# Two functions of ours, one of the interpreter; take() calls deque_popleft twice, in a copy that the compiler made.
WRITTEN = f"""version: 1
creator: callgrind
events: Ir

ob=/lib/{OURS}
fl=_core.c
fn=__pyx_f_5isotp_5_core_6Engine__take.isra.0
10 30
fi=header.h
12 5
fe=_core.c
13 5
cob=/lib/libpython3.so
cfi=_collections.c
cfn=deque_popleft
calls=2 700
13 44
ob=/lib/libpython3.so
fl=_collections.c
fn=deque_popleft
700 44

totals: 84
"""


def test_a_callgrind_file_is_read() -> None:
    functions = callgrind.read(WRITTEN)
    take = functions[OURS, "__pyx_f_5isotp_5_core_6Engine__take"]
    assert (take.own, take.inclusive) == (40, 84)
    assert take.lines == {("_core.c", 10): 30, ("header.h", 12): 5, ("_core.c", 13): 5}
    popleft = functions["libpython3.so", "deque_popleft"]
    assert (popleft.own, popleft.calls) == (44, 2)
    assert Profile(1, functions).total == 84


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("__pyx_f_5isotp_5_core_6Engine__take", "_core.Engine._take"),
        ("__pyx_f_5isotp_4bulk_12_reassembler_feed_buffer", "bulk._reassembler.feed_buffer"),
        ("__pyx_pw_5isotp_5_core_6Engine_29process", "_core.Engine.process [pw]"),
        # 3 is the number of the method, not the length of its name.
        ("__pyx_pw_5isotp_5_core_6Engine_3send", "_core.Engine.send [pw]"),
        ("__pyx_tp_dealloc_5isotp_5_core_CanMessage", "_core.CanMessage [tp_dealloc]"),
        ("_Py_Dealloc", "_Py_Dealloc"),
    ],
)
def test_names_of_functions(name: str, meaning: str) -> None:
    assert readable(name) == meaning


def test_counts_are_those_of_a_frame() -> None:
    found = gate.counts_of("single-frame", Profile(2, callgrind.read(WRITTEN)))
    assert found == Counts("round trip", total=42, own=20, functions={"_core.Engine._take": 42})


def counts(total: float = 1000, own: float = 400, function: float = 100) -> dict[str, Counts]:
    return {"single-frame": Counts("round trip", total, own, {"_core.Engine._take": function})}


def test_a_function_that_got_5_percent_slower_is_found() -> None:
    grown = [each for each in changes(counts(), counts(1005, 405, 105)) if each.grew]
    assert [str(each) for each in grown] == [
        "single-frame: this package's code +1.2%, 400.0 -> 405.0 instructions",
        "single-frame: _core.Engine._take +5.0%, 100.0 -> 105.0 instructions",
    ]


def test_noise_is_not() -> None:
    assert not [each for each in changes(counts(), counts(1003, 401, 102)) if each.grew or each.shrank]
    assert {each.what for each in changes(counts(), counts(900, 300, 80)) if each.shrank} == {
        "all",
        "this package's code",
        "_core.Engine._take",
    }


def test_a_function_that_is_gone_or_new_is_judged_by_the_totals() -> None:
    renamed = {"single-frame": Counts("round trip", 1000, 400, {"_core.Engine._grab": 900})}
    assert [each.what for each in changes(counts(), renamed)] == ["all", "this package's code"]


def run(monkeypatch: pytest.MonkeyPatch, file: Path, now: dict[str, Counts], *arguments: str) -> int:
    monkeypatch.setattr(gate, "measure", lambda names: now)
    return gate.main(["single-frame", "--file", str(file), *arguments])


def test_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "counts.json"
    assert run(monkeypatch, file, counts()) == gate.UNKNOWN_BUILD
    assert f"no counts are stored for this build: {gate.build()}" in capsys.readouterr().out
    assert run(monkeypatch, file, counts(), "--update", "--reason", "first") == gate.GOOD
    assert run(monkeypatch, file, counts()) == gate.GOOD
    capsys.readouterr()
    assert run(monkeypatch, file, counts(function=106)) == gate.GREW
    said = capsys.readouterr().out
    assert (
        "MORE: single-frame: _core.Engine._take +6.0%, 100.0 -> 106.0 instructions (tolerance 3.0%)" in said
    )
    assert "1 of 3 counts grew" in said
    assert run(monkeypatch, file, counts(1100), "--update", "--reason", "a new check") == gate.GOOD
    kept = json.loads(file.read_text())[gate.build()]
    assert [each["reason"] for each in kept["reasons"]] == ["first", "a new check"]
    assert kept["reasons"][1]["totals"] == {"single-frame": "+10.0%"}
    assert kept["workloads"]["single-frame"]["total"] == 1100


def test_an_update_needs_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for reason in ([], ["--reason", " "]):
        with pytest.raises(SystemExit) as stopped:
            run(monkeypatch, tmp_path / "counts.json", counts(), "--update", *reason)
        assert stopped.value.code == 2
    with pytest.raises(SystemExit):
        gate.main(["nonsense"])


def test_the_stored_counts_can_be_read() -> None:
    contents = gate.stored()
    assert contents
    for entry in contents.values():
        assert set(gate.counts_in(entry)) == set(gate.WORKLOADS)
        assert all(each["reason"] and each["date"] for each in entry["reasons"])


def test_instructions_are_sorted_by_where_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    made_from = {10: ("_protocol/reception.pxd", 45), 13: ("_core.pyx", 7)}
    monkeypatch.setattr(shares, "lines_of", lambda file: [made_from.get(line) for line in range(20)])
    functions = callgrind.read(WRITTEN)
    functions["libc.so.6", "malloc"] = Function("malloc", "libc.so.6", own=8)
    found = shares.shares(Profile(2, functions))
    expected = {"Python": 22, "memory": 4, "boundary": 5, "protocol": 15}
    if not (Path(gate.isotp.__file__).parent / "_core.c").exists():
        # No C file tells what was made from what: that of an installed wheel is not kept.
        expected |= {"boundary": 20, "protocol": 0}
    assert found == expected
    table = shares.table({"single-frame": {"ours": found, "floor": {"Python": 23}}})
    assert "| single-frame | 46 | 22 (48%) | 4 (9%) |" in table
    assert table.endswith("| 23 | 2.00 |")


def test_cython_tells_what_a_line_of_c_was_made_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made.c").write_text(
        "/* #### Code section: module_code ### */\n"
        '/* "isotp/_protocol/reception.pxd":37\n'
        "int x;\n"
        '  /* "isotp/_core.pyx":5\n'
        "int y;\n"
        "/* #### Code section: utility_code_def ### */\n"
        "int z;\n"
    )
    monkeypatch.setattr(shares.isotp, "__file__", str(tmp_path / "__init__.py"))
    shares.lines_of.cache_clear()
    lines = shares.lines_of("made.c")
    assert [lines[number] for number in (3, 5, 7)] == [
        ("_protocol/reception.pxd", 37),
        ("_core.pyx", 5),
        None,
    ]
