"""The differences from can-isotp 2.0.7 that are there on purpose: what each is, why, and how it is told from others.

An explanation looks at the first difference in a script. If it may apply it proposes a changed script, in which
the difference must be gone (so that the rest is still compared): either both sides get the same input in a
way that leaves no room for it, or exactly what differs is accepted and, where the states differ from
then on, a new layer goes on after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from checks.differential.scripts import heard_by, prefix_sent

Script = dict[str, Any]
Observation = dict[str, Any]
# The changed script, and its last step in which this difference must be gone
Proposal = tuple[Script, int]


@dataclass
class Case:
    """The first difference in a script: after the step `at`."""

    seed: int
    script: Script
    at: int
    ours: list[Observation]
    theirs: list[Observation]

    @property
    def step(self) -> list[Any]:
        return self.script["steps"][self.at]

    @property
    def our(self) -> Observation:
        return self.ours[self.at]

    @property
    def their(self) -> Observation:
        return self.theirs[self.at]

    @property
    def fields(self) -> set[str]:
        """What differs."""
        accepted = self.script.get("accepted", {}).get(str(self.at), ())
        return {name for name in self.our if self.our[name] != self.their[name] and name not in accepted}

    def params(self) -> dict[str, Any]:
        """The parameters during the step."""
        params = dict(self.script["params"])
        for name, *arguments in self.script["steps"][: self.at + 1]:
            if name == "assign":
                params.update(arguments[0])
        return params

    def address(self) -> dict[str, Any]:
        """The address during the step."""
        address: dict[str, Any] = self.script["address"]
        for name, *arguments in self.script["steps"][: self.at + 1]:
            if name == "readdress":
                address = arguments[0]
        return address

    def pending(self, at: int | None = None) -> list[list[Any]]:
        """What rxfn has to give when the step (None: this one) begins."""
        waiting: list[list[Any]] = []
        before = self.script["steps"][: self.at if at is None else at]
        for step, observation in zip(before, self.ours, strict=False):
            if step[0] == "hear":
                waiting += step[1]
            elif step[0] == "rebuild":
                waiting = []
            waiting = waiting[len(waiting) - observation["unread"] :]
        return waiting

    def settled(self, which: Callable[[int, dict[str, Any]], bool]) -> Proposal | None:
        """The script with passes settled: this one if it is such a one, else those before, as it may show later."""
        steps = self.script["steps"]
        found = [at for at in range(self.at + 1) if steps[at][0] == "process" and which(at, steps[at][1])]
        changed, last = self.replaced(self.step)
        for at in [self.at] if self.at in found else found:
            rest = {key: value for key, value in steps[at][1].items() if key == "rx_timeout"}
            changed["steps"][at] = ["settle", rest]
        return (changed, last) if found else None

    def n_pcis(self) -> list[str]:
        """The frames that rxfn has to give, from their N_PCI on."""
        prefix = len(heard_by(self.address(), False)[2])
        return [frame[3][prefix:] for frame in self.pending() if len(frame) > 1]

    def flow_controls(self) -> set[int]:
        """Flow status of the flow control frames among them."""
        return {int(n_pci[1], 16) for n_pci in self.n_pcis() if n_pci[:1] == "3"}

    def replaced(self, *steps: list[Any]) -> Proposal:
        """The script with other steps in place of this one."""
        before, after = self.script["steps"][: self.at], self.script["steps"][self.at + 1 :]
        accepted = self.script.get("accepted", {})
        changed = {**self.script, "steps": [*before, *steps, *after], "accepted": accepted}
        return changed, self.at + len(steps) - 1

    def accept(self, rebuild: bool, fields: set[str] | None = None) -> Proposal:
        """The script with this difference accepted, in these fields (None: in all that differ).

        `rebuild`: as it leads to further ones, a new layer goes on.
        """
        new, last = self.replaced(self.step, ["rebuild"]) if rebuild else self.replaced(self.step)
        before = self.script.get("accepted", {}).get(str(self.at), [])
        new["accepted"] = {**new["accepted"], str(self.at): sorted({*before, *(fields or self.fields)})}
        return new, last


@dataclass(frozen=True)
class Difference:
    """An explanation. `confirm` has a further look at how the changed script ended for us."""

    name: str
    ours: str
    theirs: str
    reason: str
    explain: Callable[[Case], Proposal | None]
    confirm: Callable[[Case, list[Observation], int], bool] = lambda case, ours, last: True


def surplus(many: list[Any], few: list[Any]) -> list[Any] | None:
    """What `many` has beyond `few`, if that is all that tells them apart."""
    rest = Counter(many)
    rest.subtract(Counter(few))
    return None if min(rest.values(), default=0) < 0 else sorted(rest.elements())


def read_together(case: Case) -> Proposal | None:
    return case.settled(lambda at, arguments: len(case.pending(at)) > 1)


def zero_timeout(case: Case) -> Proposal | None:
    params = case.params()
    zero = 0 in (params["rx_flowcontrol_timeout"], params["rx_consecutive_frame_timeout"])
    if case.step[0] != "process" or not zero:
        return None
    return case.replaced(["settle", case.step[1]])


def zero_n_bs(case: Case) -> Proposal | None:
    if case.params()["rx_flowcontrol_timeout"] != 0:
        return None
    ours, theirs = Counter(case.our["errors"]), Counter(case.their["errors"])
    earlier = theirs["FlowControlTimeoutError"] > ours["FlowControlTimeoutError"]
    # The same, but in another order, as the time-out comes earlier.
    if ours == theirs and case.fields == {"frames"} and ours["FlowControlTimeoutError"]:
        earlier = sorted(case.our["frames"]) == sorted(case.their["frames"])
    if ours["FlowControlTimeoutError"] and case.flow_controls():
        earlier = True
    return (
        case.accept(rebuild=True) if earlier and case.our["frames"][:1] == case.their["frames"][:1] else None
    )


def next_message(case: Case) -> Proposal | None:
    if case.step[0] != "process" or not {"OverflowError", "BadGeneratorError"} & set(case.our["errors"]):
        return None
    return case.replaced(["settle", case.step[1]])


def escape_of_padded(case: Case) -> Proposal | None:
    ours, theirs = case.our["frames"], case.their["frames"]
    shortest = case.params().get("tx_data_min_length") or 0
    if "frames" not in case.fields or shortest <= 8 or len(ours) != len(theirs):
        return None
    for our, their in zip(ours, theirs, strict=True):
        if our != their:
            start = 2 * prefix_sent(case.address())
            length = their[2][start : start + 2]
            content = their[2][start + 2 : start + 2 + 2 * int(length, 16)]
            expected = their[2][:start] + "00" + length + content
            if not 1 <= int(length, 16) <= 7 or not our[2].startswith(expected):
                return None
            if our[:2] + our[3:] != their[:2] + their[3:] or len(our[2]) != len(their[2]):
                return None
    return case.accept(rebuild=False, fields={"frames"})


def at_the_nanosecond(case: Case) -> Proposal | None:
    """A nanosecond later, and a nanosecond more for each wait within the pass."""
    if case.step[0] not in ("process", "settle"):
        return None
    (changed, last), waiting = case.replaced(["wait", 1], case.step), len(case.pending())
    for at in range(case.at - 1, -1, -1):
        name, *arguments = changed["steps"][at]
        if name == "hear" and waiting > 0:
            longer = [[waited + 1 if waited else 0, *frame] for waited, *frame in arguments[0]]
            changed["steps"][at] = ["hear", longer]
            waiting -= len(longer)
    return changed, last


def no_less(case: Case, ours: list[Observation], last: int) -> bool:
    """What was over for us is over; what the rate limiter lets go by then may come beside."""
    before, after = case.our, ours[last]
    count = len(before["frames"])
    return before["errors"] == after["errors"] and before["frames"] == after["frames"][:count]


def late_flow_control(case: Case) -> Proposal | None:
    ours, theirs = Counter(case.our["errors"]), Counter(case.their["errors"])
    if "Interrupted" in str(case.ours[: case.at + 1]):
        # The timer of an interrupted reception may run out besides: see timer_after_interruption().
        theirs["ConsecutiveFrameTimeoutError"] = min(
            theirs["ConsecutiveFrameTimeoutError"], ours["ConsecutiveFrameTimeoutError"]
        )
    late, wait = Counter(["UnexpectedFlowControlError"]), Counter(["UnsupportedWaitFrameError"])
    if case.fields != {"errors"} or not ours["FlowControlTimeoutError"]:
        return None
    # A wait frame may have been judged before the time.
    waits = case.params()["wftmax"] == 0 and 1 in case.flow_controls()
    # Overflow ends the message before N_Bs is looked at.
    if (
        theirs["OverflowError"]
        and ours - theirs == Counter(["FlowControlTimeoutError"])
        and not theirs - ours
    ):
        return case.accept(rebuild=False)
    if ours - theirs != late or theirs - ours != (wait if waits and theirs - ours else Counter()):
        return None
    return case.accept(rebuild=False)


def late_wait_frame(case: Case) -> Proposal | None:
    if case.params()["wftmax"] == 0 or 1 not in case.flow_controls():
        return None
    if (
        Counter(case.our["errors"])["FlowControlTimeoutError"] != 1
        or "FlowControlTimeoutError" in case.their["errors"]
    ):
        return None
    return case.accept(rebuild=True) if case.their["tx"] == "WAIT_FC" else None


def unsent_first_frame(case: Case) -> Proposal | None:
    held = case.our["throttled"] or (case.at > 0 and case.ours[case.at - 1]["throttled"])
    if not case.flow_controls() & {0, 1} or not held:
        return None
    ours, theirs = Counter(case.our["errors"]), Counter(case.their["errors"])
    # A wait frame is counted, or refused by WFTmax 0.
    waits = (theirs - ours).keys() <= {"UnsupportedWaitFrameError"}
    if ours - theirs == Counter(["UnexpectedFlowControlError"]) and waits and case.fields == {"errors"}:
        return case.accept(rebuild=True)
    return case.accept(rebuild=True) if case.their["tx"] in ("WAIT_FC", "TRANSMIT_CF") else None


def held_single_frame(case: Case) -> Proposal | None:
    rest = surplus([tuple(end) for end in case.our["ended"]], [tuple(end) for end in case.their["ended"]])
    was_held = case.at > 0 and case.ours[case.at - 1]["tx"] == "TRANSMIT_SF_STANDBY"
    return case.accept(rebuild=True) if was_held and case.fields == {"ended"} and rest else None


def changed_while_held(case: Case) -> Proposal | None:
    if case.step[0] not in ("process", "settle") or not case.our["frames"] or not case.their["frames"]:
        return None
    for at in range(case.at - 1, -1, -1):
        if not case.ours[at]["throttled"]:
            return None
        if case.script["steps"][at][0] in ("assign", "readdress"):
            return case.accept(rebuild=True)
    return None


def timers_reloaded(case: Case) -> Proposal | None:
    """The layer loaded its parameters while a timer ran, and was not idle since."""
    missing = Counter(case.our["errors"]) - Counter(case.their["errors"])
    side = "rx" if missing["ConsecutiveFrameTimeoutError"] else "tx"
    stuck = case.their["tx"] == "TRANSMIT_CF"
    if not missing["ConsecutiveFrameTimeoutError"] + missing["FlowControlTimeoutError"] + stuck:
        return None
    for step, seen in zip(
        case.script["steps"][case.at - 1 :: -1], case.ours[case.at - 1 :: -1], strict=False
    ):
        if seen[side] == "IDLE":
            return None
        if step[0] == "assign" and step[2]:
            return case.accept(rebuild=True)
    return None


def last_frame_of_a_slot(case: Case) -> Proposal | None:
    if not case.params().get("rate_limit_enable") or case.step[0] not in ("process", "settle"):
        return None
    return case.replaced(["wait", 5_000_000], case.step)


def same_frames_then(case: Case, ours: list[Observation], last: int) -> bool:
    return bool(case.their["frames"]) and ours[last]["frames"] == case.their["frames"]


def flow_control_of_the_interrupted(case: Case) -> Proposal | None:
    started = case.at > 0 and case.ours[case.at - 1]["receiving"]
    if not case.fields <= {"frames", "returned"} or not started or case.our["receiving"]:
        return None
    frames, prefix = [frame[2] for frame in case.their["frames"]], 2 * prefix_sent(case.address())
    held_back = any(step[0] == "process" and not step[1].get("do_tx", True) for step in case.script["steps"])
    is_cts = (
        frames and frames[0][prefix : prefix + 2] == "30" and case.their["frames"][1:] == case.our["frames"]
    )
    return case.accept(rebuild=False) if held_back and is_cts else None


def empty_first_frame(case: Case) -> Proposal | None:
    heads = [n_pci[:12] for n_pci in case.n_pcis()]
    missing = Counter(case.our["errors"]) - Counter(case.their["errors"])
    if "1000" + 8 * "0" not in heads or not missing["InvalidCanDataError"]:
        return None
    return case.accept(rebuild=True)


def blocksize_changed(case: Case) -> Proposal | None:
    frames = surplus([frame[2] for frame in case.their["frames"]], [frame[2] for frame in case.our["frames"]])
    if not case.fields <= {"frames", "returned"} or not frames or len(frames) != 1:
        return None
    if frames[0][2 * prefix_sent(case.address()) :][:2] != "30":
        return None
    for at in range(case.at - 1, -1, -1):
        if not case.ours[at]["receiving"]:
            return None
        name, *arguments = case.script["steps"][at]
        if name == "assign" and "blocksize" in arguments[0]:
            return case.accept(rebuild=True)
    return None


def changed_amid(
    case: Case, is_change: Callable[[list[Any]], bool], sides: tuple[str, ...]
) -> Proposal | None:
    """The layer was in the middle of a message when that changed, and has been since."""
    for at in range(case.at - 1, -1, -1):
        states = {case.ours[at][side] for side in sides}
        if not states & {"WAIT_CF", "WAIT_FC", "TRANSMIT_CF"}:
            return None
        if is_change(case.script["steps"][at]):
            return case.accept(rebuild=True)
    return None


def length_changed(case: Case) -> Proposal | None:
    if "frames" not in case.fields:
        return None
    return changed_amid(case, lambda step: step[0] == "assign" and "tx_data_length" in step[1], ("tx",))


def readdressed(case: Case) -> Proposal | None:
    """Seen by frames on the old address, or by frames on the new one that are refused."""
    refused = (Counter(case.our["errors"]) - Counter(case.their["errors"]))["InvalidCanDataError"]
    if "frames" not in case.fields and not refused:
        return None
    return changed_amid(case, lambda step: step[0] == "readdress", ("rx", "tx"))


def dropped(case: Case) -> Proposal | None:
    if case.step[0] != "call" or case.step[1] not in ("clear_tx_queue", "reset") or case.fields != {"ended"}:
        return None
    rest = surplus([tuple(end) for end in case.our["ended"]], [tuple(end) for end in case.their["ended"]])
    if rest is None or any(success for _, success in rest):
        return None
    return case.accept(rebuild=False)


def half_a_pass(case: Case) -> Proposal | None:
    return case.settled(lambda at, arguments: False in (arguments.get("do_rx"), arguments.get("do_tx")))


def timer_after_interruption(case: Case) -> Proposal | None:
    if case.fields != {"errors"} or case.our["receiving"]:
        return None
    if surplus(case.their["errors"], case.our["errors"]) != ["ConsecutiveFrameTimeoutError"]:
        return None
    return case.accept(rebuild=False) if "Interrupted" in str(case.ours[: case.at + 1]) else None


def order_of_errors(case: Case) -> Proposal | None:
    ours, theirs = case.our["errors"], case.their["errors"]
    if case.fields != {"errors"} or sorted(ours) != sorted(theirs):
        return None
    # Only the one that is judged at another moment may stand at another place.
    for early in ("ReceptionInterruptedWithFirstFrameError", "FlowControlTimeoutError"):
        if [e for e in ours if e != early] == [e for e in theirs if e != early]:
            return case.accept(rebuild=False)
    return None


def reserved_stmin(case: Case) -> Proposal | None:
    """With 127 ms in its place."""
    changed, last = case.replaced(case.step)
    found = False
    address = case.script["address"]
    for at, (name, *arguments) in enumerate(changed["steps"][: case.at]):
        if name == "readdress":
            address = arguments[0]
        if name != "hear":
            continue
        prefix = len(heard_by(address, False)[2])
        frames = [list(frame) for frame in arguments[0]]
        for frame in frames:
            n_pci = frame[3][prefix:] if len(frame) > 3 else ""
            if n_pci[:1] == "3" and len(n_pci) >= 6 and is_reserved_stmin(int(n_pci[4:6], 16)):
                frame[3] = f"{frame[3][: prefix + 4]}7f{frame[3][prefix + 6 :]}"
                found = True
        changed["steps"][at] = [name, frames]
    return (changed, last) if found else None


def is_reserved_stmin(stmin: int) -> bool:
    return 0x80 <= stmin <= 0xF0 or stmin >= 0xFA


DIFFERENCES = (
    Difference(
        "Flow Control with a reserved STmin",
        "127 ms, until the end of the message",
        "`InvalidCanDataError`; the message waits for another one, until N_Bs",
        "ISO 15765-2, 9.6.5.5",
        reserved_stmin,
    ),
    Difference(
        "a message dropped by clear_tx_queue() or reset()",
        "ends, as not sent",
        "never ends: who waits for it waits on",
        "nobody is to wait for what cannot come",
        dropped,
    ),
    Difference(
        "a First Frame in the escape form with FF_DL 0",
        "`InvalidCanDataError`",
        "a message of no bytes, complete with the next Consecutive Frame",
        "there is no such message",
        empty_first_frame,
    ),
    Difference(
        "`blocksize` 0 changed to another value in the middle of a reception",
        "the block begins with the next Consecutive Frame",
        "the frames before count too",
        "the sender was told that there are no blocks",
        blocksize_changed,
    ),
    Difference(
        "N_Cr after an interrupted reception",
        "does not run any more",
        "runs out although nothing is received (`ConsecutiveFrameTimeoutError`)",
        "a defect of can-isotp",
        timer_after_interruption,
    ),
    Difference(
        "two errors at once",
        "an interruption is reported before what is wrong with the frame that interrupts, N_Bs before the frames"
        " that the pass reads",
        "after them",
        "the order in which it happened",
        order_of_errors,
    ),
    Difference(
        "several frames read by one pass",
        "all are read, then the layer sends",
        "it sends after each frame that asks for it, and leaves the others to the next pass",
        "what lies in the receive queue was there before what is sent now",
        read_together,
    ),
    Difference(
        "a time-out of 0",
        "runs out with the next pass",
        "runs out in the pass that starts it",
        "no exchange works with it in either",
        zero_timeout,
    ),
    Difference(
        "N_Bs of 0, and Flow Control that is there already",
        "the Flow Control counts",
        "the time-out comes first",
        "the frame came in time",
        zero_n_bs,
    ),
    Difference(
        "the message after one that Overflow or its generator ended",
        "begins in the same pass",
        "begins with the next pass",
        "nothing holds it back, and after a time-out it begins at once in both",
        next_message,
    ),
    Difference(
        "a Single Frame that `tx_data_min_length` takes beyond 8 bytes",
        "has the escape form of SF_DL",
        "has SF_DL in the first byte",
        "ISO 15765-2, 9.6.2.1; can-isotp itself refuses such a frame",
        escape_of_padded,
    ),
    Difference(
        "Flow Control while the rate limiter holds the first frame back",
        "`UnexpectedFlowControlError`",
        "Consecutive Frames go out, and the First Frame never does",
        "a defect of can-isotp",
        unsent_first_frame,
    ),
    Difference(
        "the end of a Single Frame that the rate limiter held back",
        "is told",
        "is never told: a blocking send() waits on",
        "a defect of can-isotp",
        held_single_frame,
    ),
    Difference(
        "parameters or address changed while the rate limiter holds the first frame back",
        "the frame is made with the new ones",
        "the frame is the one of before",
        "the changes take effect with the next frame",
        changed_while_held,
    ),
    Difference(
        "`tx_data_length` changed in the middle of a message",
        "its frames stay as long as they were",
        "its next frame has the new length",
        "ISO 15765-2, 9.5.3: receivers drop Consecutive Frames that are not as long as the First Frame",
        length_changed,
    ),
    Difference(
        "the address changed in the middle of a message",
        "it goes on with the one that it began with; Flow Control and Consecutive Frames on the new one are not part"
        " of it (`InvalidCanDataError`)",
        "it goes on with the new one",
        "a message has one address: the receiver would not get the rest, and the sender would not know",
        readdressed,
    ),
    Difference(
        "frames within the 5 ms that the rate limiter counts as one",
        "leave the window together with the last of them",
        "leave it together with the first",
        "within no window more is sent than the parameters allow",
        last_frame_of_a_slot,
        same_frames_then,
    ),
    Difference(
        "load_params() while a time-out or STmin runs",
        "it runs on",
        "it stops, and the message waits forever",
        "a defect of can-isotp",
        timers_reloaded,
    ),
    Difference(
        "a reception that is interrupted before its Flow Control went out",
        "the Flow Control is not sent",
        "it is sent all the same",
        "nobody waits for it",
        flow_control_of_the_interrupted,
    ),
    Difference(
        "a time that is over to the nanosecond",
        "is over",
        "is over a nanosecond later",
        "STmin is the smallest gap, a time-out the longest one",
        at_the_nanosecond,
        no_less,
    ),
    Difference(
        "Flow Control after N_Bs",
        "`UnexpectedFlowControlError` after the `FlowControlTimeoutError`",
        "only the time-out is reported if one pass notices both",
        "the frame is not part of any message any more",
        late_flow_control,
    ),
    Difference(
        "a wait frame after N_Bs",
        "comes too late, as any Flow Control",
        "starts N_Bs anew if one pass notices both",
        "ISO 15765-2, 9.8.2: the message was given up when N_Bs ran out",
        late_wait_frame,
    ),
    Difference(
        "process() with do_rx=False or do_tx=False",
        "a frame is handled when it is read",
        "Flow Control is handled when something may be sent",
        "what is wrong is reported when it is known",
        half_a_pass,
    ),
)
