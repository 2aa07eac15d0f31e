"""The key index: which messages carry a key, in index files of 20 million entries each, the newest being written.

It follows the commit log off the hot path: `add` only remembers, `work` indexes a slice. What was not remembered
(after a crash, or because too much waited) is read back from the log. Source: RocketMQ IndexService.java.
"""

from __future__ import annotations

import datetime
import logging
import os
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from mq.message import properties, sys_flag
from mq.store.commit_log import CommitLog
from mq.store.config import StoreConfig
from mq.store.entry import Entry
from mq.store.index_file import IndexFile, index_file_bytes
from mq.store.key_hash import KeyHash
from mq.store.scan import Scan

logger = logging.getLogger(__name__)

#: Messages indexed before the loop may do something else: about 0.3 ms.
SLICE: Final = 256
#: Messages remembered; beyond, the log itself is read.
_MAX_REMEMBERED: Final = 50_000
#: Files that a clean stop sums up and a start holds against that, 20 ms each.
_SUMMED_FILES: Final = 4

_UNIQ_KEY = properties.UNIQ_KEY.encode() + b"\x01"
_KEYS = properties.KEYS.encode() + b"\x01"


class KeyIndex:
    """The index files and what waits for them.

    Invariants: every message before `position` is indexed; when `is_behind`, the messages from there on are
    in the log only, else they are in `_waiting`.
    """

    def __init__(self, config: StoreConfig, log: CommitLog) -> None:
        self.files: list[IndexFile] = []
        #: The commit log offset from which on messages are not indexed yet.
        self.position = 0
        self.failure: str | None = None
        self._folder: Path = config.index_path
        self._slot_count = config.index_slot_count
        self._entry_count = config.index_entry_count
        self._log = log
        self._hash = KeyHash()
        self._waiting: deque[list[Entry]] = deque()
        self._waiting_count = 0
        #: Whether messages from `position` on are in the log only: what `find` knows is not all.
        self.is_behind = False
        self._durable_offset = 0
        self._from_log: Iterator[Entry] | None = None

    # ---- life

    def load(self) -> None:
        """Open the files; one with another name or an impossible header is left out with a warning or deleted."""
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.iterdir()):
            if not path.name.isdecimal():
                logger.warning("%s is no index file: left alone", path)
                continue
            if path.stat().st_size != index_file_bytes(self._slot_count, self._entry_count):
                logger.warning("%s has another size than configured: deleted, to be built again from the log", path)
                path.unlink()
                continue
            file = IndexFile(path, self._slot_count, self._entry_count)
            if file.is_sound and not (file.is_empty and self.files):
                self.files.append(file)
            else:
                logger.warning("%s is damaged or empty: deleted, to be built again from the log", path)
                file.remove()

    def names(self) -> list[str]:
        return [file.path.name for file in self.files]

    def slots_sums(self) -> list[int]:
        """Of the newest files, the newest first: what a disk changes in them until the next start shows by these."""
        return [file.slots_sum() for file in self.files[: -_SUMMED_FILES - 1 : -1]]

    def is_as_summed(self, sums: list[int]) -> bool:
        """Whether the newest files are what they were when `slots_sums` gave these; what is not told is believed."""
        problems = [
            file.path for file, sum_ in zip(reversed(self.files), sums, strict=False) if file.slots_sum() != sum_
        ]
        for path in problems:
            logger.warning("%s: its slots are not what was written; all is indexed again from the log", path)
        return not problems

    def trust(self, position: int) -> None:
        """Believe the files, and that everything before `position` is indexed."""
        if self.files:
            self.files[-1].undo_uncounted()
        self.position = max(position, self.last_commit_log_offset)

    def rebuild(self) -> None:
        """Delete all files and index the whole log again."""
        while self.files:
            self.files.pop().remove()
        self.position = 0

    def catch_up_from(self, durable_offset: int) -> None:
        """Index what lies between `position` and the end of the log; `work` does it."""
        self.position = max(self.position, self._log.min_offset)
        self._durable_offset = durable_offset
        self.is_behind = self.position < durable_offset

    def sync(self) -> None:
        """Bring all files to disk; those that nothing was written to cost next to nothing. Raises: OSError."""
        for file in self.files:
            os.fdatasync(file.descriptor)

    def close(self) -> None:
        for file in self.files:
            file.close()
        self.files.clear()

    # ---- writing

    def add(self, group: list[Entry]) -> None:
        """Remember a group of committed messages."""
        _queue, commit_log_offset, record_bytes, *_ = group[-1]
        self._durable_offset = commit_log_offset + record_bytes
        if self.is_behind:
            return
        self._waiting.append(group)
        self._waiting_count += len(group)
        if self._waiting_count > _MAX_REMEMBERED:
            self._waiting.clear()
            self._waiting_count = 0
            self.is_behind = True

    @property
    def last_timestamp_ms(self) -> int:
        return self.files[-1].end_ms if self.files else 0

    @property
    def last_commit_log_offset(self) -> int:
        return self.files[-1].end_offset if self.files else 0

    @property
    def has_work(self) -> bool:
        return self.failure is None and (bool(self._waiting) or self.is_behind)

    def work(self) -> None:
        """Index about `SLICE` messages. A full disk stops the index, not the broker: it says so once."""
        try:
            messages = self._next_from_log() if self.is_behind else self._next_waiting()
            if messages:
                self._put(self._hashed(messages))
                _queue, commit_log_offset, record_bytes, *_ = messages[-1]
                self.position = commit_log_offset + record_bytes
        except OSError as error:
            self.failure = f"the key index stopped ({error}): queries by key find nothing newer until a restart"
            self._waiting.clear()
            logger.error("%s", self.failure)

    def finish(self) -> None:
        while self.has_work:
            self.work()

    def _next_waiting(self) -> list[Entry]:
        messages: list[Entry] = []
        while self._waiting and len(messages) < SLICE:
            messages += self._waiting.popleft()
        self._waiting_count -= len(messages)
        return messages

    def _next_from_log(self) -> list[Entry]:
        if self._from_log is None:
            self._from_log = self._read_log()
        messages = list(islice(self._from_log, SLICE))
        if not messages:
            self._from_log = None
            self.is_behind = self.position < self._durable_offset
        return messages

    def _hashed(self, messages: list[Entry]) -> list[tuple[int, int, int]]:
        """What index files keep: hash, commit log offset, store time of every key."""
        first = self.last_commit_log_offset if self.files else -1
        hash_of = self._hash.of
        keys = []
        for _queue, commit_log_offset, _bytes, _code, topic, text, flags, stored_ms in messages:
            if commit_log_offset <= first or flags & sys_flag.TRANSACTION_MASK == sys_flag.TRANSACTION_ROLLBACK:
                continue
            for key in keys_of(text):
                keys.append((hash_of(topic, key), commit_log_offset, stored_ms))
        return keys

    def _put(self, keys: list[tuple[int, int, int]]) -> None:
        while keys:
            if not self.files or self.files[-1].is_full:
                self._roll()
            keys = keys[self.files[-1].put(keys) :]

    def _read_log(self) -> Iterator[Entry]:
        """Messages from `position` to the end as it is now. The caller keeps `position` up to date."""
        while self.position < self._durable_offset:
            file = self._log.file_of(self.position)
            if file is None:
                self.position = max(self._log.min_offset, self._durable_offset)
                return
            scan = Scan(file.view, file.start, self.position)
            for commit_log_offset, size, topic, _queue_id, _queue_offset, flags, stored_ms, text in scan:
                if commit_log_offset >= self._durable_offset:
                    return
                yield None, commit_log_offset, size, 0, topic.decode(errors="replace"), text, flags, stored_ms
            if scan.position >= self._durable_offset:
                self.position = self._durable_offset
                return
            if not scan.is_full:
                at = scan.position - file.start
                logger.warning("%s at byte %d: %s; not indexed from there", file.path, at, scan.damage)
            self.position = file.end if scan.is_full else self._durable_offset

    def _roll(self) -> None:
        last = self.files[-1] if self.files else None
        self._folder.mkdir(parents=True, exist_ok=True)
        moment = datetime.datetime.now()  # noqa: DTZ005 - RocketMQ names these files in local time
        while (path := self._folder / f"{moment:%Y%m%d%H%M%S}{moment.microsecond // 1000:03d}").exists():
            moment += datetime.timedelta(milliseconds=1)
        self.files.append(IndexFile.create(path, self._slot_count, self._entry_count, last))

    # ---- reading

    def find(self, topic: str, key: str, max_count: int, begin_ms: int, end_ms: int) -> list[int]:
        """Commit log offsets of messages that may carry the key, newest first: hashes and seconds are all it knows."""
        key_hash = self._hash.of(topic, key.encode())
        found: list[int] = []
        for file in reversed(self.files):
            if file.begin_ms <= end_ms and len(found) < max_count:
                found += file.find(key_hash, max_count - len(found), begin_ms, end_ms)
            if file.begin_ms < begin_ms:
                break
        return found

    def remove_before(self, commit_log_offset: int) -> None:
        """Delete the files all of whose messages are gone; the newest stays."""
        if self.position < commit_log_offset:
            self.position, self._from_log = commit_log_offset, None
        while len(self.files) > 1 and self.files[0].end_offset < commit_log_offset:
            self.files.pop(0).remove()


def keys_of(text: bytes) -> list[bytes]:
    """The keys a message is found by: its unique key, and each blank-separated word of KEYS."""
    start = text.find(_UNIQ_KEY)
    keys = [_value(text, _UNIQ_KEY, start)] if start >= 0 else []
    start = text.find(_KEYS)
    if start >= 0:
        keys += _value(text, _KEYS, start).split(b" ")
    return [key for key in keys if key] if b"" in keys else keys


def _value(text: bytes, marker: bytes, start: int) -> bytes:
    """The value behind the first marker from `start` on that is not the end of a longer name; empty without one."""
    while start > 0 and text[start - 1] != 2:
        start = text.find(marker, start + 1)
    if start < 0:
        return b""
    start += len(marker)
    end = text.find(b"\x02", start)
    return text[start:end] if end >= 0 else text[start:]
