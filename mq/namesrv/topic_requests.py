"""What is asked about topics as the name server knows them, beside their routes: lists, and changes by hand.

Codes 206, 224, 304, 311 to 313 (lists), 216 and 217 (forget a topic, tell one), 205 and 327 (a broker's write
permission). Source: RocketMQ DefaultRequestProcessor.
"""

from __future__ import annotations

from mq.namesrv.route_info import HAS_UNIT_SUBSCRIPTION, IS_UNIT, RouteInfo
from mq.remoting.bodies import TopicList, TopicRouteData
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import (
    BrokerNameRequestHeader,
    DeleteTopicFromNamesrvRequestHeader,
    GetTopicsByClusterRequestHeader,
    TopicRequestHeader,
)


class TopicsProcessor:
    def __init__(self, routes: RouteInfo) -> None:
        self._routes = routes

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER: self._topics,
            RequestCode.GET_TOPICS_BY_CLUSTER: self._topics_of_cluster,
            RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS: self._system_topics,
            RequestCode.GET_UNIT_TOPIC_LIST: self._unit_topics,
            RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST: self._unit_subscribed_topics,
            RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST: self._only_unit_subscribed_topics,
            RequestCode.DELETE_TOPIC_IN_NAMESRV: self._delete_topic,
            RequestCode.REGISTER_TOPIC_IN_NAMESRV: self._register_topic,
            RequestCode.WIPE_WRITE_PERM_OF_BROKER: self._wipe_write_perm,
            RequestCode.ADD_WRITE_PERM_OF_BROKER: self._add_write_perm,
        }

    def _topics(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        return command.respond(body=TopicList(sorted(self._routes.topics)).to_json())

    def _topics_of_cluster(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        cluster = command.header(GetTopicsByClusterRequestHeader).cluster
        return command.respond(body=TopicList(sorted(self._routes.topics_of_cluster(cluster))).to_json())

    def _system_topics(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """The topics named like clusters and brokers, and any broker's address to ask for the others."""
        names = sorted(self._routes.clusters) + sorted(self._routes.brokers)
        address = next((key.address for key in self._routes.live), None)
        return command.respond(body=TopicList(names, address).to_json())

    def _delete_topic(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(DeleteTopicFromNamesrvRequestHeader)
        self._routes.delete_topic(header.topic, header.cluster_name)
        return command.respond()

    def _wipe_write_perm(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        count = self._routes.wipe_write_perm(command.header(BrokerNameRequestHeader).broker_name)
        return command.respond(ext={"wipeTopicCount": str(count)})

    def _add_write_perm(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        count = self._routes.add_write_perm(command.header(BrokerNameRequestHeader).broker_name)
        return command.respond(ext={"addTopicCount": str(count)})

    def _register_topic(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """A broker tells one topic instead of all; queues of brokers that are not registered are left out."""
        topic = command.header(TopicRequestHeader).topic
        self._routes.add_queues(topic, TopicRouteData.from_json(command.body).queue_datas)
        return command.respond()

    # Units: parts of a deployment that topics may belong to, or be subscribed to from

    def _unit_topics(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        return self._flagged(command, IS_UNIT, IS_UNIT)

    def _unit_subscribed_topics(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        return self._flagged(command, HAS_UNIT_SUBSCRIPTION, HAS_UNIT_SUBSCRIPTION)

    def _only_unit_subscribed_topics(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        return self._flagged(command, IS_UNIT | HAS_UNIT_SUBSCRIPTION, HAS_UNIT_SUBSCRIPTION)

    def _flagged(self, command: RemotingCommand, mask: int, flags: int) -> RemotingCommand:
        return command.respond(body=TopicList(sorted(self._routes.topics_with_flags(mask, flags))).to_json())
