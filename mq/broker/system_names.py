"""Topics and groups that belong to the broker itself, and the rules that set them apart.

Source: RocketMQ TopicValidator, TopicConfigManager.init, SubscriptionGroupManager.init, MixAll.
"""

from __future__ import annotations

from typing import Final

from mq.message.message import DLQ_PREFIX, RETRY_PREFIX
from mq.remoting.bodies import TopicConfig

PERM_INHERIT: Final = 1
PERM_WRITE: Final = 2
PERM_READ: Final = 4
PERM_READ_WRITE: Final = PERM_READ | PERM_WRITE

#: The topic whose settings a topic created by its first message inherits.
DEFAULT_TOPIC: Final = "TBW102"
SYSTEM_TOPIC_PREFIX: Final = "rmq_sys_"
SYSTEM_GROUP_PREFIX: Final = "CID_RMQ_SYS_"
SELF_TEST_TOPIC: Final = "SELF_TEST_TOPIC"
OFFSET_MOVED_EVENT: Final = "OFFSET_MOVED_EVENT"

#: Written by the broker alone: a client that sends to one of them is refused.
NOT_FOR_CLIENTS: Final = frozenset(
    {
        "SCHEDULE_TOPIC_XXXX",
        "RMQ_SYS_TRANS_HALF_TOPIC",
        "RMQ_SYS_TRANS_OP_HALF_TOPIC",
        "TRANS_CHECK_MAX_TIME_TOPIC",
        "rmq_sys_wheel_timer",
        SELF_TEST_TOPIC,
        OFFSET_MOVED_EVENT,
    }
)
TRACE_TOPIC: Final = "RMQ_SYS_TRACE_TOPIC"
_SYSTEM_TOPICS: Final = NOT_FOR_CLIENTS | {DEFAULT_TOPIC, "BenchmarkTest", TRACE_TOPIC, "CHECKPOINT_TOPIC"}

#: Groups of RocketMQ's own tools: there without being created, whatever `autoCreateSubscriptionGroup` says.
SYSTEM_GROUPS: Final = ("TOOLS_CONSUMER", "FILTERSRV_CONSUMER", "SELF_TEST_C_GROUP", "CID_RMQ_SYS_TRANS")


def is_system_topic(topic: str) -> bool:
    return topic in _SYSTEM_TOPICS or topic.startswith(SYSTEM_TOPIC_PREFIX)


def is_reserved(topic: str) -> bool:
    """Whether only the broker may make a topic of that name; those of message traces are made by clients."""
    is_trace = topic.startswith((TRACE_TOPIC, "rmq_sys_TRACE_DATA_"))
    return topic.startswith((DLQ_PREFIX, SYSTEM_TOPIC_PREFIX, "RMQ_SYS_", "SCHEDULE_TOPIC_")) and not is_trace


def is_system_group(group: str) -> bool:
    return group in SYSTEM_GROUPS or group.startswith(SYSTEM_GROUP_PREFIX)


def retry_topic(group: str) -> str:
    return RETRY_PREFIX + group


def dead_letter_topic(group: str) -> str:
    return DLQ_PREFIX + group


def builtin_topics(
    cluster_name: str, broker_name: str, *, default_queue_count: int, auto_create: bool, trace_topic: str | None
) -> list[TopicConfig]:
    """The topics a broker owns from its first start, as the real one creates them."""
    topics = [
        _topic(cluster_name, 16, PERM_READ_WRITE | PERM_INHERIT),
        _topic(broker_name, 1, PERM_READ_WRITE | PERM_INHERIT),
        _topic(SELF_TEST_TOPIC, 1),
        _topic("BenchmarkTest", 1024),
        _topic(OFFSET_MOVED_EVENT, 1),
        _topic("SCHEDULE_TOPIC_XXXX", 18),
        _topic("RMQ_SYS_TRANS_HALF_TOPIC", 1),
        _topic("RMQ_SYS_TRANS_OP_HALF_TOPIC", 1),
        _topic("rmq_sys_wheel_timer", 1),
        _topic(f"{cluster_name}_REPLY_TOPIC", 1),
        _topic(f"rmq_sys_REVIVE_LOG_{cluster_name}", 8),
    ]
    if auto_create:
        topics.append(_topic(DEFAULT_TOPIC, default_queue_count, PERM_READ_WRITE | PERM_INHERIT))
    if trace_topic is not None:
        topics.append(_topic(trace_topic, 1))
    return topics


def _topic(name: str, queue_count: int, perm: int = PERM_READ_WRITE) -> TopicConfig:
    return TopicConfig(topic_name=name, read_queue_nums=queue_count, write_queue_nums=queue_count, perm=perm)
