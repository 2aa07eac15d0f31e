"""For tests without a broker: stands in for the transaction producer and remembers what became of each message."""

from __future__ import annotations

from mq.client.results import SendResult, SendStatus, TransactionState
from mq.message import Message, MessageQueue


class RecordedQueue:
    """A `HalfSender` (see messaging.transactions) that keeps everything it is given."""

    def __init__(self) -> None:
        self.halves: list[tuple[Message, TransactionState | None]] = []
        #: Raised instead of taking the next half message.
        self.failure: Exception | None = None

    def send_half(self, message: Message) -> SendResult:
        if self.failure is not None:
            raise self.failure
        self.halves.append((message, None))
        position = len(self.halves) - 1
        queue = MessageQueue(message.topic, "recorded", 0)
        return SendResult(SendStatus.SEND_OK, f"{position:032X}", f"{position:032X}", queue, position)

    def end(self, half: SendResult, state: TransactionState) -> None:
        message, _ = self.halves[half.queue_offset]
        self.halves[half.queue_offset] = (message, state)

    def shown(self) -> list[Message]:
        """What consumers get to see."""
        return [message for message, state in self.halves if state is TransactionState.COMMIT]
