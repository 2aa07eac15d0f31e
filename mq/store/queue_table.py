"""All consume queues of a store: `consumequeue/TOPIC/QUEUEID/`."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from mq.errors import InvalidMessage, StoreUnusable
from mq.message.message import check_topic
from mq.store.config import StoreConfig
from mq.store.consume_queue import PADDING_ENTRY, ConsumeQueue
from mq.store.data_files import damaged_files
from mq.store.disk import Disk

logger = logging.getLogger(__name__)

#: Queue ids are indexes into a topic's queues; a number from a damaged record must not become a folder.
MAX_QUEUE_ID: Final = 0xFFFF
#: More files than this are synced together with all else: 8,000 one by one took 6 s.
_MANY_FILES: Final = 200


class QueueTable:
    def __init__(self, config: StoreConfig, disk: Disk) -> None:
        self._folder = config.consume_queue_path
        self._file_bytes = config.consume_queue_file_bytes
        self._disk = disk
        self._queues: dict[tuple[str, int], ConsumeQueue] = {}
        #: Files written since they were last synced.
        self.unsynced: set[Path] = set()
        #: The minimum of each queue, with the commit log's minimum it was found for.
        self._min_offsets: dict[tuple[str, int], tuple[int, int]] = {}

    def load(self) -> None:
        """Find the files. One of another size than most is damaged and goes, to be built again from the log.

        Raises: StoreUnusable: no file has the configured size, or one has a foreign name.
        """
        if not self._folder.is_dir():
            return
        damaged: list[tuple[ConsumeQueue, StoreUnusable]] = []
        for topic in filter(lambda path: path.is_dir(), self._folder.iterdir()):
            for folder in topic.iterdir():
                if folder.is_dir() and folder.name.isdecimal():
                    queue = self.open(topic.name, int(folder.name))
                    try:
                        queue.load()
                    except StoreUnusable as error:
                        damaged.append((queue, error))
        for queue, problem in damaged:
            if not any(path.stat().st_size == self._file_bytes for path in self._folder.glob("*/*/*")):
                raise problem
            logger.warning("%s", problem)
            for path in damaged_files(queue.folder, self._file_bytes):
                self._disk.remove(path)
            queue.load()

    def get(self, topic: str, queue_id: int) -> ConsumeQueue | None:
        return self._queues.get((topic, queue_id))

    def open(self, topic: str, queue_id: int) -> ConsumeQueue:
        """The queue; a new one when there is none. Its folder appears with its first entry.

        Raises: InvalidMessage: a topic or queue id that RocketMQ does not allow; they become names of folders.
        """
        queue = self._queues.get((topic, queue_id))
        if queue is None:
            check_topic(topic)
            if not 0 <= queue_id <= MAX_QUEUE_ID:
                raise InvalidMessage(f"queue id {queue_id} of topic {topic}: 0 to {MAX_QUEUE_ID}")
            folder = self._folder / topic / str(queue_id)
            queue = ConsumeQueue(folder, topic, queue_id, self._file_bytes, self._disk)
            self._queues[topic, queue_id] = queue
        return queue

    def __iter__(self) -> Iterator[ConsumeQueue]:
        return iter(self._queues.values())

    def totals_by_topic(self) -> tuple[dict[str, int], dict[str, int]]:
        """Messages of each topic, ever, and bytes of them since the queues were loaded."""
        messages: dict[str, int] = {}
        added_bytes: dict[str, int] = {}
        for (topic, _), queue in self._queues.items():
            messages[topic] = messages.get(topic, 0) + queue.max_offset
            added_bytes[topic] = added_bytes.get(topic, 0) + queue.added_bytes
        return messages, added_bytes

    def ids(self) -> dict[str, list[int]]:
        """The queue ids of each topic, ascending."""
        table: dict[str, list[int]] = {}
        for topic, queue_id in sorted(self._queues):
            table.setdefault(topic, []).append(queue_id)
        return table

    def min_offset(self, queue: ConsumeQueue, min_commit_log_offset: int) -> int:
        """The first queue offset whose message is still in the log; the next offset when none is.

        Raises: CorruptRecord: an entry that cannot be.
        """
        known = self._min_offsets.get((queue.topic, queue.queue_id))
        if known is not None and known[0] == min_commit_log_offset:
            return known[1]
        low, high = queue.first_in_files, queue.max_offset
        first = queue.entry(low) if low < high else PADDING_ENTRY
        if first != PADDING_ENTRY and first.commit_log_offset >= min_commit_log_offset:
            high = low  # nothing of this queue was deleted yet
        while low < high:
            middle = (low + high) // 2
            entry = queue.entry(middle)
            if entry.commit_log_offset < min_commit_log_offset or entry == PADDING_ENTRY:
                low = middle + 1
            else:
                high = middle
        self._min_offsets[queue.topic, queue.queue_id] = (min_commit_log_offset, low)
        return low

    def flush(self) -> None:
        """Hand all waiting entries to the operating system. Raises: OSError."""
        for _ in self.flush_one_by_one():
            pass

    def flush_one_by_one(self) -> Iterator[None]:
        """The same with a pause after each queue; one that is deleted meanwhile is left out. Raises: OSError."""
        for queue in list(self._queues.values()):
            if queue.flushed_to != queue.max_offset and self.get(queue.topic, queue.queue_id) is queue:
                self.unsynced.update(queue.flush())
                yield

    def sync(self, paths: Collection[Path]) -> None:
        """Bring written entries to disk; may run in a thread. Raises: OSError."""
        if len(paths) > _MANY_FILES:
            self._disk.sync_all()
            return
        for path in paths:
            try:
                descriptor = self._disk.open(path)
            except FileNotFoundError:  # its topic was deleted meanwhile
                continue
            try:
                self._disk.sync(descriptor)
            finally:
                os.close(descriptor)

    def remove_before(self, commit_log_offset: int) -> None:
        """Delete the files all of whose messages are gone from the log."""
        for queue in self:
            queue.remove_before(commit_log_offset)

    def remove(self, queue: ConsumeQueue) -> None:
        """Forget a queue that has no message, and its folder."""
        del self._queues[queue.topic, queue.queue_id]
        shutil.rmtree(queue.folder, ignore_errors=True)

    def delete_topic(self, topic: str) -> None:
        for key in [key for key in self._queues if key[0] == topic]:
            del self._queues[key]
            self._min_offsets.pop(key, None)
        shutil.rmtree(self._folder / topic, ignore_errors=True)
