"""What a send, a pull and a transaction come back with."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from mq.message import MessageQueue, ReceivedMessage


class SendStatus(enum.Enum):
    """All of them say: the broker has the message. Only SEND_OK says it has it as safely as it was asked to."""

    SEND_OK = 0
    FLUSH_DISK_TIMEOUT = 10
    SLAVE_NOT_AVAILABLE = 11
    FLUSH_SLAVE_TIMEOUT = 12


# Structs, because a frozen dataclass takes 1.9 us to make and these are made for every message.
class SendResult(msgspec.Struct, frozen=True, gc=False):
    """Where a message went.

    `message_id` is ours and known before the answer (a batch: all of them, joined by commas); `offset_message_id` is
    the broker's. `queue_offset` counts messages within `queue`; for a half message it counts within the half topic.
    `recall_handle` takes a timed message back (`Producer.recall`). `region_id` and `is_trace_on` are for its trace.
    """

    status: SendStatus
    message_id: str
    offset_message_id: str
    queue: MessageQueue
    queue_offset: int
    transaction_id: str | None = None
    recall_handle: str | None = None
    region_id: str | None = None
    is_trace_on: bool = True


class TransactionState(enum.Enum):
    """What became of the local work; UNKNOWN makes the broker ask later. The values are commitOrRollback's."""

    UNKNOWN = 0
    COMMIT = 8
    ROLLBACK = 12


class TransactionResult(msgspec.Struct, frozen=True):
    send_result: SendResult
    state: TransactionState


class PullStatus(enum.Enum):
    FOUND = 0
    NO_NEW_MESSAGE = 19
    NO_MATCHED_MESSAGE = 20
    OFFSET_ILLEGAL = 21


class PullResult(msgspec.Struct, frozen=True):
    """What a pull brought. The next one begins at `next_offset`, also when every message was filtered out."""

    status: PullStatus
    messages: list[ReceivedMessage]
    next_offset: int
    min_offset: int
    max_offset: int
    suggested_broker_id: int = 0


class ConsumeResult(msgspec.Struct, frozen=True):
    """What a handler says about its batch; returning None, or nothing, says SUCCESS.

    The first `consumed` messages are done (None: all of them), the others come back. In a concurrent consumer they come
    back after `delay_level` (1 to 18; 0: the broker waits longer with every try; -1: to the dead letters at once).
    An orderly consumer stops the queue for a moment and hands out the same messages again.
    """

    consumed: int | None = None
    delay_level: int = 0

    def done(self, batch_count: int) -> int:
        return batch_count if self.consumed is None else max(0, min(self.consumed, batch_count))


SUCCESS: Final = ConsumeResult()
RETRY_LATER: Final = ConsumeResult(consumed=0)
