"""What a client asks of one broker: a method per request code, typed answers, refusals as `ResponseError`.

Where to send a question is the caller's choice; nothing here is retried.
Source: RocketMQ MQClientAPIImpl.java; remoting sheet 2 and 5.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from mq.client.results import PullResult, PullStatus
from mq.errors import RemoteProtocolError, ResponseError
from mq.message import MessageQueue, ReceivedMessage, compression, record, sys_flag
from mq.remoting import bodies, headers
from mq.remoting.client import RemotingClient
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand

#: Send-backs do more at the broker than the rest (read, write, sync), so they may take longer.
_SEND_BACK_TIMEOUT_S: Final = 5.0
_QUERY_TIMEOUT_S: Final = 12.0

_PULL_STATUS = {status.value: status for status in PullStatus}


class BrokerCalls:
    def __init__(self, remoting: RemotingClient, timeout_s: float) -> None:
        self.remoting = remoting
        self._timeout_s = timeout_s

    async def call(
        self,
        address: str,
        code: RequestCode,
        header: msgspec.Struct | None = None,
        body: bytes = b"",
        *,
        timeout_s: float | None = None,
    ) -> RemotingCommand:
        """The answer to one request.

        Raises: ResponseError: the broker said no.  ConnectionLost, RequestTimeout: it said nothing.
        """
        command = RemotingCommand.request(code, header, body)
        response = await self.remoting.invoke(address, command, timeout_s=timeout_s or self._timeout_s)
        if response.code != ResponseCode.SUCCESS:
            raise ResponseError(response.code, response.remark)
        return response

    # ---- clients and groups

    async def heartbeat(self, address: str, data: bodies.HeartbeatData) -> None:
        await self.call(address, RequestCode.HEART_BEAT, body=data.to_json())

    async def unregister(self, address: str, client_id: str, *, producer: str | None, consumer: str | None) -> None:
        header = headers.UnregisterClientRequestHeader(
            client_id=client_id, producer_group=producer, consumer_group=consumer
        )
        await self.call(address, RequestCode.UNREGISTER_CLIENT, header)

    async def check_client(
        self, address: str, client_id: str, group: str, subscription: bodies.SubscriptionData
    ) -> None:
        """Ask whether the broker understands a subscription.

        Raises: ResponseError: 23 with the reason it does not; 1: it does not filter by such expressions.
        """
        body = bodies.CheckClientRequestBody(client_id=client_id, group=group, subscription_data=subscription)
        await self.call(address, RequestCode.CHECK_CLIENT_CONFIG, body=body.to_json())

    async def consumer_ids(self, address: str, group: str) -> list[str]:
        header = headers.GetConsumerListByGroupRequestHeader(consumer_group=group)
        response = await self.call(address, RequestCode.GET_CONSUMER_LIST_BY_GROUP, header)
        return bodies.GetConsumerListByGroupResponseBody.from_json(response.body).consumer_id_list

    async def lock(
        self, address: str, group: str, client_id: str, queues: Iterable[MessageQueue]
    ) -> frozenset[MessageQueue]:
        """Those of the queues whose lock we hold from now on, until the connection breaks or the lease runs out."""
        header = headers.LockBatchRequestHeader(lock_ends_with_connection=True)
        body = bodies.LockBatchRequestBody(consumer_group=group, client_id=client_id, mq_set=list(queues))
        response = await self.call(address, RequestCode.LOCK_BATCH_MQ, header, body.to_json())
        return frozenset(bodies.LockBatchResponseBody.from_json(response.body).lock_ok_mq_set)

    async def unlock(self, address: str, group: str, client_id: str, queues: Iterable[MessageQueue]) -> None:
        body = bodies.UnlockBatchRequestBody(consumer_group=group, client_id=client_id, mq_set=list(queues))
        await self.call(address, RequestCode.UNLOCK_BATCH_MQ, body=body.to_json())

    # ---- offsets

    async def query_offset(self, address: str, group: str, queue: MessageQueue) -> int | None:
        """The committed offset; None when the group has none for this queue."""
        header = headers.QueryConsumerOffsetRequestHeader(
            consumer_group=group, topic=queue.topic, queue_id=queue.queue_id, broker_name=queue.broker_name
        )
        try:
            response = await self.call(address, RequestCode.QUERY_CONSUMER_OFFSET, header)
        except ResponseError as error:
            if error.code == ResponseCode.QUERY_NOT_FOUND:
                return None
            raise
        return response.header(headers.OffsetResponseHeader).offset

    async def update_offset(self, address: str, group: str, queue: MessageQueue, commit_offset: int) -> None:
        header = headers.UpdateConsumerOffsetRequestHeader(
            consumer_group=group,
            topic=queue.topic,
            queue_id=queue.queue_id,
            commit_offset=commit_offset,
            broker_name=queue.broker_name,
        )
        await self.call(address, RequestCode.UPDATE_CONSUMER_OFFSET, header)

    async def max_offset(self, address: str, queue: MessageQueue) -> int:
        """The offset that the next message will get."""
        return await self._queue_offset(address, RequestCode.GET_MAX_OFFSET, queue)

    async def min_offset(self, address: str, queue: MessageQueue) -> int:
        return await self._queue_offset(address, RequestCode.GET_MIN_OFFSET, queue)

    async def search_offset(self, address: str, queue: MessageQueue, timestamp_ms: int, *, upper: bool = False) -> int:
        """The first message at or after the time; `upper`: the last one at or before it."""
        header = headers.SearchOffsetRequestHeader(
            topic=queue.topic,
            queue_id=queue.queue_id,
            timestamp=timestamp_ms,
            boundary_type="UPPER" if upper else None,
            broker_name=queue.broker_name,
        )
        response = await self.call(address, RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, header)
        return response.header(headers.OffsetResponseHeader).offset

    async def _queue_offset(self, address: str, code: RequestCode, queue: MessageQueue) -> int:
        header = headers.QueueRequestHeader(topic=queue.topic, queue_id=queue.queue_id, broker_name=queue.broker_name)
        response = await self.call(address, code, header)
        return response.header(headers.OffsetResponseHeader).offset

    # ---- messages

    async def pull(
        self,
        address: str,
        header: headers.PullMessageRequestHeader,
        *,
        broker_name: str,
        timeout_s: float,
        code: RequestCode = RequestCode.PULL_MESSAGE,
    ) -> PullResult:
        """One pull, which the broker may hold until something arrives.

        Raises: ResponseError: anything but the four answers that carry offsets.
        """
        command = RemotingCommand.request(code, header)
        response = await self.remoting.invoke(address, command, timeout_s=timeout_s)
        status = _PULL_STATUS.get(response.code)
        if status is None:
            raise ResponseError(response.code, response.remark)
        offsets = response.header(headers.PullMessageResponseHeader)
        return PullResult(
            status,
            decode_records(response.body, broker_name) if status is PullStatus.FOUND else [],
            offsets.next_begin_offset,
            offsets.min_offset,
            offsets.max_offset,
            offsets.suggest_which_broker_id,
        )

    async def send_back(
        self,
        address: str,
        group: str,
        message: ReceivedMessage,
        *,
        topic: str,
        delay_level: int,
        max_reconsume_times: int,
    ) -> None:
        """Hand a message back: to the group's retry topic, or to its dead letters when it was tried often enough."""
        header = headers.ConsumerSendMsgBackRequestHeader(
            offset=message.commit_log_offset,
            group=group,
            delay_level=delay_level,
            origin_msg_id=message.message_id,
            origin_topic=topic,
            unit_mode=False,
            max_reconsume_times=max_reconsume_times,
            broker_name=message.broker_name,
        )
        await self.call(address, RequestCode.CONSUMER_SEND_MSG_BACK, header, timeout_s=_SEND_BACK_TIMEOUT_S)

    async def recall(self, address: str, group: str, topic: str, recall_handle: str) -> str:
        """Take a timed message back before its time; its id."""
        header = headers.RecallMessageRequestHeader(topic=topic, recall_handle=recall_handle, producer_group=group)
        response = await self.call(address, RequestCode.RECALL_MESSAGE, header)
        return response.ext_fields["msgId"]

    async def view(self, address: str, commit_log_offset: int, topic: str | None = None) -> ReceivedMessage:
        header = headers.ViewMessageRequestHeader(offset=commit_log_offset, topic=topic)
        response = await self.call(address, RequestCode.VIEW_MESSAGE_BY_ID, header)
        return record.decode(response.body, inflate=True)

    async def query(self, address: str, header: headers.QueryMessageRequestHeader) -> list[ReceivedMessage]:
        """Messages by key; an empty list when the broker found none."""
        try:
            response = await self.call(address, RequestCode.QUERY_MESSAGE, header, timeout_s=_QUERY_TIMEOUT_S)
        except ResponseError as error:
            if error.code == ResponseCode.QUERY_NOT_FOUND:
                return []
            raise
        return decode_records(response.body, "")


def decode_records(data: bytes, broker_name: str) -> list[ReceivedMessage]:
    """The messages of a pull or query, decompressed.

    A body that cannot be decompressed is handed out as it was stored (`sys_flag` still says so): one foreign
    message must not stop a queue.
    """
    try:
        messages = list(record.iterate(data, inflate=True))
    except RemoteProtocolError:
        messages = [_inflated(message) for message in record.iterate(data)]
    for message in messages:
        message.broker_name = broker_name
    return messages


def _inflated(message: ReceivedMessage) -> ReceivedMessage:
    if message.sys_flag & sys_flag.COMPRESSED:
        try:
            message.body = compression.inflate(message.body, message.sys_flag)
        except RemoteProtocolError:
            return message
        message.sys_flag &= ~(sys_flag.COMPRESSED | sys_flag.COMPRESSION_MASK)
    return message
