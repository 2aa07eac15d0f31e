"""What brokers ask of clients: is this transaction done, your group changed, go on elsewhere, how are you doing;
and the replies that this client waits for.

Requests for a group that does not live here are refused with code 1; brokers ask another client then.
Source: RocketMQ ClientRemotingProcessor.java; remoting sheet 2.6 and 2.10.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mq import dialect
from mq.client.members import ConsumerMember
from mq.client.request_reply import read_reply
from mq.errors import RemoteProtocolError, ResponseError
from mq.message import MessageQueue, properties, record
from mq.remoting import headers
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler

if TYPE_CHECKING:
    from mq.client.instance import Client

logger = logging.getLogger(__name__)

_CR_SUCCESS: Final = "CR_SUCCESS"
_CR_LATER: Final = "CR_LATER"
_CR_THROW_EXCEPTION: Final = "CR_THROW_EXCEPTION"


class QueueKey(NamedTuple):
    """A message queue as a key of a JSON map, named and ordered as fastjson writes it."""

    brokerName: str
    queueId: int
    topic: str

    @classmethod
    def of(cls, queue: MessageQueue) -> QueueKey:
        return cls(queue.broker_name, queue.queue_id, queue.topic)


class BrokerRequests:
    def __init__(self, client: Client) -> None:
        self._client = client

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.CHECK_TRANSACTION_STATE: self._check_transaction,
            RequestCode.NOTIFY_CONSUMER_IDS_CHANGED: self._group_changed,
            RequestCode.RESET_CONSUMER_CLIENT_OFFSET: self._reset_offsets,
            RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT: self._consumer_status,
            RequestCode.GET_CONSUMER_RUNNING_INFO: self._running_info,
            RequestCode.CONSUME_MESSAGE_DIRECTLY: self._consume_directly,
            RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT: self._reply_arrived,
        }

    def _consumer(self, group: str) -> ConsumerMember:
        consumer = self._client.consumers.get(group)
        if consumer is None:
            raise ResponseError(
                ResponseCode.SYSTEM_ERROR, f"no consumer of group {group!r} in {self._client.client_id}"
            )
        return consumer

    def _check_transaction(self, connection: Connection, command: RemotingCommand) -> RemotingCommand | None:
        header = command.header(headers.CheckTransactionStateRequestHeader)
        half = record.decode(command.body, inflate=True)
        group = half.properties.get(properties.PGROUP, "")
        producer = self._client.producers.get(group)
        if producer is None:
            raise ResponseError(
                ResponseCode.SYSTEM_ERROR, f"no producer of group {group!r} in {self._client.client_id}"
            )
        producer.check_transaction(connection, header, half)
        return None

    def _reply_arrived(self, _connection: Connection, command: RemotingCommand) -> RemotingCommand:
        self._client.replies.arrive(read_reply(command, self._client.clock.now_ms()))
        return command.respond()

    def _group_changed(self, _connection: Connection, command: RemotingCommand) -> None:
        header = command.header(headers.NotifyConsumerIdsChangedRequestHeader)
        consumer = self._client.consumers.get(header.consumer_group)
        if consumer is not None:
            consumer.rebalance_soon()

    def _reset_offsets(self, _connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(headers.ResetOffsetRequestHeader)
        offsets = {
            queue: queue_offset
            for queue, queue_offset in read_queue_offsets(command.body).items()
            if queue.topic == header.topic
        }
        logger.info("group %s: offsets of topic %s reset to %s", header.group, header.topic, offsets)
        self._consumer(header.group).reset_offsets(offsets)
        return command.respond()

    def _consumer_status(self, _connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(headers.GetConsumerStatusRequestHeader)
        offsets = self._consumer(header.group).offsets(header.topic)
        body = {"consumerTable": {}, "messageQueueTable": {QueueKey.of(queue): at for queue, at in offsets.items()}}
        return command.respond(body=dialect.dumps(body, bare_keys=True))

    def _running_info(self, _connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(headers.GetConsumerRunningInfoRequestHeader)
        info = self._consumer(header.consumer_group).running_info()
        if header.jstack_enable:
            info["jstack"] = stacks()
        return command.respond(body=dialect.dumps(info, bare_keys=True))

    async def _consume_directly(self, _connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(headers.ConsumeMessageDirectlyResultRequestHeader)
        consumer = self._consumer(header.consumer_group)
        message = record.decode(command.body, inflate=True)
        message.broker_name = header.broker_name or ""
        started_at = time.monotonic()
        outcome = await consumer.consume_directly(message)
        result: dict[str, Any] = {"autoCommit": True, "consumeResult": _CR_SUCCESS, "order": consumer.is_orderly}
        if isinstance(outcome, Exception):
            result |= {"consumeResult": _CR_THROW_EXCEPTION, "remark": f"{type(outcome).__name__}: {outcome}"}
        elif outcome.done(1) == 0:
            result["consumeResult"] = _CR_LATER
        result["spentTimeMills"] = int((time.monotonic() - started_at) * 1000)
        return command.respond(body=dialect.dumps(result))


def stacks() -> str:
    """Where every thread of this process is now: what operators get when they ask for Java's `jstack`."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"{names.get(identity, identity)}\n{''.join(traceback.format_stack(frame))}"
        for identity, frame in sys._current_frames().items()
    )


def read_queue_offsets(body: bytes) -> dict[MessageQueue, int]:
    """`offsetTable` of a ResetOffsetBody: a map keyed by queues, or (for C++ clients) a list of them.

    Raises: RemoteProtocolError: neither.
    """
    try:
        table = dialect.loads(body).get("offsetTable") or {}
        if isinstance(table, list):
            return {read_queue(entry): int(entry["offset"]) for entry in table}
        return {read_queue(dialect.loads(key)): int(queue_offset) for key, queue_offset in table.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RemoteProtocolError(f"ResetOffsetBody: {error!r}") from error


def read_queue(fields: Mapping[str, Any]) -> MessageQueue:
    """A message queue from its JSON object."""
    return MessageQueue(str(fields["topic"]), str(fields["brokerName"]), int(fields["queueId"]))
