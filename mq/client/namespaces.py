"""Namespaces: several users of one cluster, each with topics and groups of their own.

RocketMQ has them in two ways. In the first (`ClientSettings.namespace`) the client writes `namespace%topic` wherever
the broker sees a topic or a group, and hides it again from its user; prefixes of retry topics and dead letters stay in
front. In the second (`namespace_v2`) names stay as they are, and two header fields of every request say whose they are.
Source: RocketMQ NamespaceUtil.java, NamespaceRpcHook.java; remoting sheet 1.7.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mq.message import MessageQueue
from mq.message.message import DLQ_PREFIX, RETRY_PREFIX

_SEPARATOR: Final = "%"
#: What belongs to the cluster and not to any namespace. Source: TopicValidator.java, MixAll.java.
_SYSTEM_NAMES: Final = frozenset(
    {
        "TBW102",
        "SCHEDULE_TOPIC_XXXX",
        "BenchmarkTest",
        "RMQ_SYS_TRANS_HALF_TOPIC",
        "RMQ_SYS_TRACE_TOPIC",
        "RMQ_SYS_TRANS_OP_HALF_TOPIC",
        "TRANS_CHECK_MAX_TIME_TOPIC",
        "SELF_TEST_TOPIC",
        "OFFSET_MOVED_EVENT",
        "CLIENT_INNER_PRODUCER",
    }
)
_SYSTEM_PREFIXES: Final = ("rmq_sys_", "CID_RMQ_SYS_")


def v2_fields(namespace: str) -> dict[str, str]:
    """What every request carries in a namespace of the second kind."""
    return {"nsd": "true", "ns": namespace} if namespace else {}


class Namespace:
    """The first way; without a name it changes nothing."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self._prefix = name + _SEPARATOR

    def wrap(self, resource: str) -> str:
        """A topic or group as brokers know it; one that is wrapped already stays as it is."""
        if not self.name or resource in _SYSTEM_NAMES or resource.startswith(_SYSTEM_PREFIXES):
            return resource
        special, rest = _split(resource)
        return resource if rest.startswith(self._prefix) else special + self._prefix + rest

    def unwrap(self, resource: str) -> str:
        """A topic or group as its user knows it."""
        if not self.name:
            return resource
        special, rest = _split(resource)
        return special + rest.removeprefix(self._prefix)

    def wrap_queue(self, queue: MessageQueue) -> MessageQueue:
        return queue._replace(topic=self.wrap(queue.topic)) if self.name else queue

    def unwrap_queue(self, queue: MessageQueue) -> MessageQueue:
        return queue._replace(topic=self.unwrap(queue.topic)) if self.name else queue

    def unwrap_queues(self, queues: Iterable[MessageQueue]) -> tuple[MessageQueue, ...]:
        return tuple(map(self.unwrap_queue, queues))


def _split(resource: str) -> tuple[str, str]:
    for special in (RETRY_PREFIX, DLQ_PREFIX):
        if resource.startswith(special):
            return special, resource[len(special) :]
    return "", resource
