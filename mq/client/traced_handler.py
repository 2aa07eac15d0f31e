"""A handler whose every batch leaves a trace: two records, one before it and one after.

Source: RocketMQ ConsumeMessageTraceHookImpl.java.
"""

from __future__ import annotations

import time

from mq.client import trace
from mq.client.handlers import Handler, Outcome, call, call_async, is_async
from mq.client.instance import Client
from mq.client.results import ConsumeResult
from mq.client.trace import ConsumeOutcome
from mq.client.trace_dispatcher import TraceDispatcher
from mq.message import ReceivedMessage, properties


def traced(handler: Handler, client: Client, group: str, dispatcher: TraceDispatcher, timeout_s: float) -> Handler:
    """`group` is the consumer's as its user knows it; handlers that take `timeout_s` count as timed out."""

    async def run_async(messages: list[ReceivedMessage]) -> ConsumeResult:
        batch = _Batch(client, group, dispatcher, timeout_s, messages)
        return batch.end(await call_async(handler, messages))

    def run(messages: list[ReceivedMessage]) -> ConsumeResult:
        batch = _Batch(client, group, dispatcher, timeout_s, messages)
        return batch.end(call(handler, messages))

    return run_async if is_async(handler) else run


class _Batch:
    def __init__(
        self,
        client: Client,
        group: str,
        dispatcher: TraceDispatcher,
        timeout_s: float,
        messages: list[ReceivedMessage],
    ) -> None:
        self._dispatcher = dispatcher
        self._group = group
        self._timeout_s = timeout_s
        self._count = len(messages)
        self._request_id = client.unique_ids.next()
        self._began_at_ms = client.clock.now_ms()
        self._began_s = time.monotonic()
        self._messages = [each for each in messages if each.properties.get(properties.TRACE_ON) != "false"]
        for each in self._messages:
            dispatcher.add(
                trace.consuming(each, _region(each), group=group, request_id=self._request_id, at_ms=self._began_at_ms)
            )

    def end(self, outcome: Outcome) -> ConsumeResult:
        """Passes on what the handler returned or raised."""
        took_s = time.monotonic() - self._began_s
        code = self._code(outcome, took_s)
        for each in self._messages:
            self._dispatcher.add(
                trace.consumed(
                    each,
                    _region(each),
                    code,
                    group=self._group,
                    request_id=self._request_id,
                    at_ms=self._began_at_ms,
                    cost_ms=int(took_s * 1000) // self._count,
                )
            )
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _code(self, outcome: Outcome, took_s: float) -> ConsumeOutcome:
        if isinstance(outcome, Exception):
            return ConsumeOutcome.EXCEPTION
        if took_s >= self._timeout_s:
            return ConsumeOutcome.TIME_OUT
        is_done = outcome.done(self._count) == self._count
        return ConsumeOutcome.SUCCESS if is_done else ConsumeOutcome.FAILED


def _region(message: ReceivedMessage) -> str:
    return message.properties.get(properties.MSG_REGION, trace.DEFAULT_REGION)
