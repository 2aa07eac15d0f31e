"""`LitePullConsumer` without `await`: for a command or a script that reads messages in a loop.

Like the producers of `mq.client.sync` it lives in the process's loop thread; unlike them it is started where it is
used, because a group's member that nobody polls would hold its queues back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, TypeVar

from mq.client.lite_pull_consumer import POLL_TIMEOUT_S, LitePullConsumer
from mq.client.loop_thread import LoopThread, loop_thread
from mq.client.subscription import ALL
from mq.errors import AlreadyStopped
from mq.message import MessageQueue, ReceivedMessage

Result = TypeVar("Result")


class SyncLitePullConsumer:
    """As `LitePullConsumer`, and with its arguments.

    ```
    with SyncLitePullConsumer("reports") as consumer:
        consumer.subscribe("order-events")
        while messages := consumer.poll():
            ...
    ```
    """

    def __init__(self, group: str, **options: Any) -> None:
        self._consumer = LitePullConsumer(group, **options)
        self._thread: LoopThread | None = None

    def start(self) -> None:
        """As `LitePullConsumer.start`."""
        thread = loop_thread()
        thread.call(self._consumer.start)
        thread.adopt(self._consumer.client, self._consumer.stop)
        self._thread = thread

    def stop(self) -> None:
        """As `LitePullConsumer.stop`."""
        self._running().call(self._consumer.stop)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: Any) -> None:
        self._running().call(lambda: self._consumer.__aexit__(kind, *details))

    def subscribe(self, topic: str, tags: str | list[str] | tuple[str, ...] = ALL) -> None:
        """As `LitePullConsumer.subscribe`."""
        self._running().call(lambda: self._consumer.subscribe(topic, tags))

    def assign(self, queues: Iterable[MessageQueue], tags: str | list[str] | tuple[str, ...] = ALL) -> None:
        """As `LitePullConsumer.assign`."""
        self._running().call(lambda: self._consumer.assign(queues, tags))

    def queues(self, topic: str) -> tuple[MessageQueue, ...]:
        """As `LitePullConsumer.queues`."""
        return self._running().call(lambda: self._consumer.queues(topic))

    @property
    def assignment(self) -> frozenset[MessageQueue]:
        """As `LitePullConsumer.assignment`."""
        return self._in_loop(lambda: self._consumer.assignment)

    def poll(self, timeout_s: float = POLL_TIMEOUT_S) -> list[ReceivedMessage]:
        """As `LitePullConsumer.poll`."""
        return self._running().call(lambda: self._consumer.poll(timeout_s))

    def seek(self, queue: MessageQueue, queue_offset: int) -> None:
        """As `LitePullConsumer.seek`."""
        self._in_loop(lambda: self._consumer.seek(queue, queue_offset))

    def pause(self, *queues: MessageQueue) -> None:
        """As `LitePullConsumer.pause`."""
        self._in_loop(lambda: self._consumer.pause(*queues))

    def resume(self, *queues: MessageQueue) -> None:
        """As `LitePullConsumer.resume`."""
        self._in_loop(lambda: self._consumer.resume(*queues))

    def commit(self, offsets: Mapping[MessageQueue, int] | None = None) -> None:
        """As `LitePullConsumer.commit`."""
        self._running().call(lambda: self._consumer.commit(offsets))

    def committed_offset(self, queue: MessageQueue) -> int | None:
        """As `LitePullConsumer.committed_offset`."""
        return self._running().call(lambda: self._consumer.committed_offset(queue))

    def _running(self) -> LoopThread:
        if self._thread is None or self._thread is not loop_thread():
            raise AlreadyStopped("not started in this process: call start(), or use `with`")
        return self._thread

    def _in_loop(self, work: Callable[[], Result]) -> Result:
        """For what does not wait, yet belongs to the loop."""

        async def run() -> Result:
            return work()

        return self._running().call(run)
