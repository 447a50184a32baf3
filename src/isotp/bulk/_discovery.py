"""Discovery: which sessions are in a log, found by what its frames do, each with a score that says how sure it is.

The compiled pass (_observer.pyx) counts and weighs; this module finds out who talks to whom, and gives the result as
addresses. Weights are decimal logarithms of odds: how much more often ISO-TP traffic does such a thing than other
traffic. They add up, and the score is the probability that the sum stands for.

The weights of the pass never shrink (observing/weights.pxi), and CAN IDs always say the same. So a session that was
found is found in every longer log, unless one of its lines then has more in common with another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from isotp._can_ids import EFF_FLAG
from isotp.address import AbstractAddress, Address, AddressingMode, AsymmetricAddress, TargetAddressType
from isotp.bulk._observer import Observer

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Discovery", "FoundSession", "LineEvidence", "Reason", "discover"]

_BASE = 0x1FFF0000
# 10.3.3 and 10.3.5: PDU formats of J1939 that are reserved for ISO 15765, whatever the priority.
_FIXED_FORMATS = {0xDA: False, 0xDB: True}
_MIXED_FORMATS = {0xCE: False, 0xCD: True}
# ISO 15765-4, 11 bits: requests to all ECUs, and behind it those of eight ECUs, requests and responses.
_OBD_REQUESTS = 0x7DF
_OBD_IDS = range(0x7DF, 0x7F0)
_OBD_RESPONSES = range(0x7E8, 0x7F0)
# Where nearly all 11-bit IDs of diagnostics are: behind the signals.
_LATE_IDS = range(0x600, 0x800)

# -- Weights ---------------------------------------------------------------------------------------------------
# Those of what frames do are in observing/weights.pxi.

# How rarely two IDs are a session, or one ID without another is. An extension byte makes many of one ID.
_PRIOR_OF_TWO = -4.5
_PRIOR_OF_ONE = -3.5
_PREFIXED = -0.5
# One ID.
_RESERVED_ID = 2.5
_OBD_ID = 2.5
_LATE_ID = 0.5
# Two of them.
_SWAPPED_ADDRESSES = 2.5
_OTHER_ADDRESSES = -3.0
_OTHER_WIDTH = -1.5
_OTHER_PREFIX = -2.5
_SAME_TESTER = 1.0
_OBD_PAIR = 2.5
_OTHER_OBD = -2.0
_LATE_PAIR = 0.5
_EIGHT_APART = 0.5
_ALIKE = 0.5

# From this score of a pair on, one of the two is shown as the other's partner, though that has another already.
_LEAST_OF_TWO = 0.1

# In the order of the parts of a weight, as observing/state.pxi has them.
_PARTS = (
    "responses repeat what was asked",
    "requests or responses have no counterpart",
    "flow control comes where it is due",
    "segmented messages are complete",
    "messages are like those of diagnostic services",
    "padding begins where the used bytes end",
    "frames or sequences are none that a sender makes",
    "little shows that one answers the other",
)
_ECHO, _UNASKED, _FLOW, _MESSAGES, _SENSE, _TIDY, _TROUBLE, _LOOSE = range(len(_PARTS))
_BY_IDS = "CAN IDs are like those of sessions"
_AGAINST_IDS = "CAN IDs do not belong together"
_BY_RARITY = "sessions are rare"


class LineEvidence(NamedTuple):
    """The counts of one direction of a session.

    ``complete`` and ``broken`` are segmented messages; ``invalid`` are frames that no ISO-TP sender makes.
    """

    frames: int
    single_frames: int
    first_frames: int
    consecutive_frames: int
    flow_controls: int
    complete: int
    broken: int
    invalid: int


class Reason(NamedTuple):
    """Something that speaks for a session, or, with a weight below 0, against it.

    Weights are decimal logarithms of odds; their sum is that of the score.
    """

    text: str
    weight: float


class FoundSession(NamedTuple):
    """A session that was found in a log.

    ``address`` describes it from the side that asks. If the log has only one direction, it is a partial address
    unless the mode has both in each CAN ID: ``tx_only`` for requests that others answer (``target_type`` Functional
    if they are to all), ``rx_only`` otherwise. An extension byte of 11-bit IDs is then taken as the target of
    Extended, though it may be Mixed. ``score`` is the probability, 0 to 1, that it is ISO-TP; ``reasons`` say why,
    the heaviest first. ``tx`` and ``rx`` are the counts of each direction, None if it was not heard.
    ``paired_flow_controls`` counts flow control frames that were due when they came, ``answered_requests`` diagnostic
    requests with a response of the same service.

    ``Reassembler((found.address, found.channel) for found in sessions)`` decodes them.
    """

    address: AbstractAddress
    channel: int
    target_type: TargetAddressType
    score: float
    tx: LineEvidence | None
    rx: LineEvidence | None
    paired_flow_controls: int
    answered_requests: int
    reasons: tuple[Reason, ...] = ()

    @property
    def held_back(self) -> str:
        """What keeps the score from being better, in words."""
        against = [reason for reason in self.reasons if reason.weight < -0.25 and reason.text != _BY_RARITY]
        if against:
            return min(against, key=lambda reason: reason.weight).text
        texts = {reason.text for reason in self.reasons}
        if self.tx is None or self.rx is None:
            return "only one direction, and little that other traffic does not do, too"
        if not texts & {_PARTS[_ECHO], _PARTS[_FLOW]}:
            return "nothing shows that one answers the other"
        return "too few different requests and responses"


class LineCounts(NamedTuple):
    """What one line did, as counted by the compiled pass, which says what each number counts."""

    channel: int
    can_id: int
    prefix: int | None
    first_start: int | None
    frames: int
    bad: int
    single: int
    first: int
    consecutive: int
    flow_control: int
    complete: int
    broken: int
    best: float
    parts: tuple[float, ...]


class PairCounts(NamedTuple):
    """What the line number `answering` has to do with the line number `asking`."""

    answering: int
    asking: int
    hits: int
    blocks: int
    replies: int
    best: float
    parts: tuple[float, ...]


class _Candidate(NamedTuple):
    """Lines that may be a session; ``there`` is None for a single one. The heaviest has its lines first."""

    weight: float
    reasons: tuple[Reason, ...]
    here: int
    there: int | None
    flow_controls: int = 0
    replies: int = 0
    functional: bool = False


def _reasons(parts: Iterable[float], by_ids: float, rarity: float) -> tuple[Reason, ...]:
    named = [
        *zip(_PARTS, parts, strict=True),
        (_BY_IDS if by_ids > 0 else _AGAINST_IDS, by_ids),
        (_BY_RARITY, rarity),
    ]
    some = [Reason(text, round(weight, 3)) for text, weight in named if abs(weight) >= 0.001]
    return tuple(sorted(some, key=lambda reason: -abs(reason.weight)))


# -- What CAN IDs tell -----------------------------------------------------------------------------------------


def _by_id(line: LineCounts) -> float:
    """What the ID of a line alone says."""
    if _is_reserved(line):
        return _RESERVED_ID
    if line.can_id in _OBD_IDS and line.prefix is None:
        return _OBD_ID
    return _LATE_ID if line.can_id in _LATE_IDS else 0.0


def _format_of(line: LineCounts) -> int:
    """The PDU format of a 29-bit ID, -1 for 11 bits."""
    return line.can_id >> 16 & 0xFF if line.can_id & EFF_FLAG else -1


def _formats_with_addresses(line: LineCounts) -> dict[int, bool]:
    return _FIXED_FORMATS if line.prefix is None else _MIXED_FORMATS


def _has_addresses(line: LineCounts) -> bool:
    """True if target and source address are in the CAN ID, as in NormalFixed and Mixed with 29 bits."""
    return _format_of(line) in _formats_with_addresses(line)


def _is_reserved(line: LineCounts) -> bool:
    return _has_addresses(line) and line.can_id >> 24 & 0x1F == 0x18


def _is_functional(line: LineCounts) -> bool:
    """True for CAN IDs that are for requests to all."""
    return line.can_id == _OBD_REQUESTS or _formats_with_addresses(line).get(_format_of(line), False)


def _are_swapped(here: LineCounts, there: LineCounts) -> bool:
    """True if target and source address of the one are source and target address of the other."""
    return here.can_id == _swapped(there.can_id)


def _swapped(can_id: int) -> int:
    return can_id & ~0xFFFF | (can_id & 0xFF) << 8 | can_id >> 8 & 0xFF


def _relation(here: LineCounts, there: LineCounts) -> float:
    """What the IDs alone say of a pair."""
    lower, higher = sorted((here.can_id, there.can_id))
    if (here.prefix is None) != (there.prefix is None):
        return _OTHER_PREFIX
    if (lower ^ higher) & EFF_FLAG:
        return _OTHER_WIDTH
    if _has_addresses(here) and _has_addresses(there):
        if _are_swapped(here, there):
            return _SWAPPED_ADDRESSES
        asks, answers = (here, there) if _is_functional(here) else (there, here)
        is_to_all = _is_functional(asks) and not _is_functional(answers)
        same = is_to_all and asks.can_id & 0xFF == answers.can_id >> 8 & 0xFF
        return _SAME_TESTER if same else _OTHER_ADDRESSES
    if lower & EFF_FLAG:
        return _ALIKE if lower & 0xFFFF == higher & 0xFFFF else 0.0
    if lower in _OBD_IDS and higher in _OBD_IDS and here.prefix is None:
        return _OBD_PAIR if higher in _OBD_RESPONSES and lower in (_OBD_REQUESTS, higher - 8) else _OTHER_OBD
    weight = _LATE_PAIR if lower in _LATE_IDS else 0.0
    return weight + (_EIGHT_APART if higher - lower == 8 else 0.0)


def _address(tx: LineCounts | None, rx: LineCounts | None) -> AbstractAddress:
    """The address of the side that sends on `tx`. One of the two may be missing."""
    line = tx or rx
    assert line is not None
    if _has_addresses(line) and (
        tx is None or rx is None or (_are_swapped(tx, rx) and tx.prefix == rx.prefix)
    ):
        return _fixed_address(line, line is tx)
    if tx is None or rx is None or _kind(tx) == _kind(rx):
        return _address_by_ids(tx, rx)
    return AsymmetricAddress(_address_by_ids(tx, None), _address_by_ids(None, rx))


def _kind(line: LineCounts) -> tuple[bool, bool]:
    return bool(line.can_id & EFF_FLAG), line.prefix is None


def _fixed_address(line: LineCounts, sends: bool) -> Address:
    base = line.can_id & _BASE
    functional = _is_functional(line)
    # The bases of physical and functional addressing differ by one, in opposite ways.
    twin = base ^ (0x10000 if line.prefix is None else 0x30000)
    address = Address(
        AddressingMode.NormalFixed_29bits if line.prefix is None else AddressingMode.Mixed_29bits,
        target_address=line.can_id >> 8 & 0xFF,
        source_address=line.can_id & 0xFF,
        physical_id=twin if functional else base,
        functional_id=base if functional else twin,
        address_extension=line.prefix,
    )
    return address if sends else address.reversed()


def _address_by_ids(tx: LineCounts | None, rx: LineCounts | None) -> Address:
    line = tx or rx
    assert line is not None
    is_wide, is_normal = _kind(line)
    extension = target = source = None
    if is_normal:
        mode = AddressingMode.Normal_29bits if is_wide else AddressingMode.Normal_11bits
    elif not is_wide and tx is not None and rx is not None and tx.prefix == rx.prefix:
        mode = AddressingMode.Mixed_11bits
        extension = tx.prefix
    else:
        mode = AddressingMode.Extended_29bits if is_wide else AddressingMode.Extended_11bits
        target, source = tx and tx.prefix, rx and rx.prefix
    return Address(
        mode,
        txid=tx and tx.can_id & ~EFF_FLAG,
        rxid=rx and rx.can_id & ~EFF_FLAG,
        target_address=target,
        source_address=source,
        address_extension=extension,
        tx_only=rx is None,
        rx_only=tx is None,
    )


# -- Judging -------------------------------------------------------------------------------------------------------


class _Judgement:
    """Which lines are sessions: the heaviest candidates first, each line once."""

    def __init__(self, lines: dict[int, LineCounts], pairs: list[PairCounts]) -> None:
        self.lines = lines
        self.bonds: dict[tuple[int, int], list[PairCounts]] = {}
        for pair in pairs:
            lower, higher = sorted((pair.answering, pair.asking))
            self.bonds.setdefault((lower, higher), []).append(pair)
        self._add_swapped()
        self.pairs = [self._of_two(*both, answers) for both, answers in self.bonds.items()]
        self.least_of_two = 0.0
        self.taken: set[int] = set()
        self.functional: set[int] = set()
        self.prefixed: dict[tuple[int, int], bool] = {}

    def _add_swapped(self) -> None:
        """Lines whose CAN IDs name each other are a candidate even if nothing shows that they answer each other."""
        named = {
            (line.channel, line.can_id, line.prefix): number
            for number, line in self.lines.items()
            if _has_addresses(line)
        }
        for (channel, can_id, prefix), number in named.items():
            peer = named.get((channel, _swapped(can_id), prefix))
            if peer is not None and number < peer:
                self.bonds.setdefault((number, peer), [])

    def _of_two(self, here: int, there: int, answers: list[PairCounts]) -> _Candidate:
        lines = self.lines[here], self.lines[there]
        together = [sum(both) for both in zip(*(line.parts for line in lines), strict=True)]
        ways = [pair.parts for pair in answers]
        if _has_addresses(lines[0]) and _are_swapped(*lines) and all(line.best > 0 for line in lines):
            ways.append(tuple(together))
        parts = max(ways, key=sum, default=(0.0,) * len(_PARTS))
        relation = _relation(*lines)
        rarity = _PRIOR_OF_TWO + _PREFIXED * (lines[0].prefix is not None)
        return _Candidate(
            sum(parts) + relation + rarity,
            _reasons(parts, relation, rarity),
            *self._in_order(here, there, answers),
            sum(pair.hits + pair.blocks for pair in answers),
            sum(pair.replies for pair in answers),
        )

    def _in_order(self, here: int, there: int, answers: Iterable[PairCounts]) -> tuple[int, int]:
        """Who asks comes first: by requests that were answered, or by who spoke first."""
        asked = dict.fromkeys((here, there), 0)
        for pair in answers:
            asked[pair.asking] += pair.replies

        def rank(number: int) -> tuple[int, bool, int, int]:
            start = self.lines[number].first_start
            return -asked[number], start is None, start or 0, number

        first, second = sorted((here, there), key=rank)
        return first, second

    def pairs_of_two(self) -> Iterator[_Candidate]:
        return (each for each in self.pairs if not _is_functional(self.lines[each.here]))

    def pairs_with_requests_to_all(self) -> Iterator[_Candidate]:
        return (each for each in self.pairs if _is_functional(self.lines[each.here]))

    def single_lines(self) -> Iterator[_Candidate]:
        return (self._of_one(number) for number, line in self.lines.items() if line.best > 0)

    def _of_one(self, number: int) -> _Candidate:
        line = self.lines[number]
        by_id, rarity = _by_id(line), _PRIOR_OF_ONE + _PREFIXED * (line.prefix is not None)
        return _Candidate(
            line.best + by_id + rarity,
            _reasons(line.parts, by_id, rarity),
            number,
            None,
            functional=_is_functional(line),
        )

    def _as_sure_as_alone(self, candidate: _Candidate, number: int) -> _Candidate:
        """What a line says by itself is true of it beside others, too."""
        alone = self._of_one(number)
        if alone.weight <= candidate.weight:
            return candidate
        return candidate._replace(weight=alone.weight, reasons=alone.reasons)

    def askers_of_others(self) -> Iterator[_Candidate]:
        """Lines with requests that lines of sessions answer, beside those of their own."""
        for each in self._sure_enough():
            if each.there in self.taken and each.here not in self.taken:
                line = self.lines[each.here]
                asker = each._replace(there=None, functional=not (line.first or line.flow_control))
                yield self._as_sure_as_alone(asker, each.here)

    def further_responders(self) -> Iterator[_Candidate]:
        """Lines that answer the same requests as a line of a session does: those requests go to all."""
        for each in self._sure_enough():
            if each.here in self.taken and each.there is not None and each.there not in self.taken:
                yield self._as_sure_as_alone(each._replace(functional=True), each.there)

    def _sure_enough(self) -> Iterator[_Candidate]:
        """Pairs in which surely one asks and one answers."""
        return (each for each in self.pairs if each.replies and _score(each.weight) >= self.least_of_two)

    def _fits(self, number: int) -> bool:
        """An ID is used either with an extension byte or without, and a line belongs to one session."""
        line = self.lines[number]
        used = self.prefixed.get((line.channel, line.can_id))
        return number not in self.taken and (used is None or used == (line.prefix is not None))

    def take(self, candidates: Iterable[_Candidate], least: float) -> Iterator[_Candidate]:
        for candidate in sorted(candidates, key=lambda each: (-each.weight, each.here)):
            members = [n for n in (candidate.here, candidate.there) if n is not None]
            if candidate.functional and candidate.there is not None:
                members.remove(candidate.here)
            if _score(candidate.weight) < least or not all(map(self._fits, members)):
                continue
            for number in members:
                line = self.lines[number]
                self.taken.add(number)
                self.prefixed[line.channel, line.can_id] = line.prefix is not None
            if candidate.functional:
                self.functional.add(candidate.here)
            yield candidate

    def all(self, least: float) -> Iterator[_Candidate]:
        """What is sure enough. Pairs come first: however good a line is by itself, it is the bond that counts."""
        self.least_of_two = max(least, _LEAST_OF_TWO)
        for kind in (
            self.pairs_of_two,
            self.pairs_with_requests_to_all,
            self.askers_of_others,
            self.further_responders,
            self.single_lines,
        ):
            yield from self.take(list(kind()), least)

    def session(self, candidate: _Candidate) -> FoundSession:
        here = self.lines[candidate.here]
        there = None if candidate.there is None else self.lines[candidate.there]
        functional = candidate.here in self.functional or _is_functional(here)
        # A line that others answer asks. Any other line may be anything, and is taken as one to receive.
        alone_and_heard = there is None and not functional and not candidate.replies
        tx, rx = (None, here) if alone_and_heard else (here, there)
        return FoundSession(
            _address(tx, rx),
            here.channel,
            TargetAddressType.Functional if functional else TargetAddressType.Physical,
            _score(candidate.weight),
            None if tx is None else _evidence(tx),
            None if rx is None else _evidence(rx),
            candidate.flow_controls,
            candidate.replies,
            candidate.reasons,
        )


def _score(weight: float) -> float:
    return round(1 / (1 + 10 ** -max(min(weight, 6.0), -6.0)), 6)


def _evidence(line: LineCounts) -> LineEvidence:
    return LineEvidence(
        line.frames,
        line.single,
        line.first,
        line.consecutive,
        line.flow_control,
        line.complete,
        line.broken,
        line.bad,
    )


def _place(session: FoundSession) -> tuple[int, str]:
    return session.channel, session.address.get_content_str()


class Discovery:
    """Finds the sessions of a log that comes in pieces.

    Memory grows with the number of CAN IDs, up to 8192 of them, not with the log.
    """

    def __init__(self) -> None:
        self._observer = Observer()

    def feed(self, frames: Buffer, layout: Literal["classic", "fd"] | None = None) -> None:
        """Take frames, in the order of the log; other Python threads run meanwhile.

        :param frames: any C-contiguous buffer of records: `Records`, a NumPy array, bytes, mmap ...
        :param layout: "classic" or "fd", needed if the size of the buffer's items does not show it.
        :raises ValueError: if the buffer holds no records.
        :raises RuntimeError: if another thread feeds this object right now.
        """
        self._observer.feed(frames, layout)

    @property
    def passed_over(self) -> int:
        """Frames that were not examined, or only in part, because there are more IDs than a vehicle has."""
        return self._observer.passed_over

    def sessions(self, min_score: float = 0.5) -> list[FoundSession]:
        """The sessions found so far, by channel and address; no two have both of these alike.

        A session that was found stays found, whatever else is fed, unless its CAN IDs then have more in common with
        others: then those sessions take its place.

        :param min_score: leave out what is less sure, 0 to 1.
        :raises ValueError: if `min_score` is not a probability.
        """
        judgement = self._judgement(min_score)
        found = list(map(judgement.session, list(judgement.all(min_score))))
        # In the modes with fixed IDs, one address may be of a session and of requests to all.
        distinct = {(session.channel, session.address): session for session in reversed(found)}
        return sorted(distinct.values(), key=_place)

    def candidates(self, most: int = 5, min_score: float = 0.5) -> list[FoundSession]:
        """The best of what :meth:`sessions` leaves out, the surest first; `held_back` says why.

        :param most: the most to return.
        :param min_score: as for :meth:`sessions`.
        :raises ValueError: if `min_score` is not a probability.
        """
        judgement = self._judgement(min_score)
        found = {session.address for session in map(judgement.session, list(judgement.all(min_score)))}
        rest = sorted(judgement.all(0.0), key=lambda each: -each.weight)
        others = map(judgement.session, rest)
        return [session for session in others if session.address not in found][:most]

    @property
    def news(self) -> int:
        """As long as this stays the same, so do the sessions with a `min_score` of 0.5 or more."""
        return self._observer.news

    def _judgement(self, min_score: float) -> _Judgement:
        if not 0 <= min_score <= 1:
            raise ValueError(f"min_score must be from 0 to 1, not {min_score!r}")
        return _Judgement(*self._observer.counts(LineCounts, PairCounts))


def discover(
    frames: Buffer, layout: Literal["classic", "fd"] | None = None, *, min_score: float = 0.5
) -> list[FoundSession]:
    """Find the sessions in frame records: :class:`Discovery` for a whole log at once."""
    discovery = Discovery()
    discovery.feed(frames, layout)
    return discovery.sessions(min_score)
