"""What brokers answer to administrators, read into types.

Units: offsets count messages, `*_ms` are epoch milliseconds, `*_tps` messages per second.
Source: RocketMQ remoting/protocol/body and admin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from mq import dialect
from mq.client.broker_requests import read_queue
from mq.errors import RemoteProtocolError
from mq.message import MessageQueue
from mq.remoting.bodies import Body, SubscriptionData

Value = TypeVar("Value")


class TopicOffset(NamedTuple):
    """Where a queue begins and ends; `last_update_ms` is when its last message was stored, 0 for none."""

    min_offset: int
    max_offset: int
    last_update_ms: int


class TopicStats(NamedTuple):
    queues: dict[MessageQueue, TopicOffset]
    put_tps: float

    @classmethod
    def from_json(cls, data: bytes) -> TopicStats:
        body = dialect.loads(data)
        queues = by_queue(
            body.get("offsetTable"),
            lambda one: TopicOffset(int(one["minOffset"]), int(one["maxOffset"]), int(one["lastUpdateTimestamp"])),
        )
        return cls(queues, float(body.get("topicPutTps") or 0))


class GroupOffset(NamedTuple):
    """How far a group is in one queue; `last_ms` is when the last message it consumed was stored."""

    broker_offset: int
    consumer_offset: int
    pull_offset: int
    last_ms: int

    @property
    def lag(self) -> int:
        return self.broker_offset - self.consumer_offset

    @property
    def inflight(self) -> int:
        """Messages that were pulled and are not committed."""
        return self.pull_offset - self.consumer_offset


class ConsumeStats(NamedTuple):
    queues: dict[MessageQueue, GroupOffset]
    tps: float

    @property
    def lag(self) -> int:
        return sum(queue.lag for queue in self.queues.values())

    @classmethod
    def from_json(cls, data: bytes | Mapping[str, Any]) -> ConsumeStats:
        body = dialect.loads(data) if isinstance(data, bytes) else data
        return cls(by_queue(body.get("offsetTable"), _group_offset), float(body.get("consumeTps") or 0))


def _group_offset(one: Mapping[str, Any]) -> GroupOffset:
    # Brokers before 5.0 tell no pull offset.
    consumer_offset = int(one["consumerOffset"])
    pull_offset = int(one.get("pullOffset") or consumer_offset)
    return GroupOffset(int(one["brokerOffset"]), consumer_offset, pull_offset, int(one.get("lastTimestamp") or 0))


class ConnectionInfo(Body):
    client_id: str
    client_addr: str = ""
    language: str = ""
    version: int = 0


class ProducerConnection(Body):
    connection_set: list[ConnectionInfo] = msgspec.field(default_factory=list)


class ConsumerConnection(Body):
    connection_set: list[ConnectionInfo] = msgspec.field(default_factory=list)
    consume_type: str = ""
    message_model: str = ""
    consume_from_where: str = ""
    subscription_table: dict[str, SubscriptionData] = msgspec.field(default_factory=dict)


class ProducerInfo(Body):
    client_id: str
    remote_ip: str = msgspec.field(name="remoteIP", default="")
    language: str = ""
    version: int = 0
    last_update_timestamp: int = 0


class ProducerTableInfo(Body):
    data: dict[str, list[ProducerInfo]] = msgspec.field(default_factory=dict)


class StatsItem(Body):
    sum: int = 0
    tps: float = 0.0
    avgpt: float = 0.0


class BrokerStatsData(Body):
    """A statistic over the last minute, hour and day."""

    stats_minute: StatsItem = msgspec.field(default_factory=StatsItem)
    stats_hour: StatsItem = msgspec.field(default_factory=StatsItem)
    stats_day: StatsItem = msgspec.field(default_factory=StatsItem)


class QueueEntryView(Body):
    physic_offset: int = 0
    physic_size: int = 0
    tags_code: int = 0
    eval: bool = False
    extend_data_json: str | None = None
    msg: str | None = None


class QueueView(Body):
    """Entries of a consume queue as they lie there."""

    min_queue_index: int = 0
    max_queue_index: int = 0
    queue_data: list[QueueEntryView] = msgspec.field(default_factory=list)
    subscription_data: SubscriptionData | None = None
    filter_data: str | None = None


def by_queue(table: Mapping[str, Any] | None, read: Callable[[Any], Value]) -> dict[MessageQueue, Value]:
    """A map that Java keys by message queues, in the order of the queues.

    Raises: RemoteProtocolError: it is no such map.
    """
    try:
        found = {read_queue(dialect.loads(key)): read(value) for key, value in (table or {}).items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RemoteProtocolError(f"a map keyed by message queues: {error!r}") from error
    return dict(sorted(found.items()))
