"""Decode a day of logs, as many at the same time as there are processors: what was said, and what went wrong.

    python examples/decode_day.py logs/2026-11-25 --address 7E0:7E8 --output day.parquet

Each file is a recording of its own, in any format that `isotp.capture` knows. Without addresses the sessions of each
are discovered. The parsers and the reassembly work without the GIL, so threads use all processors. `--output` needs
the extra `tables`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import isotp
from isotp import capture


def address_of(text: str) -> isotp.Address:
    tester, _, ecu = text.partition(":")
    mode = isotp.AddressingMode.Normal_29bits if len(tester) == 8 else isotp.AddressingMode.Normal_11bits
    return isotp.Address(mode, txid=int(tester, 16), rxid=int(ecu, 16))


def main() -> int:
    parser = argparse.ArgumentParser(description="Decode all logs of a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--address", action="append", type=address_of, help="two CAN IDs, say 7E0:7E8")
    parser.add_argument("--output", type=Path, help="write all messages there, as Parquet")
    options = parser.parse_args()

    logs = sorted(path for path in options.folder.rglob("*") if path.is_file())
    tables, problems, frames = [], 0, 0
    status: Counter[str] = Counter()
    # A table of channels that all recordings share: can1 is the same number in each of them.
    channels = capture.Channels()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for decoded in capture.decode_all(logs, options.address, executor=pool, table=channels):
            frames += decoded.frames
            problems += decoded.problem_count
            for problem in decoded.problems:
                print(problem, file=sys.stderr)
            counts = Counter(message.status.name for message in decoded.messages)
            status += counts
            print(
                f"{Path(decoded.parts[0]).name}: {len(decoded.messages)} messages in {decoded.frames} frames"
            )
            tables.append(decoded.messages)

    day = isotp.Messages.concat(tables)
    print(f"{len(logs)} logs: {len(day)} messages in {frames} frames, {problems} problems")
    for name, count in status.most_common():
        print(f"{count:8} {name}")
    if options.output is not None:
        import pyarrow.parquet

        pyarrow.parquet.write_table(day.to_arrow(), options.output)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
