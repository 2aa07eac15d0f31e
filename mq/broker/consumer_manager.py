"""The consumer groups that are connected: their clients, what they subscribe to, and telling them of each other.

Clients divide the queues of a topic among themselves, each computing the same division from the same list of client ids
(code 38). So the list holds exactly who is alive, and whoever is in it hears at once (code 40) when it changes.
Source: RocketMQ ConsumerManager, ConsumerGroupInfo, DefaultConsumerIdsChangeListener.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mq.broker.clients import Client, ClientTable, expired, refresh
from mq.broker.subscription import Subscription
from mq.remoting.bodies import ConsumerData, GetConsumerListByGroupResponseBody
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import GetConsumerListByGroupRequestHeader, NotifyConsumerIdsChangedRequestHeader

if TYPE_CHECKING:
    from mq.broker.app import Broker

BROADCASTING: Final = "BROADCASTING"


@dataclass(slots=True)
class ConsumerGroup:
    """A group with at least one client connected."""

    name: str
    consume_type: str
    message_model: str
    consume_from_where: str
    clients: ClientTable = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)

    @property
    def is_broadcasting(self) -> bool:
        return self.message_model == BROADCASTING

    def client_ids(self) -> list[str]:
        return sorted({client.client_id for client in self.clients.values()})

    def update_subscriptions(self, wanted: Iterable[Subscription]) -> bool:
        """Take over a heartbeat's subscriptions; True when the set of topics changed.

        A stored subscription gives way only to a newer version: clients of one group change it one after the other.
        """
        by_topic = {subscription.topic: subscription for subscription in wanted}
        is_changed = by_topic.keys() != self.subscriptions.keys()
        for topic, subscription in by_topic.items():
            known = self.subscriptions.get(topic)
            if known is not None and known.version >= subscription.version:
                by_topic[topic] = known
        self.subscriptions = by_topic
        return is_changed


class ConsumerManager:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._groups: dict[str, ConsumerGroup] = {}

    def group(self, name: str) -> ConsumerGroup | None:
        return self._groups.get(name)

    def groups(self) -> list[ConsumerGroup]:
        return list(self._groups.values())

    def register(self, data: ConsumerData, subscriptions: Iterable[Subscription], client: Client) -> None:
        """One group of one heartbeat."""
        group = self._groups.get(data.group_name)
        if group is None:
            group = ConsumerGroup(data.group_name, data.consume_type, data.message_model, data.consume_from_where)
            self._groups[data.group_name] = group
        group.consume_type = data.consume_type
        group.message_model = data.message_model
        group.consume_from_where = data.consume_from_where
        is_new = refresh(group.clients, client)
        if group.update_subscriptions(subscriptions) or is_new:
            self._notify(group)

    def unregister(self, name: str, connection: Connection) -> None:
        group = self._groups.get(name)
        if group is None or group.clients.pop(connection, None) is None:
            return
        if group.clients:
            self._notify(group)
        else:
            del self._groups[name]

    def connection_closed(self, connection: Connection) -> None:
        for group in self.groups():
            self.unregister(group.name, connection)

    def drop_expired(self, now_s: float) -> None:
        for group in self.groups():
            for client in expired(group.clients, now_s):
                self.unregister(group.name, client.connection)

    def _notify(self, group: ConsumerGroup) -> None:
        settings = self._broker.groups.get(group.name)
        if group.is_broadcasting or (settings is not None and not settings.notify_consumer_ids_changed_enable):
            return
        header = NotifyConsumerIdsChangedRequestHeader(consumer_group=group.name)
        for connection in group.clients:
            connection.send_oneway(RemotingCommand.request(RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, header))

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.GET_CONSUMER_LIST_BY_GROUP: self._list}

    def _list(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        name = command.header(GetConsumerListByGroupRequestHeader).consumer_group
        group = self._groups.get(name)
        if group is None:
            return command.respond(ResponseCode.SYSTEM_ERROR, f"no consumer for this group, {name}")
        return command.respond(body=GetConsumerListByGroupResponseBody(group.client_ids()).to_json())
