"""The half messages whose transactions have not ended.

Sending a half message costs nothing here: it is met when the check service reads the half topic on, and most have
ended by then. `_scanned` says how far that is: before it, `_open` holds what is left over; from it on, `_ended` holds
what need not be looked at. A checked half message lives on as a copy with new offsets; all copies share an origin, the
queue offset of the first, so that an end for any of them ends them all.

Progress lies among the consumer offsets, group `CID_RMQ_SYS_TRANS`: the oldest open half message, and the first op
message that speaks of it or a later one. Source: RocketMQ TransactionalMessageServiceImpl.check.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mq.broker.op_messages import OP_QUEUE_ID, OP_TOPIC, OpMessages
from mq.broker.redelivery import stored_message
from mq.errors import InvalidMessage
from mq.message import ReceivedMessage
from mq.message import properties as names

if TYPE_CHECKING:
    from mq.broker.app import Broker

logger = logging.getLogger(__name__)

HALF_TOPIC: Final = "RMQ_SYS_TRANS_HALF_TOPIC"
HALF_QUEUE_ID: Final = 0
PROGRESS_GROUP: Final = "CID_RMQ_SYS_TRANS"
_SCAN_COUNT: Final = 1000


@dataclass(frozen=True, slots=True)
class HalfMessage:
    """The newest copy of a half message. Units: `check_at_ms` is when its producer may first be asked."""

    origin: int
    queue_offset: int
    commit_log_offset: int
    producer_group: str
    check_times: int
    check_at_ms: int
    stored_at_ms: int


class HalfMessages:
    def __init__(self, broker: Broker) -> None:
        self._store = broker.store
        self._offsets = broker.offsets
        self._broker = broker
        self._open: dict[int, HalfMessage] = {}
        self._ended: set[int] = set()
        self._scanned = 0
        self.ops = OpMessages(broker)

    def load(self) -> None:
        """Take up where the progress says; called when store and consumer offsets are loaded."""
        half_offset, op_offset = (self._saved(topic) for topic in (HALF_TOPIC, OP_TOPIC))
        self._scanned = half_offset
        self._ended = {offset for offset in self.ops.load(op_offset) if offset >= half_offset}

    def _saved(self, topic: str) -> int:
        low, high = self._store.min_offset(topic, 0), self._store.max_offset(topic, 0)
        return min(max(self._offsets.get(PROGRESS_GROUP, topic, 0), low), high)

    async def save_progress(self) -> None:
        """Note how far all have ended, once that is on disk: the offsets' file may be written before the log."""
        half_offset = min((half.queue_offset for half in self._open.values()), default=self._scanned)
        op_offset = self.ops.progress(half_offset)
        await self._store.durable()
        self._offsets.commit(PROGRESS_GROUP, HALF_TOPIC, HALF_QUEUE_ID, half_offset)
        self._offsets.commit(PROGRESS_GROUP, OP_TOPIC, OP_QUEUE_ID, op_offset)

    # ---- ends

    def is_open(self, message: ReceivedMessage) -> bool:
        """Whether the transaction of this half message, or of the one it is a copy of, has not ended."""
        origin = _origin(message)
        if origin in self._open:
            return True
        return message.queue_offset >= self._scanned and not {message.queue_offset, origin} & self._ended

    def end(self, message: ReceivedMessage) -> list[int]:
        """End it; returns the queue offsets to be noted as ended: its own, and that of a newer copy."""
        newest = self._open.pop(_origin(message), None)
        offsets = {message.queue_offset} | ({newest.queue_offset} if newest else set())
        self._ended.update(offset for offset in offsets if offset >= self._scanned)
        return sorted(offsets)

    # ---- what the check service needs

    async def scan(self) -> None:
        """Read the half topic on, and keep what is open."""
        self._scanned = max(self._scanned, self._store.min_offset(HALF_TOPIC, HALF_QUEUE_ID))
        while entries := self._store.entries(HALF_TOPIC, HALF_QUEUE_ID, self._scanned, _SCAN_COUNT):
            for entry in entries:
                if self._scanned not in self._ended:
                    self._meet(entry.commit_log_offset)
                self._scanned += 1
            await asyncio.sleep(0)
        self._ended = {offset for offset in self._ended if offset >= self._scanned}

    def _meet(self, commit_log_offset: int) -> None:
        try:
            half = self.describe(stored_message(self._store, commit_log_offset))
        except InvalidMessage as error:
            logger.error("half message %d is skipped: %s", self._scanned, error)
            return
        known = self._open.get(half.origin)
        if half.origin not in self._ended and (known is None or known.queue_offset < half.queue_offset):
            self._open[half.origin] = half

    def describe(self, message: ReceivedMessage) -> HalfMessage:
        origin = _origin(message)
        immunity = immunity_ms(message)
        return HalfMessage(
            origin=origin,
            queue_offset=message.queue_offset,
            commit_log_offset=message.commit_log_offset,
            producer_group=message.properties.get(names.PGROUP, ""),
            check_times=_number(message, names.TRANSACTION_CHECK_TIMES) or 0,
            check_at_ms=begun_at_ms(message)
            + (self._broker.config.transaction_timeout_ms if immunity is None else immunity),
            stored_at_ms=message.store_timestamp_ms,
        )

    def due(self, now_ms: int) -> list[HalfMessage]:
        return [half for half in self._open.values() if half.check_at_ms <= now_ms]

    def still_open(self, half: HalfMessage) -> bool:
        return self._open.get(half.origin) is half

    def replace(self, half: HalfMessage, copy: HalfMessage) -> None:
        """A copy takes an open half message's place."""
        self._open[half.origin] = copy
        self.ops.add([half.queue_offset])

    def drop(self, half: HalfMessage) -> None:
        """Ask no more: it was given up, or its record is gone."""
        self._open.pop(half.origin, None)
        self.ops.add([half.queue_offset])

    def drop_copy(self, queue_offset: int) -> None:
        """A copy was stored while its transaction ended: nobody needs it."""
        self._ended.add(queue_offset)
        self.ops.add([queue_offset])


def begun_at_ms(message: ReceivedMessage) -> int:
    """When the transaction began: by our own clock where there is a choice, as a producer's may be far from it."""
    is_copy = _origin(message) != message.queue_offset
    return message.born_timestamp_ms if is_copy else message.store_timestamp_ms


def immunity_ms(message: ReceivedMessage) -> int | None:
    """The time that a producer asked to be left alone after sending; None when it asked for nothing."""
    seconds = _number(message, names.CHECK_IMMUNITY_TIME_IN_SECONDS)
    return None if seconds is None else seconds * 1000


def _origin(message: ReceivedMessage) -> int:
    origin = _number(message, names.TRAN_PREPARED_QUEUE_OFFSET)
    return message.queue_offset if origin is None else origin


def _number(message: ReceivedMessage, name: str) -> int | None:
    text = message.properties.get(name, "")
    return int(text) if text.isdecimal() else None
