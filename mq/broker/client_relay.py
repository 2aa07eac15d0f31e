"""Questions to a consumer that go through its broker, because only that has a connection to it.

Codes 307 (how are you doing), 309 (consume this message now), 223 (where are you, asked as 221). The answer comes from
the client; what we add is why there is none. Only the fields that the request is made of go on to the client: an
administrator's credentials do not. Source: RocketMQ AdminBrokerProcessor.callConsumer, Broker2Client.getConsumeStatus.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from mq import dialect
from mq.broker.clients import Client
from mq.broker.consume_stats import QueueKey
from mq.errors import ConnectionLost, RemoteProtocolError, RequestTimeout, ResponseError
from mq.message import ids
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import (
    ConsumeMessageDirectlyResultRequestHeader,
    GetConsumerRunningInfoRequestHeader,
    GetConsumerStatusRequestHeader,
)

if TYPE_CHECKING:
    from mq.broker.app import Broker

RELAY_TIMEOUT_S: Final = 10.0
STATUS_TIMEOUT_S: Final = 5.0
#: More questions than this at a time are refused: each waits for a client.
MAX_UNDER_WAY: Final = 1000
#: Clients before these versions (3.1.8, 3.0.7) do not know the question.
KNOWS_RELAY_VERSION: Final = 62
KNOWS_STATUS_VERSION: Final = 28


class ClientRelayProcessor:
    def __init__(self, broker: Broker, *, timeout_s: float = RELAY_TIMEOUT_S) -> None:
        self._broker = broker
        self._timeout_s = timeout_s
        self._under_way = asyncio.Semaphore(MAX_UNDER_WAY)

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.GET_CONSUMER_RUNNING_INFO: self._running_info,
            RequestCode.CONSUME_MESSAGE_DIRECTLY: self._consume_directly,
            RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS: self._consumer_status,
        }

    # ---- one client

    async def _running_info(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(GetConsumerRunningInfoRequestHeader)
        return await self._relay(command, header.consumer_group, header.client_id, header)

    async def _consume_directly(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """The message that the offset id names goes along. Raises: ResponseError: 1, there is none."""
        header = command.header(ConsumeMessageDirectlyResultRequestHeader)
        try:
            place = ids.parse_offset_message_id(header.msg_id or "").commit_log_offset
        except RemoteProtocolError as error:
            raise ResponseError(ResponseCode.SYSTEM_ERROR, str(error)) from error
        record = self._broker.store.record_at(place)
        if record is None:
            raise ResponseError(ResponseCode.SYSTEM_ERROR, f"can not find message by the offset, {place}")
        topic = self._broker.topics.get(header.topic or "")
        group = self._broker.groups.get(header.consumer_group)
        asked = msgspec.structs.replace(
            header,
            broker_name=self._broker.config.broker_name,
            topic_sys_flag=topic.topic_sys_flag if topic else header.topic_sys_flag,
            group_sys_flag=group.group_sys_flag if group else header.group_sys_flag,
        )
        return await self._relay(command, header.consumer_group, header.client_id, asked, record)

    async def _relay(
        self, command: RemotingCommand, group: str, client_id: str | None, header: msgspec.Struct, body: bytes = b""
    ) -> RemotingCommand:
        """The client's answer. Raises: ResponseError: 1 not online, too old or gone meanwhile, 207 no answer."""
        client = self._member(group, client_id)
        name = f"consumer <{group}> <{client.client_id}>"
        if client.version < KNOWS_RELAY_VERSION:
            raise ResponseError(
                ResponseCode.SYSTEM_ERROR, f"The {name} has version {client.version}: upgrade it to 3.1.8 or later"
            )
        try:
            request = RemotingCommand.request(command.code, header, body)
            answer = await self._ask(client, request, self._timeout_s)
        except RequestTimeout as error:
            raise ResponseError(ResponseCode.CONSUME_MSG_TIMEOUT, f"{name} Timeout: {error}") from error
        except ConnectionLost as error:
            raise ResponseError(ResponseCode.SYSTEM_ERROR, f"invoke {name} Exception: {error}") from error
        return command.respond(answer.code, answer.remark, answer.ext_fields or None, answer.body)

    def _member(self, group: str, client_id: str | None) -> Client:
        """The client with this id; any of the group when none is named."""
        online = self._broker.consumers.group(group)
        for client in online.clients.values() if online else ():
            if not client_id or client.client_id == client_id:
                return client
        raise ResponseError(ResponseCode.SYSTEM_ERROR, f"The Consumer <{group}> <{client_id}> not online")

    async def _ask(self, client: Client, request: RemotingCommand, timeout_s: float) -> RemotingCommand:
        if self._under_way.locked():
            raise ResponseError(ResponseCode.SYSTEM_BUSY, f"{MAX_UNDER_WAY} questions wait for clients already")
        async with self._under_way:
            return await client.connection.invoke(request, timeout_s)

    # ---- all clients of a group

    async def _consumer_status(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """Offsets as each member holds them, by client id; members that do not answer are left out.

        Raises: ResponseError: 1, nobody is there, or a member is too old to be asked.
        """
        header = command.header(GetConsumerStatusRequestHeader)
        group = self._broker.consumers.group(header.group)
        wanted = header.client_addr or None
        members = [client for client in (group.clients.values() if group else ()) if wanted in (None, client.client_id)]
        if not members:
            raise ResponseError(
                ResponseCode.SYSTEM_ERROR, f"No Any Consumer online in the consumer group: [{header.group}]"
            )
        for client in members:
            if client.version < KNOWS_STATUS_VERSION:
                raise ResponseError(
                    ResponseCode.SYSTEM_ERROR, f"the client <{client.client_id}> does not support this feature"
                )
        answers = await asyncio.gather(*(self._status_of(client, header) for client in members))
        table = {client.client_id: offsets for client, offsets in zip(members, answers, strict=True) if offsets}
        body = {"consumerTable": table, "messageQueueTable": {}}
        return command.respond(body=dialect.dumps(body, bare_keys=True))

    async def _status_of(self, client: Client, header: GetConsumerStatusRequestHeader) -> dict[QueueKey, int] | None:
        request = RemotingCommand.request(
            RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT, GetConsumerStatusRequestHeader(header.topic, header.group)
        )
        try:
            answer = await self._ask(client, request, min(STATUS_TIMEOUT_S, self._timeout_s))
            if answer.code != ResponseCode.SUCCESS:
                return None
            table = dialect.loads(answer.body)["messageQueueTable"]
            return {QueueKey.read(dialect.loads(key)): int(at) for key, at in table.items()}
        except (RequestTimeout, ConnectionLost, RemoteProtocolError, AttributeError, KeyError, TypeError, ValueError):
            return None
