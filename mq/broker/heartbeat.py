"""Heartbeats and farewells: how clients tell which groups they belong to and what they consume.

A heartbeat also creates what a consumer group needs: the group itself and its retry topic, announced at once, because
the client has asked for that topic's route already and will ask again only half a minute later.
Source: RocketMQ ClientManageProcessor.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mq.broker import subscription, system_names
from mq.broker.background import Background
from mq.broker.clients import MAX_GROUPS_PER_CLIENT, SCAN_INTERVAL_S, Client
from mq.errors import ResponseError
from mq.remoting.bodies import CheckClientRequestBody, ConsumerData, HeartbeatData
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import UnregisterClientRequestHeader

if TYPE_CHECKING:
    from mq.broker.app import Broker


class HeartbeatProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._scanner = Background("the scan for silent clients", self._drop_silent_clients)

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.HEART_BEAT: self._heartbeat,
            RequestCode.UNREGISTER_CLIENT: self._unregister,
            RequestCode.CHECK_CLIENT_CONFIG: self._check,
        }

    def _heartbeat(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        data = HeartbeatData.from_json(command.body)
        if max(len(data.consumer_data_set), len(data.producer_data_set)) > MAX_GROUPS_PER_CLIENT:
            raise ResponseError(
                ResponseCode.SYSTEM_ERROR,
                f"more than {MAX_GROUPS_PER_CLIENT} groups in one heartbeat of {data.client_id}",
            )
        now_s = asyncio.get_running_loop().time()
        client = Client(connection, data.client_id, command.language, command.version, now_s)
        for producer in data.producer_data_set:
            self._broker.producers.register(producer.group_name, client)
        # One write of each file, however many groups are new: 200 groups took 400 syncs, and the loop waited for all.
        with self._broker.groups.together(), self._broker.topics.together():
            consumers = [consumer for consumer in data.consumer_data_set if self._has_group(consumer)]
        for consumer in consumers:
            subscriptions = map(subscription.from_data, consumer.subscription_data_set)
            self._broker.consumers.register(consumer, subscriptions, client)
        # Simpler than RocketMQ: "V2" heartbeats without subscriptions are not taken, so clients send whole ones.
        return command.respond(ext={"IS_SUPPORT_HEART_BEAT_V2": "false", "IS_SUB_CHANGE": "true"})

    def _has_group(self, consumer: ConsumerData) -> bool:
        """Whether the consumer's group exists now, with its retry topic."""
        group = self._broker.groups.find_or_create(consumer.group_name)
        if group is None:  # as RocketMQ: the heartbeat succeeds, the group's pulls will be refused with 26
            return False
        retry_topic = system_names.retry_topic(group.group_name)
        self._broker.topics.ensure(retry_topic, queue_count=max(1, group.retry_queue_nums))
        return True

    def _unregister(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(UnregisterClientRequestHeader)
        # Some clients send an empty text for the kind of group they do not mean.
        if header.producer_group:
            self._broker.producers.unregister(header.producer_group, connection)
        if header.consumer_group:
            self._broker.consumers.unregister(header.consumer_group, connection)
        return command.respond()

    def _check(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """A consumer asks at its start whether its expression is one we understand."""
        body = CheckClientRequestBody.from_json(command.body)
        if body.subscription_data is not None:
            data = body.subscription_data
            subscription.require_supported(data.expression_type, self._broker.config)
            subscription.parse(data.sub_string, data.expression_type)
        return command.respond()

    # ---- the service: clients that fell silent

    async def start(self) -> None:
        self._scanner.start()

    async def stop(self) -> None:
        await self._scanner.stop()

    async def _drop_silent_clients(self) -> float:
        now_s = asyncio.get_running_loop().time()
        self._broker.producers.drop_expired(now_s)
        self._broker.consumers.drop_expired(now_s)
        return SCAN_INTERVAL_S
