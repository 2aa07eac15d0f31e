"""The trace that a producer leaves: of sends, of the ends of transactions, of messages taken back.

Source: RocketMQ SendMessageTraceHookImpl.java, EndTransactionTraceHookImpl.java.
"""

from __future__ import annotations

from mq.client import trace
from mq.client.instance import Client
from mq.client.outgoing import Outgoing
from mq.client.results import SendResult, TransactionState
from mq.client.trace import MessageKind, Traced
from mq.client.trace_dispatcher import TraceDispatcher
from mq.message import Message, sys_flag


class SendTrace:
    """Started when it is made; `group` is as brokers know it."""

    def __init__(self, client: Client, group: str) -> None:
        self._client = client
        self._group = client.namespace.unwrap(group)
        self._dispatcher = TraceDispatcher(client, group, "PRODUCE")
        self._dispatcher.start()

    async def stop(self) -> None:
        await self._dispatcher.stop()

    def sent(
        self, outgoing: Outgoing, message: Message | None, result: SendResult, began_at_ms: int, cost_ms: int
    ) -> None:
        """Nothing is left where the broker says that it wants no trace."""
        if result.region_id is None or not result.is_trace_on:
            return
        self._dispatcher.add(
            trace.sent(
                Traced.of(message, outgoing.message_id, result.queue.topic),
                result,
                _kind(outgoing, message),
                group=self._group,
                broker_address=self._client.routes.master(result.queue.broker_name),
                body_bytes=len(outgoing.body),
                began_at_ms=began_at_ms,
                cost_ms=cost_ms,
            )
        )

    def transaction_ended(
        self, message: Traced, state: TransactionState, address: str, transaction_id: str | None, *, is_asked: bool
    ) -> None:
        self._dispatcher.add(
            trace.transaction_ended(
                message,
                state,
                group=self._group,
                broker_address=address,
                transaction_id=transaction_id,
                is_asked=is_asked,
                at_ms=self._client.clock.now_ms(),
            )
        )

    def recalled(self, message_id: str, topic: str) -> None:
        at_ms, topic = self._client.clock.now_ms(), self._client.namespace.unwrap(topic)
        self._dispatcher.add(trace.recalled(message_id, topic, group=self._group, at_ms=at_ms))


def _kind(outgoing: Outgoing, message: Message | None) -> MessageKind:
    if outgoing.sys_flag & sys_flag.TRANSACTION_MASK == sys_flag.TRANSACTION_PREPARED:
        return MessageKind.HALF
    if message is not None and (message.delay_level or message.deliver_at_ms is not None):
        return MessageKind.DELAY
    return MessageKind.NORMAL
