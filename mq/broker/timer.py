"""Messages to be delivered at a moment: from their topic onto the time wheel, and from there to where they belong.

A round of the service reads what is new in `rmq_sys_wheel_timer`, delivers every slot that is over, and now and then
brings the wheel to disk. A slot counts as delivered when its messages are on disk under their own topics; after a crash
those of the last moments are delivered twice, none is lost, and none is early. Delivery goes in groups small enough
that other work of the loop is not held up, however many fall due when the clock jumps.

A timer more than two days ahead rolls: it is stored again in the timer topic half way, before retention takes it.
Simpler than RocketMQ: no threads, no flow control per slot, and a store that fails is tried again until it works.
Source: RocketMQ store/timer/TimerMessageStore.java.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from mq.broker.background import Background
from mq.broker.delay import TIMER_QUEUE_ID, TIMER_TOPIC
from mq.broker.redelivery import stored_again, stored_message, to_real_topic
from mq.errors import CorruptRecord, InvalidMessage, MessageTooLarge
from mq.message import ReceivedMessage
from mq.message import properties as names
from mq.message.record import RecordFields
from mq.store.abort_mark import LastStop
from mq.store.timer_checkpoint import TimerCheckpoint
from mq.store.timer_index import TimerIndex
from mq.store.timer_log import MAGIC_DEFAULT, MAGIC_DELETE, MAGIC_ROLL, TimerRecord
from mq.store.timer_wheel import Slot

if TYPE_CHECKING:
    from mq.broker.app import Broker

logger = logging.getLogger(__name__)

#: What is handled before the loop gets its turn.
GROUP_COUNT: Final = 200
GROUP_BYTES: Final = 8 << 20
#: A round that delivers for longer than this lets new timers in first.
ROUND_S: Final = 0.5
#: The longest pause, so that a clock that jumps is noticed.
TICK_S: Final = 0.1
FLUSH_INTERVAL_S: Final = 1.0
_SLOTS_AT_ONCE: Final = 4096


@dataclass(slots=True)
class Waiting:
    """A slot that is due: the log positions of its messages, oldest first, and how many of them are stored again."""

    slot: Slot
    positions: array[int]
    done: int = 0

    @property
    def is_done(self) -> bool:
        return self.done == len(self.positions)

    @property
    def position(self) -> int:
        return self.positions[self.done]

    @property
    def count(self) -> int:
        return len(self.positions) - self.done


class TimerService:
    def __init__(self, broker: Broker) -> None:
        config = broker.config
        self._config = config
        self._clock = broker.clock
        self._store = broker.store
        self._index = TimerIndex(
            config.store_root.expanduser(),
            precision_ms=config.timer_precision_ms,
            log_file_bytes=config.timer_log_file_bytes,
        )
        self._background = Background("timers", self.round)
        self._flush_at_s = 0.0
        #: Held while another thread writes the index to disk: nobody may read it then.
        self._index_in_use = asyncio.Lock()
        self.delivered_count = 0

    async def start(self) -> None:
        if self._config.timer_wheel_enable:
            await self.open()
            self._background.start()

    async def stop(self) -> None:
        if self._config.timer_wheel_enable:
            await self._background.stop()
            try:
                await self.close()
            except OSError as error:
                logger.error("the wheel could not be written, some timers may be delivered twice: %s", error)

    async def open(self) -> None:
        """Take up where the files say."""
        now_ms = self._clock.now_ms()
        self._index.open(
            now_ms=now_ms,
            queue_range=self._queue_range(),
            queue_offset_of=self._queue_offset_of,
            is_clean=self._store.last_stop is LastStop.CLEAN,
        )
        await asyncio.to_thread(self._index.flush, now_ms)

    async def close(self) -> None:
        """Leave wheel, log and checkpoint as a start, ours or RocketMQ's, wants to find them."""
        await asyncio.to_thread(self._index.flush, self._clock.now_ms())
        self._index.close()

    async def round(self) -> float:
        """Take in, deliver, flush; returns the seconds until there may be more to do."""
        has_more = self._take_in()
        try:
            has_more |= await self._deliver(self._clock.now_ms())
        except CorruptRecord as error:
            self._index.start_over(self._queue_range()[0], str(error))
            has_more = True
        await self._flush()
        until_next_slot_ms = self._config.timer_precision_ms - self._clock.now_ms() % self._config.timer_precision_ms
        return 0.0 if has_more else min(TICK_S, until_next_slot_ms / 1000)

    async def _flush(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._index.is_dirty and now_s >= self._flush_at_s:
            oldest = self._store.min_commit_log_offset
            async with self._index_in_use:
                await asyncio.to_thread(self._index.flush, self._clock.now_ms(), oldest)
            self._flush_at_s = now_s + FLUSH_INTERVAL_S

    # ---- from the topic onto the wheel

    def _take_in(self) -> bool:
        """Put the next messages of the topic on the wheel; True when there are more."""
        index = self._index
        index.queue_offset = max(index.queue_offset, self._queue_range()[0])
        entries = self._store.entries(TIMER_TOPIC, TIMER_QUEUE_ID, index.queue_offset, GROUP_COUNT)
        for entry in entries:
            try:
                is_placed = self._place(stored_message(self._store, entry.commit_log_offset))
            except InvalidMessage as error:
                logger.error("timer %d of %s is skipped: %s", index.queue_offset, TIMER_TOPIC, error)
                is_placed = True
            if not is_placed:
                return True
            index.queue_offset += 1
        return len(entries) == GROUP_COUNT

    def _place(self, message: ReceivedMessage) -> bool:
        out_ms = message.properties.get(names.TIMER_OUT_MS, "")
        if not out_ms.isdecimal():
            raise InvalidMessage(f"message {message.message_id} has no {names.TIMER_OUT_MS}")
        precision_ms, now_ms = self._config.timer_precision_ms, self._clock.now_ms()
        slot, now_slot = int(out_ms) // precision_ms, now_ms // precision_ms
        if self._index.was_delivered(slot):
            return True
        magic = MAGIC_DEFAULT | (MAGIC_DELETE if names.TIMER_DEL_UNIQKEY in message.properties else 0)
        window = self._config.timer_roll_window_slots
        if slot - now_slot >= window:
            # Not the whole way when little would remain: a last roll needs time as well.
            is_near = slot - now_slot < window + window // 3
            slot, magic = now_slot + (window // 2 if is_near else window), magic | MAGIC_ROLL
        return self._index.put(
            slot,
            now_ms=now_ms,
            magic=magic,
            commit_log_offset=message.commit_log_offset,
            record_bytes=message.record_bytes,
            topic_hash=names.java_hash(message.properties.get(names.REAL_TOPIC, "")),
        )

    # ---- from the wheel to where they belong

    async def _deliver(self, now_ms: int) -> bool:
        """Deliver what is due; True when it was too much for one round."""
        index = self._index
        deadline_s = asyncio.get_running_loop().time() + ROUND_S
        for slots in _groups(index.due(now_ms)):
            group = [Waiting(slot, await self._positions(slot)) for slot in slots]
            while group and not self._background.is_stopping:
                await self._deliver_some(group, now_ms)
                group = [waiting for waiting in group if not waiting.is_done]
            if self._background.is_stopping or asyncio.get_running_loop().time() > deadline_s:
                return True
        index.read_slot = max(index.read_slot, index.last_due_slot(now_ms) + 1)
        return False

    async def _positions(self, slot: Slot) -> array[int]:
        """Log positions of the slot's messages, oldest first, without those that another record of it takes back."""
        positions, taken_back = array("q"), set[str]()
        for position, record in self._index.chain(slot):
            if record.magic & MAGIC_DELETE and not record.magic & MAGIC_ROLL:
                message = self._message(record)
                taken_back.add(message.properties[names.TIMER_DEL_UNIQKEY] if message else "")
            else:
                positions.append(position)
            if len(positions) % 1000 == 999:
                await asyncio.sleep(0)
        positions.reverse()
        return array("q", self._without(positions, taken_back)) if taken_back else positions

    def _without(self, positions: array[int], taken_back: set[str]) -> Iterator[int]:
        for position in positions:
            record = self._index.log.read(position)
            message = self._message(record) if record else None
            key = message.properties.get(names.UNIQ_KEY, "") if message else ""
            real_topic = message.properties.get(names.REAL_TOPIC, "") if message else ""
            # Until 5.2 the key stood alone, since then behind the topic.
            if key not in taken_back and f"{real_topic}+{key}" not in taken_back:
                yield position

    async def _deliver_some(self, group: list[Waiting], now_ms: int) -> None:
        """Store one group's messages under their own topics and note, when they are on disk, how far the slots are."""
        try:
            self._append_some(group, now_ms)
        finally:  # the store may refuse half way: what it has taken must not be delivered again
            await self._store.durable()
            for waiting in group:
                if not waiting.is_done:
                    self._index.delivered_until(waiting.slot, waiting.position, waiting.count)
                    break
                self._index.delivered(waiting.slot)
        await self._flush()

    def _append_some(self, group: list[Waiting], now_ms: int) -> None:
        count, appended_bytes = 0, 0
        for waiting in group:
            while not waiting.is_done:
                if count == GROUP_COUNT or appended_bytes > GROUP_BYTES:
                    return
                appended_bytes += self._append(waiting.position, now_ms)
                waiting.done += 1
                self.delivered_count += 1
                count += 1

    def _append(self, position: int, now_ms: int) -> int:
        """Store the message behind a log record again; returns the bytes that takes."""
        record = self._index.log.read(position)
        message = self._message(record) if record is not None else None
        if record is None or message is None:
            return 0
        try:
            return self._store.append(self._fields(message, record, now_ms)).record_bytes
        except (InvalidMessage, MessageTooLarge) as error:
            logger.error("timer %s cannot be delivered and is skipped: %s", message.message_id, error)
            return 0

    def _fields(self, message: ReceivedMessage, record: TimerRecord, now_ms: int) -> RecordFields:
        properties = message.properties
        stamps = {names.TIMER_ENQUEUE_MS: str(record.write_time_ms), names.TIMER_DEQUEUE_MS: str(now_ms)}
        if record.magic & MAGIC_ROLL:
            rolls = properties.get(names.TIMER_ROLL_TIMES, "")
            stamps[names.TIMER_ROLL_TIMES] = str(int(rolls) + 1 if rolls.isdecimal() else 1)
            fields = stored_again(message, topic=TIMER_TOPIC, queue_id=TIMER_QUEUE_ID, properties=properties | stamps)
        else:
            fields = to_real_topic(message, properties | stamps)
        if len(fields.properties_text) > names.MAX_PROPERTIES_BYTES:
            fields.properties_text = names.encode(properties)  # as good as full: the stamps are for people only
        return fields

    def _message(self, record: TimerRecord) -> ReceivedMessage | None:
        try:
            return stored_message(self._store, record.commit_log_offset)
        except InvalidMessage as error:
            logger.error("a timer cannot be delivered: %s", error)
            return None

    # ---- how it is doing

    def checkpoint(self) -> TimerCheckpoint:
        return self._index.checkpoint(self._clock.now_ms())

    def behind_s(self) -> int:
        """Since when the oldest slot that is due has been waiting, in seconds; 0 when none is."""
        late_slots = self._index.last_due_slot(self._clock.now_ms()) + 1 - self._index.read_slot
        return max(0, late_slots * self._config.timer_precision_ms // 1000)

    def unread_count(self) -> int:
        """Messages of the topic that are not on the wheel yet."""
        return max(0, self._queue_range()[1] - self._index.queue_offset)

    async def waiting_by_topic_hash(self) -> Counter[int]:
        """How many timers wait for each topic, by the hash of its name; those taken back are not counted.

        Reads the whole wheel, some 4000 slots or 1000 timers between two turns of the loop.
        """
        counts: Counter[int] = Counter()
        first = self._index.read_slot
        for start in range(first, first + self._index.wheel.slot_count, _SLOTS_AT_ONCE):
            last = min(start + _SLOTS_AT_ONCE, first + self._index.wheel.slot_count) - 1
            async with self._index_in_use:
                slots = list(self._index.wheel.occupied(start, last))
            for slot in slots:
                await self._count_slot(slot, counts)
            await asyncio.sleep(0)
        return counts

    async def _count_slot(self, slot: Slot, counts: Counter[int]) -> None:
        chain = self._index.chain(slot)
        try:
            while True:
                async with self._index_in_use:
                    some = [record for _, record in islice(chain, 1000)]
                for record in some:
                    counts[record.topic_hash] += -1 if record.magic & MAGIC_DELETE else 1
                if len(some) < 1000:
                    return
                await asyncio.sleep(0)
        except CorruptRecord:
            return  # the slot was delivered meanwhile and its log file is gone, or the next round reports it

    # ---- the topic

    def _queue_range(self) -> tuple[int, int]:
        return (
            self._store.min_offset(TIMER_TOPIC, TIMER_QUEUE_ID),
            self._store.max_offset(TIMER_TOPIC, TIMER_QUEUE_ID),
        )

    def _queue_offset_of(self, record: TimerRecord) -> int | None:
        try:
            message = stored_message(self._store, record.commit_log_offset)
        except InvalidMessage:
            return None
        is_timer = message.topic == TIMER_TOPIC and message.record_bytes == record.record_bytes
        return message.queue_offset if is_timer else None


def _groups(slots: Iterator[Slot]) -> Iterator[list[Slot]]:
    """Neighboring slots together, as long as they hold no more than a group's messages."""
    group: list[Slot] = []
    count = 0
    for slot in slots:
        if group and count + slot.record_count > GROUP_COUNT:
            yield group
            group, count = [], 0
        group.append(slot)
        count += slot.record_count
    if group:
        yield group
