"""Brokers that answer as a test tells them: for what a real one does only when its disk or its replica fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from mq.remoting.bodies import BrokerData, QueueData, TopicRouteData
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.server import RemotingServer

OFFSET_MESSAGE_ID = "7F00000100002A9F00000000000004D2"


class ScriptedBroker:
    """Answers sends with the codes given, one after the other and the last one for ever; 0 stores nothing, too."""

    def __init__(self, name: str, *codes: int) -> None:
        self.name = name
        self._codes = list(codes) or [0]
        self.send_count = 0
        self.address = ""
        self.handlers: dict[int, Handler] = {
            RequestCode.SEND_MESSAGE_V2: self._send,
            RequestCode.HEART_BEAT: lambda _, command: command.respond(),
            RequestCode.UNREGISTER_CLIENT: lambda _, command: command.respond(),
            RequestCode.GET_MAX_OFFSET: lambda _, command: command.respond(ext={"offset": "0"}),
        }
        self.server = RemotingServer(self.handlers)

    async def start(self, port: int = 0) -> None:
        self.address = str(await self.server.start("127.0.0.1", port))

    def _send(self, _connection: Connection, command: RemotingCommand) -> RemotingCommand:
        code = self._codes[min(self.send_count, len(self._codes) - 1)]
        self.send_count += 1
        fields = {"msgId": OFFSET_MESSAGE_ID, "queueId": command.ext_fields["e"], "queueOffset": "0"}
        return command.respond(code, f"scripted {code}", fields)


@asynccontextmanager
async def scripted(*brokers: ScriptedBroker) -> AsyncIterator[str]:
    """The address of a name server that says every topic has one queue on each of the brokers."""

    def route(_connection: Connection, command: RemotingCommand) -> RemotingCommand:
        data = TopicRouteData(
            broker_datas=[BrokerData("C", broker.name, {0: broker.address}) for broker in brokers],
            queue_datas=[QueueData(broker.name, 1, 1, 6) for broker in brokers],
        )
        return command.respond(body=data.to_json())

    servers: Sequence[RemotingServer] = [broker.server for broker in brokers]
    name_server = RemotingServer({RequestCode.GET_ROUTEINFO_BY_TOPIC: route})
    for broker in brokers:
        await broker.start()
    address = await name_server.start("127.0.0.1", 0)
    try:
        yield str(address)
    finally:
        for server in (*servers, name_server):
            await server.stop()
