"""The `abort` file: there while a broker has the store open, so that one found at the start tells of a crash.

RocketMQ writes its process id and looks only at whether the file exists. A second line of ours names the boot of the
machine: within one boot, nothing is lost that a killed process had handed to the operating system.
"""

from __future__ import annotations

import enum
import os
from functools import cache
from pathlib import Path

from mq.store.disk import Disk


class LastStop(enum.Enum):
    """How the store was left."""

    CLEAN = "cleanly stopped"
    KILLED = "killed"
    #: Perhaps by a power cut: what was not synced may be missing in any order.
    UNKNOWN = "not stopped cleanly"


class AbortMark:
    def __init__(self, root: Path, disk: Disk) -> None:
        self._path = root / "abort"
        self._disk = disk

    def read(self) -> LastStop:
        if not self._path.exists():
            return LastStop.CLEAN
        _pid, _, boot = self._path.read_text(errors="replace").partition("\n")
        return LastStop.KILLED if boot.strip() and boot.strip() == _boot_id() else LastStop.UNKNOWN

    def set(self) -> None:
        """Raises: OSError."""
        self._disk.replace(self._path, f"{os.getpid()}\n{_boot_id()}\n".encode())

    def remove(self) -> None:
        if self._path.exists():
            self._disk.remove(self._path)


@cache
def _boot_id() -> str:
    """Different after every boot of the machine; empty where the system does not tell."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""
