"""Who is connected: the clients of a consumer group (code 203), of a producer group (204), of all producers (328).

Source: RocketMQ AdminBrokerProcessor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mq import dialect
from mq.broker.clients import Client
from mq.errors import ResponseError
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import GetConsumerConnectionListRequestHeader, GetProducerConnectionListRequestHeader

if TYPE_CHECKING:
    from mq.broker.app import Broker


class ConnectionsProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.GET_CONSUMER_CONNECTION_LIST: self._consumers,
            RequestCode.GET_PRODUCER_CONNECTION_LIST: self._producers,
            RequestCode.GET_ALL_PRODUCER_INFO: self._all_producers,
        }

    def _consumers(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        name = command.header(GetConsumerConnectionListRequestHeader).consumer_group
        group = self._broker.consumers.group(name)
        if group is None:
            raise ResponseError(ResponseCode.CONSUMER_NOT_ONLINE, f"the consumer group[{name}] not online")
        return _answer(
            command,
            {
                "connectionSet": _connections(group.clients.values()),
                "consumeFromWhere": group.consume_from_where,
                "consumeType": group.consume_type,
                "messageModel": group.message_model,
                "subscriptionTable": {
                    topic: subscription.data.to_dict() for topic, subscription in group.subscriptions.items()
                },
            },
        )

    def _producers(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        name = command.header(GetProducerConnectionListRequestHeader).producer_group
        clients = self._broker.producers.clients(name)
        if not clients:
            raise ResponseError(ResponseCode.SYSTEM_ERROR, f"the producer group[{name}] not exist")
        return _answer(command, {"connectionSet": _connections(clients)})

    def _all_producers(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        producers = self._broker.producers
        # Heartbeats are dated on the loop's clock, which does not jump; tools want the time of day.
        epoch_ms = self._broker.clock.now_ms() - asyncio.get_running_loop().time() * 1000
        table = {
            group: [_producer(client, int(epoch_ms + client.last_heartbeat_s * 1000)) for client in clients]
            for group, clients in ((group, producers.clients(group)) for group in producers.groups())
        }
        return _answer(command, {"data": table})


def _connections(clients: Iterable[Client]) -> list[dict[str, Any]]:
    return [
        {
            "clientAddr": str(client.connection.remote),
            "clientId": client.client_id,
            "language": client.language or "OTHER",
            "version": client.version,
        }
        for client in clients
    ]


def _producer(client: Client, last_update_ms: int) -> dict[str, Any]:
    return {
        "clientId": client.client_id,
        "language": client.language or "OTHER",
        "lastUpdateTimestamp": last_update_ms,
        "remoteIP": f"/{client.connection.remote}",
        "version": client.version,
    }


def _answer(command: RemotingCommand, body: dict[str, Any]) -> RemotingCommand:
    return command.respond(body=dialect.dumps(body, bare_keys=True))
