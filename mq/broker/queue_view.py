"""A look into a consume queue (code 321): its entries as they lie there, and which of them a group would get.

Source: RocketMQ AdminBrokerProcessor.queryConsumeQueue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mq import dialect
from mq.broker.subscription import Subscription
from mq.errors import ResponseError
from mq.message.record import properties_text
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import QueryConsumeQueueRequestHeader
from mq.store.consume_queue import QueueEntry

if TYPE_CHECKING:
    from mq.broker.app import Broker

#: Entries in one answer.
MAX_COUNT: Final = 1000


class QueueViewProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.QUERY_CONSUME_QUEUE: self._view}

    def _view(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(QueryConsumeQueueRequestHeader)
        store, topic, queue_id = self._broker.store, header.topic, header.queue_id
        if queue_id not in store.queues().get(topic, ()):
            raise ResponseError(ResponseCode.SYSTEM_ERROR, f"{queue_id}@{topic} is not exist!")
        online = self._broker.consumers.group(header.consumer_group or "")
        subscribed = online.subscriptions.get(topic) if online else None
        first = max(header.index, store.min_offset(topic, queue_id))
        entries = [
            {
                "eval": self._would_get(subscribed, entry),
                "physicOffset": entry.commit_log_offset,
                "physicSize": entry.record_bytes,
                "tagsCode": entry.tag_code,
            }
            for entry in store.entries(topic, queue_id, first, min(max(header.count, 0), MAX_COUNT))
        ]
        body: dict[str, Any] = {
            "maxQueueIndex": store.max_offset(topic, queue_id),
            "minQueueIndex": store.min_offset(topic, queue_id),
            "queueData": entries,
        }
        if subscribed is not None:
            body["subscriptionData"] = subscribed.data.to_dict()
        elif header.consumer_group:
            body["filterData"] = f"{header.consumer_group}@{topic} is not online!"
        return command.respond(body=dialect.dumps(dict(sorted(body.items()))))

    def _would_get(self, subscribed: Subscription | None, entry: QueueEntry) -> bool:
        """Nothing matches a wrong expression, or a record that is not there any more."""
        if subscribed is None:
            return True
        if isinstance(subscribed.outcome, ResponseError):
            return False
        record = self._broker.store.record_at(entry.commit_log_offset)
        return record is not None and subscribed.outcome.accepts(entry.tag_code, properties_text(record))
