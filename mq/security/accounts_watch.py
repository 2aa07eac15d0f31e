"""Keeps accounts up to date with their file: who may do what can change without a restart.

The file is looked at every second, as RocketMQ's is every half. One that changed is read when it has stood still from
one look to the next, so that nobody is locked out by a file half written; one that cannot be read leaves things as they
are, which the log says once. A request is measured against the accounts of its moment, on whatever connection.
Source: RocketMQ PlainPermissionManager.watch, FileWatchService.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mq.properties_file import ConfigError
from mq.security.accounts import Accounts
from mq.security.accounts_file import open_accounts

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 1.0
#: Modification time, size and inode: an editor may put another file in its place within one tick of the clock.
State = tuple[int, int, int]


class AccountsWatch:
    def __init__(self, path: Path, accounts: Accounts, on_change: Callable[[], None] | None = None) -> None:
        """`on_change` is called after the accounts have changed."""
        self._path = path
        self._accounts = accounts
        self._on_change = on_change
        self._read = self._seen = self._state()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self._look_again)

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def look(self) -> None:
        """Take over a file that changed and has stood still since the last look."""
        state = self._state()
        if state != self._seen:
            self._seen = state
        elif state not in (self._read, None):
            self._read = state
            self._take_over()

    def _look_again(self) -> None:
        self.look()
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self._look_again)

    def _take_over(self) -> None:
        try:
            self._accounts.become(open_accounts(self._path))
        except ConfigError as error:
            logger.error("the accounts stay as they were: %s", error)
            return
        logger.warning("%s changed and was read again: %d accounts", self._path, len(list(self._accounts)))
        if self._on_change is not None:
            self._on_change()

    def _state(self) -> State | None:
        """None while there is no such file; nobody makes a new one then, as at a start."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
