"""One shop per data directory: a lock that the supervisor holds and every process it starts inherits.

A file lock belongs to the open file, not to a process, so it is free again only when the last heir is gone: who gets it
knows that nothing of an earlier run, not even an orphan, still uses the directory.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

from config.data_directory import clock_offset_file, make_private, secret_key, socket_directory, used
from config.errors import CannotStart, DataDirectoryUnusable
from config.supervisor import state
from mq.clock import move_offset_file, read_offset_file

_FILE: Final = "lock"
#: The broker's log and PostgreSQL's take half of it at once.
_NEEDED_BYTES: Final = 1 << 30
#: After its supervisor was killed, PostgreSQL and the broker take a moment to stop cleanly.
_LEFTOVERS_S: Final = 15.0


def prepare(data: Path) -> None:
    """Make the data directory ours and private.

    Raises: CannotStart: it cannot be made, read or written, is damaged, or the disk is nearly full.
    """
    with used(data):
        make_private(data)
        for name in ("logs", "mq", "redis", "paysim", "keys"):
            make_private(data / name)
        make_private(socket_directory(data))
        probe = data / f"probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
    secret_key(data)
    _clock_file(data, lambda path: move_offset_file(path, 0))  # Makes it: the shop's processes map it.
    free_bytes = shutil.disk_usage(data).free
    if free_bytes < _NEEDED_BYTES:
        raise CannotStart(
            f"Only {free_bytes >> 20} MB are free where {data} lies, and a shop needs {_NEEDED_BYTES >> 20} MB: "
            "free some space, or choose another place with --data DIR."
        )


def clock_offset(data: Path) -> timedelta:
    """How far the shop's clock is ahead of this machine's.

    Raises: DataDirectoryUnusable.
    """
    return timedelta(milliseconds=_clock_file(data, read_offset_file))


def _clock_file(data: Path, use: Callable[[Path], int]) -> int:
    try:
        with used(data):
            return use(clock_offset_file(data))
    except ValueError as error:
        raise DataDirectoryUnusable(f"{error}. Remove it, and the shop's clock is this machine's again.") from error


def lock(data: Path) -> int:
    """Take the lock; the descriptor to pass on. Waits while processes of a killed run are still stopping.

    Raises: CannotStart: a supervisor runs on this directory, or something it left behind does not stop.
    """
    with used(data):
        descriptor = os.open(data / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline_s = time.monotonic() + _LEFTOVERS_S
    while not _try(descriptor):
        last = state.read(data)
        if last is not None and last.supervisor.is_alive() and last.supervisor.pid != os.getpid():
            raise CannotStart(
                f"The shop in {data} already runs (supervisor pid {last.supervisor.pid}): see it with "
                "`manage.py status`, stop it with `manage.py down`, or start another one with --data DIR --base-port N."
            )
        if time.monotonic() > deadline_s:
            raise CannotStart(f"Processes of an earlier run still use {data}: stop them with `manage.py down`.")
        time.sleep(0.05)
    return descriptor


def leave(data: Path) -> None:
    """Remove what lies outside of the data directory: the sockets, when its path is too long for them."""
    sockets = socket_directory(data)
    if data not in sockets.parents:
        shutil.rmtree(sockets, ignore_errors=True)


def is_in_use(data: Path) -> bool:
    """Whether any process of a shop lives on this directory.

    Raises: DataDirectoryUnusable: this user may not know.
    """
    with used(data):
        try:
            descriptor = os.open(data / _FILE, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
    try:
        return not _try(descriptor)
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
