"""How far a group has come in each queue: kept by the brokers, asked when a queue is taken, told as work gets done.

What is told is always the lowest offset not consumed, so it only ever says "done" about what is done.
Source: RocketMQ RemoteBrokerOffsetStore.java, RebalancePushImpl.computePullFromWhere; remoting sheet 6.3.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mq.client.process_queue import ProcessQueue
from mq.errors import MQError
from mq.message import MessageQueue
from mq.message.message import RETRY_PREFIX
from mq.remoting.connection import Connection

if TYPE_CHECKING:
    from mq.client.instance import Client

logger = logging.getLogger(__name__)


class ConsumeFromWhere(enum.Enum):
    """Where a group begins in a queue it has never consumed.

    Brokers let a group begin at 0 in a young topic (whose queues still begin at 0) whatever is said here.
    """

    LAST_OFFSET = "CONSUME_FROM_LAST_OFFSET"
    FIRST_OFFSET = "CONSUME_FROM_FIRST_OFFSET"
    TIMESTAMP = "CONSUME_FROM_TIMESTAMP"


class OffsetStore:
    """`from_timestamp_ms` is epoch milliseconds, for ConsumeFromWhere.TIMESTAMP."""

    def __init__(self, client: Client, group: str, from_where: ConsumeFromWhere, from_timestamp_ms: int) -> None:
        self._client = client
        self._group = group
        self._from_where = from_where
        self._from_timestamp_ms = from_timestamp_ms
        self._lock = asyncio.Lock()
        self._told: dict[MessageQueue, tuple[int, Connection]] = {}
        #: What a broker was to be told when it could not be reached.
        self._unheard: dict[MessageQueue, int] = {}

    def open(self) -> None:
        """Called once, before anything else."""

    def close(self) -> None:
        """Called once, after everything else."""

    async def start_of(self, queue: MessageQueue) -> int:
        """Where to begin: where the group stopped, as the broker knows it or as we know better.

        Raises: MQError: the broker did not say; beginning anywhere else could skip messages.
        """
        address = self._client.routes.master(queue.broker_name)
        committed = await self._client.brokers.query_offset(address, self._group, queue)
        unheard = self._unheard.pop(queue, None)
        self._told.pop(queue, None)  # Somebody else may have told something else since.
        if committed is not None or unheard is not None:
            return max(committed or 0, unheard or 0)
        return await self._first_of(queue)

    async def _first_of(self, queue: MessageQueue) -> int:
        """Where a group begins that has never consumed this queue."""
        address = self._client.routes.master(queue.broker_name)
        is_retry = queue.topic.startswith(RETRY_PREFIX)
        if self._from_where is ConsumeFromWhere.TIMESTAMP and not is_retry:
            return await self._client.brokers.search_offset(address, queue, self._from_timestamp_ms)
        if self._from_where is ConsumeFromWhere.LAST_OFFSET and not is_retry:
            return await self._client.brokers.max_offset(address, queue)
        return 0

    async def commit(self, process_queues: Iterable[ProcessQueue]) -> None:
        """Tell the brokers what changed and wait for their word; what they did not hear is told the next time.

        One round at a time: a broker's threads may let a later request overtake an earlier one, and the group would go
        back. For the same reason pulls carry no offset here, though Java's do.
        """
        await self.commit_now(process_queues)

    async def commit_now(self, process_queues: Iterable[ProcessQueue]) -> None:
        """As `commit`, also where committing is left to the user."""
        async with self._lock:
            await asyncio.gather(*(self._commit(process_queue) for process_queue in process_queues))

    async def _commit(self, process_queue: ProcessQueue) -> None:
        queue, commit_offset = process_queue.queue, process_queue.commit_offset
        if commit_offset is None:
            return
        try:
            address = self._client.routes.master(queue.broker_name)
            connection = await self._client.remoting.connection(address)
            # Over another connection it may be a broker that was killed before it wrote down what we told it.
            if self._told.get(queue) == (commit_offset, connection):
                return
            await self._client.brokers.update_offset(address, self._group, queue, commit_offset)
        except MQError as error:
            logger.info("offset %d of %s was not committed: %s", commit_offset, queue, error)
            self._unheard[queue] = commit_offset
        else:
            self._told[queue] = commit_offset, connection
            self._unheard.pop(queue, None)
