"""A consumer by POP, as RocketMQ's clients do it: what it gets, with receipts made from the answer's offsets."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Protocol

from mq.broker.app import Broker
from mq.broker.pop_receipts import Receipt, kind_of, topic_of_kind
from mq.message import ReceivedMessage, record
from mq.remoting.bodies import BatchAck, BatchAckMessageRequestBody
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import (
    AckMessageRequestHeader,
    ChangeInvisibleTimeRequestHeader,
    NotificationRequestHeader,
    PeekMessageRequestHeader,
    PollingInfoRequestHeader,
    PopMessageRequestHeader,
)

INVISIBLE_MS = 30_000


@dataclass
class Popped:
    message: ReceivedMessage
    receipt: Receipt

    @property
    def body(self) -> bytes:
        return self.message.body


class Caller(Protocol):
    async def call(
        self, code: int, header: Any = None, body: bytes = b"", timeout_s: float = 3.0
    ) -> RemotingCommand: ...


class PopConsumer:
    def __init__(self, wire: Caller, group: str = "orders", topic: str = "order-events") -> None:
        self.wire, self.group, self.topic = wire, group, topic

    async def ask(self, **changes: Any) -> RemotingCommand:
        settings: dict[str, Any] = {
            "consumer_group": self.group,
            "topic": self.topic,
            "queue_id": -1,
            "max_msg_nums": 32,
            "invisible_time": INVISIBLE_MS,
            "poll_time": 0,
            "born_time": 1_700_000_000_000,
            "init_mode": 0,
        }
        return await self.wire.call(
            RequestCode.POP_MESSAGE, PopMessageRequestHeader(**(settings | changes)), timeout_s=10.0
        )

    async def pop(self, **changes: Any) -> list[Popped]:
        return self.read(await self.ask(**changes))

    async def pop_in_order(self, **changes: Any) -> list[Popped]:
        return await self.pop(**({"order": True, "queue_id": 0} | changes))

    def read(self, response: RemotingCommand) -> list[Popped]:
        if response.code:
            return []
        fields = response.ext_fields
        starts = {(kind, queue): start for kind, queue, start in map(str.split, fields["startOffsetInfo"].split(";"))}
        popped = []
        for message in record.iterate(response.body):
            told = message.properties.get("POP_CK")
            kind, queue_id = kind_of(message.topic), str(message.queue_id)
            words = told or " ".join(
                [
                    starts[kind, queue_id],
                    fields["popTime"],
                    fields["invisibleTime"],
                    fields["reviveQid"],
                    kind,
                    "broker-a",
                    queue_id,
                    str(message.queue_offset),
                ]
            )
            popped.append(Popped(message, Receipt.parse(words)))
        return popped

    async def bodies(self, **changes: Any) -> list[bytes]:
        return sorted(each.body for each in await self.pop(**changes))

    async def is_notified(self, **changes: Any) -> bool:
        response = await self.notification(**changes)
        assert response.code == 0, response.remark
        return response.ext_fields["hasMsg"] == "true"

    async def notification(self, **changes: Any) -> RemotingCommand:
        settings: dict[str, Any] = {
            "consumer_group": self.group,
            "topic": self.topic,
            "queue_id": -1,
            "poll_time": 0,
            "born_time": 1_700_000_000_000,
        }
        header = NotificationRequestHeader(**(settings | changes))
        return await self.wire.call(RequestCode.NOTIFICATION, header, timeout_s=10.0)

    async def peek(self, queue_id: int = -1, max_msg_nums: int = 32, **changes: Any) -> RemotingCommand:
        names = {"consumer_group": self.group, "topic": self.topic} | changes
        header = PeekMessageRequestHeader(**names, queue_id=queue_id, max_msg_nums=max_msg_nums)
        return await self.wire.call(RequestCode.PEEK_MESSAGE, header)

    async def polling_info(self, queue_id: int = -1, **changes: Any) -> RemotingCommand:
        names = {"consumer_group": self.group, "topic": self.topic} | changes
        return await self.wire.call(RequestCode.POLLING_INFO, PollingInfoRequestHeader(**names, queue_id=queue_id))

    async def ack(self, popped: Popped, **changes: Any) -> RemotingCommand:
        return await self.wire.call(RequestCode.ACK_MESSAGE, AckMessageRequestHeader(**(self._named(popped) | changes)))

    async def change(self, popped: Popped, invisible_ms: int) -> RemotingCommand:
        header = ChangeInvisibleTimeRequestHeader(**self._named(popped), invisible_time=invisible_ms)
        return await self.wire.call(RequestCode.CHANGE_MESSAGE_INVISIBLETIME, header)

    async def ack_all(self, popped: list[Popped]) -> RemotingCommand:
        """One entry per check point, as Java's BitSet writes it."""
        bits: dict[tuple[str, int, int], int] = {}
        for each in popped:
            receipt = each.receipt
            place = (receipt.kind, receipt.queue_id, receipt.start_offset)
            bits[place] = bits.get(place, 0) | 1 << receipt.queue_offset - receipt.start_offset
        acks = [
            BatchAck(
                self.group,
                self.topic,
                kind,
                start,
                queue_id,
                popped[0].receipt.revive_queue,
                popped[0].receipt.pop_time_ms,
                popped[0].receipt.invisible_ms,
                base64.b64encode(mask.to_bytes((mask.bit_length() + 7) // 8, "little")).decode(),
            )
            for (kind, queue_id, start), mask in bits.items()
        ]
        return await self.wire.call(
            RequestCode.BATCH_ACK_MESSAGE, body=BatchAckMessageRequestBody("broker-a", acks).to_json()
        )

    def _named(self, popped: Popped) -> dict[str, Any]:
        receipt = popped.receipt
        return {
            "consumer_group": self.group,
            "topic": topic_of_kind(self.topic, self.group, receipt.kind),
            "queue_id": receipt.queue_id,
            "extra_info": str(receipt),
            "offset": receipt.queue_offset,
        }


async def pass_time(broker: Broker, ms: int) -> None:
    """Move the broker's clock, and have it store again and unlock what is due then."""
    broker.clock.advance(ms)  # type: ignore[attr-defined]
    await broker.revive.round()
    await broker.orders.round()
