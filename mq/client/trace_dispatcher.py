"""Sending trace records in the background, many in one message; what cannot be sent is dropped, never waited for.

Source: RocketMQ AsyncTraceDispatcher.java; remoting sheet 11.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Final

from mq.client.background import cancel, spawn, wait_for
from mq.client.delivery import Delivery
from mq.client.instance import Client
from mq.client.trace import TraceRecord
from mq.errors import MQError
from mq.message import Message

logger = logging.getLogger(__name__)

#: So many records wait at most; later ones are dropped.
_QUEUE_MAX: Final = 2048
_BATCH_COUNT: Final = 20
_BATCH_MAX_CHARACTERS: Final = 128_000 // 4
_SEND_TIMEOUT_S: Final = 5.0
_numbers = itertools.count(1)


class TraceDispatcher:
    """For one producer (`kind` PRODUCE) or consumer (CONSUME) group; it shares their client."""

    def __init__(self, client: Client, group: str, kind: str) -> None:
        self._client = client
        self._delivery = Delivery(client, f"_INNER_TRACE_PRODUCER-{group}-{kind}-{next(_numbers)}", attempts=3)
        self._records: deque[TraceRecord] = deque()
        self._due = asyncio.Event()
        self._is_due = False
        self._is_dropping = False

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = spawn(self._run(), "message trace")

    async def stop(self) -> None:
        """Send what is left, once."""
        await cancel(self._task)
        await self.flush()

    def add(self, record: TraceRecord) -> None:
        """From any thread."""
        if len(self._records) >= _QUEUE_MAX:
            if not self._is_dropping:
                self._is_dropping = True
                logger.warning("more than %d trace records wait: the next ones are dropped", _QUEUE_MAX)
            return
        self._is_dropping = False
        self._records.append(record)
        if len(self._records) >= _BATCH_COUNT and not self._is_due:
            self._is_due = True
            self._loop.call_soon_threadsafe(self._due.set)

    async def flush(self) -> None:
        """Send what has gathered."""
        self._is_due = False
        self._due.clear()
        for batch in self._batches():
            keys = tuple(dict.fromkeys(key for record in batch for key in record.keys))
            body = "".join(record.text for record in batch).encode()
            try:
                outgoing = self._client.packer.pack(Message(self._client.settings.trace_topic, body, keys=keys))
                await self._delivery.deliver(outgoing, None, _SEND_TIMEOUT_S)
            except MQError as error:
                logger.info("the trace of %d messages was not stored: %s", len(batch), error)

    async def _run(self) -> None:
        while True:
            await wait_for(self._due, self._client.settings.trace_flush_s)
            await self.flush()

    def _batches(self) -> Iterator[list[TraceRecord]]:
        """What waits, by region, in messages small enough."""
        by_region: dict[str, list[TraceRecord]] = defaultdict(list)
        while self._records:
            record = self._records.popleft()
            by_region[record.region_id].append(record)
        for records in by_region.values():
            batch: list[TraceRecord] = []
            size = 0
            for record in records:
                if batch and (len(batch) >= _BATCH_COUNT or size + len(record.text) > _BATCH_MAX_CHARACTERS):
                    yield batch
                    batch, size = [], 0
                batch.append(record)
                size += len(record.text)
            yield batch
