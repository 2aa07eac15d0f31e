"""The entries of the revive log: what was popped (a check point), what of it was acknowledged, and how far an order is.

They are messages of the topic `rmq_sys_REVIVE_LOG_<cluster>`, told apart by their tag, each with one JSON object as
body. RocketMQ puts them there when they are nearly due, by its time wheel; here they go there at once, which it reads
as well: `TIMER_DELIVER_MS` tells it when they came. Entries about an order are ours, and RocketMQ passes over them.
Source: RocketMQ PopCheckPoint, AckMsg, BatchAckMsg, PopAckConstants, PopMessageProcessor.buildCkMsg.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from mq.broker.order_info import OrderInfo
from mq.message import Host
from mq.message import properties as names
from mq.message.record import RecordFields
from mq.remoting.bodies import Body

CHECK_POINT_TAG: Final = "ck"
ACK_TAG: Final = "ack"
BATCH_ACK_TAG: Final = "bAck"
ORDER_TAG: Final = "order"

REVIVE_TOPIC_PREFIX: Final = "rmq_sys_REVIVE_LOG_"
REVIVE_QUEUE_COUNT: Final = 8
REVIVE_GROUP: Final = "CID_RMQ_SYS_REVIVE_GROUP"
#: A check point's bits of what is acknowledged are those of an `int`.
MAX_MESSAGES: Final = 32


class Key(NamedTuple):
    """What names a check point; a receipt holds all of it."""

    topic: str
    group: str
    queue_id: int
    start_offset: int
    pop_time_ms: int


class PopCheckPoint(Body):
    """Messages of one queue that were given to one consumer: those at `start_offset` plus each of `diffs`."""

    topic: str = msgspec.field(name="t")
    group: str = msgspec.field(name="c")
    queue_id: int = msgspec.field(name="q")
    start_offset: int = msgspec.field(name="so")
    pop_time_ms: int = msgspec.field(name="pt")
    invisible_ms: int = msgspec.field(name="it")
    count: int = msgspec.field(name="n")
    diffs: list[int] = msgspec.field(name="d", default_factory=list)
    broker_name: str | None = msgspec.field(name="bn", default=None)
    bit_map: int = msgspec.field(name="bm", default=0)
    revive_offset: int = msgspec.field(name="ro", default=0)

    @property
    def key(self) -> Key:
        return Key(self.topic, self.group, self.queue_id, self.start_offset, self.pop_time_ms)

    @property
    def due_ms(self) -> int:
        return self.pop_time_ms + self.invisible_ms

    @property
    def queue_offsets(self) -> list[int]:
        """Check points of old brokers have no differences: theirs are neighbours."""
        return [self.start_offset + diff for diff in (self.diffs or range(min(self.count, MAX_MESSAGES)))]


class AckMsg(Body):
    """One acknowledged message, or with `queue_offsets` several, of one check point."""

    topic: str = msgspec.field(name="t")
    group: str = msgspec.field(name="c")
    queue_id: int = msgspec.field(name="q")
    start_offset: int = msgspec.field(name="so")
    pop_time_ms: int = msgspec.field(name="pt")
    queue_offset: int = msgspec.field(name="ao")
    queue_offsets: list[int] | None = msgspec.field(name="aol", default=None)
    broker_name: str | None = msgspec.field(name="bn", default=None)

    @property
    def key(self) -> Key:
        return Key(self.topic, self.group, self.queue_id, self.start_offset, self.pop_time_ms)


class OrderedProgress(Body):
    """A group that consumes a queue in order goes on at `next_offset`; until it may, `info` locks the queue."""

    topic: str = msgspec.field(name="t")
    group: str = msgspec.field(name="c")
    queue_id: int = msgspec.field(name="q")
    next_offset: int = msgspec.field(name="no")
    info: OrderInfo = msgspec.field(name="oi")


Entry = PopCheckPoint | AckMsg | OrderedProgress


def ack_of(key: Key, queue_offsets: list[int], broker_name: str) -> AckMsg:
    ack = AckMsg(*key, queue_offset=queue_offsets[0], broker_name=broker_name)
    if len(queue_offsets) > 1:
        ack.queue_offset, ack.queue_offsets = -1, queue_offsets
    return ack


def to_record(
    entry: Entry, *, revive_topic: str, revive_queue: int, now_ms: int, deliver_at_ms: int, host: Host
) -> RecordFields:
    """The message that is stored for an entry of the log."""
    tag, unique = _names_of(entry)
    text = names.encode(
        {
            names.TAGS: tag,
            names.UNIQ_KEY: f"{unique}@{tag}",
            names.TIMER_DELIVER_MS: str(deliver_at_ms),
            names.WAIT: "true",
        }
    )
    return RecordFields(
        topic=revive_topic,
        queue_id=revive_queue,
        body=entry.to_json(),
        properties_text=text,
        sys_flag=0,
        flag=0,
        born_timestamp_ms=now_ms,
        born_host=host,
        reconsume_times=0,
    )


def _names_of(entry: Entry) -> tuple[str, str]:
    """The tag, and the first part of the unique key."""
    if isinstance(entry, OrderedProgress):
        queue = f"{entry.topic}@{entry.queue_id}@{entry.next_offset}@{entry.group}"
        return ORDER_TAG, f"{queue}@{entry.info.pop_time_ms}@{entry.info.acknowledged}"
    if isinstance(entry, PopCheckPoint):
        place = f"{entry.topic}@{entry.queue_id}@{entry.start_offset}"
        return CHECK_POINT_TAG, f"{place}@{entry.group}@{entry.pop_time_ms}"
    tag = ACK_TAG if entry.queue_offsets is None else BATCH_ACK_TAG
    last = entry.queue_offset if entry.queue_offsets is None else entry.queue_offsets[-1]
    return tag, f"{entry.topic}@{entry.queue_id}@{entry.start_offset}@{last}@{entry.group}@{entry.pop_time_ms}"
