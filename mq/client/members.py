"""What a client needs of the producers and consumers that use it: whom brokers know, and who answers what they ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from mq.client.results import ConsumeResult
from mq.message import MessageQueue, ReceivedMessage
from mq.remoting.bodies import ConsumerData
from mq.remoting.connection import Connection
from mq.remoting.headers import CheckTransactionStateRequestHeader


class Member(Protocol):
    @property
    def group(self) -> str: ...

    def topics(self) -> Iterable[str]:
        """The topics whose routes are kept fresh for it."""
        ...


class ProducerMember(Member, Protocol):
    def check_transaction(
        self, connection: Connection, header: CheckTransactionStateRequestHeader, half: ReceivedMessage
    ) -> None:
        """The broker at the other end has not heard how a transaction ended: find out, and tell it."""
        ...


class ConsumerMember(Member, Protocol):
    @property
    def is_orderly(self) -> bool: ...

    def heartbeat_data(self) -> ConsumerData: ...

    def rebalance_soon(self) -> None:
        """The group changed."""
        ...

    def reset_offsets(self, offsets: Mapping[MessageQueue, int]) -> None:
        """An operator wants these queues to go on elsewhere."""
        ...

    def offsets(self, topic: str) -> dict[MessageQueue, int]:
        """What would be committed now for the queues of `topic` held here."""
        ...

    def running_info(self) -> dict[str, Any]:
        """`ConsumerRunningInfo`, by its wire names."""
        ...

    async def consume_directly(self, message: ReceivedMessage) -> ConsumeResult | Exception:
        """Let the handler have one message out of turn."""
        ...
