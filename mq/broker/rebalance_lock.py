"""Locks on queues, so that an orderly group consumes each queue in one place at a time.

A lock is a lease of 60 seconds that its owner renews every 20. It belongs to a client id, not to a connection, because
a client may reach us by two ports. After a restart nobody holds anything, and the owners simply lock again.

A client that stops consuming when its connection breaks says so (`LockBatchRequestHeader`): its locks end with the
connection, so that the others need not wait a minute for a member that was killed.
Source: RocketMQ RebalanceLockManager.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from mq.errors import ResponseError
from mq.message import MessageQueue
from mq.remoting.bodies import LockBatchRequestBody, LockBatchResponseBody, UnlockBatchRequestBody
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import LockBatchRequestHeader

if TYPE_CHECKING:
    from mq.broker.app import Broker

LEASE_S: Final = 60.0


class Lease(NamedTuple):
    """`connection` is the one with which the lock ends; None for one that only time ends."""

    client_id: str
    expires_s: float
    connection: Connection | None


class LockTable:
    """Who owns which queue. Units: `now_s` seconds on a clock that never goes back."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[MessageQueue, Lease]] = {}

    def lock(
        self, group: str, client_id: str, queue: MessageQueue, now_s: float, connection: Connection | None = None
    ) -> bool:
        """Take or renew a lock; False while another client's lease runs."""
        leases = self._groups.setdefault(group, {})
        held = leases.get(queue)
        if held is not None and held.client_id != client_id and now_s < held.expires_s:
            return False
        leases[queue] = Lease(client_id, now_s + LEASE_S, connection)
        return True

    def unlock(self, group: str, client_id: str, queue: MessageQueue) -> None:
        leases = self._groups.get(group, {})
        held = leases.get(queue)
        if held is not None and held.client_id == client_id:
            del leases[queue]
            if not leases:
                del self._groups[group]

    def connection_closed(self, connection: Connection) -> None:
        """Free the locks that end with it."""
        for group, leases in list(self._groups.items()):
            for queue in [queue for queue, lease in leases.items() if lease.connection is connection]:
                self.unlock(group, leases[queue].client_id, queue)

    def is_locked(self, group: str, now_s: float) -> bool:
        """Whether any queue of the group is locked: then the group consumes in order."""
        return any(now_s < lease.expires_s for lease in self._groups.get(group, {}).values())


class RebalanceLocks:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.table = LockTable()

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.LOCK_BATCH_MQ: self._lock, RequestCode.UNLOCK_BATCH_MQ: self._unlock}

    def _lock(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        body = LockBatchRequestBody.from_json(command.body)
        if self._broker.groups.find_or_create(body.consumer_group) is None:
            raise ResponseError(
                ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, f"Group {body.consumer_group[:100]} not exist!"
            )
        now_s = asyncio.get_running_loop().time()
        ends_with = connection if command.header(LockBatchRequestHeader).lock_ends_with_connection else None
        locked = [
            queue
            for queue in body.mq_set
            if self._exists(queue) and self.table.lock(body.consumer_group, body.client_id, queue, now_s, ends_with)
        ]
        return command.respond(body=LockBatchResponseBody(locked).to_json())

    def _unlock(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        body = UnlockBatchRequestBody.from_json(command.body)
        for queue in body.mq_set:
            self.table.unlock(body.consumer_group, body.client_id, queue)
        return command.respond()

    def connection_closed(self, connection: Connection) -> None:
        self.table.connection_closed(connection)

    def _exists(self, queue: MessageQueue) -> bool:
        """Only queues that exist can be locked, or the table would grow with whatever is sent."""
        topic = self._broker.topics.get(queue.topic)
        return topic is not None and 0 <= queue.queue_id < max(topic.read_queue_nums, topic.write_queue_nums)
