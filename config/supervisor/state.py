"""What the supervisor tells the other commands: a file that says which processes run and how they are.

`state.json` in the data directory, replaced as a whole at every change. A pid alone is no identity (it may have been
given to a stranger since), so the moment the process was created stands beside it.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

import msgspec
import psutil

from config import data_directory

_FILE = "state.json"


class Phase(StrEnum):
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class Health(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    HEALTHY = "healthy"
    #: It runs and does not answer; when that lasts, it is started again.
    UNRESPONSIVE = "unresponsive"
    RESTARTING = "restarting"
    DONE = "done"
    STOPPED = "stopped"
    EXTERNAL = "external"


class ProcessId(msgspec.Struct, frozen=True):
    pid: int
    created_at: float

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """Raises: psutil.NoSuchProcess."""
        return cls(pid, psutil.Process(pid).create_time())

    def is_alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.created_at and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


class PartState(msgspec.Struct):
    name: str
    address: str
    health: Health = Health.WAITING
    process: ProcessId | None = None
    restarts: int = 0
    started_after_s: float | None = None


class State(msgspec.Struct):
    data: str
    phase: Phase
    supervisor: ProcessId
    parts: list[PartState]
    urls: dict[str, str]
    #: Why it failed to start, for whoever waits for it.
    reason: str | None = None


def write(data: Path, state: State) -> None:
    path = data / _FILE
    fresh = path.with_name(f"{_FILE}.new")
    fresh.write_bytes(msgspec.json.encode(state))
    os.replace(fresh, path)


def read(data: Path) -> State | None:
    """The last state written, however long ago; None when there is none.

    Raises: DataDirectoryUnusable: this user may not read it.
    """
    with data_directory.used(data):
        try:
            return msgspec.json.decode((data / _FILE).read_bytes(), type=State)
        except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            return None
