"""Consumers for code that is not asyncio: the same methods without `await`, from any number of threads.

They run in the loop thread of the process that starts them, beside the producers of `mq.client.sync`; unlike these they
are started where they are used, because a member that nobody listens to would hold its group's queues back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Generic, Self, TypeVar

from mq.client.handlers import PlainHandler
from mq.client.lite_pull_consumer import POLL_TIMEOUT_S, LitePullConsumer
from mq.client.loop_thread import LoopThread, loop_thread
from mq.client.pull_consumer import PullConsumer
from mq.client.push_consumer import PushConsumer
from mq.client.results import PullResult
from mq.client.subscription import ALL, Wanted
from mq.errors import AlreadyStopped
from mq.message import MessageQueue, ReceivedMessage

AnyConsumer = TypeVar("AnyConsumer", bound=PushConsumer | PullConsumer | LitePullConsumer)
Result = TypeVar("Result")


class _SyncConsumer(Generic[AnyConsumer]):
    def __init__(self, make: Callable[[], AnyConsumer]) -> None:
        self._make = make
        self._consumer: AnyConsumer | None = None
        self._thread: LoopThread | None = None

    def start(self) -> None:
        """Raises: ValueError: a group or address that cannot be; and as the asyncio class."""
        thread = loop_thread()
        consumer = self._make()
        thread.call(consumer.start)
        thread.adopt(consumer.client, consumer.stop)
        self._consumer, self._thread = consumer, thread

    def stop(self) -> None:
        """As the asyncio class; also without having started, or in a forked child, where nothing is to be done."""
        self._leave(lambda consumer: consumer.stop())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: Any) -> None:
        self._leave(lambda consumer: consumer.__aexit__(kind, *details))

    def _leave(self, how: Callable[[AnyConsumer], Coroutine[Any, Any, None]]) -> None:
        consumer, thread = self._consumer, self._thread
        self._consumer = self._thread = None
        if consumer is not None and thread is not None and thread is loop_thread():
            thread.call(lambda: how(consumer))

    @property
    def _running(self) -> AnyConsumer:
        if self._consumer is None or self._thread is not loop_thread():
            raise AlreadyStopped("not started in this process: call start(), or use `with`")
        return self._consumer

    def _call(self, work: Callable[[AnyConsumer], Awaitable[Result]]) -> Result:
        consumer = self._running

        async def run() -> Result:
            return await work(consumer)

        return loop_thread().call(run)


class SyncPushConsumer(_SyncConsumer[PushConsumer]):
    """As `PushConsumer`, whose options it takes; `handler` is a plain function and runs in threads.

    ```
    consumer = SyncPushConsumer("reports", handler=handle)
    consumer.subscribe("order-events", MessageSelector.by_sql("total > 100"))
    with consumer:
        ...
    ```
    """

    def __init__(self, group: str, *, handler: PlainHandler, **options: Any) -> None:
        self._wanted: dict[str, Wanted] = {}

        def make() -> PushConsumer:
            consumer = PushConsumer(group, handler=handler, **options)
            for topic, wanted in self._wanted.items():
                consumer.subscribe(topic, wanted)
            return consumer

        super().__init__(make)

    def subscribe(self, topic: str, tags: Wanted = ALL) -> None:
        """As `PushConsumer.subscribe`, but what is wrong with it `start` says."""
        self._wanted[topic] = tags

    @property
    def queues(self) -> frozenset[MessageQueue]:
        """As `PushConsumer.queues`."""
        return self._running.queues


class SyncPullConsumer(_SyncConsumer[PullConsumer]):
    """As `PullConsumer`, whose options it takes."""

    def __init__(self, group: str, **options: Any) -> None:
        super().__init__(lambda: PullConsumer(group, **options))

    def queues(self, topic: str) -> tuple[MessageQueue, ...]:
        """As `PullConsumer.queues`."""
        return self._call(lambda consumer: consumer.queues(topic))

    def pull(
        self, queue: MessageQueue, queue_offset: int, *, tags: Wanted = ALL, max_count: int = 32, wait_s: float = 0.0
    ) -> PullResult:
        """As `PullConsumer.pull`."""
        return self._call(
            lambda consumer: consumer.pull(queue, queue_offset, tags=tags, max_count=max_count, wait_s=wait_s)
        )

    def committed_offset(self, queue: MessageQueue) -> int | None:
        """As `PullConsumer.committed_offset`."""
        return self._call(lambda consumer: consumer.committed_offset(queue))

    def commit(self, queue: MessageQueue, queue_offset: int) -> None:
        """As `PullConsumer.commit`."""
        self._call(lambda consumer: consumer.commit(queue, queue_offset))

    def min_offset(self, queue: MessageQueue) -> int:
        """As `PullConsumer.min_offset`."""
        return self._call(lambda consumer: consumer.min_offset(queue))

    def max_offset(self, queue: MessageQueue) -> int:
        """As `PullConsumer.max_offset`."""
        return self._call(lambda consumer: consumer.max_offset(queue))


class SyncLitePullConsumer(_SyncConsumer[LitePullConsumer]):
    """As `LitePullConsumer`, whose options it takes.

    ```
    with SyncLitePullConsumer("reports") as consumer:
        consumer.subscribe("order-events")
        while messages := consumer.poll():
            ...
    ```
    """

    def __init__(self, group: str, **options: Any) -> None:
        super().__init__(lambda: LitePullConsumer(group, **options))

    def subscribe(self, topic: str, tags: Wanted = ALL) -> None:
        """As `LitePullConsumer.subscribe`."""
        self._call(lambda consumer: consumer.subscribe(topic, tags))

    def assign(self, queues: Iterable[MessageQueue], tags: Wanted = ALL) -> None:
        """As `LitePullConsumer.assign`."""
        self._call(lambda consumer: consumer.assign(queues, tags))

    def queues(self, topic: str) -> tuple[MessageQueue, ...]:
        """As `LitePullConsumer.queues`."""
        return self._call(lambda consumer: consumer.queues(topic))

    @property
    def assignment(self) -> frozenset[MessageQueue]:
        """As `LitePullConsumer.assignment`."""
        return self._in_loop(lambda consumer: consumer.assignment)

    def poll(self, timeout_s: float = POLL_TIMEOUT_S) -> list[ReceivedMessage]:
        """As `LitePullConsumer.poll`."""
        return self._call(lambda consumer: consumer.poll(timeout_s))

    def seek(self, queue: MessageQueue, queue_offset: int) -> None:
        """As `LitePullConsumer.seek`."""
        self._in_loop(lambda consumer: consumer.seek(queue, queue_offset))

    def pause(self, *queues: MessageQueue) -> None:
        """As `LitePullConsumer.pause`."""
        self._in_loop(lambda consumer: consumer.pause(*queues))

    def resume(self, *queues: MessageQueue) -> None:
        """As `LitePullConsumer.resume`."""
        self._in_loop(lambda consumer: consumer.resume(*queues))

    def commit(self, offsets: Mapping[MessageQueue, int] | None = None) -> None:
        """As `LitePullConsumer.commit`."""
        self._call(lambda consumer: consumer.commit(offsets))

    def committed_offset(self, queue: MessageQueue) -> int | None:
        """As `LitePullConsumer.committed_offset`."""
        return self._call(lambda consumer: consumer.committed_offset(queue))

    def _in_loop(self, work: Callable[[LitePullConsumer], Result]) -> Result:
        """For what does not wait, yet belongs to the loop."""

        async def run(consumer: LitePullConsumer) -> Result:
            return work(consumer)

        return self._call(run)
