"""Reading queues at one's own pace: `PullConsumer`. No group membership, no rebalance, no retries.

Source: RocketMQ DefaultMQPullConsumer.java (the older, simpler one); remoting sheet 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from mq.client.instance import Client
from mq.client.results import PullResult
from mq.client.settings import ClientSettings
from mq.client.subscription import ALL, Subscription, Wanted
from mq.message import MessageQueue
from mq.message.message import check_group
from mq.remoting.headers import PullMessageRequestHeader, PullSysFlag

_MAX_BYTES = 4 * 1024 * 1024
#: How much longer than the broker may hold a pull its answer may take.
_ANSWER_MARGIN_S = 10.0


class PullConsumer:
    """Asks for messages of a queue from an offset on; `group` is whose committed offsets are read and written.

    ```
    async with PullConsumer("reports") as consumer:
        for queue in await consumer.queues("order-events"):
            result = await consumer.pull(queue, await consumer.committed_offset(queue) or 0)
    ```
    """

    def __init__(
        self,
        group: str,
        *,
        namesrv: str | Sequence[str] | None = None,
        client: Client | None = None,
        settings: ClientSettings | None = None,
    ) -> None:
        check_group(group)
        self.client = client or Client(namesrv, settings=settings)
        self.group = self.client.namespace.wrap(group)

    async def start(self) -> None:
        """Connects to nothing yet."""
        await self.client.open()

    async def stop(self) -> None:
        await self.client.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def queues(self, topic: str) -> tuple[MessageQueue, ...]:
        """The queues of a topic that may be read. Raises: NoRoute: no such topic."""
        namespace = self.client.namespace
        return namespace.unwrap_queues((await self.client.routes.of(namespace.wrap(topic))).subscribe_queues)

    async def pull(
        self,
        queue: MessageQueue,
        queue_offset: int,
        *,
        tags: Wanted = ALL,
        max_count: int = 32,
        wait_s: float = 0.0,
    ) -> PullResult:
        """Up to `max_count` messages (brokers give 32 at most) from `queue_offset` on, of the wanted tags, or those
        that `MessageSelector.by_sql(...)` selects.

        When there are none the broker waits up to `wait_s` for one. Go on at the result's `next_offset`, always.

        Raises: ResponseError, ConnectionLost, RequestTimeout, NoRoute: nothing was pulled.
        """
        queue, address = await self._located(queue)
        subscription = Subscription.parse(queue.topic, tags, 0)
        header = PullMessageRequestHeader(
            consumer_group=self.group,
            topic=queue.topic,
            queue_id=queue.queue_id,
            queue_offset=queue_offset,
            max_msg_nums=max_count,
            # The subscription comes with the pull, as nobody of this group need be known to the broker.
            sys_flag=PullSysFlag.SUBSCRIPTION | (PullSysFlag.SUSPEND if wait_s > 0 else 0),
            commit_offset=0,
            suspend_timeout_millis=int(wait_s * 1000),
            subscription=subscription.expression,
            sub_version=subscription.version,
            expression_type=subscription.expression_type,
            max_msg_bytes=_MAX_BYTES,
            broker_name=queue.broker_name,
        )
        result = await self.client.brokers.pull(
            address, header, broker_name=queue.broker_name, timeout_s=wait_s + _ANSWER_MARGIN_S
        )
        for message in result.messages:
            message.topic = self.client.namespace.unwrap(message.topic)
        if subscription.tags:
            result.messages[:] = [message for message in result.messages if subscription.matches(message.tag)]
        return result

    async def committed_offset(self, queue: MessageQueue) -> int | None:
        """Where the group goes on; None when it has never committed."""
        queue, address = await self._located(queue)
        return await self.client.brokers.query_offset(address, self.group, queue)

    async def commit(self, queue: MessageQueue, queue_offset: int) -> None:
        """Everything below `queue_offset` is done."""
        queue, address = await self._located(queue)
        await self.client.brokers.update_offset(address, self.group, queue, queue_offset)

    async def min_offset(self, queue: MessageQueue) -> int:
        queue, address = await self._located(queue)
        return await self.client.brokers.min_offset(address, queue)

    async def max_offset(self, queue: MessageQueue) -> int:
        """The offset that the next message of the queue will get."""
        queue, address = await self._located(queue)
        return await self.client.brokers.max_offset(address, queue)

    async def _located(self, queue: MessageQueue) -> tuple[MessageQueue, str]:
        """The queue as brokers know it, and the address of its own."""
        self.client.check_usable()
        queue = self.client.namespace.wrap_queue(queue)
        await self.client.routes.of(queue.topic)
        return queue, self.client.routes.master(queue.broker_name)
