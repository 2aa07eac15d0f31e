"""Consuming as a member of a group: `PushConsumer`.

The parts: `rebalance` says which queues are ours; an `AssignedQueue` pulls each of them; a consumption, concurrent or
orderly, hands messages to the handler; the `OffsetStore` tells the brokers how far we are; `OrderLocks` keep others
away from the queues of an orderly consumer.

Delivery is at least once: after a crash, or when a queue changes hands, what was not committed comes again.
Source: RocketMQ DefaultMQPushConsumerImpl.java; remoting sheet 6 and 12.2.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from mq.client import handlers, running_info
from mq.client.allocation import AllocateStrategy, Averagely
from mq.client.assigned_queue import AssignedQueue, Consumption
from mq.client.background import cancel, spawn
from mq.client.broadcasting import Dropped, EveryQueue, MessageModel
from mq.client.consume_concurrently import ConcurrentConsumption
from mq.client.consume_orderly import OrderlyConsumption
from mq.client.consume_statistics import ConsumeStatistics
from mq.client.expression_check import check_expressions
from mq.client.handlers import Handler
from mq.client.instance import Client
from mq.client.local_offset_store import LocalFileOffsetStore
from mq.client.offset_store import ConsumeFromWhere, OffsetStore
from mq.client.order_locks import OrderLocks
from mq.client.process_queue import FlowLimits, ProcessQueue
from mq.client.rebalance import Rebalance
from mq.client.results import ConsumeResult
from mq.client.send_back import SendBack
from mq.client.settings import ClientSettings
from mq.client.subscription import ALL, Subscription, Wanted
from mq.client.trace_dispatcher import TraceDispatcher
from mq.client.traced_handler import traced
from mq.clock import Clock
from mq.errors import MQError
from mq.message import MessageQueue, ReceivedMessage, properties
from mq.message.message import RETRY_PREFIX, check_group
from mq.remoting.bodies import ConsumerData, SubscriptionData

logger = logging.getLogger(__name__)

#: How often a concurrent consumer's message is tried again when the user does not say; an orderly one's: without end.
_DEFAULT_RECONSUME_TIMES: Final = 16
_WITHOUT_END: Final = 2**31 - 1


class PushConsumer:
    """Hands every message of its subscriptions to `handler`, together with the other members of its group.

    ```
    async def handle(messages: list[ReceivedMessage]) -> None: ...

    consumer = PushConsumer("inventory", handler=handle)
    consumer.subscribe("order-events", "OrderPlaced || OrderClosed")
    async with consumer:
        await forever
    ```
    The handler gets up to `batch_size` messages of one queue. An `async def` runs on the event loop, a plain function
    in one of `threads` threads; at most `threads` run at once. Returning means done, raising means again later.

    orderly: one batch of a queue at a time, in the queue's order; a failure holds its queue up for `suspend_s`.
    max_reconsume_times: tries after the first one before a message becomes a dead letter (16; orderly: without end).
    from_where: where a group begins in queues it has never consumed; `from_timestamp_ms` for TIMESTAMP.
    consume_timeout_s: a concurrent handler that takes longer has its messages given to somebody else.
    message_model: BROADCASTING gives every message to every member of the group: each keeps its offsets in a file below
        `offsets_folder` (see `mq.client.local_offset_store`), and what a handler fails at does not come again.
    strategy: how the group divides its queues, one of `mq.client.allocation`, the same for all members; `Averagely()`.
    on_queues_changed: called with the queues that are ours whenever that changes.
    trace: leave a trace of what every message went through, for operators' tools.
    """

    def __init__(
        self,
        group: str,
        *,
        handler: Handler,
        namesrv: str | Sequence[str] | None = None,
        client: Client | None = None,
        clock: Clock | None = None,
        settings: ClientSettings | None = None,
        orderly: bool = False,
        batch_size: int = 1,
        threads: int = 20,
        max_reconsume_times: int | None = None,
        from_where: ConsumeFromWhere = ConsumeFromWhere.LAST_OFFSET,
        from_timestamp_ms: int = 0,
        consume_timeout_s: float = 900.0,
        message_model: MessageModel = MessageModel.CLUSTERING,
        offsets_folder: Path | None = None,
        suspend_s: float = 1.0,
        strategy: AllocateStrategy | None = None,
        on_queues_changed: Callable[[frozenset[MessageQueue]], None] | None = None,
        trace: bool = False,
    ) -> None:
        check_group(group)
        self.client = client or Client(namesrv, settings=settings, clock=clock)
        self.group = group = self.client.namespace.wrap(group)
        self._limits = FlowLimits.of(self.client.settings)
        self._statistics = ConsumeStatistics()
        self._handler = handler
        self.is_orderly = orderly
        self._batch_size = batch_size
        self._thread_count = threads
        self._consume_timeout_s = consume_timeout_s
        self._suspend_s = suspend_s
        self._from_where = from_where
        self._strategy = strategy or Averagely()
        self._is_traced = trace
        self._trace: TraceDispatcher | None = None
        self._on_queues_changed = on_queues_changed
        if max_reconsume_times is None:
            max_reconsume_times = _WITHOUT_END if orderly else _DEFAULT_RECONSUME_TIMES
        self._max_reconsume_times = max_reconsume_times
        self._message_model = message_model
        self._is_broadcasting = message_model is MessageModel.BROADCASTING
        self._needs_locks = orderly and not self._is_broadcasting
        self._send_back: SendBack | Dropped = SendBack(self.client, group, max_reconsume_times)
        self._offsets = OffsetStore(self.client, group, from_where, from_timestamp_ms)
        if self._is_broadcasting:
            self._send_back = Dropped(group)
            self._offsets = LocalFileOffsetStore(self.client, group, from_where, from_timestamp_ms, offsets_folder)
        self._locks = OrderLocks(self.client, group, self._lose_locks)
        self._subscriptions: dict[str, Subscription] = {}
        self._assigned: dict[MessageQueue, AssignedQueue] = {}
        self._leaving: dict[MessageQueue, asyncio.Task[None]] = {}
        #: Brokers whose locks we lost since the share that is being taken was locked.
        self._lost_brokers: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_running = False

    # ---- life

    def subscribe(self, topic: str, tags: Wanted = ALL) -> None:
        """Want a topic: all of it, messages with one of some tags (`A || B`, or a list), or those that an expression
        selects (`MessageSelector.by_sql("price > 10")`). Before `start` only.

        All members of a group must subscribe to the same: a broker keeps one subscription per group.
        Raises: InvalidMessage: a topic that RocketMQ does not allow.
        """
        if self._is_running:
            raise ValueError("subscribe before start: a running consumer's group shares its subscriptions")
        topic = self.client.namespace.wrap(topic)
        self._subscriptions[topic] = Subscription.parse(topic, tags, self.client.clock.now_ms())

    async def start(self) -> None:
        """Join the group and take a first share of the queues.

        Servers that cannot be reached are no error: what is missing is made up for as soon as they can.
        Raises: ResponseError: a broker does not understand an expression, and says why (23), or filters by none (1).
            LocalOffsetsUnusable: the file of a broadcasting member.
        """
        if not self._subscriptions:
            raise ValueError(f"consumer group {self.group!r} subscribes to nothing: call subscribe() first")
        if not self._is_broadcasting:
            retry_topic = RETRY_PREFIX + self.group
            self._subscriptions[retry_topic] = Subscription.parse(retry_topic, ALL, self.client.clock.now_ms())
        self._consumption = self._make_consumption()
        self._rebalance = (EveryQueue if self._is_broadcasting else Rebalance)(
            self.client, self.group, self._subscriptions, self._strategy, self._apply_share
        )
        await self.client.join_consumer(self)
        if self._trace is not None:
            self._trace.start()
        self._is_running = True
        try:
            self._offsets.open()
            await check_expressions(self.client, self.group, self.heartbeat_data().subscription_data_set)
            is_complete = await self._rebalance.once()
        except BaseException:
            await self.stop(0.0)
            raise
        self._tasks = [
            spawn(self._commit_offsets(), f"offsets of group {self.group}"),
            spawn(self._rebalance.run(is_complete=is_complete), f"rebalance of group {self.group}"),
        ]
        if self._needs_locks:
            self._tasks.append(spawn(self._renew_locks(), f"locks of group {self.group}"))

    async def stop(self, grace_s: float = 30.0) -> None:
        """Take no more messages, wait for running handlers, commit what is done, and leave the group.

        Handlers that still run after `grace_s` are left to themselves; their messages come again elsewhere.
        """
        if not self._is_running:
            return
        self._is_running = False
        self._consumption.stop_handing_out()
        for assigned in self._assigned.values():
            assigned.stop_pulling()
        await cancel(*self._tasks[1:])
        if not await self._consumption.finish(grace_s):
            logger.warning(
                "group %s: handlers still run after %.0f s; their messages will come again", self.group, grace_s
            )
        if self._leaving:
            await asyncio.wait(self._leaving.values(), timeout=grace_s)
        await self._offsets.commit(assigned.process_queue for assigned in self._assigned.values())
        await cancel(*self._tasks)  # Only now the task that commits: cut short, its requests could overtake the last.
        if self._needs_locks:
            await self._locks.unlock(list(self._locks.held))
        self._offsets.close()
        self._assigned.clear()
        if self._trace is not None:
            await self._trace.stop()
        await self.client.leave(self)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def queues(self) -> frozenset[MessageQueue]:
        """The queues that are ours now."""
        return frozenset(self.client.namespace.unwrap_queues(self._assigned))

    # ---- what the client asks

    def topics(self) -> Iterable[str]:
        return self._subscriptions

    def heartbeat_data(self) -> ConsumerData:
        return ConsumerData(
            group_name=self.group,
            message_model=self._message_model.value,
            consume_from_where=self._from_where.value,
            subscription_data_set=[subscription_data(each) for each in self._subscriptions.values()],
        )

    def rebalance_soon(self) -> None:
        if self._is_running:
            self._rebalance.soon()

    def reset_offsets(self, offsets: Mapping[MessageQueue, int]) -> None:
        for queue, queue_offset in offsets.items():
            if queue in self._assigned and self._is_running:
                self._assigned[queue].go_on_at(queue_offset)

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
            [assigned.process_queue for assigned in self._assigned.values()],
            self._statistics,
            is_orderly=self.is_orderly,
            thread_count=self._thread_count,
        )

    async def consume_directly(self, message: ReceivedMessage) -> ConsumeResult | Exception:
        topic = message.properties.get(properties.RETRY_TOPIC, message.topic)
        message.topic = self.client.namespace.unwrap(topic)
        if handlers.is_async(self._handler):
            return await handlers.call_async(self._handler, [message])
        return await asyncio.to_thread(handlers.call, self._handler, [message])

    # ---- whose queues

    async def _apply_share(self, topic: str, share: frozenset[MessageQueue]) -> bool:
        for queue in [queue for queue in self._assigned if queue.topic == topic and queue not in share]:
            self._give_up(queue)
        new = share - self._assigned.keys() - self._leaving.keys()
        leases = await self._lock_share(topic, share, new) if self._needs_locks else dict.fromkeys(new, math.inf)
        is_complete = len(leases) == len(new) and not share & self._leaving.keys()
        for queue in sorted(leases):
            is_complete &= await self._take(queue, leases[queue])
        return is_complete

    async def _lock_share(
        self, topic: str, share: frozenset[MessageQueue], new: frozenset[MessageQueue]
    ) -> dict[MessageQueue, float]:
        """The new queues whose lock we got, with the end of the lease: counted from before we asked."""
        # Locked for an earlier share, but never begun with, for want of its offset.
        stray = [
            queue for queue in self._locks.held - self._leaving.keys() if queue.topic == topic and queue not in share
        ]
        if stray:
            await self._locks.unlock(stray)
        self._lost_brokers.clear()
        lease_ends_at = time.monotonic() + self.client.settings.lock_lease_s
        held = await self._locks.lock(new)
        return {queue: lease_ends_at for queue, is_ours in held.items() if is_ours}

    async def _take(self, queue: MessageQueue, lease_ends_at: float) -> bool:
        try:
            start_offset = await self._offsets.start_of(queue)
        except MQError as error:
            logger.warning("group %s cannot begin with %s: %s", self.group, queue, error)
            return False
        if queue.broker_name in self._lost_brokers:
            return False
        subscription = self._subscriptions[queue.topic]
        assigned = AssignedQueue(
            self.client,
            self.group,
            subscription,
            queue,
            start_offset,
            self._offsets,
            self._consumption,
            self._limits,
            self._statistics,
        )
        self._assigned[queue] = assigned
        assigned.start(lease_ends_at)
        self._announce()
        return True

    def _give_up(self, queue: MessageQueue, *, unlock: bool = True) -> None:
        """Stop with a queue at once; it is nobody's until its last handler is done and its offset committed."""
        assigned = self._assigned.pop(queue)
        self._announce()
        self._leaving[queue] = spawn(self._leave(assigned, unlock), f"giving up {queue}")

    async def _leave(self, assigned: AssignedQueue, unlock: bool) -> None:
        try:
            await assigned.give_up()
            if self._needs_locks and unlock:
                await self._locks.unlock([assigned.queue])
        finally:
            del self._leaving[assigned.queue]
            self.rebalance_soon()

    def _lose_lock(self, process_queue: ProcessQueue) -> None:
        """The lease ran out: others may have consumed what we hold, so begin anew, if the queue is still ours."""
        queue = process_queue.queue
        assigned = self._assigned.get(queue)
        if assigned is not None and assigned.process_queue is process_queue:
            logger.info("group %s lost the lock of %s", self.group, queue)
            self._give_up(queue, unlock=False)

    def _lose_locks(self, broker_name: str) -> None:
        self._lost_brokers.add(broker_name)
        for queue in [queue for queue in self._assigned if queue.broker_name == broker_name]:
            self._lose_lock(self._assigned[queue].process_queue)

    def _announce(self) -> None:
        self._limits.share(self.client.settings, len(self._assigned))
        if self._on_queues_changed is None:
            return
        try:
            self._on_queues_changed(self.queues)
        except Exception:  # the user's code; the rebalance that calls it must go on
            logger.exception("on_queues_changed of group %s failed", self.group)

    # ---- background

    async def _commit_offsets(self) -> None:
        while True:
            await asyncio.sleep(self.client.settings.offset_persist_s)
            self._consumption.give_up_overdue()
            await self._offsets.commit([assigned.process_queue for assigned in self._assigned.values()])

    async def _renew_locks(self) -> None:
        while True:
            await asyncio.sleep(self.client.settings.lock_renew_s)
            lease_ends_at = time.monotonic() + self.client.settings.lock_lease_s
            for queue, is_ours in (await self._locks.lock(list(self._assigned))).items():
                assigned = self._assigned.get(queue)
                if assigned is not None and is_ours:
                    assigned.process_queue.lease_ends_at = lease_ends_at
                    assigned.process_queue.last_locked_at = time.monotonic()
                elif assigned is not None:
                    self._lose_lock(assigned.process_queue)

    def _make_consumption(self) -> Consumption:
        handler = self._handler
        if self._is_traced:
            self._trace = TraceDispatcher(self.client, self.group, "CONSUME")
            group = self.client.namespace.unwrap(self.group)
            handler = traced(handler, self.client, group, self._trace, self._consume_timeout_s)
        if self.is_orderly:
            return OrderlyConsumption(
                self.group,
                handler,
                self._statistics,
                threads=self._thread_count,
                batch_size=self._batch_size,
                suspend_s=self._suspend_s,
                max_reconsume_times=self._max_reconsume_times,
                give_up=self._send_back.send_copy,
                on_lock_lost=self._lose_lock,
            )
        return ConcurrentConsumption(
            self.group,
            handler,
            self._statistics,
            threads=self._thread_count,
            batch_size=self._batch_size,
            timeout_s=self._consume_timeout_s,
            send_back=self._send_back.send_back,
        )


def subscription_data(subscription: Subscription) -> SubscriptionData:
    tags = sorted(subscription.tags)
    return SubscriptionData(
        topic=subscription.topic,
        sub_string=subscription.expression,
        tags_set=tags,
        code_set=[properties.tag_code(tag) for tag in tags],
        sub_version=subscription.version,
        expression_type=subscription.expression_type,
    )
