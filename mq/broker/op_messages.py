"""Which half messages have ended, as RocketMQ keeps it: messages of tag `d` in `RMQ_SYS_TRANS_OP_HALF_TOPIC`, queue 0.

Layout of a body: the queue offsets of half messages in decimal, each followed by a comma: `12,13,27,`. They are
gathered and written together, every 3 seconds or when 4096 bytes are full; what a crash takes with it is asked about
again.
Source: RocketMQ TransactionalMessageServiceImpl.getOpMessage, TransactionalOpBatchService.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from mq.broker.background import Background
from mq.broker.redelivery import stored_message
from mq.errors import InvalidMessage, StoreNotWritable
from mq.message import properties as names
from mq.message.record import RecordFields

if TYPE_CHECKING:
    from mq.broker.app import Broker

logger = logging.getLogger(__name__)

OP_TOPIC: Final = "RMQ_SYS_TRANS_OP_HALF_TOPIC"
OP_QUEUE_ID: Final = 0
WRITE_INTERVAL_S: Final = 3.0
BODY_BYTES: Final = 4096
_READ_COUNT: Final = 1000
_PROPERTIES: Final = names.encode({names.TAGS: "d"})


class _Written(NamedTuple):
    """An op message by its own queue offset, and the last of the half messages it speaks of."""

    queue_offset: int
    last_half_offset: int


class OpMessages:
    def __init__(self, broker: Broker) -> None:
        self._store = broker.store
        self._clock = broker.clock
        self._host = broker.store_host
        self._pending: list[int] = []
        self._written: deque[_Written] = deque()
        self._background = Background("op messages", self.write)

    def start(self) -> None:
        self._background.start()

    async def stop(self) -> None:
        """Write what is pending; closing the store brings it to disk."""
        await self._background.stop()
        try:
            await self._store.durable()  # then everything that ended has been added
            await self.write()
        except StoreNotWritable as error:
            logger.error("transactions that ended could not be noted and will be asked about again: %s", error)

    def add(self, half_offsets: Iterable[int]) -> None:
        """Note ended half messages, some seconds before it is written."""
        self._pending.extend(half_offsets)
        if len(self._pending) >= self._per_body():
            self._background.wake()

    async def write(self) -> float:
        """Write all that is pending; returns the seconds until it is time again."""
        while self._pending:
            offsets = self._pending[: self._per_body()]
            body = "".join(f"{offset}," for offset in offsets).encode()
            now_ms = self._clock.now_ms()
            result = self._store.append(
                RecordFields(OP_TOPIC, OP_QUEUE_ID, body, _PROPERTIES, 0, 0, now_ms, self._host)
            )
            self._written.append(_Written(result.queue_offset, max(offsets)))
            del self._pending[: len(offsets)]
        return WRITE_INTERVAL_S

    def _per_body(self) -> int:
        """How many offsets, as long as the newest, fill a body."""
        return BODY_BYTES // (len(str(self._pending[-1])) + 1) if self._pending else 1

    def load(self, queue_offset: int) -> set[int]:
        """Read the op messages from `queue_offset` on; returns the half messages they speak of."""
        ended: set[int] = set()
        while entries := self._store.entries(OP_TOPIC, OP_QUEUE_ID, queue_offset, _READ_COUNT):
            for entry in entries:
                try:
                    message = stored_message(self._store, entry.commit_log_offset)
                    offsets = [int(word) for word in message.body.split(b",") if word.strip()]
                except (InvalidMessage, ValueError) as error:
                    logger.error("an op message is skipped, its transactions are asked about again: %s", error)
                    continue
                ended.update(offsets)
                self._written.append(_Written(message.queue_offset, max(offsets, default=0)))
            queue_offset = max(queue_offset, self._store.min_offset(OP_TOPIC, OP_QUEUE_ID)) + len(entries)
        return ended

    def progress(self, half_offset: int) -> int:
        """The first op message still needed when all half messages before `half_offset` have ended."""
        while self._written and self._written[0].last_half_offset < half_offset:
            self._written.popleft()
        if self._written:
            return self._written[0].queue_offset
        return self._store.max_offset(OP_TOPIC, OP_QUEUE_ID)
