"""Who of a group gets which queues: RocketMQ's AVG, computed by every member alone from the same sorted lists.

Members that sort differently would take the same queue twice, so both lists are sorted here, by UTF-16 units as Java
compares texts.
Source: RocketMQ AllocateMessageQueueAveragely, RebalanceImpl.rebalanceByTopic; remoting sheet 6.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mq.message import MessageQueue


def allocate_averagely(
    client_id: str, queues: Iterable[MessageQueue], client_ids: Sequence[str]
) -> tuple[MessageQueue, ...]:
    """The neighbouring queues that fall to `client_id`; none when it is not among `client_ids` or there are too few."""
    members = sorted(set(client_ids), key=_java_order)
    if client_id not in members:
        return ()
    ordered = sort_queues(queues)
    share, extra = divmod(len(ordered), len(members))
    position = members.index(client_id)
    start = position * share + min(position, extra)
    return ordered[start : start + share + (1 if position < extra else 0)]


def sort_queues(queues: Iterable[MessageQueue]) -> tuple[MessageQueue, ...]:
    """By topic, broker name and queue id, in Java's order of texts."""
    return tuple(sorted(queues, key=lambda queue: (_java_order(queue[0]), _java_order(queue[1]), queue[2])))


def _java_order(text: str) -> bytes:
    return text.encode("utf-16-be", errors="surrogatepass")
