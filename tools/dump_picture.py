"""docs/dump.svg, the frames of two sessions as a terminal shows them: python -m tools.dump_picture"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import can
from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.text import Text

PICTURE = Path(__file__).parent.parent / "docs" / "dump.svg"
GROUP = "239.74.163.2"
COMMAND = "isotp dump -t d -a 7E0:7E8 -a ta=10,sa=F1"
TALK = (
    "7E0#0322F190",
    "7E8#101462F190575657",
    "18DA10F1#021001",
    "7E0#300000",
    "7E8#215A5A5A314A5A58",
    "18DAF110#065001003201F4",
    "7E8#2257303030303031",
    "18DA10F1#0627123456789A",
    "18DAF110#037F2724",
    "7E0#FF",
)


def shown(port: int = 43113) -> str:
    """What the command writes on a terminal."""
    bus_options = ["-i", "udp_multicast", "-c", GROUP, "--bus-kwargs", f"port={port}"]
    options = ["-n", str(len(TALK)), "--color", "always", "--ready"]
    words = ["-c", "from isotp.cli import main; main()", *COMMAND.split()[1:], *bus_options, *options]
    with can.Bus(interface="udp_multicast", channel=GROUP, port=port) as bus:
        program = subprocess.Popen(
            [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert program.stderr is not None
        program.stderr.readline()
        for frame in TALK:
            can_id, _, data = frame.partition("#")
            bus.send(
                can.Message(
                    arbitration_id=int(can_id, 16),
                    is_extended_id=len(can_id) == 8,
                    data=bytes.fromhex(data),
                )
            )
        return program.communicate(timeout=60)[0].replace(GROUP, "can0")


def main() -> None:
    text = Text.from_ansi(f"\x1b[1m$ {COMMAND} can0\x1b[0m\n{shown()}")
    console = Console(record=True, width=max(map(len, text.plain.splitlines())) + 1, file=io.StringIO())
    console.print(text, no_wrap=True)
    # A font that every machine has, in place of one on the web.
    style = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    PICTURE.write_text(
        console.export_svg(title="isotp dump", code_format=style, unique_id="dump"), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
