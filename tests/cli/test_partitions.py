"""`isotp decode --partition`: a Parquet data set, which others read as one table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from isotp.cli.shown import partitions
from tests.cli.command import PAIR, TALK, isotp_command, log_of, without
from tests.drive import LOG

dataset = pytest.importorskip("pyarrow.dataset", reason="Parquet needs pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

DRIVE = ("-a", "7E0:7E8", "-a", "ta=18,sa=F1", "-a", "6F1:640,ext=40:F1")


def rows_of(folder: Path) -> Counter[str]:
    """The rows of all files, without an order; the columns of the folders are where the others are."""
    table = dataset.dataset(folder, partitioning="hive").to_table()
    return Counter(repr(sorted(row.items())) for row in table.to_pylist())


@pytest.mark.parametrize("uds", [(), ("--uds",)])
@pytest.mark.parametrize("by", ["session", "channel"])
def test_all_of_it_is_the_table_of_one_file(tmp_path: Path, by: str, uds: tuple[str, ...]) -> None:
    one, many = tmp_path / "one.parquet", tmp_path / "many"
    assert isotp_command("decode -q", *uds, *DRIVE, "-o", one, LOG).status == 1
    assert isotp_command("decode -q --partition", by, *uds, *DRIVE, "-o", many, LOG).status == 1
    wanted = parquet.read_table(one).to_pylist()
    assert rows_of(many) == Counter(repr(sorted(row.items())) for row in wanted)
    (first, *_) = sorted(many.rglob("*.parquet"))
    assert by not in parquet.read_schema(first).names


def test_folders_have_names_that_every_system_takes(tmp_path: Path) -> None:
    isotp_command("decode -q --partition session -o", tmp_path / "many", *DRIVE, LOG)
    assert sorted(each.name for each in (tmp_path / "many").iterdir()) == [
        "session=6F1%3A640%2Cext%3D40%3AF1",
        "session=7E0%3A7E8",
        "session=ta%3D18%2Csa%3DF1",
    ]


def test_a_folder_for_each_log(tmp_path: Path) -> None:
    """A message is of the log that it ends in."""
    logs = [
        log_of(tmp_path / "a.log", "7E8#0101", *TALK[:3], start=1000),
        log_of(tmp_path / "b.log", TALK[3], "7E8#0102", start=1001),
    ]
    isotp_command("decode -q --partition log -o", tmp_path / "many", *PAIR, *logs)
    table = dataset.dataset(tmp_path / "many", partitioning="hive").to_table()
    found = sorted((row["log"], row["payload"].hex()) for row in table.to_pylist())
    assert found == [
        (str(logs[0]), "01"),
        (str(logs[1]), bytes(range(20)).hex()),
        (str(logs[1]), "02"),
    ]


def test_more_folders_than_files_may_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a folder gets several."""
    monkeypatch.setattr(partitions, "MOST_OPEN", 1)
    logs = [log_of(tmp_path / f"{k}.log", "can0 7E0#01AA", "can1 7E0#01BB", start=k) for k in range(3)]
    isotp_command("decode -q --partition channel -o", tmp_path / "many", *PAIR, *logs)
    files = sorted(
        str(each.relative_to(tmp_path / "many")) for each in (tmp_path / "many").rglob("*.parquet")
    )
    assert files == [str(Path(f"channel=can{k}", f"part-{n}.parquet")) for k in (0, 1) for n in range(3)]
    assert sum(rows_of(tmp_path / "many").values()) == 6


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--partition session", "name its folder"),
        ("--partition session --json -o {new}", "a data set is of Parquet"),
        ("--partition session -f csv -o {new}", "a data set is of Parquet"),
        ("--partition session -o {full}", "is there already"),
        ("--partition session -o {log}", "is there already"),
        ("--partition log --merge -o {new}", "merged logs are one"),
        ("-o {full}", "is a directory"),
    ],
)
def test_wrong_options(tmp_path: Path, words: str, complaint: str) -> None:
    log = log_of(tmp_path / "a.log", "7E0#01AA")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    words = words.format(new=tmp_path / "new", full=tmp_path / "full", log=log)
    run = isotp_command("decode", *PAIR, *words.split(), log)
    assert (run.status, complaint in run.complaint) == (2, True), run.complaint
    assert not (tmp_path / "new").exists()


def test_without_pyarrow(tmp_path: Path) -> None:
    log = log_of(tmp_path / "a.log", "7E0#01AA")
    run = without("pyarrow", "decode", "--partition", "session", "-o", tmp_path / "new", log)
    assert "can-isotp-cython[tables]" in run.stderr
    assert not (tmp_path / "new").exists()
