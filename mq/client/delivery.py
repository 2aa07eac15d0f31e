"""Getting one message to a broker: which queue, which broker, how often, how long.

What fails in a way that may pass is tried again within the time allowed, on another broker if there is one; the message
keeps its id, so consumers can tell a repetition from a new message.
Source: RocketMQ DefaultMQProducerImpl.sendDefaultImpl, MQFaultStrategy; remoting sheet 3 and 12.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from mq.client.background import cancel, spawn
from mq.client.faults import LatencyFaults
from mq.client.instance import Client
from mq.client.outgoing import Outgoing
from mq.client.publishing import Publishing
from mq.client.results import SendResult, SendStatus
from mq.clock import Clock
from mq.errors import ConnectionLost, InvalidMessage, MQError, NoRoute, RequestTimeout, ResponseError
from mq.message import MessageQueue
from mq.remoting.headers import SendMessageResponseHeader

#: Codes that say the message is stored. Source: MQClientAPIImpl.processSendResponse.
_STORED = {status.value: status for status in SendStatus}
#: Before the same broker is tried again, longer every time: a restart or an overload does not pass in microseconds.
_RETRY_PAUSE_S = 0.05
_RETRY_PAUSE_MAX_S = 0.5


class Delivery:
    """For one producer group; `attempts` is how often a message is tried at most."""

    def __init__(self, client: Client, group: str, *, attempts: int, clock: Clock | None = None) -> None:
        self._client = client
        self._group = group
        self._attempts = attempts
        self._clock = clock or client.clock
        self._publishing: dict[str, Publishing] = {}
        self._faults: LatencyFaults | None = None
        self._detector: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to remember which brokers failed, if the settings say so."""
        settings = self._client.settings
        if settings.send_latency_fault:
            now_s = asyncio.get_running_loop().time
            self._faults = LatencyFaults(now_s, has_detector=settings.start_detector)
            if settings.start_detector:
                self._detector = spawn(self._detect(self._faults), f"detector of group {self._group}")

    async def stop(self) -> None:
        if self._detector is not None:
            await cancel(self._detector)

    def topics(self) -> Iterable[str]:
        """Those that something was sent to."""
        return list(self._publishing)

    async def publishing(self, topic: str) -> Publishing:
        """Where the messages of a topic go now.

        Raises: NoRoute: nobody serves it.
        """
        routes = self._client.routes
        route = routes.cached(topic)
        publishing = self._publishing.get(topic)
        if publishing is None or publishing.route is not route:
            route = route or await routes.fetch(topic, or_default=True)
            if not route.publish_queues:
                raise NoRoute(f"topic {topic!r} has no queue that may be written to")
            publishing = self._publishing[topic] = Publishing(self._group, route, self._client.remoting.common_fields)
        return publishing

    def choose(self, publishing: Publishing, outgoing: Outgoing, failed_broker: str | None = None) -> MessageQueue:
        """The sharding key's queue, or the next one in turn."""
        if outgoing.sharding_key is not None:
            return publishing.queue_of(outgoing.sharding_key)
        return publishing.next_queue(failed_broker, self._faults)

    async def deliver(self, outgoing: Outgoing, queue: MessageQueue | None, timeout_s: float) -> SendResult:
        """Try until it is stored, refused for good, tried often enough, or out of time.

        Raises: as `Producer.send`.
        """
        if queue is not None and queue.topic != outgoing.topic:
            raise InvalidMessage(f"a message for topic {outgoing.topic!r} cannot go to {queue}")
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        failed_broker: str | None = None
        attempt = 0
        while True:
            attempt += 1
            publishing = await self.publishing(outgoing.topic)
            target = queue or self.choose(publishing, outgoing, failed_broker)
            try:
                result = await self._attempt(publishing, outgoing, target, deadline_s - loop.time())
            except MQError as error:
                if not self._may_pass(error) or attempt >= self._attempts or loop.time() >= deadline_s:
                    raise
                self._client.refresh_routes_soon()
            else:
                is_enough = result.status is SendStatus.SEND_OK or attempt >= self._attempts
                if is_enough or not self._client.settings.retry_another_broker_when_not_store_ok:
                    return result
            if target.broker_name == failed_broker or len(publishing.route.brokers) == 1:
                pause_s = min(_RETRY_PAUSE_S * attempt, _RETRY_PAUSE_MAX_S)
                await asyncio.sleep(min(pause_s, deadline_s - loop.time()))
            failed_broker = target.broker_name

    async def _attempt(
        self, publishing: Publishing, outgoing: Outgoing, queue: MessageQueue, timeout_s: float
    ) -> SendResult:
        if self._faults is None:
            return await self._send(publishing, outgoing, queue, timeout_s)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            result = await self._send(publishing, outgoing, queue, timeout_s)
        except ResponseError:
            self._faults.refused(queue.broker_name)
            raise
        except (ConnectionLost, RequestTimeout):
            self._faults.lost(queue.broker_name)
            raise
        self._faults.answered(queue.broker_name, loop.time() - began_s)
        return result

    async def _send(
        self, publishing: Publishing, outgoing: Outgoing, queue: MessageQueue, timeout_s: float
    ) -> SendResult:
        connection = await self._client.remoting.connection(publishing.master_of(queue))
        if connection.is_congested:
            await connection.drained()
        request = publishing.request(outgoing, queue.queue_id, self._clock.now_ms())
        response = await connection.call(request, timeout_s)
        status = _STORED.get(response.code)
        if status is None:
            raise ResponseError(response.code, response.remark)
        header = response.header(SendMessageResponseHeader)
        return SendResult(
            status,
            outgoing.message_id,
            header.msg_id,
            self._client.namespace.unwrap_queue(queue),
            header.queue_offset,
            header.transaction_id,
            header.recall_handle,
            header.msg_region,
            header.trace_on is not False,
        )

    async def send_oneway(self, outgoing: Outgoing, queue: MessageQueue | None) -> None:
        """Raises: NoRoute, ConnectionLost: it did not even leave."""
        publishing = await self.publishing(outgoing.topic)
        target = queue or self.choose(publishing, outgoing)
        connection = await self._client.remoting.connection(publishing.master_of(target))
        if connection.is_congested:
            await connection.drained()
        connection.send_oneway(publishing.request(outgoing, target.queue_id, self._clock.now_ms()))

    def _may_pass(self, error: MQError) -> bool:
        if isinstance(error, ResponseError):
            return error.code in self._client.settings.retry_response_codes
        return isinstance(error, ConnectionLost | RequestTimeout)

    async def _detect(self, faults: LatencyFaults) -> None:
        """Ask every broker that could not be reached for an offset of a queue, any queue, of its own."""
        settings = self._client.settings
        while True:
            await asyncio.sleep(settings.detector_interval_s)
            for publishing in list(self._publishing.values()):
                for name in faults.unreachable:
                    queue = next((queue for queue in publishing.queues if queue.broker_name == name), None)
                    if queue is not None and await self._answers(publishing, queue):
                        faults.reached(name)

    async def _answers(self, publishing: Publishing, queue: MessageQueue) -> bool:
        try:
            async with asyncio.timeout(self._client.settings.detector_timeout_s):
                await self._client.brokers.max_offset(publishing.master_of(queue), queue)
        except (MQError, TimeoutError):
            return False
        return True
