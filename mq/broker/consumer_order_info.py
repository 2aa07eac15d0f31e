"""Who consumes what in order by POP: an `OrderInfo` for each queue of a group, and who waits until one is unlocked.

Every change is an entry of the revive log before it is answered, so a crash neither unlocks a queue nor takes an
acknowledgement back. The table is saved every few seconds as `config/consumerOrderInfo.json`, with how much of each
queue of the log it knows (`reviveLog`, which RocketMQ ignores): a start applies what came later.
Source: RocketMQ ConsumerOrderInfoManager, ConsumerOrderInfoLockManager.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from mq.broker.background import Background
from mq.broker.check_points import REVIVE_QUEUE_COUNT, OrderedProgress
from mq.broker.order_info import OrderInfo
from mq.broker.pop_offsets import QueueKey
from mq.broker.pop_receipts import kind_of
from mq.store import json_files

if TYPE_CHECKING:
    from mq.broker.app import Broker

logger = logging.getLogger(__name__)

#: A queue that was not consumed in order for that long is forgotten.
FORGET_AFTER_MS: Final = 24 * 3600 * 1000
#: The longest pause, so that a clock that jumps and a lock that is new are noticed.
TICK_S: Final = 0.1


class ConsumerOrderInfo:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._path = broker.config.store_root.expanduser() / "config" / "consumerOrderInfo.json"
        self._table: dict[QueueKey, OrderInfo] = {}
        #: When locks end by themselves, of each queue the next moment to look at it.
        self._ends: list[tuple[int, QueueKey]] = []
        self._awaited: dict[QueueKey, int] = {}
        #: By queue of the revive log: the entries before that offset are in the file.
        self.known_to = dict.fromkeys(range(REVIVE_QUEUE_COUNT), 0)
        self._background = Background("the unlocking of queues", self.round)
        self._is_dirty = False
        self._saved_at_s = 0.0

    def load(self) -> None:
        """Raises: StoreUnusable: the file is broken, and so is the version before."""
        self._table, known_to = json_files.load(self._path, _read)
        ends = self._log_ends()
        if known_to is None or any(known_to.get(each, 0) > end for each, end in ends.items()):
            # RocketMQ wrote the file, after everything that is in the log; or the log has lost its end since.
            known_to = ends
            self._is_dirty = True
        self.known_to = {each: known_to.get(each, 0) for each in ends}
        for key in self._table:
            self._await_end(key)

    # ---- what happens to messages

    def is_locked(self, key: QueueKey, attempt_id: str | None = None) -> bool:
        info = self._table.get(key)
        return info is not None and info.locks(self._broker.clock.now_ms(), attempt_id)

    def give(self, key: QueueKey, info: OrderInfo) -> list[str]:
        """Lock a queue for what is given of it; returns how often each message was given before, for the answer."""
        before = self._table.get(key)
        if before is not None:
            info.count_from(before)
        self._put(key, info)
        self._log(key, info.places[0])
        _group, topic, queue_id = key
        counts = info.times_given or {}
        words = [f"{kind_of(topic)} qo{queue_id}%{offset} {count}" for offset, count in counts.items()]
        least = min(counts.get(offset, 0) for offset in info.queue_offsets)
        return [*words, f"{kind_of(topic)} {queue_id} {least}"]

    def find(self, key: QueueKey, queue_offset: int, pop_time_ms: int) -> OrderInfo | None:
        """What a receipt names, unless it is over: acknowledged, or given again since."""
        info = self._table.get(key)
        if info is None or info.pop_time_ms != pop_time_ms or queue_offset not in info.open_offsets:
            return None
        return info

    def changed(self, key: QueueKey) -> None:
        """Messages of the queue were acknowledged, or are invisible for another time."""
        info = self._table[key]
        self._put(key, info)
        self._log(key, info.next_offset)
        self._broker.offsets.commit(*key, info.next_offset)
        self._unlock(key)

    def clear(self, key: QueueKey) -> None:
        """The group's offset was reset: what it was given before locks nothing."""
        if self._table.pop(key, None) is not None:
            self._is_dirty = True

    def forget(self, *, group: str | None = None, topic: str | None = None) -> None:
        for key in [key for key in self._table if key[0] == group or key[1] == topic]:
            self.clear(key)

    def apply(self, entry: OrderedProgress) -> None:
        """Learn from the log at a start."""
        self._put((entry.group, entry.topic, entry.queue_id), entry.info)

    def _put(self, key: QueueKey, info: OrderInfo) -> None:
        self._table[key] = info
        self._is_dirty = True
        self._await_end(key)

    def _log(self, key: QueueKey, next_offset: int) -> None:
        """Entries of one queue lie in one queue of the log: the last is the newest. Raises: StoreNotWritable."""
        group, topic, queue_id = key
        entry = OrderedProgress(topic, group, queue_id, next_offset, self._table[key])
        self._broker.revive.append(entry, queue_id % REVIVE_QUEUE_COUNT)

    # ---- the ends of locks

    def _await_end(self, key: QueueKey) -> None:
        end_ms = self._table[key].free_at_ms
        if end_ms > self._broker.clock.now_ms() and end_ms < self._awaited.get(key, end_ms + 1):
            self._awaited[key] = end_ms
            heapq.heappush(self._ends, (end_ms, key))

    def _end_due(self) -> None:
        end_ms, key = heapq.heappop(self._ends)
        if self._awaited.get(key) != end_ms:
            return  # an earlier moment took its place
        del self._awaited[key]
        if key in self._table:
            self._await_end(key)
            self._unlock(key)

    def _unlock(self, key: QueueKey) -> None:
        """Have somebody look at the queue if it is free now."""
        group, topic, queue_id = key
        if self.is_locked(key) or self._broker.store.max_offset(topic, queue_id) <= self._broker.pop.offsets.look(key):
            return
        self._broker.pop.polling.wake(topic, group, queue_id)
        self._broker.pop_looking.polling.wake(topic, group, queue_id)

    # ---- the service

    async def start(self) -> None:
        self._background.start()

    async def stop(self) -> None:
        await self._background.stop()
        try:
            self.save()
        except OSError as error:
            logger.error("%s could not be written, the next start reads the revive log: %s", self._path, error)

    async def round(self) -> float:
        """End the locks that are due, and save what has changed; returns the seconds until the next lock is."""
        while self._ends and self._ends[0][0] <= self._broker.clock.now_ms():
            self._end_due()
        now_s = asyncio.get_running_loop().time()
        if self._is_dirty and now_s - self._saved_at_s >= self._broker.config.consumer_offset_flush_interval_ms / 1000:
            self._saved_at_s = now_s
            self._is_dirty = False
            try:
                await asyncio.to_thread(json_files.save, self._path, self._to_json())
            except OSError:
                self._is_dirty = True
                raise
        if not self._ends:
            return TICK_S
        return min(TICK_S, max(0.0, (self._ends[0][0] - self._broker.clock.now_ms()) / 1000))

    def save(self) -> None:
        if self._is_dirty:
            json_files.save(self._path, self._to_json())
            self._is_dirty = False

    def _to_json(self) -> dict[str, Any]:
        oldest_ms = self._broker.clock.now_ms() - FORGET_AFTER_MS
        for key in [
            key for key, info in self._table.items() if max(info.last_consumed_ms, info.free_at_ms) < oldest_ms
        ]:
            del self._table[key]
        table: dict[str, dict[int, Any]] = {}
        for (group, topic, queue_id), info in self._table.items():
            table.setdefault(f"{topic}@{group}", {})[queue_id] = info.to_dict()
        return {"table": table, "reviveLog": self._log_ends()}

    def _log_ends(self) -> dict[int, int]:
        """What is in the table is in the log up to there, at least."""
        return {each: self._broker.store.max_offset(self._broker.revive.topic, each) for each in self.known_to}


def _read(file: Mapping[str, Any]) -> tuple[dict[QueueKey, OrderInfo], dict[int, int] | None]:
    """`{"table":{"topic@group":{"0":{...}}},"reviveLog":{"0":17}}`; RocketMQ's file has no last member."""
    table = {}
    for topic_at_group, queues in file.get("table", {}).items():
        topic, _, group = topic_at_group.rpartition("@")
        for queue_id, info in queues.items():
            read = OrderInfo.from_json(info)
            if read.places:
                table[group, topic, int(queue_id)] = read
    if file and "reviveLog" not in file:
        return table, None
    return table, {int(each): int(known) for each, known in file.get("reviveLog", {}).items()}
