"""Draw the terminal output of commands as an SVG picture for the README.

    python scripts/terminal_picture.py docs/terminal.svg 'ragkit ask "..."' ['ragkit search "..."' ...]

Runs each command for real (in a terminal 92 columns wide) and draws what it printed.
"""

from __future__ import annotations

import io
import os
import pty
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text


def output_of(command: str) -> str:
    """What the command writes to a terminal, colours included."""
    pieces: list[bytes] = []

    def read(descriptor: int) -> bytes:
        data = os.read(descriptor, 4096)
        pieces.append(data)
        return data

    os.environ.update(COLUMNS="92", TERM="xterm-256color", PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    pty.spawn(shlex.split(command), read)
    text = b"".join(pieces).decode().replace("\r\n", "\n")
    # What a terminal overwrites at once: the spinner while the model loads.
    return "\n".join(line for line in text.split("\n") if "loading the embedding model" not in line)


def main() -> None:
    target, *commands = sys.argv[1:]
    console = Console(record=True, width=92, file=io.StringIO(), force_terminal=True)
    for command in commands:
        console.print(f"[bold green]$[/] {command.replace(' -c configs/quickstart.yaml', '')}")
        console.print(Text.from_ansi(output_of(command)))
    console.save_svg(target, title="ragkit")


if __name__ == "__main__":
    main()
