"""What there was in the logs, for who asked for something else: channels and addresses without traffic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from isotp._address_words import ChannelAddress
from isotp._can_ids import id_text
from isotp.bulk._address_text import address_text, lanes_of
from isotp.bulk._records import Records, count_ids, has_frame
from isotp.cli.shown.words import count_text

__all__ = ["Heard"]

COUNTED: Final = 1 << 18  # frames from the beginning of which the busiest identifiers are told
MOST_TOLD: Final = 8
FLAGS_OF_NO_ID: Final = 0x60000000  # remote and error frames


class Heard:
    """Looks at the frames of logs while they are read.

    :param asked: the addresses whose traffic is asked for.
    :param number_of: the number of a channel that an address names.
    """

    def __init__(self, asked: Sequence[ChannelAddress], number_of: Callable[[str], int]) -> None:
        self._silent = [(each, sorted({lane.can_id for lane in lanes_of(each.address)})) for each in asked]
        self._number_of = number_of
        self._identifiers: dict[int, int] = {}
        self._frames = 0

    def look(self, records: Records) -> None:
        if self._frames < COUNTED:
            count_ids(records, self._identifiers)
        self._frames += len(records)
        self._silent = [each for each in self._silent if not self._is_heard(records, *each)]

    def _is_heard(self, records: Records, asked: ChannelAddress, can_ids: Iterable[int]) -> bool:
        channel = -1 if asked.channel is None else self._number_of(asked.channel)
        return any(has_frame(records, can_id, channel) for can_id in can_ids)

    def lines(self, left_out: Sequence[str]) -> list[str]:
        """What to say of it; nothing if all that was asked for was there.

        :param left_out: channels that have frames, and were not asked for.
        """
        found = []
        if self._frames == 0:
            found.append("there are no frames" + (" on these channels" if left_out else ""))
        if self._frames > 0:
            found += [f"no frames of {asked_text(asked)}" for asked, _ in self._silent]
        if found and left_out:
            found.append(f"other channels: {', '.join(left_out[:MOST_TOLD])}")
        if found and self._frames > 0:
            busiest = [
                f"{id_text(can_id)} ({count:,})"
                for can_id, count in Counter(self._identifiers).most_common(MOST_TOLD)
                if not can_id & FLAGS_OF_NO_ID
            ]
            where = "" if self._frames <= COUNTED else f" among the first {count_text(COUNTED, 'frame')}"
            found.append(f"busiest identifiers{where}: {', '.join(busiest)}")
        return found


def asked_text(asked: ChannelAddress) -> str:
    return address_text(asked.address) + ("" if asked.channel is None else f"@{asked.channel}")
