"""Delay levels: each level is a queue of `SCHEDULE_TOPIC_XXXX` in which everything waits equally long, hence in order.

A queue's entries hold the time of delivery where others hold the tag's code, so looking whether the first message is
due reads 20 bytes. What is due is stored again under its own topic; when it is on disk the level's progress moves on.
Progress is kept in `config/delayOffset.json` (level -> next queue offset), written every 10 s: after a crash what was
delivered since is delivered twice. Source: RocketMQ broker/schedule/ScheduleMessageService.java.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from mq.broker.background import Background
from mq.broker.delay import SCHEDULE_TOPIC
from mq.broker.redelivery import stored_message, to_real_topic
from mq.errors import InvalidMessage, MessageTooLarge
from mq.store import json_files
from mq.store.consume_queue import QueueEntry

if TYPE_CHECKING:
    from mq.broker.app import Broker

logger = logging.getLogger(__name__)

#: The longest pause, so that a clock that jumps and a message that is new are noticed.
TICK_S: Final = 0.1
#: What one level delivers before the other levels and the loop get their turn.
GROUP_COUNT: Final = 100
GROUP_BYTES: Final = 1 << 20


class ScheduleService:
    def __init__(self, broker: Broker) -> None:
        self._path = broker.config.store_root.expanduser() / "config" / "delayOffset.json"
        self._delays_ms = broker.config.delay_levels_ms
        self._save_interval_s = broker.config.delay_offset_flush_interval_ms / 1000
        self._clock = broker.clock
        self._store = broker.store
        self._background = Background("delay levels", self.round)
        #: Level, from 1, to the queue offset of the first message not delivered.
        self._progress: dict[int, int] = {}
        self._is_dirty = False
        self._save_at_s = 0.0

    async def start(self) -> None:
        self.open()
        self._background.start()

    async def stop(self) -> None:
        await self._background.stop()
        try:
            self.save()
        except OSError as error:
            logger.error("%s could not be written, some messages may be delivered twice: %s", self._path, error)

    def open(self) -> None:
        """Take up where `delayOffset.json` says; without it, every level begins with the first message it still has."""
        saved = json_files.load(self._path, _read_progress)
        # A shorter `messageDelayLevel` than before must not strand what waits in the levels that are gone.
        used = [queue_id + 1 for queue_id in self._store.queues().get(SCHEDULE_TOPIC, [])]
        for level in range(1, max(len(self._delays_ms), *used, 0) + 1):
            first, end = (
                bound(SCHEDULE_TOPIC, level - 1) for bound in (self._store.min_offset, self._store.max_offset)
            )
            self._progress[level] = min(max(saved.get(level, first), first), end)

    async def round(self) -> float:
        """Deliver what is due now; returns the seconds until the next message is."""
        now_ms = self._clock.now_ms()
        taken: Counter[int] = Counter()
        try:
            for level in self._progress:
                self._append_due(level, now_ms, taken)
        finally:  # the store may refuse half way: what it has taken must not be delivered again
            if taken:
                await self._store.durable()
                self._is_dirty = True
            for level, count in taken.items():
                self._progress[level] += count
        now_s = asyncio.get_running_loop().time()
        if self._is_dirty and now_s >= self._save_at_s:
            self.save()
            self._save_at_s = now_s + self._save_interval_s
        return 0.0 if taken else self._until_next_s()

    def _append_due(self, level: int, now_ms: int, taken: Counter[int]) -> None:
        """Store the level's due messages under their own topics, and count in `taken` the entries that uses up."""
        first = max(self._progress[level], self._store.min_offset(SCHEDULE_TOPIC, level - 1))
        if first > self._progress[level]:
            taken[level] = first - self._progress[level]  # what retention took meanwhile
        taken_bytes = 0
        for entry in self._store.entries(SCHEDULE_TOPIC, level - 1, first, GROUP_COUNT):
            try:
                if taken_bytes > GROUP_BYTES or self._due_at_ms(level, entry, now_ms) > now_ms:
                    return
                self._store.append(to_real_topic(stored_message(self._store, entry.commit_log_offset)))
            except (InvalidMessage, MessageTooLarge) as error:
                logger.error("a message of delay level %d cannot be delivered and is skipped: %s", level, error)
            taken[level] += 1
            taken_bytes += entry.record_bytes

    def _due_at_ms(self, level: int, entry: QueueEntry, now_ms: int) -> int:
        """When a message is due: as stored, but no later than the level's delay of today after it was stored."""
        if level > len(self._delays_ms) or entry.tag_code <= now_ms + self._delays_ms[level - 1]:
            return entry.tag_code
        stored_ms = stored_message(self._store, entry.commit_log_offset).store_timestamp_ms
        return min(entry.tag_code, stored_ms + self._delays_ms[level - 1])

    def _until_next_s(self) -> float:
        now_ms = self._clock.now_ms()
        pause_s = TICK_S
        for level, queue_offset in self._progress.items():
            for entry in self._store.entries(SCHEDULE_TOPIC, level - 1, queue_offset, 1):
                pause_s = min(pause_s, max(0.0, (self._due_at_ms(level, entry, now_ms) - now_ms) / 1000))
        return pause_s

    def progress(self) -> dict[int, int]:
        """Level, from 1, to the queue offset of its first message not delivered."""
        return dict(self._progress)

    def save(self) -> None:
        table = {str(level): queue_offset for level, queue_offset in self._progress.items() if queue_offset > 0}
        json_files.save(self._path, {"offsetTable": table})
        self._is_dirty = False


def _read_progress(file: dict[str, Any]) -> dict[int, int]:
    """`{"offsetTable":{"level":queue offset}}`."""
    return {int(level): int(queue_offset) for level, queue_offset in file.get("offsetTable", {}).items()}
