"""Replies: a consumer answers a message, and its broker hands the answer to the client that waits for it.

The reply (codes 324 and 325, fields as of a send) says with REPLY_TO_CLIENT who waits; that client must have sent this
broker a heartbeat. It gets the reply as a request (326) and has 10 s to take it. The reply is also stored, in the topic
it was sent to (`<cluster>_REPLY_TOPIC`), and the replier's answer tells both: where it is, and code 1 if nobody took
it. A request's own message is like any other; its TTL is the clients' affair, who count it in different units.
Source: RocketMQ ReplyMessageProcessor.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from mq.broker.send import SendProcessor
from mq.errors import ConnectionLost, RequestTimeout, ResponseError
from mq.message import Host, sys_flag
from mq.message import properties as names
from mq.message.record import RecordFields
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import (
    ReplyMessageRequestHeader,
    SendMessageRequestHeader,
    SendMessageRequestHeaderV2,
)

if TYPE_CHECKING:
    from mq.broker.app import Broker

PUSH_TIMEOUT_S: Final = 10.0
#: More replies than this at a time are refused: each waits for a client.
MAX_UNDER_WAY: Final = 10_000
REPLY_TO_CLIENT: Final = "REPLY_TO_CLIENT"
PUSH_REPLY_TIME: Final = "PUSH_REPLY_TIME"


class ReplyProcessor:
    def __init__(self, broker: Broker, sends: SendProcessor, *, timeout_s: float = PUSH_TIMEOUT_S) -> None:
        self._broker = broker
        self._sends = sends
        self._timeout_s = timeout_s
        self._under_way = asyncio.Semaphore(MAX_UNDER_WAY)

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.SEND_REPLY_MESSAGE: self._reply_v1,
            RequestCode.SEND_REPLY_MESSAGE_V2: self._reply_v2,
        }

    async def _reply_v1(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        return await self._reply(connection, command, command.header(SendMessageRequestHeader))

    async def _reply_v2(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        return await self._reply(connection, command, command.header(SendMessageRequestHeaderV2))

    async def _reply(
        self, connection: Connection, command: RemotingCommand, header: SendMessageRequestHeader
    ) -> RemotingCommand:
        """Raises: ResponseError, MQError: it cannot be stored, as for a send; then it is not pushed either."""
        if self._under_way.locked():
            raise ResponseError(ResponseCode.SYSTEM_BUSY, f"{MAX_UNDER_WAY} replies wait for their clients already")
        topic, queue_id, is_new_topic = self._sends.target(header)
        text, unique_id = self._sends.stored_properties(header.properties or "")
        fields = RecordFields(
            topic.topic_name,
            queue_id,
            command.body,
            text.encode(),
            header.sys_flag & ~sys_flag.TRANSACTION_MASK,
            header.flag,
            header.born_timestamp,
            connection.remote,
            header.reconsume_times or 0,
        )
        result = self._broker.store.append(fields)
        async with self._under_way:
            problem = await self._push(header, queue_id, fields, connection.remote)
        response = await self._sends.answer(command, queue_id, [result], unique_id, is_new_topic=is_new_topic)
        if problem is not None:
            response.code, response.remark = ResponseCode.SYSTEM_ERROR, problem
        return response

    async def _push(
        self, header: SendMessageRequestHeader, queue_id: int, fields: RecordFields, born_host: Host
    ) -> str | None:
        """Hand the reply to whoever waits for it; what went wrong, in RocketMQ's words, which Go clients look for."""
        properties = names.decode(fields.properties_text)
        client_id = properties.get(REPLY_TO_CLIENT)
        if client_id is None:
            return "reply message properties[REPLY_TO_CLIENT] is null"
        requester = self._broker.producers.find(client_id)
        if requester is None:
            return f"push reply message fail, channel of <{client_id}> not found."
        now_ms = self._broker.clock.now_ms()
        pushed = ReplyMessageRequestHeader(
            producer_group=header.producer_group,
            topic=header.topic,
            default_topic=header.default_topic,
            default_topic_queue_nums=header.default_topic_queue_nums,
            queue_id=queue_id,
            sys_flag=fields.sys_flag,
            born_timestamp=header.born_timestamp,
            flag=header.flag,
            properties=names.encode(properties | {PUSH_REPLY_TIME: str(now_ms)}).decode(),
            reconsume_times=header.reconsume_times or 0,
            unit_mode=bool(header.unit_mode),
            born_host=str(born_host),
            store_host=str(self._broker.store_host),
            store_timestamp=now_ms,
        )
        request = RemotingCommand.request(RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT, pushed, fields.body)
        try:
            answer = await requester.invoke(request, self._timeout_s)
        except (RequestTimeout, ConnectionLost):
            return f"push reply message to {client_id} fail."
        return None if answer.code == ResponseCode.SUCCESS else f"push reply message to {client_id} fail."
