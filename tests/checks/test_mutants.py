"""The mutation check changes what it says, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

from checks.instrumented import CHECKOUT, protocol_files
from checks.mutation.mutants import Mutant, rewrite
from checks.mutation.run import ENGINE, in_engine
from checks.mutation.survivors import SURVIVORS

SOURCE = """\
cdef enum:
    LIMIT = 8                      # no mutant: a constant of the protocol


cdef inline bint step(Machine *m, uint64_t given) noexcept nogil:
    cdef int size = 3
    if <int>given > m.limit and not m.done:
        m.count += 1
        m.due = (
            NEVER)
    stop(m)
    return m.count == 7


cdef bint other(Machine *m) noexcept nogil:
    return m.count > 0
"""


def test_each_change_once() -> None:
    new, mutants = rewrite(SOURCE, "source", lambda name: name == "step", 5)
    assert [(m.number, m.line, m.original, m.mutated) for m in mutants] == [
        (5, 7, "if < int > given > m.limit and not m.done:", "if < int > given >= m.limit and not m.done:"),
        (6, 7, "if < int > given > m.limit and not m.done:", "if < int > given <= m.limit and not m.done:"),
        (7, 7, "if < int > given > m.limit and not m.done:", "if < int > given > m.limit or not m.done:"),
        (8, 7, "if < int > given > m.limit and not m.done:", "if < int > given > m.limit and m.done:"),
        (9, 8, "m.count += 1", "m.count += (1 + 1)"),
        (10, 8, "m.count += 1", "(left out)"),
        (11, 9, "m.due = (NEVER)", "(left out)"),
        (12, 11, "stop(m)", "(left out)"),
        (13, 12, "return m.count == 7", "return m.count != 7"),
        (14, 12, "return m.count == 7", "return m.count == (7 + 1)"),
    ]
    assert len({m.key for m in mutants}) == len(mutants)
    lines, before = new.split("\n"), SOURCE.split("\n")
    assert len(lines) == len(before)
    assert lines[:6] == before[:6]
    assert lines[12:] == before[12:]
    assert lines[10] == "    if not isotp_is(12): stop(m)"


RETURNS = """\
cdef int always(Machine *m) except -1:
    if m.count > limit:
        return 0
    stop(m)
    return 0


cdef int sometimes(Machine *m) except -1:
    if m.failed:
        return -1
    if m.done:
        return 2
    return 0
"""


def test_a_returned_number_is_0_or_not() -> None:
    _, mutants = rewrite(RETURNS, "source", lambda name: True, 1)
    returns = [(m.function, m.original, m.mutated) for m in mutants if m.original.startswith("return")]
    assert returns == [
        ("sometimes", "return - 1", "return 0"),
        ("sometimes", "return 2", "return 0"),
        ("sometimes", "return 0", "return 1"),
    ]


CLAMP = """\
cdef void clamp(Machine *m) noexcept nogil:
    if m.count > m.most - m.used:
        m.count = m.most - m.used
"""


def test_a_boundary_where_both_sides_are_alike() -> None:
    _, mutants = rewrite(CLAMP, "source", lambda name: True, 1)
    assert [m.mutated for m in mutants if m.line == 2] == [
        "if m.count <= m.most - m.used:",
        "if m.count > m.most + m.used:",
    ]


def mutants_of(file: str, functions: Callable[[str], bool]) -> list[Mutant]:
    return rewrite((CHECKOUT / "src" / "isotp" / file).read_text(), file, functions, 1)[1]


PROTOCOL = [
    mutant
    for file in protocol_files(CHECKOUT / "src/isotp")
    for mutant in mutants_of(file, lambda name: True)
]
CORE = [mutant for file in ENGINE for mutant in mutants_of(file, in_engine(file))]


def test_the_core_has_what_the_check_names() -> None:
    assert len(PROTOCOL) > 500
    for file, names in ENGINE.items():
        assert {mutant.function for mutant in CORE if mutant.file == file} >= set(names or ())
    assert len({mutant.key for mutant in PROTOCOL + CORE}) == len(PROTOCOL + CORE)


def test_each_survivor_is_there_and_has_a_reason() -> None:
    gone = set(SURVIVORS) - {mutant.key for mutant in PROTOCOL + CORE}
    assert not gone, "changes of lines that are no more: take them out of survivors.py"
    assert all(len(reason.split()) >= 3 for reason in SURVIVORS.values())
