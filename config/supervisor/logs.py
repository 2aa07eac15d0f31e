"""What the processes say: each line into the process's own file, and in the foreground also to the terminal.

`logs/<name>.log` in the data directory; a file over the limit becomes `<name>.log.1`, so a chatty process cannot fill
the disk. What the supervisor has to say itself is in `supervisor.log`.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

_FILE_BYTES_MAX: Final = 20 * 1024 * 1024
_COLORS: Final = (36, 33, 35, 32, 34, 31)
_NAME_WIDTH: Final = 10


class Log:
    """One process's log. `echo` also shows each line on the terminal, behind the process's name."""

    def __init__(self, directory: Path, name: str, *, echo: bool, number: int = 0) -> None:
        self.path = directory / f"{name}.log"
        self._file: BinaryIO = self.path.open("ab")
        self._echo = echo
        color = _COLORS[number % len(_COLORS)]
        prefix = f"{name:<{_NAME_WIDTH}} | "
        self._prefix = f"\033[{color}m{prefix}\033[0m" if sys.stdout.isatty() else prefix

    def write(self, line: bytes) -> None:
        """Add a line; it ends with a line feed or gets one."""
        line = line.rstrip(b"\r\n") + b"\n"
        if self._file.tell() + len(line) > _FILE_BYTES_MAX:
            self._rotate()
        self._file.write(line)
        self._file.flush()
        if self._echo:
            sys.stdout.write(self._prefix + line.decode(errors="replace"))
            sys.stdout.flush()

    def say(self, sentence: str) -> None:
        """A line of the supervisor's own, with the time."""
        self.write(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {sentence}".encode())

    def close(self) -> None:
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self._file = self.path.open("ab")
