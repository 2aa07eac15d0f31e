"""One queue that is ours: pulled without end, its messages handed to the consumption, until it is given up.

The task that pulls lives as long as the queue is ours. A queue that must go on elsewhere (the broker says the offset is
not there, an operator reset it) gets a new `ProcessQueue`: what handlers still finish of the old one is not counted.

Source: RocketMQ DefaultMQPushConsumerImpl.pullMessage, PullAPIWrapper; remoting sheet 5.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import Final, Protocol

from mq.client.background import spawn
from mq.client.consume_statistics import ConsumeStatistics
from mq.client.instance import Client
from mq.client.offset_store import OffsetStore
from mq.client.process_queue import FlowLimits, ProcessQueue
from mq.client.results import PullResult, PullStatus
from mq.client.routes import MASTER_ID
from mq.client.subscription import Subscription
from mq.errors import MQError, NoRoute, ResponseError
from mq.message import MessageQueue, ReceivedMessage, properties
from mq.message.message import RETRY_PREFIX
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.headers import PullMessageRequestHeader, PullSysFlag

logger = logging.getLogger(__name__)

#: Answers which mean that the broker does not know our subscription (any more): a heartbeat tells it.
_NOT_INTRODUCED: Final = frozenset(
    {
        ResponseCode.SUBSCRIPTION_NOT_EXIST,
        ResponseCode.SUBSCRIPTION_NOT_LATEST,
        ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST,
    }
)
_FLOW_CONTROL_PAUSE_S: Final = 0.02
#: A lite pull says itself what it wants, as nobody subscribed for it.
_LITE_FLAGS: Final = PullSysFlag.SUBSCRIPTION | PullSysFlag.LITE_PULL


class Consumption(Protocol):
    """What is done with messages: side by side, or in order."""

    def add(self, process_queue: ProcessQueue) -> None:
        """A process queue that will be filled from now on."""
        ...

    def submit(self, process_queue: ProcessQueue, messages: list[ReceivedMessage]) -> None:
        """These have just been put into it."""
        ...

    async def release(self, process_queue: ProcessQueue) -> None:
        """It was dropped: return when somebody else may have its queue."""
        ...

    def give_up_overdue(self) -> None:
        """Called now and then."""
        ...

    def stop_handing_out(self) -> None:
        """Start nothing more."""
        ...

    async def finish(self, grace_s: float) -> bool:
        """Wait for what still runs; False when something ran after `grace_s`, which is left to itself."""
        ...


class AssignedQueue:
    def __init__(
        self,
        client: Client,
        group: str,
        subscription: Subscription,
        queue: MessageQueue,
        start_offset: int,
        offsets: OffsetStore,
        consumption: Consumption,
        limits: FlowLimits,
        statistics: ConsumeStatistics,
        *,
        is_lite: bool = False,
    ) -> None:
        self.queue = queue
        self.process_queue = ProcessQueue(queue, start_offset, limits)
        self._limits = limits
        self._statistics = statistics
        self._is_lite = is_lite
        self._client = client
        self._group = group
        self._subscription = subscription
        self._offsets = offsets
        self._consumption = consumption
        self._source_id = MASTER_ID
        self._is_failing = False
        self._task: asyncio.Task[None] | None = None

    def start(self, lease_ends_at: float = 0.0) -> None:
        self.process_queue.lease_ends_at = lease_ends_at
        if 0.0 < lease_ends_at < math.inf:
            self.process_queue.last_locked_at = time.monotonic()
        self._consumption.add(self.process_queue)
        self._task = spawn(self._run(), f"pulling {self.queue}")

    def stop_pulling(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def give_up(self) -> None:
        """Stop, let running handlers of an orderly consumer finish, and commit what is done."""
        self.stop_pulling()
        self.process_queue.drop()
        await self._consumption.release(self.process_queue)
        await self._offsets.commit([self.process_queue])

    def go_on_at(self, queue_offset: int) -> None:
        """Forget what is held and pull from `queue_offset`, whatever was committed."""
        self.stop_pulling()
        self._task = spawn(self._run(queue_offset), f"pulling {self.queue}")

    async def _run(self, moved_to: int | None = None) -> None:
        while True:
            if moved_to is not None:
                await self._move(moved_to)
            moved_to = await self._pull_until_moved()

    async def _move(self, queue_offset: int) -> None:
        old = self.process_queue
        old.drop()
        await self._consumption.release(old)
        self.process_queue = ProcessQueue(self.queue, queue_offset, self._limits)
        self.process_queue.lease_ends_at = old.lease_ends_at
        self.process_queue.last_locked_at = old.last_locked_at
        self.process_queue.is_paused = old.is_paused
        self.process_queue.put([], queue_offset)
        await self._offsets.commit([self.process_queue])
        self._consumption.add(self.process_queue)

    async def _pull_until_moved(self) -> int:
        process_queue = self.process_queue
        while True:
            if process_queue.is_full:
                await process_queue.wait_for_room()
            began_at = time.monotonic()
            try:
                result = await self._pull(process_queue)
            except MQError as error:
                await self._recover(error)
                continue
            self._is_failing = False
            process_queue.last_pulled_at = time.monotonic()
            self._source_id = result.suggested_broker_id
            if result.status is PullStatus.OFFSET_ILLEGAL:
                logger.info("%s: offset %d is not there; going on at %d",
                            self.queue, process_queue.next_offset, result.next_offset)  # fmt: skip
                if result.next_offset < process_queue.next_offset:  # its end has gone back: skip nothing we still hold
                    return min(result.next_offset, process_queue.first_offset)
                return result.next_offset
            messages = self._wanted(result.messages)
            process_queue.put(messages, result.next_offset)
            if messages:
                took_s = process_queue.last_pulled_at - began_at
                self._statistics.count_pull(self.queue.topic, len(messages), took_s)
                self._consumption.submit(process_queue, messages)

    async def _pull(self, process_queue: ProcessQueue) -> PullResult:
        settings = self._client.settings
        address = self._source()
        await self._client.heartbeats.ensure(address)
        header = PullMessageRequestHeader(
            consumer_group=self._group,
            topic=self.queue.topic,
            queue_id=self.queue.queue_id,
            queue_offset=process_queue.next_offset,
            max_msg_nums=settings.pull_batch_count,
            sys_flag=PullSysFlag.SUSPEND | (_LITE_FLAGS if self._is_lite else 0),
            commit_offset=0,
            suspend_timeout_millis=int(settings.pull_suspend_s * 1000),
            subscription=self._subscription.expression if self._is_lite else None,
            sub_version=self._subscription.version,
            expression_type=self._subscription.expression_type,
            max_msg_bytes=settings.pull_batch_bytes,
            broker_name=self.queue.broker_name,
        )
        return await self._client.brokers.pull(
            address,
            header,
            broker_name=self.queue.broker_name,
            timeout_s=settings.pull_timeout_s,
            code=RequestCode.LITE_PULL_MESSAGE if self._is_lite else RequestCode.PULL_MESSAGE,
        )

    def _source(self) -> str:
        """The broker the last answer suggested, else the master, else any other of that name."""
        addresses = self._client.routes.broker_addresses(self.queue.broker_name)
        for broker_id in (self._source_id, MASTER_ID, *addresses):
            if broker_id in addresses:
                return addresses[broker_id]
        raise NoRoute(f"no route names broker {self.queue.broker_name!r}")

    def _wanted(self, messages: list[ReceivedMessage]) -> list[ReceivedMessage]:
        """What the subscription asks for by text, under the topic it was sent to."""
        if self._subscription.tags:
            messages = [message for message in messages if self._subscription.matches(message.tag)]
        if self.queue.topic.startswith(RETRY_PREFIX):
            for message in messages:
                message.topic = message.properties.get(properties.RETRY_TOPIC, message.topic)
        if self._client.namespace.name:
            for message in messages:
                message.topic = self._client.namespace.unwrap(message.topic)
        return messages

    async def _recover(self, error: MQError) -> None:
        if not self._is_failing:
            self._is_failing = True
            logger.warning("pulling %s: %s; trying again until it works", self.queue, error)
        pause_s = self._client.settings.pull_error_pause_s
        if isinstance(error, ResponseError) and error.code == ResponseCode.FLOW_CONTROL:
            pause_s = _FLOW_CONTROL_PAUSE_S
        elif isinstance(error, ResponseError) and error.code in _NOT_INTRODUCED:
            await self._client.heartbeats.to_all()
        else:
            self._client.refresh_routes_soon()
        await asyncio.sleep(pause_s)
