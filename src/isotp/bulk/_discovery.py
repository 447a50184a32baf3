"""Discovery: which sessions are in a log, found by what its frames do, each with a score that says how sure it is.

The compiled pass (_observer.pyx) counts; what is here weighs the counts, finds out who talks to whom, and gives
the result as addresses. Weights are decimal logarithms of odds: how much more often ISO-TP traffic does such a
thing than other traffic. They add up, and the score is the probability that the sum stands for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from isotp._can_ids import EFF_FLAG
from isotp.address import AbstractAddress, Address, AddressingMode, AsymmetricAddress, TargetAddressType
from isotp.bulk._observer import Observer

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Discovery", "FoundSession", "LineEvidence", "discover"]

_BASE = 0x1FFF0000
# 10.3.3 and 10.3.5: PDU formats of J1939 that are reserved for ISO 15765, whatever the priority.
_FIXED_FORMATS = {0xDA: False, 0xDB: True}
_MIXED_FORMATS = {0xCE: False, 0xCD: True}
# ISO 15765-4, 11 bits: requests to all ECUs, and behind it those of eight ECUs, requests and responses.
_OBD_REQUESTS = 0x7DF
_OBD_IDS = range(0x7DF, 0x7F0)

# -- Weights ---------------------------------------------------------------------------------------------------

# So rare is it that an ID, or two of them, are a session.
_PRIOR = -2.5
# A segmented message that is complete, never seen before and of a new length; half for a length that is known.
_MESSAGE = 1.0
# Each of its first six CFs.
_CF_IN_MESSAGE = 0.5
# What is left over of its last CF.
_NEAT_END = 0.5
_UNTIDY_END = -1.2
# Single frames say little: any signal with small values in its first byte makes them.
_SINGLE = 0.2
_MOST_SINGLE = 0.5
_RESERVED_ID = 2.0
_OBD_ID = 1.0
# Against.
_BAD = -1.5
_OVERRUN = -2.0
_DEAD = -0.7
_BROKEN = -0.6
_STRAY = -0.7
_UNTIDY = -0.3
# What makes good for these in a long log with some lost frames: messages seen before, and single frames.
_REPEATED = 0.3
_GOOD_SINGLE = 0.02
# Between two lines. All but the addresses are multiplied with the share that the one explains of the other.
_FLOW_CONTROL = 1.5
_BLOCK = 0.5
_SERVICE = 1.0
_REPLY = 0.2
_SWAPPED_ADDRESSES = 2.0
_OTHER_ADDRESSES = -3.0
_OTHER_FORMAT = -1.5
_ONE_ROLE = -1.5
_LEAST_BOND = 0.5
_MOST_IN_RANK = 2.0


class LineEvidence(NamedTuple):
    """What was counted on one direction of a session.

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


class FoundSession(NamedTuple):
    """A session that a log has.

    ``address`` sees it from the side that asks. Where only one direction is in the log, it is a partial address
    unless the mode has both in each CAN ID: ``tx_only`` for requests to all (``target_type`` Functional), ``rx_only``
    otherwise. An extension byte of 11-bit IDs then passes for the target of Extended, though it may be Mixed.
    ``score`` is the probability, 0 to 1, that it is ISO-TP. ``tx`` and ``rx`` are what was counted, None for a
    direction that was not heard; ``paired_flow_controls`` are those that were due when they came,
    ``answered_requests`` diagnostic requests with a response of the same service.

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


class LineCounts(NamedTuple):
    """What one line did, as the compiled pass has counted it; what each counts is told there."""

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
    single_fresh: int
    untidy: int
    complete: int
    fresh: int
    fresh_lengths: int
    sizes: int
    fresh_frames: int
    neat_ends: int
    untidy_ends: int
    broken: int
    dead: int
    followed: int
    even: int
    overruns: int
    strays: int
    requests: int
    answers: int


class PairCounts(NamedTuple):
    """What the line number `answering` has to do with the line number `asking`."""

    answering: int
    asking: int
    hits: int
    blocks: int
    misses: int
    late: int
    replies: int
    services: int


class _Candidate(NamedTuple):
    """Lines that may be a session; ``there`` is None for a single one. The highest rank has its lines first."""

    weight: float
    rank: float
    here: int
    there: int | None
    flow_controls: int = 0
    replies: int = 0
    functional: bool = False


def _standing(line: LineCounts) -> float:
    """How much a line alone is like ISO-TP."""
    support = 0.0
    if line.fresh:
        known = line.fresh - line.fresh_lengths
        each = (
            _MESSAGE * line.fresh
            + _CF_IN_MESSAGE * line.fresh_frames
            + _NEAT_END * line.neat_ends
            + _UNTIDY_END * line.untidy_ends
        ) / line.fresh
        # Multiplexed signals come round evenly, with the same number of frames each time.
        uneven = 1 - line.even / line.followed if line.followed and line.sizes == 1 else 1.0
        support += max(each, 0.0) * (line.fresh_lengths + known / 2) * uneven
    support += min(_SINGLE * max(line.single_fresh - line.untidy, 0), _MOST_SINGLE)
    if _is_reserved(line):
        support += _RESERVED_ID
    elif line.can_id in _OBD_IDS:
        support += _OBD_ID
    against = (
        _BAD * line.bad
        + _OVERRUN * line.overruns
        + _DEAD * line.dead
        + _BROKEN * (line.broken - line.dead)
        + _STRAY * line.strays
        + _UNTIDY * line.untidy
    )
    relief = _REPEATED * (line.complete - line.fresh) + _GOOD_SINGLE * (line.single - line.untidy)
    return support + min(against + relief, 0.0)


def _bond(answered: PairCounts, answering: LineCounts, asking: LineCounts) -> float:
    """How much one line is the other's answer."""
    weight = 0.0
    due = answered.hits + answered.blocks
    if due:
        share = min(due / max(answering.flow_control - answered.late, 1), 1.0) * answered.hits / asking.first
        share *= due / (due + answered.misses)
        # What was answered goes on, to its end unless a frame is lost.
        share *= (asking.complete + (asking.broken - asking.dead) / 2) / asking.first
        weight += share * (_FLOW_CONTROL * min(answered.hits, 4) + _BLOCK * min(answered.blocks, 4))
    if answered.replies:
        share = min(answered.replies / asking.requests, 1.0) * min(answered.replies / answering.answers, 1.0)
        weight += share * _replies_weight(answered)
    return weight


def _replies_weight(answered: PairCounts) -> float:
    services = answered.services.bit_count()
    return _SERVICE * min(services, 4) + _REPLY * min(answered.replies, 5)


# -- What CAN IDs tell -----------------------------------------------------------------------------------------


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


def _have_one_role(here: LineCounts, there: LineCounts) -> bool:
    """True if both only ask, or both only answer."""
    asks = [line.requests > 2 * line.answers for line in (here, there)]
    answers = [line.answers > 2 * line.requests for line in (here, there)]
    return all(asks) or all(answers)


def _relation(here: LineCounts, there: LineCounts) -> float:
    """What the IDs alone say of a pair."""
    weight = 0.0
    if (here.prefix is None) != (there.prefix is None) or (here.can_id ^ there.can_id) & EFF_FLAG:
        weight += _OTHER_FORMAT
    if _have_one_role(here, there):
        weight += _ONE_ROLE
    if _has_addresses(here) and _has_addresses(there):
        weight += _SWAPPED_ADDRESSES if _are_swapped(here, there) else _OTHER_ADDRESSES
    return weight


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
        self.pairs = pairs
        self.standing = {number: _standing(line) for number, line in lines.items()}
        self.bonds: dict[tuple[int, int], list[PairCounts]] = {}
        for pair in self.pairs:
            lower, higher = sorted((pair.answering, pair.asking))
            self.bonds.setdefault((lower, higher), []).append(pair)
        self._add_swapped()
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

    def candidates(self) -> Iterator[_Candidate]:
        for (here, there), answers in self.bonds.items():
            relation = _relation(self.lines[here], self.lines[there])
            bond = relation + sum(
                _bond(pair, self.lines[pair.answering], self.lines[pair.asking]) for pair in answers
            )
            if bond < _LEAST_BOND:
                continue
            both = self.standing[here], self.standing[there]
            yield _Candidate(
                _PRIOR + sum(both) + bond,
                # However good lines are in themselves, it is the bond that makes them a pair.
                bond + sum(min(each, _MOST_IN_RANK) for each in both),
                *self._in_order(here, there, answers),
                sum(pair.hits + pair.blocks for pair in answers),
                sum(pair.replies for pair in answers),
            )
        for number, standing in self.standing.items():
            functional = _is_functional(self.lines[number])
            yield _Candidate(
                _PRIOR + standing, min(standing, _MOST_IN_RANK), number, None, functional=functional
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

    def functional_candidates(self) -> Iterator[_Candidate]:
        """Lines with requests that lines of sessions answer, beside those of their own."""
        answers: dict[int, list[PairCounts]] = {}
        for pair in self.pairs:
            if pair.replies and pair.answering in self.taken and pair.asking not in self.taken:
                answers.setdefault(pair.asking, []).append(pair)
        for number, heard in answers.items():
            line = self.lines[number]
            if line.first or line.flow_control:
                continue
            best = max(_replies_weight(pair) * min(pair.replies / line.requests, 1.0) for pair in heard)
            weight = _PRIOR + self.standing[number] + best
            replies = sum(pair.replies for pair in heard)
            yield _Candidate(weight, weight, number, None, replies=replies, functional=True)

    def further_responders(self) -> Iterator[_Candidate]:
        """Lines that answer the same requests as a line of a session does: those requests go to all."""
        for pair in self.pairs:
            if pair.replies and pair.asking in self.taken and pair.answering not in self.taken:
                asking, answering = self.lines[pair.asking], self.lines[pair.answering]
                weight = _PRIOR + self.standing[pair.answering] + _bond(pair, answering, asking)
                weight += _relation(asking, answering)
                yield _Candidate(
                    weight, weight, pair.asking, pair.answering, replies=pair.replies, functional=True
                )

    def _fits(self, number: int) -> bool:
        """An ID is used either with an extension byte or without, and a line belongs to one session."""
        line = self.lines[number]
        used = self.prefixed.get((line.channel, line.can_id))
        return number not in self.taken and (used is None or used == (line.prefix is not None))

    def take(self, candidates: Iterable[_Candidate], least: float) -> Iterator[_Candidate]:
        for candidate in sorted(candidates, key=lambda each: (-each.rank, each.here)):
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

    def session(self, candidate: _Candidate) -> FoundSession:
        here = self.lines[candidate.here]
        there = None if candidate.there is None else self.lines[candidate.there]
        functional = candidate.here in self.functional or _is_functional(here)
        alone_and_heard = there is None and not functional
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
        :param layout: "classic" or "fd", needed where the buffer does not tell by the size of its items.
        :raises ValueError: if the buffer holds no records.
        :raises RuntimeError: if another thread feeds this object right now.
        """
        self._observer.feed(frames, layout)

    @property
    def passed_over(self) -> int:
        """Frames that were not looked at, or not in every way, since there are more IDs than a vehicle has."""
        return self._observer.passed_over

    def sessions(self, min_score: float = 0.5) -> list[FoundSession]:
        """The sessions found so far, by channel and address; no two have both of these alike.

        :param min_score: leave out what is less sure, 0 to 1.
        :raises ValueError: if `min_score` is no probability.
        """
        if not 0 <= min_score <= 1:
            raise ValueError(f"min_score must be from 0 to 1, not {min_score!r}")
        judgement = _Judgement(*self._observer.counts(LineCounts, PairCounts))
        taken = list(judgement.take(judgement.candidates(), min_score))
        taken += judgement.take(judgement.functional_candidates(), min_score)
        taken += judgement.take(judgement.further_responders(), min_score)
        found = list(map(judgement.session, taken))
        # In the modes with fixed IDs, one address may be of a session and of requests to all.
        distinct = {(session.channel, session.address): session for session in reversed(found)}
        return sorted(distinct.values(), key=_place)


def discover(
    frames: Buffer, layout: Literal["classic", "fd"] | None = None, *, min_score: float = 0.5
) -> list[FoundSession]:
    """The sessions in frame records: :class:`Discovery` for a log that is there as a whole."""
    discovery = Discovery()
    discovery.feed(frames, layout)
    return discovery.sessions(min_score)
