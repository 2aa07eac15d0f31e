"""Who of a group gets which queues: RocketMQ's strategies, computed by every member alone from the same sorted lists.

Members that sort differently would take the same queue twice, so both lists are sorted here, by UTF-16 units as Java
compares texts; and all members of a group must use the same strategy. Any object with an `allocate` method is one:

| class | Java's name | a member gets |
| --- | --- | --- |
| `Averagely` | AVG | neighbouring queues, at most one more or less than anybody else |
| `AveragelyByCircle` | AVG_BY_CIRCLE | every n-th queue |
| `ConsistentHash` | CONSISTENT_HASH | what lies before its points of a ring: few queues move when members come and go |
| `ByMachineRoom` | MACHINE_ROOM | a share of the queues in some machine rooms; the others are nobody's |
| `MachineRoomNearby` | MACHINE_ROOM_NEARBY | a share of the queues in its own room, and of the rooms without members |
| `ByConfig` | CONFIG | what it is told |

Source: RocketMQ client/consumer/rebalance/*.java, RebalanceImpl.rebalanceByTopic; remoting sheet 6.2.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from hashlib import md5
from typing import Protocol

from mq.message import MessageQueue

Queues = Sequence[MessageQueue]


class AllocateStrategy(Protocol):
    def allocate(self, client_id: str, queues: Queues, client_ids: Sequence[str]) -> Queues:
        """The share of `client_id`, one of `client_ids`; queues and client ids are sorted and not empty."""
        ...


def allocate(
    strategy: AllocateStrategy, client_id: str, queues: Iterable[MessageQueue], client_ids: Collection[str]
) -> tuple[MessageQueue, ...]:
    """The queues that fall to `client_id`; none when it is not among `client_ids`."""
    members, ordered = sorted(set(client_ids), key=_java_order), sort_queues(queues)
    if client_id not in members or not ordered:
        return ()
    return tuple(strategy.allocate(client_id, ordered, members))


class Averagely:
    def allocate(self, client_id: str, queues: Queues, client_ids: Sequence[str]) -> Queues:
        share, extra = divmod(len(queues), len(client_ids))
        position = client_ids.index(client_id)
        start = position * share + min(position, extra)
        return queues[start : start + share + (1 if position < extra else 0)]


class AveragelyByCircle:
    def allocate(self, client_id: str, queues: Queues, client_ids: Sequence[str]) -> Queues:
        return queues[client_ids.index(client_id) :: len(client_ids)]


@dataclass(frozen=True)
class ConsistentHash:
    """A queue falls to the member whose next point follows the queue's own place on the ring."""

    virtual_node_count: int = 10

    def allocate(self, client_id: str, queues: Queues, client_ids: Sequence[str]) -> Queues:
        # Two members on one point: the later one has it, as in Java's map.
        owners = {_place(f"{each}-{number}"): each for each in client_ids for number in range(self.virtual_node_count)}
        ring = sorted(owners)
        return [queue for queue in queues if ring and owners[_next(ring, _place(_java_text(queue)))] == client_id]


@dataclass(frozen=True)
class ByMachineRoom:
    """`rooms` are those whose queues this group consumes; a broker is named `room@name`."""

    rooms: Collection[str]

    def allocate(self, client_id: str, queues: Queues, client_ids: Sequence[str]) -> Queues:
        ours = [queue for queue in queues if _room(queue) in self.rooms]
        share, extra = divmod(len(ours), len(client_ids))
        position = client_ids.index(client_id)
        rest = [ours[share * len(client_ids) + position]] if position < extra else []
        return ours[position * share : (position + 1) * share] + rest


@dataclass(frozen=True)
class MachineRoomNearby:
    """Divides by `inner` among those of a queue's room; queues of a room without a member, among all.

    `room_of_queue` and `room_of_client` say where brokers and clients are.
    Raises (from `allocate`): ValueError: one of them is nowhere.
    """

    inner: AllocateStrategy
    room_of_queue: Callable[[MessageQueue], str]
    room_of_client: Callable[[str], str]

    def allocate(self, client_id: str, queues: Queues, client_ids: Sequence[str]) -> Queues:
        by_room: dict[str, list[MessageQueue]] = defaultdict(list)
        members: dict[str, list[str]] = defaultdict(list)
        for queue in queues:
            by_room[_named(self.room_of_queue(queue), queue)].append(queue)
        for each in client_ids:
            members[_named(self.room_of_client(each), each)].append(each)
        own_room = self.room_of_client(client_id)
        share: list[MessageQueue] = []
        if own_room in by_room:
            share += self.inner.allocate(client_id, by_room.pop(own_room), members[own_room])
        for room in sorted(by_room.keys() - members.keys(), key=_java_order):
            share += self.inner.allocate(client_id, by_room[room], client_ids)
        return share


@dataclass(frozen=True)
class ByConfig:
    """Always `queues`, whoever else is there: whoever gives them out sees to it that they are given once.

    A group's retries are a topic of their own: nobody consumes them but who is given `%RETRY%group`'s queue.
    """

    queues: Queues

    def allocate(self, client_id: str, queues: Queues, client_ids: Sequence[str]) -> Queues:
        return self.queues


def sort_queues(queues: Iterable[MessageQueue]) -> tuple[MessageQueue, ...]:
    """By topic, broker name and queue id, in Java's order of texts."""
    return tuple(sorted(queues, key=lambda queue: (_java_order(queue[0]), _java_order(queue[1]), queue[2])))


def _java_order(text: str) -> bytes:
    return text.encode("utf-16-be", errors="surrogatepass")


def _java_text(queue: MessageQueue) -> str:
    """Java's `MessageQueue.toString`, by which it hashes."""
    return f"MessageQueue [topic={queue.topic}, brokerName={queue.broker_name}, queueId={queue.queue_id}]"


def _place(text: str) -> int:
    return int.from_bytes(md5(text.encode(), usedforsecurity=False).digest()[:4], "big")


def _next(ring: list[int], place: int) -> int:
    return ring[bisect_left(ring, place) % len(ring)]


def _room(queue: MessageQueue) -> str | None:
    room, _, name = queue.broker_name.partition("@")
    return room if name and "@" not in name else None


def _named(room: str, whose: object) -> str:
    if not room:
        raise ValueError(f"no machine room for {whose}")
    return room
