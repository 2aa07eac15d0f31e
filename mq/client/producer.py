"""Sending messages: `Producer`.

A send is one request and one awaited answer. Many at once are cheap: they share connections, and everything sent in one
turn of the loop leaves in one write. What happens when a broker does not take it: `delivery`.

Source: RocketMQ DefaultMQProducer.java; remoting sheet 3, 4 and 12.1.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from mq.client.delivery import Delivery
from mq.client.instance import Client
from mq.client.outgoing import Outgoing
from mq.client.publishing import QueueSelector
from mq.client.recall import broker_of_handle
from mq.client.request_reply import reply_target, request_properties
from mq.client.results import SendResult
from mq.client.send_trace import SendTrace
from mq.client.settings import ClientSettings
from mq.clock import Clock
from mq.errors import RequestTimeout, ResponseError
from mq.message import Message, MessageQueue, ReceivedMessage
from mq.message.message import check_group
from mq.remoting.connection import Connection
from mq.remoting.headers import CheckTransactionStateRequestHeader

SEND_TIMEOUT_S = 3.0


class Producer:
    """Sends messages; safe to use from any number of coroutines of one event loop.

    ```
    async with Producer("orders", namesrv="127.0.0.1:9876") as producer:
        result = await producer.send(Message("order-events", b"...", tag="OrderPaid", sharding_key="4711"))
    ```
    `group` names the kind of sender; it matters to brokers for transactions only. `retries` is how often a failed send
    is repeated. `client` shares connections with other producers and consumers of this process. `trace` leaves a trace
    of every message for operators' tools.
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
        trace: bool = False,
    ) -> None:
        check_group(group)
        self.client = client or Client(namesrv, settings=settings, clock=clock)
        self.group = self.client.namespace.wrap(group)
        self._delivery = Delivery(self.client, self.group, attempts=1 + retries, clock=clock)
        self._is_traced = trace
        self._trace: SendTrace | None = None
        self._is_running = False
        self._is_known_everywhere = False

    async def start(self) -> None:
        """Nothing is connected before the first message, so this works without any server."""
        await self.client.join_producer(self)
        self._delivery.start()
        if self._is_traced:
            self._trace = SendTrace(self.client, self.group)
        self._is_running = True

    async def stop(self) -> None:
        """Leave; sends under way fail with ConnectionLost."""
        if self._is_running:
            self._is_running = False
            await self._delivery.stop()
            if self._trace is not None:
                await self._trace.stop()
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
        self.client.check_usable()
        outgoing = self.client.packer.pack(message)
        if selector is not None:
            queue = selector(await self.queues(message.topic), message)
        return await self._deliver(outgoing, queue, timeout_s, message)

    async def send_batch(
        self, messages: Sequence[Message], *, queue: MessageQueue | None = None, timeout_s: float = SEND_TIMEOUT_S
    ) -> list[SendResult]:
        """Send messages of one topic to one queue, in their order, in as few requests as the size limit allows.

        Not all or nothing: when a later request fails, what earlier ones carried is stored. `message_id` and
        `offset_message_id` of a result list its messages' ids, joined by commas; `queue_offset` is the first one's.

        Raises: as `send`; InvalidMessage also for what cannot be in one batch.
        """
        self.client.check_usable()
        batches = self.client.packer.pack_batches(messages)
        results: list[SendResult] = []
        for batch in batches:
            results.append(await self._deliver(batch, queue, timeout_s))
            queue = results[0].queue
        return results

    async def send_oneway(
        self, message: Message, *, queue: MessageQueue | None = None, selector: QueueSelector | None = None
    ) -> None:
        """Send without waiting for an answer: nobody tells whether it arrived.

        Raises: NoRoute, ConnectionLost: it did not even leave.  InvalidMessage, MessageTooLarge: it cannot be sent.
        """
        self.client.check_usable()
        outgoing = self.client.packer.pack(message)
        if selector is not None:
            queue = selector(await self.queues(message.topic), message)
        await self._delivery.send_oneway(outgoing, self._wrapped(queue))

    async def request(
        self,
        message: Message,
        *,
        queue: MessageQueue | None = None,
        selector: QueueSelector | None = None,
        timeout_s: float = SEND_TIMEOUT_S,
    ) -> ReceivedMessage:
        """Send a message and wait for somebody's reply to it, for `timeout_s` together.

        Raises: RequestTimeout: nobody replied in time.  Else as `send`.
        """
        client = self.client
        client.check_usable()
        if not self._is_known_everywhere:
            # Any broker of the cluster may be the one that gets the reply.
            client.routes.follow_cluster()
            await client.routes.refresh(())
            await client.heartbeats.to_all()
            self._is_known_everywhere = True
        correlation_id, reply = client.replies.expect()
        try:
            async with asyncio.timeout(timeout_s):
                outgoing = client.packer.pack(message, request_properties(correlation_id, client.client_id, timeout_s))
                if selector is not None:
                    queue = selector(await self.queues(message.topic), message)
                await self._deliver(outgoing, queue, timeout_s, message)
                return await reply
        except TimeoutError:
            raise RequestTimeout(f"no reply to {message.topic!r} within {timeout_s} s") from None
        finally:
            client.replies.forget(correlation_id)

    async def reply(
        self,
        request: ReceivedMessage,
        body: bytes,
        *,
        user_properties: Mapping[str, str] | None = None,
        timeout_s: float = SEND_TIMEOUT_S,
    ) -> SendResult:
        """Answer a message that somebody sent by `request`.

        Raises: InvalidMessage: it is no request.  ResponseError: 1: the client that asked is gone.  Else as `send`.
        """
        self.client.check_usable()
        topic, carried = reply_target(request)
        outgoing = self.client.packer.pack(Message(topic, body, properties=dict(user_properties or {})), carried)
        outgoing.topic, outgoing.is_reply = topic, True
        return await self._delivery.deliver(outgoing, None, timeout_s)

    async def recall(self, topic: str, recall_handle: str) -> str:
        """Take a timed message back before its time, by the handle that came with its `SendResult`; its id.

        Raises: InvalidMessage: no such handle.  ResponseError: the broker does not do that (16, Apache's default), or
            it is too late (604).  NoRoute: the broker of the handle is not there.
        """
        self.client.check_usable()
        broker_name = broker_of_handle(recall_handle)
        topic = self.client.namespace.wrap(topic)
        await self.client.routes.of(topic)
        address = self.client.routes.master(broker_name)
        message_id = await self.client.brokers.recall(address, self.group, topic, recall_handle)
        if self._trace is not None:
            self._trace.recalled(message_id, topic)
        return message_id

    async def queues(self, topic: str) -> tuple[MessageQueue, ...]:
        """The queues that messages of `topic` go to.

        Raises: NoRoute: nobody serves the topic.
        """
        self.client.check_usable()
        namespace = self.client.namespace
        publishing = await self._delivery.publishing(namespace.wrap(topic))
        return namespace.unwrap_queues(publishing.queues) if namespace.name else publishing.queues

    # ---- what the client asks

    def topics(self) -> Iterable[str]:
        return self._delivery.topics()

    def check_transaction(
        self, connection: Connection, header: CheckTransactionStateRequestHeader, half: ReceivedMessage
    ) -> None:
        """Only a `TransactionProducer` sends half messages, so only it can be asked about them."""
        raise ResponseError(1, f"producer {self.group!r} sends no transactions")

    # ---- inside

    async def _deliver(
        self, outgoing: Outgoing, queue: MessageQueue | None, timeout_s: float, message: Message | None = None
    ) -> SendResult:
        """`message` is what `outgoing` was made of, unless it is a batch."""
        if self._trace is None:
            return await self._delivery.deliver(outgoing, self._wrapped(queue), timeout_s)
        began_at_ms, began_s = self.client.clock.now_ms(), time.monotonic()
        result = await self._delivery.deliver(outgoing, self._wrapped(queue), timeout_s)
        self._trace.sent(outgoing, message, result, began_at_ms, int((time.monotonic() - began_s) * 1000))
        return result

    def _wrapped(self, queue: MessageQueue | None) -> MessageQueue | None:
        return queue and self.client.namespace.wrap_queue(queue)
