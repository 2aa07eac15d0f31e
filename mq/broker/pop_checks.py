"""What every request about POP must name: a topic that may be read, a queue of it or any, a group that may consume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mq.broker.system_names import PERM_READ
from mq.errors import ResponseError
from mq.remoting.bodies import TopicConfig
from mq.remoting.codes import ResponseCode

if TYPE_CHECKING:
    from mq.broker.app import Broker

#: The queue id of a request for messages of any queue.
ANY_QUEUE: Final = -1


def require_consumable(broker: Broker, topic_name: str, queue_id: int, group_name: str) -> TopicConfig:
    """The topic's config. Raises: ResponseError: 16, 17, 26, or 29 for the queue."""
    topic = broker.topics.get(topic_name)
    if topic is None:
        raise ResponseError(ResponseCode.TOPIC_NOT_EXIST, f"topic[{topic_name}] not exist, apply first please!")
    if not topic.perm & broker.config.permission & PERM_READ:
        raise ResponseError(ResponseCode.NO_PERMISSION, f"the topic[{topic_name}] popping message is forbidden")
    if not ANY_QUEUE <= queue_id < topic.read_queue_nums:
        raise ResponseError(
            ResponseCode.INVALID_PARAMETER,
            f"queueId[{queue_id}] is illegal: topic[{topic_name}] has {topic.read_queue_nums} read queues",
        )
    group = broker.groups.find_or_create(group_name)
    if group is None:
        raise ResponseError(
            ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, f"subscription group [{group_name}] does not exist"
        )
    if not group.consume_enable or broker.groups.is_reading_forbidden(group_name, topic_name):
        raise ResponseError(ResponseCode.NO_PERMISSION, f"subscription group no permission, {group_name}")
    return topic
