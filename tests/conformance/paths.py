"""The ways that a frame can take into the core, each as something that a story can be played on."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import isotp
from isotp import Direction, MessageStatus, Reassembler, Records
from isotp._core import TryAgain
from tests.conformance.cases import CASES
from tests.conformance.story import MODES, STIMULI, Case, Line, Rule, can_id_of
from tests.frames import MS, Clock, octets, words

Effects = dict[str, list[str]]


class Stage:
    """A layer that takes part in a story: what it does is noted, time is set."""

    def __init__(self, case: Case, mode: str) -> None:
        self.case = case
        self.clock = Clock()
        self.effects: Effects = {}
        self.address = case.address
        self.requests: list[Any] = []
        self.is_ready = True
        self.unconfirmed: list[tuple[int, bytes]] = []
        asks = any(line.word == "busy" for line in case.all_lines())
        self.layer = self.make_layer(
            is_ready=(lambda length, received: self.is_ready) if asks else None,
            tx_confirmation=case.confirming,
            address=case.address,
            error_handler=self.complain,
            params={**case.params, "strict": mode == "strict"},
            post_send_callback=self.requests.append,
        )
        self.layer.clock = self.clock
        self.layer.receive_also(case.also)

    def make_layer(self, **kwargs: Any) -> isotp.TransportLayerLogic:
        return isotp.TransportLayerLogic(self.next_frame, self.sent, **kwargs)

    def next_frame(self) -> isotp.CanMessage | None:
        return None

    def note(self, word: str, text: str) -> None:
        self.effects.setdefault(word, []).append(text)

    def complain(self, error: Exception) -> None:
        self.note("error", type(error).__name__)

    def sent(self, message: isotp.CanMessage) -> None:
        self.sent_frame(message.arbitration_id | (0x8000_0000 if message.is_extended_id else 0), message.data)

    def sent_frame(self, can_id: int, data: Any) -> None:
        self.unconfirmed.append((can_id, bytes(data)))
        own = self.address.get_tx_arbitration_id() | (0x8000_0000 if self.address.is_tx_29bits() else 0)
        digits = 8 if can_id >> 31 else 3
        self.note(">", ("" if can_id == own else f"{can_id & 0x1FFF_FFFF:0{digits}X}#") + words(data))

    def frame(self, text: str) -> tuple[int, bytes]:
        return can_id_of(text, self.address.get_rx_arbitration_id(), self.address.is_rx_29bits())

    def hear(self, text: str) -> None:
        raise NotImplementedError

    def hear_echo(self, can_id: int, data: bytes) -> None:
        raise NotImplementedError

    def set_full(self, full: bool) -> None:
        raise NotImplementedError

    def run(self) -> None:
        raise NotImplementedError

    def do(self, line: Line) -> Effects:
        """One event of the story; what came of it."""
        self.effects = {}
        if line.word == "<":
            self.hear(line.text)
        elif line.word == "send":
            rest = line.text
            kinds = {kind for kind in ("functional", "priority") if kind in rest}
            for kind in kinds:
                rest = rest.replace(kind, "")
            self.layer.send(octets(rest), int("functional" in kinds), priority="priority" in kinds)
            self.run()
        elif line.word in ("busy", "ready"):
            self.is_ready = line.word == "ready"
        elif line.word == "echo":
            self.hear_echo(*self.unconfirmed.pop(0))
        elif line.word in ("full", "free"):
            self.set_full(line.word == "full")
        else:
            self.wait(round(float(line.text) * MS))
        while (payload := self.layer.recv()) is not None:
            self.note("got", words(payload))
        for request in [request for request in self.requests if request.success is not None]:
            self.requests.remove(request)
            self.note("confirm" if request.success else "failed", "")
        return self.effects

    def wait(self, ns: int) -> None:
        end = self.clock.ns + ns
        while (due := self.layer.deadline_ns()) is not None and due <= end:
            self.clock.ns = max(due, self.clock.ns)
            self.run()
        self.clock.ns = end
        self.run()


class ObjectPath(Stage):
    """CanMessage objects by rxfn and txfn, and process()."""

    def __init__(self, case: Case, mode: str) -> None:
        self.incoming: list[isotp.CanMessage] = []
        self.full = False
        super().__init__(case, mode)

    def next_frame(self) -> isotp.CanMessage | None:
        return self.incoming.pop(0) if self.incoming else None

    def set_full(self, full: bool) -> None:
        self.full = full

    def sent(self, message: isotp.CanMessage) -> None:
        if self.full:
            raise TryAgain
        super().sent(message)

    def hear(self, text: str) -> None:
        can_id, data = self.frame(text)
        extended = bool(can_id >> 31)
        self.incoming.append(isotp.CanMessage(can_id & 0x1FFF_FFFF, data=data, extended_id=extended))
        self.run()

    def hear_echo(self, can_id: int, data: bytes) -> None:
        message = isotp.CanMessage(can_id & 0x1FFF_FFFF, data=data, extended_id=bool(can_id >> 31))
        message.is_echo = True
        self.incoming.append(message)
        self.run()

    def run(self) -> None:
        self.layer.process()


class NativePath(Stage):
    """C frames with their times of arrival, as SocketCanStack and Hub drive the engine; no object is made."""

    native: Any = None

    def __init__(self, case: Case, mode: str) -> None:
        super().__init__(case, mode)
        self.layer._port = self.native.Port(self.sent_frame)
        self.layer._set_driven(True, lambda deadline: None)

    def set_full(self, full: bool) -> None:
        self.layer._port.full = full

    def hear(self, text: str) -> None:
        self.native.feed(self.layer, [(self.clock.ns, *self.frame(text))])

    def hear_echo(self, can_id: int, data: bytes) -> None:
        self.native.feed(self.layer, [(self.clock.ns, can_id, data)], echoes=True)

    def run(self) -> None:
        self.layer._drive()


def build_native(folder: Path) -> Any:
    """Compile native.pyx against the core; the module."""
    source = Path(__file__).with_name("native.pyx")
    code = (
        "from setuptools import Extension, setup\n"
        "from Cython.Build import cythonize\n"
        f"parts = [Extension('native', ['native.pyx'], include_dirs=[{str(package_folder())!r}],"
        " extra_compile_args=['-O0', '-w'])]\n"
        f"setup(name='native', py_modules=[], script_args=['build_ext', '--inplace'],"
        f" ext_modules=cythonize(parts, include_path=[{str(package_folder().parent)!r}]))\n"
    )
    (folder / "native.pyx").write_text(source.read_text())
    built = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    if built.returncode != 0:
        raise RuntimeError(f"native.pyx could not be built:\n{built.stdout}{built.stderr}")
    (binary,) = [*folder.glob("native.*.so"), *folder.glob("native.*.pyd")]
    spec = importlib.util.spec_from_file_location("native", binary)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package_folder() -> Path:
    """That of the sources: a package that was installed has no .pxd files."""
    return Path(__file__).resolve().parents[2] / "src/isotp"


def play(stage: Stage, lines: list[Line]) -> None:
    """Tell the story to the stage, and compare what happens with what is told."""
    position = 0
    while position < len(lines):
        event = lines[position]
        assert event.word in STIMULI, f"{event} is no event"
        position += 1
        told: Effects = {}
        while position < len(lines) and lines[position].word not in STIMULI:
            told.setdefault(lines[position].word, []).append(lines[position].text)
            position += 1
        done = stage.do(event)
        assert done == told, f"after {event}: {done}, not {told}"


def check(
    rule: Rule, run: Callable[[Case, str], None], *, in_bulk: bool = False, on_a_kernel: bool = False
) -> None:
    """Run each case of a rule in both modes; an AssertionError names those that failed."""
    failures = []
    for case in CASES:
        if case.rule != rule or (in_bulk and case.alone is not None) or (on_a_kernel and case.confirming):
            continue
        for mode in MODES:
            try:
                run(case, mode)
            except AssertionError as failure:
                failures.append(f"{case.name} ({mode}): {failure}")
    assert not failures, "\n\n".join([f"{len(failures)} cases failed", *failures])


# Errors that a listener sees too: those about frames that arrive.
SENDER_ERRORS = {
    "FlowControlTimeoutError",
    "UnexpectedFlowControlError",
    "UnsupportedWaitFrameError",
    "MaximumWaitFrameReachedError",
    "OverflowError",
}


def play_in_bulk(case: Case, mode: str) -> None:
    """The whole conversation as a log, both directions: the messages in it, each way, and the errors of ours."""
    records = Records("fd")
    now = Clock().ns
    address = case.address
    got, sent, errors, requests = [], [], [], []
    for line in case.lines(mode):
        if line.word in "<>":
            rx = line.word == "<"
            own = address.get_rx_arbitration_id() if rx else address.get_tx_arbitration_id()
            extended = address.is_rx_29bits() if rx else address.is_tx_29bits()
            records.append(now, *can_id_of(line.text, own, extended))
        elif line.word == "wait":
            now += round(float(line.text) * MS)
        elif line.word == "send":
            requests.append(octets(line.text.removeprefix("functional")))
        elif line.word == "confirm":
            sent.append(requests.pop(0))
        elif line.word == "failed":
            requests.pop(0)
        elif line.word == "got":
            got.append(octets(line.text))
        elif line.word == "error" and line.text not in SENDER_ERRORS:
            errors.append(line.text)
    records.append(now, 0x7FF, b"")
    limits = {
        name: case.params[name]
        for name in ("max_frame_size", "rx_consecutive_frame_timeout")
        if name in case.params
    }
    reassembler = Reassembler([address], strict=mode == "strict", **limits)
    rows = [*reassembler.feed(records), *reassembler.flush()]
    whole = [(row.direction, bytes(row.payload)) for row in rows if row.status is MessageStatus.OK]
    for expected, direction in ((got, Direction.RX), (sent, Direction.TX)):
        found = [payload for way, payload in whole if way is direction]
        assert found == expected, f"{direction}: {found}, not {expected}"
    counted = [
        error.__name__
        for lane in reassembler.statistics()
        if lane["direction"] is Direction.RX
        for error, count in lane["errors"].items()
        for _ in range(count)
        if error.__name__ not in SENDER_ERRORS
    ]
    assert sorted(counted) == sorted(errors), f"errors {counted}, not {errors}"
