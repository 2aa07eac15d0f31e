"""What was popped and not acknowledged in time comes again: as a message of the group's retry topic.

The revive log is the truth; the table of what is under way is what reading it gives. A start reads it again from the
first check point that is not done, so what was acknowledged before a crash stays acknowledged: an acknowledgement is
answered when it is in the log. A message that comes again and the acknowledgement of its place in the check point are
stored together. After its last retry a message is stored among the group's dead letters instead.

How far a queue of the log is done is `CID_RMQ_SYS_REVIVE_GROUP`'s offset there: that of the last entry done, as in
RocketMQ. Offsets of consumer groups are saved every few seconds only; how much of the log they took part in is the
offset of `CID_RMQ_SYS_REVIVE_TAIL`, saved with them, and a start moves them on by what came later.
Source: RocketMQ PopReviveService, PopBufferMergeService.
"""

from __future__ import annotations

import heapq
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mq.broker import check_points, delay
from mq.broker.background import Background
from mq.broker.check_points import (
    ACK_TAG,
    BATCH_ACK_TAG,
    CHECK_POINT_TAG,
    ORDER_TAG,
    REVIVE_GROUP,
    REVIVE_QUEUE_COUNT,
    REVIVE_TOPIC_PREFIX,
    AckMsg,
    Entry,
    Key,
    OrderedProgress,
    PopCheckPoint,
)
from mq.broker.pop_receipts import normal_topic, pop_retry_topic
from mq.broker.redelivery import stored_again, stored_message
from mq.broker.system_names import dead_letter_topic
from mq.errors import InvalidMessage, MessageTooLarge, RemoteProtocolError, ResponseError
from mq.message import ReceivedMessage, record
from mq.message import properties as names
from mq.message.record import RecordFields
from mq.remoting.bodies import SubscriptionGroupConfig

if TYPE_CHECKING:
    from mq.broker.app import Broker

logger = logging.getLogger(__name__)

TAIL_GROUP: Final = "CID_RMQ_SYS_REVIVE_TAIL"
#: When a check point came by RocketMQ's time wheel its acknowledgements may be that much later than it is due.
WHEEL_GRACE_MS: Final = 2000
#: The longest pause, so that a clock that jumps and an entry that is new are noticed.
TICK_S: Final = 0.1
#: How long a message waits whose retry topic cannot be made: there are too many topics. Others must not wait for it.
NO_TOPIC_PAUSE_MS: Final = 60_000
#: How long a check point waits that is due while acknowledgements of it are on their way to the disk.
ON_ITS_WAY_PAUSE_MS: Final = 100
#: Bytes that are stored again before the loop and the disk get their turn.
GROUP_BYTES: Final = 1 << 20


@dataclass(slots=True)
class Pending:
    """A check point of which something is not acknowledged: `left`, by queue offset."""

    point: PopCheckPoint
    revive_queue: int
    revive_offset: int
    left: set[int]
    #: Those of `left` whose acknowledgement is on its way to the disk: they must not come again meanwhile.
    on_its_way: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Opening:
    """While a start reads a queue of the log: the first entries that are not done, and that others do not know of."""

    not_done_from: int
    groups_know_to: int
    orders_know_to: int


class ReviveService:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.topic = REVIVE_TOPIC_PREFIX + broker.config.cluster_name
        self._background = Background("the revival of popped messages", self.round)
        self._pending: dict[Key, Pending] = {}
        self._due: list[tuple[int, Key]] = []
        self._read_to = dict.fromkeys(range(REVIVE_QUEUE_COUNT), 0)
        #: By queue of the log, the check points that are not done, in their order there.
        self._open: dict[int, OrderedDict[int, Key]] = {each: OrderedDict() for each in self._read_to}
        self._opening: _Opening | None = None
        self._has_appended = False

    def __len__(self) -> int:
        return len(self._pending)

    async def start(self) -> None:
        self.open()
        self._background.start()

    async def stop(self) -> None:
        await self._background.stop()
        self.read()
        self._save_progress()

    # ---- the log and the table

    def open(self) -> None:
        """Read the log from the first check point not done, and move consumer groups on by what they were given."""
        offsets, store, orders = self._broker.offsets, self._broker.store, self._broker.orders
        for queue_id in self._read_to:
            done = offsets.get(REVIVE_GROUP, self.topic, queue_id)
            tail = offsets.get(TAIL_GROUP, self.topic, queue_id)
            if tail < 0:  # a log that RocketMQ wrote, with offsets of its own; or none that was saved yet
                tail = store.max_offset(self.topic, queue_id) if done >= 0 else 0
            self._opening = _Opening(done + 1, tail, orders.known_to[queue_id])
            begin = min(done + 1, tail, self._opening.orders_know_to)
            self._read_to[queue_id] = max(begin, store.min_offset(self.topic, queue_id))
            self._read_queue(queue_id)
            self._opening = None
            offsets.commit(TAIL_GROUP, self.topic, queue_id, self._read_to[queue_id])

    def append(self, entry: Entry, revive_queue: int) -> None:
        """Put an entry into the log. Raises: StoreNotWritable."""
        self._broker.store.append(self.to_record(entry, revive_queue))

    def append_by_wheel(self, entry: Entry, revive_queue: int, deliver_at_ms: int) -> None:
        """Have an entry come into the log later. Raises: StoreNotWritable.  ResponseError: there is no time wheel."""
        fields = self.to_record(entry, revive_queue, deliver_at_ms)
        properties, now_ms = names.decode(fields.properties_text), self._broker.clock.now_ms()
        self._broker.store.append(delay.redirect(fields, properties, now_ms=now_ms, config=self._broker.config))

    def to_record(self, entry: Entry, revive_queue: int, deliver_at_ms: int | None = None) -> RecordFields:
        now_ms = self._broker.clock.now_ms()
        return check_points.to_record(
            entry,
            revive_topic=self.topic,
            revive_queue=revive_queue,
            now_ms=now_ms,
            deliver_at_ms=now_ms if deliver_at_ms is None else deliver_at_ms,
            host=self._broker.store_host,
        )

    def find(self, key: Key) -> Pending | None:
        """The check point, unless all of it is acknowledged or came again."""
        self.read()
        return self._pending.get(key)

    def read(self) -> None:
        """Bring the table up to what is in the log."""
        for queue_id in self._read_to:
            self._read_queue(queue_id)

    def _read_queue(self, queue_id: int) -> None:
        store = self._broker.store
        while self._read_to[queue_id] < store.max_offset(self.topic, queue_id):
            result = store.get(self.topic, queue_id, self._read_to[queue_id], max_count=1000, max_bytes=1 << 20)
            for data in result.records:
                message = record.decode(data)
                try:
                    self._apply(message)
                except RemoteProtocolError as error:
                    logger.error("entry %d of %s is skipped: %s", message.queue_offset, self.topic, error)
            self._read_to[queue_id] = result.next_offset

    def _apply(self, message: ReceivedMessage) -> None:
        tag, opening = message.properties.get(names.TAGS), self._opening
        if tag == ORDER_TAG:
            if opening is not None:
                self._apply_order(OrderedProgress.from_json(message.body), message.queue_offset, opening)
        elif opening is not None and message.queue_offset < opening.not_done_from:
            return
        elif tag == CHECK_POINT_TAG:
            point = PopCheckPoint.from_json(message.body)
            if opening is not None and message.queue_offset >= opening.groups_know_to:
                self._move_group_on(point.group, point.topic, point.queue_id, max(point.queue_offsets, default=-1) + 1)
            came_by_wheel = names.TIMER_OUT_MS in message.properties
            self._add(point, message, point.due_ms + (WHEEL_GRACE_MS if came_by_wheel else 0))
        elif tag in (ACK_TAG, BATCH_ACK_TAG):
            ack = AckMsg.from_json(message.body)
            pending = self._pending.get(ack.key)
            if pending is not None:
                self._acknowledged(pending, [ack.queue_offset] if ack.queue_offsets is None else ack.queue_offsets)

    def _apply_order(self, entry: OrderedProgress, queue_offset: int, opening: _Opening) -> None:
        if queue_offset >= opening.groups_know_to:
            self._move_group_on(entry.group, entry.topic, entry.queue_id, entry.next_offset)
        if queue_offset >= opening.orders_know_to:
            self._broker.orders.apply(entry)

    def _add(self, point: PopCheckPoint, message: ReceivedMessage, due_ms: int) -> None:
        if point.key in self._pending or not point.queue_offsets:
            return
        self._pending[point.key] = Pending(point, message.queue_id, message.queue_offset, set(point.queue_offsets))
        self._open[message.queue_id][message.queue_offset] = point.key
        heapq.heappush(self._due, (due_ms, point.key))

    def _acknowledged(self, pending: Pending, queue_offsets: list[int]) -> None:
        pending.left.difference_update(queue_offsets)
        if not pending.left:
            del self._pending[pending.point.key]
            del self._open[pending.revive_queue][pending.revive_offset]

    def _move_group_on(self, group: str, topic: str, queue_id: int, position: int) -> None:
        if position > self._broker.offsets.get(group, topic, queue_id):
            self._broker.offsets.commit(group, topic, queue_id, position)

    # ---- what comes again

    async def round(self) -> float:
        """Store again what is due now; returns the seconds until the next check point is."""
        self.read()
        taken_bytes = 0
        while taken_bytes < GROUP_BYTES and self._due and self._due[0][0] <= self._broker.clock.now_ms():
            key = self._due[0][1]
            try:
                if key in self._pending:
                    taken_bytes += self._revive(self._pending[key])
                if key in self._pending:
                    heapq.heappush(self._due, (self._broker.clock.now_ms() + ON_ITS_WAY_PAUSE_MS, key))
            except ResponseError as error:
                logger.error("what was popped from %s comes again in a minute: %s", key.topic, error)
                heapq.heappush(self._due, (self._broker.clock.now_ms() + NO_TOPIC_PAUSE_MS, key))
            heapq.heappop(self._due)
        if self._has_appended:
            await self._broker.store.durable()
            self._has_appended = False
        self._save_progress()
        if not self._due:
            return TICK_S
        return min(TICK_S, max(0.0, (self._due[0][0] - self._broker.clock.now_ms()) / 1000))

    def _save_progress(self) -> None:
        """All entries before a queue's first open check point are done; consumer groups know of all that are read."""
        for queue_id, open_points in self._open.items():
            first = next(iter(open_points), self._read_to[queue_id])
            self._broker.offsets.commit(REVIVE_GROUP, self.topic, queue_id, first - 1)
            self._broker.offsets.commit(TAIL_GROUP, self.topic, queue_id, self._read_to[queue_id])

    def _revive(self, pending: Pending) -> int:
        """Store what is left of a check point again; returns the bytes it took.

        Raises: StoreNotWritable: what was stored so far is not left any more.
        """
        broker, point = self._broker, pending.point
        group = broker.groups.get(point.group)
        total = 0
        for queue_offset in sorted(pending.left - pending.on_its_way):
            entries = broker.store.entries(point.topic, point.queue_id, queue_offset, 1)
            batch = [self.to_record(check_points.ack_of(point.key, [queue_offset], self._name), pending.revive_queue)]
            if entries and group is not None and broker.topics.get(point.topic) is not None:
                try:
                    message = stored_message(broker.store, entries[0].commit_log_offset)
                    batch.insert(0, self._again(message, point, group))
                except (InvalidMessage, MessageTooLarge) as error:
                    logger.error("message %d of %s cannot come again: %s", queue_offset, point.topic, error)
            self._has_appended = True
            total += sum(result.record_bytes for result in broker.store.append_batch(batch))
            self._acknowledged(pending, [queue_offset])
        return total

    def _again(self, message: ReceivedMessage, point: PopCheckPoint, group: SubscriptionGroupConfig) -> RecordFields:
        """The message for its next try, or as a dead letter after the last."""
        topics = self._broker.topics
        properties = {names.FIRST_POP_TIME: str(point.pop_time_ms)} | message.properties
        if message.reconsume_times >= group.retry_max_times:
            topic = topics.ensure(dead_letter_topic(point.group)).topic_name
            properties = {
                names.RETRY_TOPIC: normal_topic(point.topic, point.group),
                names.ORIGIN_MESSAGE_ID: message.offset_message_id,
            } | properties
        else:
            is_v2 = self._broker.config.retry_topic_v2
            topic = topics.ensure(pop_retry_topic(point.topic, point.group, is_v2=is_v2)).topic_name
        if len(names.encode(properties)) > names.MAX_PROPERTIES_BYTES:
            properties = message.properties  # what we would add must not keep it from coming again
        fields = stored_again(message, topic=topic, queue_id=0, properties=properties)
        fields.reconsume_times = message.reconsume_times + 1
        return fields

    @property
    def _name(self) -> str:
        return self._broker.config.broker_name
