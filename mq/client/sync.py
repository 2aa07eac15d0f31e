"""The client for code that is not asyncio: the same methods without `await`, from any number of threads.

A producer made here may be a module's global: it starts with its first message, and again in a forked child, which gets
a client of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Self, TypeVar

from mq.client.loop_thread import LoopThread, loop_thread
from mq.client.producer import SEND_TIMEOUT_S, Producer
from mq.client.publishing import QueueSelector
from mq.client.results import SendResult, SendStatus, TransactionResult, TransactionState
from mq.client.settings import ClientSettings
from mq.client.transaction_producer import TransactionCheck, TransactionProducer, checked
from mq.clock import Clock
from mq.errors import AlreadyStopped
from mq.message import Message, MessageQueue, ReceivedMessage

AnyProducer = TypeVar("AnyProducer", bound=Producer)


class _SyncProducer(Generic[AnyProducer]):
    """A producer in the loop thread of whatever process asks for it."""

    def __init__(self, make: Callable[[], AnyProducer]) -> None:
        self._make = make
        self._producer: AnyProducer | None = None
        self._thread: LoopThread | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Optional: the first message does it. Raises: ValueError: a group or address that cannot be."""
        self._is_stopped = False
        self._running()

    def stop(self) -> None:
        """Leave; the next message fails with AlreadyStopped unless `start` is called before it."""
        self._is_stopped = True
        producer, thread = self._producer, self._thread
        self._producer = None
        if producer is not None and thread is not None and thread is loop_thread():
            thread.call(producer.stop)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def send(
        self,
        message: Message,
        *,
        queue: MessageQueue | None = None,
        selector: QueueSelector | None = None,
        timeout_s: float = SEND_TIMEOUT_S,
    ) -> SendResult:
        """As `Producer.send`."""
        thread, producer = self._running()
        return thread.call(lambda: producer.send(message, queue=queue, selector=selector, timeout_s=timeout_s))

    def send_batch(
        self, messages: Sequence[Message], *, queue: MessageQueue | None = None, timeout_s: float = SEND_TIMEOUT_S
    ) -> list[SendResult]:
        """As `Producer.send_batch`."""
        thread, producer = self._running()
        return thread.call(lambda: producer.send_batch(messages, queue=queue, timeout_s=timeout_s))

    def send_oneway(
        self, message: Message, *, queue: MessageQueue | None = None, selector: QueueSelector | None = None
    ) -> None:
        """As `Producer.send_oneway`."""
        thread, producer = self._running()
        thread.call(lambda: producer.send_oneway(message, queue=queue, selector=selector))

    def request(
        self,
        message: Message,
        *,
        queue: MessageQueue | None = None,
        selector: QueueSelector | None = None,
        timeout_s: float = SEND_TIMEOUT_S,
    ) -> ReceivedMessage:
        """As `Producer.request`."""
        thread, producer = self._running()
        return thread.call(lambda: producer.request(message, queue=queue, selector=selector, timeout_s=timeout_s))

    def reply(
        self,
        request: ReceivedMessage,
        body: bytes,
        *,
        user_properties: Mapping[str, str] | None = None,
        timeout_s: float = SEND_TIMEOUT_S,
    ) -> SendResult:
        """As `Producer.reply`."""
        thread, producer = self._running()
        return thread.call(lambda: producer.reply(request, body, user_properties=user_properties, timeout_s=timeout_s))

    def recall(self, topic: str, recall_handle: str) -> str:
        """As `Producer.recall`."""
        thread, producer = self._running()
        return thread.call(lambda: producer.recall(topic, recall_handle))

    def queues(self, topic: str) -> tuple[MessageQueue, ...]:
        """As `Producer.queues`."""
        thread, producer = self._running()
        return thread.call(lambda: producer.queues(topic))

    def _running(self) -> tuple[LoopThread, AnyProducer]:
        producer, thread = self._producer, self._thread
        if producer is not None and thread is not None and thread is loop_thread():
            return thread, producer
        return self._start()

    def _start(self) -> tuple[LoopThread, AnyProducer]:
        if self._is_stopped:
            raise AlreadyStopped("stopped: call start() before sending again")
        thread = loop_thread()
        with thread.lock:
            if self._producer is None or self._thread is not thread:
                producer = self._make()
                thread.call(producer.start)
                thread.adopt(producer.client, producer.stop)
                self._producer, self._thread = producer, thread
            return thread, self._producer


class SyncProducer(_SyncProducer[Producer]):
    """As `Producer`, without `await`.

    ```
    producer = SyncProducer("orders")
    producer.send(Message("order-events", b"..."))
    ```
    """

    def __init__(
        self,
        group: str,
        *,
        namesrv: str | Sequence[str] | None = None,
        clock: Clock | None = None,
        settings: ClientSettings | None = None,
        retries: int = 2,
        trace: bool = False,
    ) -> None:
        super().__init__(
            lambda: Producer(group, namesrv=namesrv, clock=clock, settings=settings, retries=retries, trace=trace)
        )


class SyncTransactionProducer(_SyncProducer[TransactionProducer]):
    """As `TransactionProducer`, without `await`. `check` is called in a thread of its own.

    A process that must answer checks without having sent anything yet calls `start`.
    """

    def __init__(
        self,
        group: str,
        *,
        check: TransactionCheck,
        namesrv: str | Sequence[str] | None = None,
        clock: Clock | None = None,
        settings: ClientSettings | None = None,
        retries: int = 2,
        trace: bool = False,
    ) -> None:
        super().__init__(
            lambda: TransactionProducer(
                group, check=check, namesrv=namesrv, clock=clock, settings=settings, retries=retries, trace=trace
            )
        )

    def send_in_transaction(
        self, message: Message, work: Callable[[Message], TransactionState], *, timeout_s: float = SEND_TIMEOUT_S
    ) -> TransactionResult:
        """As `TransactionProducer.send_in_transaction`; `work` runs in the calling thread."""
        half = self.send_half(message, timeout_s=timeout_s)
        state = TransactionState.UNKNOWN
        try:
            state = checked(work, work(message)) if half.status is SendStatus.SEND_OK else TransactionState.ROLLBACK
        finally:
            self.end(half, state, message)
        return TransactionResult(half, state)

    def send_half(self, message: Message, *, timeout_s: float = SEND_TIMEOUT_S) -> SendResult:
        """As `TransactionProducer.send_half`."""
        thread, producer = self._running()
        return thread.call(lambda: producer.send_half(message, timeout_s=timeout_s))

    def end(self, half: SendResult, state: TransactionState, message: Message | None = None) -> None:
        """As `TransactionProducer.end`."""
        thread, producer = self._running()
        thread.call(lambda: producer.end(half, state, message))
