"""Asking for messages instead of being handed them: `LitePullConsumer`.

Its queues come from its group, as a push consumer's do (`subscribe`), or from its user (`assign`); they are pulled in
the background either way, and `poll` gives out what has arrived. A message counts as done when `poll` is called again,
so a crash repeats what was under way and skips nothing.
Source: RocketMQ DefaultLitePullConsumerImpl.java; remoting sheet 2.1 and 12.2.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Self

from mq.client import running_info
from mq.client.allocation import AllocateStrategy, Averagely
from mq.client.arrivals import Arrivals
from mq.client.assigned_queue import AssignedQueue
from mq.client.background import cancel, spawn
from mq.client.consume_statistics import ConsumeStatistics
from mq.client.expression_check import check_expressions
from mq.client.instance import Client
from mq.client.offset_store import ConsumeFromWhere, OffsetStore
from mq.client.process_queue import FlowLimits, ProcessQueue
from mq.client.push_consumer import subscription_data
from mq.client.rebalance import Rebalance
from mq.client.results import ConsumeResult
from mq.client.settings import ClientSettings
from mq.client.subscription import ALL, Subscription, Wanted
from mq.clock import Clock
from mq.errors import MQError, ResponseError
from mq.message import MessageQueue, ReceivedMessage
from mq.message.message import check_group
from mq.remoting.bodies import ConsumerData
from mq.remoting.codes import ResponseCode

logger = logging.getLogger(__name__)

POLL_TIMEOUT_S: Final = 5.0
#: So many messages of all queues are held at most before pulling waits for `poll`.
_HELD_MAX: Final = 10_000


class LitePullConsumer:
    """A member of a group, or a reader of its own, that asks for what comes next.

    ```
    async with LitePullConsumer("reports", namesrv="127.0.0.1:9876") as consumer:
        await consumer.subscribe("order-events", "OrderPaid || OrderClosed")
        for message in await consumer.poll(): ...
    ```
    One coroutine polls; the other methods may be called from anywhere in the loop.

    auto_commit: what is done is committed every `offset_persist_s`; without it only by `commit`.
    poll_batch: the most messages that one `poll` gives.
    strategy, from_where, from_timestamp_ms, on_queues_changed: as of `PushConsumer`.
    """

    def __init__(
        self,
        group: str,
        *,
        namesrv: str | Sequence[str] | None = None,
        client: Client | None = None,
        clock: Clock | None = None,
        settings: ClientSettings | None = None,
        auto_commit: bool = True,
        poll_batch: int = 10,
        strategy: AllocateStrategy | None = None,
        from_where: ConsumeFromWhere = ConsumeFromWhere.LAST_OFFSET,
        from_timestamp_ms: int = 0,
        on_queues_changed: Callable[[frozenset[MessageQueue]], None] | None = None,
    ) -> None:
        check_group(group)
        self.client = client or Client(namesrv, settings=settings, clock=clock)
        self.group = self.client.namespace.wrap(group)
        self._poll_batch = poll_batch
        self._strategy = strategy or Averagely()
        self._from_where = from_where
        self._on_queues_changed = on_queues_changed
        offset_store = OffsetStore if auto_commit else _ManualOffsets
        self._offsets = offset_store(self.client, self.group, from_where, from_timestamp_ms)
        self._limits = FlowLimits.of(self.client.settings)
        self._statistics = ConsumeStatistics()
        self._arrivals = Arrivals()
        self._subscriptions: dict[str, Subscription] = {}
        self._assigned: dict[MessageQueue, AssignedQueue] = {}
        #: What the last `poll` gave out, which is not done yet.
        self._given: tuple[ProcessQueue, list[ReceivedMessage]] | None = None
        self._rebalance: Rebalance | None = None
        self._has_assigned = False
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._is_running = False

    # ---- life

    async def start(self) -> None:
        """Join the group. Queues come with `subscribe` or `assign`, before or after.

        Raises: ResponseError: as `subscribe`.
        """
        await self.client.join_consumer(self)
        self._is_running = True
        self._tasks = [spawn(self._commit_offsets(), f"offsets of group {self.group}")]
        if self._subscriptions:
            try:
                await check_expressions(self.client, self.group, map(subscription_data, self._subscriptions.values()))
                await self._join()
            except BaseException:
                await self.stop()
                raise

    async def stop(self) -> None:
        """Commit, and leave the group; what the last `poll` gave counts as done."""
        await self._stop(is_done=True)

    async def _stop(self, *, is_done: bool) -> None:
        if not self._is_running:
            return
        self._is_running = False
        await cancel(*self._tasks[1:])
        if is_done:
            self._finish_given()
        await self._offsets.commit(self._held())
        await cancel(*self._tasks)
        for assigned in self._assigned.values():
            assigned.stop_pulling()
            assigned.process_queue.drop()
        self._assigned.clear()
        if self._leaving:
            await asyncio.wait(self._leaving)
        await self.client.leave(self)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Whatever went wrong, it may have gone wrong with what the last poll gave.
        await self._stop(is_done=kind is None)

    # ---- whose queues

    async def subscribe(self, topic: str, tags: Wanted = ALL) -> None:
        """Want a topic, as `PushConsumer.subscribe`, and share its queues with the group's other members.

        Raises: InvalidMessage: a topic that RocketMQ does not allow.  ValueError: queues were assigned already.
            ResponseError: a broker does not understand the expression, and says why (23), or filters by none (1);
            of a consumer that is not running yet `start` says so.
        """
        if self._has_assigned:
            raise ValueError(f"consumer group {self.group!r} was assigned queues: it cannot subscribe as well")
        topic = self.client.namespace.wrap(topic)
        subscription = Subscription.parse(topic, tags, self.client.clock.now_ms())
        if self._is_running:
            await check_expressions(self.client, self.group, [subscription_data(subscription)])
        self._subscriptions[topic] = subscription
        if self._is_running:
            await self._join()

    async def assign(self, queues: Iterable[MessageQueue], tags: Wanted = ALL) -> None:
        """Take exactly these queues, whoever else does; an earlier assignment is forgotten.

        Raises: ValueError: it has subscribed already.  MQError: the brokers did not say where the group stands.
            ResponseError: as `subscribe`; the assignment is as it was then.
        """
        if self._rebalance is not None or (self._subscriptions and not self._has_assigned):
            raise ValueError(f"consumer group {self.group!r} has subscribed: it cannot be assigned queues as well")
        self.client.check_usable()
        wanted = frozenset(map(self.client.namespace.wrap_queue, queues))
        subscriptions = {topic: Subscription.parse(topic, tags, 0) for topic in {queue.topic for queue in wanted}}
        await check_expressions(self.client, self.group, map(subscription_data, subscriptions.values()))
        self._has_assigned = True
        for queue in self._assigned.keys() - wanted:
            self._give_up(queue)
        self._subscriptions = subscriptions
        await self.client.routes.refresh(self._subscriptions)
        for queue in sorted(wanted - self._assigned.keys()):
            await self._take(queue)

    @property
    def assignment(self) -> frozenset[MessageQueue]:
        """The queues that are ours now."""
        return frozenset(self.client.namespace.unwrap_queues(self._assigned))

    async def queues(self, topic: str) -> tuple[MessageQueue, ...]:
        """The queues of a topic that may be read. Raises: NoRoute: no such topic."""
        namespace = self.client.namespace
        return namespace.unwrap_queues((await self.client.routes.of(namespace.wrap(topic))).subscribe_queues)

    # ---- reading

    async def poll(self, timeout_s: float = POLL_TIMEOUT_S) -> list[ReceivedMessage]:
        """The next messages of one queue, or none after `timeout_s`; those of the poll before are done now."""
        self.client.check_usable()
        self._finish_given()
        self._given = await self._arrivals.take(self._poll_batch, timeout_s)
        return self._given[1] if self._given else []

    def seek(self, queue: MessageQueue, queue_offset: int) -> None:
        """Go on at an offset, which counts as far as the group has come; nothing from before comes any more.

        Raises: ValueError: the queue is not ours.
        """
        assigned = self._of(queue)
        assigned.process_queue.drop()  # At once: the task that begins anew only starts with the loop's next turn.
        assigned.go_on_at(queue_offset)

    async def seek_to_begin(self, queue: MessageQueue) -> None:
        """As `seek`, to the oldest message."""
        wire_queue, address = await self._located(queue)
        self.seek(queue, await self.client.brokers.min_offset(address, wire_queue))

    async def seek_to_end(self, queue: MessageQueue) -> None:
        """As `seek`, behind the newest message."""
        wire_queue, address = await self._located(queue)
        self.seek(queue, await self.client.brokers.max_offset(address, wire_queue))

    async def offset_for_timestamp(self, queue: MessageQueue, timestamp_ms: int) -> int:
        """The offset of the first message stored at or after a moment."""
        wire_queue, address = await self._located(queue)
        return await self.client.brokers.search_offset(address, wire_queue, timestamp_ms)

    def pause(self, *queues: MessageQueue) -> None:
        """Give out nothing of these queues until `resume`; they stay ours. Raises: ValueError: not ours."""
        for queue in queues:
            self._of(queue).process_queue.is_paused = True

    def resume(self, *queues: MessageQueue) -> None:
        """Raises: ValueError: not ours."""
        for queue in queues:
            self._of(queue).process_queue.is_paused = False
        self._arrivals.look_again()

    # ---- offsets

    async def commit(self, offsets: Mapping[MessageQueue, int] | None = None) -> None:
        """Commit these offsets; without them, what was polled so far, the last poll included.

        Raises: MQError: an explicit offset was not taken; what was polled is told again the next time.
        """
        if offsets is None:
            self._finish_given()
            await self._offsets.commit_now(self._held())
            return
        for queue, queue_offset in offsets.items():
            wire_queue, address = await self._located(queue)
            await self.client.brokers.update_offset(address, self.group, wire_queue, queue_offset)

    async def committed_offset(self, queue: MessageQueue) -> int | None:
        """Where the group goes on; None when it has never committed."""
        wire_queue, address = await self._located(queue)
        return await self.client.brokers.query_offset(address, self.group, wire_queue)

    # ---- what the client asks

    def topics(self) -> Iterable[str]:
        return list(self._subscriptions)

    @property
    def is_orderly(self) -> bool:
        return False

    def heartbeat_data(self) -> ConsumerData:
        shared = [] if self._has_assigned else self._subscriptions.values()
        return ConsumerData(
            group_name=self.group,
            consume_type="CONSUME_ACTIVELY",
            consume_from_where=self._from_where.value,
            subscription_data_set=[subscription_data(each) for each in shared],
        )

    def rebalance_soon(self) -> None:
        if self._is_running and self._rebalance is not None:
            self._rebalance.soon()

    def reset_offsets(self, offsets: Mapping[MessageQueue, int]) -> None:
        for queue, queue_offset in offsets.items():
            if queue in self._assigned:
                self.seek(self.client.namespace.unwrap_queue(queue), queue_offset)

    def offsets(self, topic: str) -> dict[MessageQueue, int]:
        return {
            queue: assigned.process_queue.commit_offset or 0
            for queue, assigned in self._assigned.items()
            if queue.topic == topic
        }

    def running_info(self) -> dict[str, Any]:
        return running_info.running_info(
            self.client,
            [subscription_data(each) for each in self._subscriptions.values()],
            self._held(),
            self._statistics,
            is_orderly=False,
            thread_count=0,
            consume_type="CONSUME_ACTIVELY",
        )

    async def consume_directly(self, message: ReceivedMessage) -> ConsumeResult | Exception:
        raise ResponseError(ResponseCode.SYSTEM_ERROR, f"group {self.group!r} polls: it has no handler to call")

    # ---- inside

    async def _join(self) -> None:
        """Tell the brokers what we want, and take a first share of it."""
        await self.client.routes.refresh(self._subscriptions)
        await self.client.heartbeats.to_all()
        if self._rebalance is not None:
            await cancel(self._tasks.pop())
        self._rebalance = Rebalance(self.client, self.group, self._subscriptions, self._strategy, self._apply_share)
        is_complete = await self._rebalance.once()
        self._tasks.append(spawn(self._rebalance.run(is_complete=is_complete), f"rebalance of group {self.group}"))

    async def _apply_share(self, topic: str, share: frozenset[MessageQueue]) -> bool:
        for queue in [queue for queue in self._assigned if queue.topic == topic and queue not in share]:
            self._give_up(queue)
        is_complete = True
        for queue in sorted(share - self._assigned.keys()):
            try:
                await self._take(queue)
            except MQError:
                is_complete = False
        return is_complete

    async def _take(self, queue: MessageQueue) -> None:
        start_offset = await self._offsets.start_of(queue)
        assigned = AssignedQueue(
            self.client,
            self.group,
            self._subscriptions[queue.topic],
            queue,
            start_offset,
            self._offsets,
            self._arrivals,
            self._limits,
            self._statistics,
            is_lite=True,
        )
        self._assigned[queue] = assigned
        assigned.start()
        self._announce()

    def _give_up(self, queue: MessageQueue) -> None:
        assigned = self._assigned.pop(queue)
        task = spawn(assigned.give_up(), f"giving up {queue}")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        self._announce()

    def _announce(self) -> None:
        self._limits.share(self.client.settings, len(self._assigned), most=_HELD_MAX)
        if self._on_queues_changed is None:
            return
        try:
            self._on_queues_changed(self.assignment)
        except Exception:  # the user's code; the rebalance that calls it must go on
            logger.exception("on_queues_changed of group %s failed", self.group)

    def _finish_given(self) -> None:
        if self._given is not None:
            process_queue, messages = self._given
            self._given = None
            process_queue.last_consumed_at = time.monotonic()
            process_queue.remove(messages)

    async def _commit_offsets(self) -> None:
        while True:
            await asyncio.sleep(self.client.settings.offset_persist_s)
            await self._offsets.commit(self._held())

    def _held(self) -> list[ProcessQueue]:
        return [assigned.process_queue for assigned in self._assigned.values()]

    def _of(self, queue: MessageQueue) -> AssignedQueue:
        assigned = self._assigned.get(self.client.namespace.wrap_queue(queue))
        if assigned is None:
            raise ValueError(f"{queue} is not assigned to this consumer of group {self.group!r}")
        return assigned

    async def _located(self, queue: MessageQueue) -> tuple[MessageQueue, str]:
        """The queue as brokers know it, and the address of its own, which knows our group from now on."""
        self.client.check_usable()
        queue = self.client.namespace.wrap_queue(queue)
        await self.client.routes.of(queue.topic)
        address = self.client.routes.master(queue.broker_name)
        await self.client.heartbeats.ensure(address)
        return queue, address


class _ManualOffsets(OffsetStore):
    """Commits only when its user says so: neither now and then, nor with a queue that goes elsewhere."""

    async def commit(self, process_queues: Iterable[ProcessQueue]) -> None:
        """Not now."""
