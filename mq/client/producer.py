"""Sending messages: `Producer`.

A send is one request and one awaited answer. Many at once are cheap: they share connections, and everything sent in one
turn of the loop leaves in one write. What fails in a way that may pass is tried again within the time allowed, on
another broker if there is one; the message keeps its id, so consumers can tell a repetition from a new message.

Source: RocketMQ DefaultMQProducerImpl.sendDefaultImpl; remoting sheet 3, 4 and 12.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Self

from mq.client.instance import Client
from mq.client.outgoing import Outgoing, prepare, prepare_batches
from mq.client.publishing import Publishing, QueueSelector
from mq.client.results import SendResult, SendStatus
from mq.client.settings import ClientSettings
from mq.clock import Clock
from mq.errors import ConnectionLost, InvalidMessage, MQError, NoRoute, RequestTimeout, ResponseError
from mq.message import Message, MessageQueue, ReceivedMessage
from mq.message.message import check_group
from mq.remoting.connection import Connection
from mq.remoting.headers import CheckTransactionStateRequestHeader, SendMessageResponseHeader

#: Codes that say the message is stored. Source: MQClientAPIImpl.processSendResponse.
_STORED = {status.value: status for status in SendStatus}
SEND_TIMEOUT_S = 3.0
#: Before the same broker is tried again, longer every time: a restart or an overload does not pass in microseconds.
_RETRY_PAUSE_S = 0.05
_RETRY_PAUSE_MAX_S = 0.5


class Producer:
    """Sends messages; safe to use from any number of coroutines of one event loop.

    ```
    async with Producer("orders", namesrv="127.0.0.1:9876") as producer:
        result = await producer.send(Message("order-events", b"...", tag="OrderPaid", sharding_key="4711"))
    ```
    `group` names the kind of sender; it matters to brokers for transactions only. `retries` is how often a failed send
    is repeated. `client` shares connections with other producers and consumers of this process.
    """

    def __init__(
        self,
        group: str,
        *,
        namesrv: str | Sequence[str] | None = None,
        client: Client | None = None,
        clock: Clock | None = None,
        settings: ClientSettings | None = None,
        retries: int = 2,
    ) -> None:
        check_group(group)
        self.group = group
        self.client = client or Client(namesrv, settings=settings, clock=clock)
        self._clock = clock or self.client.clock
        self._attempts = 1 + retries
        self._publishing: dict[str, Publishing] = {}
        self._is_running = False

    async def start(self) -> None:
        """Nothing is connected before the first message, so this works without any server."""
        await self.client.join_producer(self)
        self._is_running = True

    async def stop(self) -> None:
        """Leave; sends under way fail with ConnectionLost."""
        if self._is_running:
            self._is_running = False
            await self.client.leave(self)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # ---- sending

    async def send(
        self,
        message: Message,
        *,
        queue: MessageQueue | None = None,
        selector: QueueSelector | None = None,
        timeout_s: float = SEND_TIMEOUT_S,
    ) -> SendResult:
        """Send one message and wait until the broker has it.

        It goes to `queue`, or to what `selector` picks, or to its sharding key's queue, or to the next one in turn.

        Raises: NoRoute: nobody serves the topic.  ResponseError: the broker refused it.
            ConnectionLost, RequestTimeout: no answer; the broker may have it all the same.
            InvalidMessage, MessageTooLarge: it cannot be sent.
        """
        client = self.client
        client.check_usable()
        outgoing = prepare(message, client.unique_ids)
        if selector is not None:
            queue = selector((await self._publish(message.topic)).queues, message)
        return await self.deliver(outgoing, queue, timeout_s)

    async def send_batch(
        self, messages: Sequence[Message], *, queue: MessageQueue | None = None, timeout_s: float = SEND_TIMEOUT_S
    ) -> list[SendResult]:
        """Send messages of one topic to one queue, in their order, in as few requests as the size limit allows.

        Not all or nothing: when a later request fails, what earlier ones carried is stored. `message_id` and
        `offset_message_id` of a result list its messages' ids, joined by commas; `queue_offset` is the first one's.

        Raises: as `send`; InvalidMessage also for what cannot be in one batch.
        """
        self.client.check_usable()
        batches = prepare_batches(messages, self.client.unique_ids)
        results: list[SendResult] = []
        for batch in batches:
            results.append(await self.deliver(batch, queue, timeout_s))
            queue = results[0].queue
        return results

    async def send_oneway(
        self, message: Message, *, queue: MessageQueue | None = None, selector: QueueSelector | None = None
    ) -> None:
        """Send without waiting for an answer: nobody tells whether it arrived.

        Raises: NoRoute, ConnectionLost: it did not even leave.  InvalidMessage, MessageTooLarge: it cannot be sent.
        """
        self.client.check_usable()
        outgoing = prepare(message, self.client.unique_ids)
        publishing = await self._publish(message.topic)
        if queue is None:
            queue = selector(publishing.queues, message) if selector else _choose(publishing, outgoing, None)
        connection = await self.client.remoting.connection(publishing.master_of(queue))
        if connection.is_congested:
            await connection.drained()
        connection.send_oneway(publishing.request(outgoing, queue.queue_id, self._clock.now_ms()))

    async def queues(self, topic: str) -> tuple[MessageQueue, ...]:
        """The queues that messages of `topic` go to.

        Raises: NoRoute: nobody serves the topic.
        """
        self.client.check_usable()
        return (await self._publish(topic)).queues

    # ---- what the client asks

    def topics(self) -> Iterable[str]:
        return list(self._publishing)

    def check_transaction(
        self, connection: Connection, header: CheckTransactionStateRequestHeader, half: ReceivedMessage
    ) -> None:
        """Only a `TransactionProducer` sends half messages, so only it can be asked about them."""
        raise ResponseError(1, f"producer {self.group!r} sends no transactions")

    # ---- inside

    async def _publish(self, topic: str) -> Publishing:
        route = self.client.routes.cached(topic)
        publishing = self._publishing.get(topic)
        if publishing is None or publishing.route is not route:
            route = route or await self.client.routes.fetch(topic, or_default=True)
            if not route.publish_queues:
                raise NoRoute(f"topic {topic!r} has no queue that may be written to")
            publishing = self._publishing[topic] = Publishing(self.group, route)
        return publishing

    async def deliver(
        self, outgoing: Outgoing, queue: MessageQueue | None = None, timeout_s: float = SEND_TIMEOUT_S
    ) -> SendResult:
        """Try until it is stored, refused for good, tried often enough, or out of time.

        Raises: as `send`.
        """
        if queue is not None and queue.topic != outgoing.topic:
            raise InvalidMessage(f"a message for topic {outgoing.topic!r} cannot go to {queue}")
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        failed_broker: str | None = None
        attempt = 0
        while True:
            attempt += 1
            publishing = await self._publish(outgoing.topic)
            target = queue or _choose(publishing, outgoing, failed_broker)
            try:
                return await self._attempt(publishing, outgoing, target, deadline_s - loop.time())
            except MQError as error:
                if not _may_pass(error) or attempt >= self._attempts or loop.time() >= deadline_s:
                    raise
                self.client.refresh_routes_soon()
                if target.broker_name == failed_broker or len(publishing.route.brokers) == 1:
                    pause_s = min(_RETRY_PAUSE_S * attempt, _RETRY_PAUSE_MAX_S)
                    await asyncio.sleep(min(pause_s, deadline_s - loop.time()))
                failed_broker = target.broker_name

    async def _attempt(
        self, publishing: Publishing, outgoing: Outgoing, queue: MessageQueue, timeout_s: float
    ) -> SendResult:
        address = publishing.master_of(queue)
        connection = await self.client.remoting.connection(address)
        if connection.is_congested:
            await connection.drained()
        request = publishing.request(outgoing, queue.queue_id, self._clock.now_ms())
        response = await connection.call(request, timeout_s)
        status = _STORED.get(response.code)
        if status is None:
            raise ResponseError(response.code, response.remark)
        header = response.header(SendMessageResponseHeader)
        return SendResult(status, outgoing.message_id, header.msg_id, queue, header.queue_offset, header.transaction_id)


def _choose(publishing: Publishing, outgoing: Outgoing, failed_broker: str | None) -> MessageQueue:
    if outgoing.sharding_key is not None:
        return publishing.queue_of(outgoing.sharding_key)
    return publishing.next_queue(failed_broker)


def _may_pass(error: MQError) -> bool:
    if isinstance(error, ResponseError):
        return error.is_retryable
    return isinstance(error, ConnectionLost | RequestTimeout)
