"""What the admin tool asks about topics: to list, show, make by the list, and delete them.

Codes 21 and 351 (settings), 18 (many at once; one is made in `topic_config.py`), 215 (delete), 305 (the broker's own).
Source: RocketMQ AdminBrokerProcessor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mq.broker.paging import page
from mq.broker.topic_config import changed_attributes
from mq.errors import ResponseError
from mq.remoting.bodies import CreateTopicListRequestBody, TopicConfig, TopicConfigSerializeWrapper, TopicList
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import DeleteTopicRequestHeader, GetAllTopicConfigRequestHeader, GetTopicConfigRequestHeader

if TYPE_CHECKING:
    from mq.broker.app import Broker


class AdminTopicsProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.GET_ALL_TOPIC_CONFIG: self._topics,
            RequestCode.GET_TOPIC_CONFIG: self._topic,
            RequestCode.UPDATE_AND_CREATE_TOPIC_LIST: self._put_topics,
            RequestCode.DELETE_TOPIC_IN_BROKER: self._delete_topic,
            RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER: self._system_topics,
        }

    def _topics(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(GetAllTopicConfigRequestHeader)
        topics = self._broker.topics
        table = page(topics.all(), header.topic_seq, header.max_topic_num)
        body = TopicConfigSerializeWrapper(topics.data_version, table)
        return command.respond(ext={"totalTopicNum": str(len(topics.all()))}, body=body.to_json())

    def _topic(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        name = command.header(GetTopicConfigRequestHeader).topic
        topic = self._broker.topics.get(name)
        if topic is None:
            raise ResponseError(ResponseCode.TOPIC_NOT_EXIST, f"No topic in this broker. topic: {name}")
        return command.respond(body=topic.to_json())

    async def _put_topics(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """Make or change all topics of a list, or, when one of them cannot be, none.

        Raises: ResponseError: 29 for a system topic or what no topic can have, 1 for too many or a bad attribute.
        """
        asked = CreateTopicListRequestBody.from_json(command.body).topic_config_list
        topics = self._broker.topics
        for topic in asked:
            if topics.is_system(topic.topic_name):
                raise ResponseError(
                    ResponseCode.INVALID_PARAMETER, f"The topic[{topic.topic_name}] is conflict with system topic."
                )
        topics.put_all([self._with_attributes(topic) for topic in asked])
        await self._broker.name_servers.register_now()
        return command.respond()

    def _with_attributes(self, asked: TopicConfig) -> TopicConfig:
        """The topic with its attributes as they are after the change: asked for as `+name` or `-name`, or plainly."""
        existing = self._broker.topics.get(asked.topic_name)
        words = [
            f"{name}={value}" if name[:1] in ("+", "-") else f"+{name}={value}"
            for name, value in asked.attributes.items()
        ]
        attributes = changed_attributes(existing.attributes if existing else {}, words)
        return msgspec.structs.replace(asked, attributes=attributes)

    async def _delete_topic(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        name = command.header(DeleteTopicRequestHeader).topic.strip()
        if not name or self._broker.topics.is_system(name):
            raise ResponseError(ResponseCode.INVALID_PARAMETER, f"The topic[{name}] is conflict with system topic.")
        self._broker.topics.delete(name)
        self._broker.offsets.delete_topic(name)
        self._broker.orders.forget(topic=name)
        self._broker.store.delete_topic(name)
        await self._broker.name_servers.register_now()
        return command.respond()

    def _system_topics(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        topics = self._broker.topics
        own = sorted(name for name in topics.all() if topics.is_system(name))
        return command.respond(body=TopicList(own, self._broker.address).to_json())
