"""The examples run as a user runs them: as scripts, and with their warnings turned into errors."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import isotp
import isotp.aio

can = pytest.importorskip("can", reason="the examples use python-can")
pytest.importorskip("udsoncan", reason="the examples use udsoncan")

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
PATIENCE = 10


def run_example(script: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def load(name: str) -> ModuleType:
    """The example as a module, for what has to be in one process: python-can's virtual bus is."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def test_quickstart() -> None:
    run = run_example(EXAMPLES / "quickstart.py")
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    lines = run.stdout.splitlines()
    headings = [line for line in lines if not line.startswith(" ")]
    assert headings[:3] == [
        "Classic CAN, 8 bytes a frame:",
        "CAN FD, 64 bytes a frame:",
        "UDS session of udsoncan's client over CAN FD:",
    ]
    assert headings[3].startswith("All good: isotp ")
    checks = [line for line in lines if line.startswith(" ")]
    assert len(checks) == 9
    assert all(line.startswith("  ok    ") for line in checks)


def test_quickstart_notices_what_is_wrong(tmp_path: Path) -> None:
    source = (EXAMPLES / "quickstart.py").read_text()
    spoilt = source.replace("tester.send(payload,", "tester.send(payload[1:],")
    assert spoilt != source
    (tmp_path / "quickstart.py").write_text(spoilt)

    run = run_example(tmp_path / "quickstart.py")
    assert run.returncode == 1
    assert "WRONG 4095 bytes arrived at the ECU" in run.stdout


@pytest.mark.parametrize("fd", [False, True], ids=["classic", "fd"])
def test_firmware_download(tmp_path: Path, fd: bool) -> None:
    pytest.importorskip("rich", reason="the progress bar is that of rich")
    image = tmp_path / "image.bin"
    image.write_bytes(bytes(k * 7 % 256 for k in range(10_000)))
    run = run_example(EXAMPLES / "firmware_download.py", image, "--address", "0x1000", *["--fd"] * fd)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.startswith("10000 bytes written in 3 blocks, ")
    assert "writing" in run.stderr
    assert "10.0/10.0 kB" in run.stderr


def test_custom_hardware() -> None:
    run = run_example(EXAMPLES / "custom_hardware.py")
    assert run.stderr == ""
    assert run.stdout.splitlines() == [
        "ECU:    over hardware that nobody knows",
        "tester: and back, in several frames as well",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"t7E0322F190", (0x7E0, False, "22f190")),
        (b"T18DA10F120201", (0x18DA10F1, True, "0201")),
        (b"t7E00", (0x7E0, False, "")),
        *((line, None) for line in (b"", b"z", b"t7E0422F190", b"t7E0x", b"tGGG0", b"\x07", b"t7E02F\xff00")),
    ],
)
def test_custom_hardware_reads_lines(line: bytes, expected: tuple[int, bool, str] | None) -> None:
    adapter = load("custom_hardware")
    frame = adapter.decode(line)
    if expected is None:
        assert frame is None
    else:
        assert (frame.arbitration_id, frame.is_extended_id, frame.data.hex()) == expected
        assert adapter.encode(frame) == line + b"\r"


def test_logger_rig_on_two_buses() -> None:
    rig = load("logger_rig")
    output = io.StringIO()
    logger = rig.Logger(output, count=4)
    buses = [can.Bus(interface="virtual", channel=f"rig {k}") for k in (0, 0, 0, 1, 1, 1)]
    hubs = [isotp.Hub(bus) for bus in buses]
    try:
        for number, hub in ((0, hubs[0]), (1, hubs[3])):
            logger.listen(hub, f"can{number}", 0x7E0, 0x7E8)
        for number, (tester_hub, ecu_hub) in enumerate((hubs[1:3], hubs[4:6])):
            tester = tester_hub.session(isotp.Address(txid=0x7E0, rxid=0x7E8))
            ecu = ecu_hub.session(isotp.Address(txid=0x7E8, rxid=0x7E0))
            tester.start()
            ecu.start()
            tester.send(bytes([number]) * 30)
            assert ecu.recv(block=True, timeout=PATIENCE) == bytes([number]) * 30
            ecu.send(b"yes")
        assert logger.done.wait(PATIENCE)
    finally:
        for each in (*hubs, *buses):
            (each.close if isinstance(each, isotp.Hub) else each.shutdown)()
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert all(line.pop("time") > 1_700_000_000 * 10**9 for line in lines)
    for number in (0, 1):
        assert [line for line in lines if line["bus"] == f"can{number}"] == [
            {"bus": f"can{number}", "from_to": "7E0>7E8", "payload": f"{number:02x}" * 30},
            {"bus": f"can{number}", "from_to": "7E8>7E0", "payload": b"yes".hex()},
        ]


def test_logger_rig_logs_errors() -> None:
    rig = load("logger_rig")
    output = io.StringIO()
    logger = rig.Logger(output, count=1)
    with (
        can.Bus(interface="virtual", channel="broken") as bus,
        can.Bus(interface="virtual", channel="broken") as other,
        isotp.Hub(bus) as hub,
    ):
        logger.listen(hub, "can0", 0x7E0, 0x7E8)
        other.send(can.Message(arbitration_id=0x7E8, data=bytes.fromhex("2100"), is_extended_id=False))
        assert logger.done.wait(PATIENCE)
    line = json.loads(output.getvalue())
    assert (line["from_to"], line["error"]) == ("7E8>7E0", "UnexpectedConsecutiveFrameError")


def test_asyncio_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    module = load("asyncio_gateway")
    routes = [module.Route.parse("7E0:7E8=710:718"), module.Route.parse("7E1:7E9=711:719")]
    assert routes[0] == module.Route(0x7E0, 0x7E8, 0x710, 0x718)

    async def story(outer: can.BusABC, inner: can.BusABC, testers: can.BusABC, ecus: can.BusABC) -> None:
        serving = asyncio.Event()
        gateway = asyncio.create_task(module.gateway(outer, inner, routes, serving))
        await asyncio.wait_for(serving.wait(), PATIENCE)
        async with isotp.aio.Hub(testers) as outside, isotp.aio.Hub(ecus) as inside:
            for number in (0, 1):
                tester = outside.layer(isotp.Address(txid=0x7E0 + number, rxid=0x7E8 + number))
                ecu = inside.layer(isotp.Address(txid=0x718 + number, rxid=0x710 + number))
                tester.start()
                ecu.start()
                await tester.send(b"a question of several frames")
                assert await asyncio.wait_for(ecu.recv(), PATIENCE) == b"a question of several frames"
                await ecu.send(b"an answer of several frames")
                assert await asyncio.wait_for(tester.recv(), PATIENCE) == b"an answer of several frames"
        gateway.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gateway

    with (
        can.Bus(interface="virtual", channel="outer") as outer,
        can.Bus(interface="virtual", channel="inner") as inner,
        can.Bus(interface="virtual", channel="outer") as testers,
        can.Bus(interface="virtual", channel="inner") as ecus,
    ):
        asyncio.run(story(outer, inner, testers, ecus))
    assert capsys.readouterr().err == ""


def test_decode_a_day(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="--output writes Parquet")
    day = tmp_path / "day"
    day.mkdir()
    for hour in range(3):
        (day / f"{hour:02}.log.gz").write_bytes((ROOT / "docs" / "drive.log.gz").read_bytes())
    (day / "notes.txt").write_text("no log")
    run = run_example(EXAMPLES / "decode_day.py", day, "--output", tmp_path / "day.parquet")
    assert run.returncode == 1, "notes.txt is a problem"
    assert "notes.txt" in run.stderr
    lines = run.stdout.splitlines()
    assert lines[0] == "00.log.gz: 277 messages in 4881 frames"
    assert lines[4] == "4 logs: 831 messages in 14643 frames, 1 problems"
    assert parquet.read_table(tmp_path / "day.parquet").num_rows == 831

    (day / "notes.txt").unlink()
    run = run_example(EXAMPLES / "decode_day.py", day, "--address", "7E0:7E8")
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[3].startswith("3 logs: 402 messages")


def test_notebook() -> None:
    """All cells run; what they print is looked at here, and not kept in the repository."""
    for package in ("nbclient", "ipykernel", "matplotlib", "pandas"):
        pytest.importorskip(package, reason="notebooks need the dependency group `notebook`")
    import nbclient
    import nbformat

    path = EXAMPLES / "look_at_a_log.ipynb"
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code), (
        "outputs are not stripped"
    )
    client = nbclient.NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(EXAMPLES)}})
    client.execute()
    outputs = [output for cell in code for output in cell.outputs]
    assert outputs[0].text == "277 messages in 4881 frames\n"
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert outputs[-1].text.count("bytes had come") == 3


def test_each_example_is_on_the_page() -> None:
    page = (ROOT / "docs" / "examples.md").read_text()
    for path in EXAMPLES.iterdir():
        if path.suffix in {".py", ".ipynb"}:
            assert f"`examples/{path.name}`" in page, path.name
