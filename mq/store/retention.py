"""Deleting the oldest messages, file by file: when they expire, or when the disk fills up.

| disk used | what happens |
| --- | --- |
| any | files not written to for 72 hours go, during the hours configured (4 o'clock) |
| > 75 % | expired files go at any hour |
| > 85 % | the oldest files go, expired or not |
| > 90 % | and sends are refused, until it is 85 % or less |

A file being written never goes. Queues and index follow the log.
Source: RocketMQ DefaultMessageStore.CleanCommitLogService.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mq.store.commit_log import CommitLog, LogFile
from mq.store.config import StoreConfig
from mq.store.disk import Disk
from mq.store.key_index import KeyIndex
from mq.store.queue_table import QueueTable

logger = logging.getLogger(__name__)

#: Files deleted in one go.
MAX_FILES_AT_ONCE: Final = 10
_DISK_FULL: Final = "disk full"


class Retention:
    def __init__(
        self,
        config: StoreConfig,
        log: CommitLog,
        queues: QueueTable,
        index: KeyIndex,
        disk: Disk,
        durable_offset: Callable[[], int],
        refusals: dict[str, str],
    ) -> None:
        self._durable_offset = durable_offset
        self._refusals = refusals
        self._config = config
        self._log = log
        self._queues = queues
        self._index = index
        self._disk = disk
        self._followed_to = 0

    def reconfigure(self, config: StoreConfig) -> None:
        self._config = config

    def run(self, now_s: float) -> int:
        """Judge the disk, and delete what may go; returns the number of log files.

        Units: `now_s` the system's time in seconds: files' modification times are the system's, so the broker's own
        clock, which a demo may move, has no say here.
        """
        removed = 0
        while removed < MAX_FILES_AT_ONCE and (path := self.take(now_s)) is not None:
            self._disk.remove(path)
            removed += 1
        self.follow_log()
        return removed

    def take(self, now_s: float, *, any_hour: bool = False) -> Path | None:
        """Judge the disk, and let go of the oldest log file if it may go; the caller deletes it."""
        used = max(self._disk.used_percent(self._log.folder), self._disk.used_percent(self._config.root))
        self._judge(used)
        if not self._may_go(used, now_s, any_hour=any_hour):
            return None
        path = self._log.release_first()
        self._index.remove_before(self._log.min_offset)
        logger.info("deleting %s: disk %d %% used", path, used)
        return path

    def follow_log(self, *, anew: bool = False) -> None:
        """Delete the queue files all of whose messages are gone; `anew`: even if the log is as it was last time."""
        if anew or self._log.min_offset != self._followed_to:
            self._followed_to = self._log.min_offset
            self._queues.remove_before(self._log.min_offset)

    def _may_go(self, used: int, now_s: float, *, any_hour: bool) -> bool:
        current = self._log.file_of(self._log.position)
        oldest = self._log.files[0]
        if current is None or oldest.start >= current.start:
            return False
        # A group that is not committed yet may lie in two files, and its writer holds the descriptors of both.
        if oldest.start + self._config.commit_log_file_bytes > self._durable_offset():
            return False
        if used > self._config.disk_force_clean_percent:
            return True
        is_hour = any_hour or time.localtime(now_s).tm_hour in self._config.delete_hours
        return (is_hour or used > self._config.disk_max_used_percent) and self._is_expired(oldest, now_s)

    def _is_expired(self, file: LogFile, now_s: float) -> bool:
        return file.path.stat().st_mtime + self._config.retention_hours * 3600 < now_s

    def _judge(self, used: int) -> None:
        if used > self._config.disk_full_percent:
            self._refusals[_DISK_FULL] = (
                f"the disk is {used} % full and messages are refused above {self._config.disk_full_percent} %: "
                f"free space on the partition of {self._log.folder}"
            )
        elif used <= self._config.disk_force_clean_percent:
            self._refusals.pop(_DISK_FULL, None)
