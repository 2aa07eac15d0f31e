"""Zero-filling the commit log a little ahead of where it is written.

Blocks that were reserved but never written cost the file system a journal entry at the first sync that covers them: a
group of 64 records took 0.30 ms instead of 0.50 on a file zero-filled before (ext4; in SYNC mode only). Filling a
whole file would mean 1 GiB of writing at once, so a thread stays some MiB ahead of the writer. It writes past the page
cache (O_DIRECT): zeros in the cache would have to go to disk in somebody's sync.

The one rule: never zero what has been appended. A chunk is zeroed under a lock, only if `CommitLog.position` is not
beyond its start; a writer that comes near waits for the lock.
"""

from __future__ import annotations

import logging
import mmap
import os
from typing import Final

from mq.store.commit_log import NOWHERE, CommitLog

logger = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 1 << 20
#: How far ahead: four times what was appended since the last round, within these bounds.
_MIN_AHEAD_BYTES: Final = 8 << 20
_MAX_AHEAD_BYTES: Final = 128 << 20


class ZeroAhead:
    def __init__(self, log: CommitLog) -> None:
        self._log = log
        self._zeroed_to = 0
        self._last_position = log.position
        self._zeros = mmap.mmap(-1, _CHUNK_BYTES)  # page-aligned, as O_DIRECT asks
        #: Small files, as in tests, and file systems without O_DIRECT do without.
        self._is_able = hasattr(os, "O_DIRECT") and log.file_bytes % _CHUNK_BYTES == 0

    def run(self) -> None:
        """Zero-fill up to some MiB ahead of the writer; runs in a thread."""
        position = self._log.position
        ahead = min(max(4 * (position - self._last_position), _MIN_AHEAD_BYTES), _MAX_AHEAD_BYTES)
        self._last_position = position
        begin = max(self._zeroed_to, -(-position // _CHUNK_BYTES) * _CHUNK_BYTES + _CHUNK_BYTES)
        if self._is_able and begin < position + ahead // 2:
            try:
                self._fill(begin, position + ahead)
            except OSError as error:
                self._is_able = False
                logger.info("no zero-filling ahead on %s: %s", self._log.folder, error)

    def _fill(self, begin: int, end: int) -> None:
        while begin < end:
            file = self._log.file_of(begin)
            if file is None or not file.start <= begin < file.end:  # the other thread just deleted the oldest file
                return
            descriptor = os.open(file.path, os.O_RDWR | os.O_DIRECT)
            try:
                for start in range(begin, min(end, file.end), _CHUNK_BYTES):
                    self._fill_chunk(descriptor, start, start - file.start)
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            self._zeroed_to = begin = min(-(-end // _CHUNK_BYTES) * _CHUNK_BYTES, file.end)

    def _fill_chunk(self, descriptor: int, start: int, at: int) -> None:
        log = self._log
        with log.zeroing:
            log.zeroing_from = start
            try:
                if log.position <= start:  # after the assignment: who appends now will wait before writing
                    os.pwrite(descriptor, self._zeros, at)
            finally:
                log.zeroing_from = NOWHERE
