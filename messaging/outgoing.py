"""Messages on their way out: as they wait in the inbox row, and how a set of them is sent.

Layout of the column `outgoing`: a JSON array of objects, one per message in the order the handler gave them: topic,
tag, key, sharding_key, body (the message's own JSON, as text), deliver_at_ms (absent when at once).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from messaging.events import Delayed, Outgoing
from mq.message.message import Message

#: Sends one message and returns once the broker has it; raises when it may not.
Send = Callable[[Message], Awaitable[object]]


class StoredMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    topic: str
    tag: str
    key: str
    sharding_key: str
    body: str
    deliver_at_ms: int | None = None

    @classmethod
    def of(cls, outgoing: Outgoing) -> StoredMessage:
        event, deliver_at = outgoing if isinstance(outgoing, Delayed) else (outgoing, None)
        message = event.to_message(deliver_at=deliver_at)
        return cls(
            message.topic, event.tag, event.key, event.sharding_key, message.body.decode(), message.deliver_at_ms
        )

    def to_message(self) -> Message:
        return Message(
            topic=self.topic,
            body=self.body.encode(),
            tag=self.tag,
            keys=tuple(dict.fromkeys((self.key, self.sharding_key))),
            sharding_key=self.sharding_key,
            deliver_at_ms=self.deliver_at_ms,
        )


class Answer(msgspec.Struct, frozen=True):
    """What one applied message makes its group send, and the inbox row that says so."""

    service: str
    group: str
    key: str
    messages: tuple[StoredMessage, ...]


def encode(outgoing: Sequence[Outgoing]) -> str:
    return msgspec.json.encode([StoredMessage.of(one) for one in outgoing]).decode()


def decode(text: str | bytes) -> tuple[StoredMessage, ...]:
    return msgspec.json.decode(text, type=tuple[StoredMessage, ...])


async def send_all(answers: Iterable[Answer], send: Send) -> tuple[list[Answer], BaseException | None]:
    """Send everything: one after the other where the sharding key is the same, at once otherwise.

    Returns the answers that were sent completely, and what went wrong first with the others. After a failure nothing
    more is sent for that sharding key, so that the order holds when all of it is sent again.
    """
    chains: defaultdict[str, list[tuple[int, StoredMessage]]] = defaultdict(list)
    waiting = dict(enumerate(answers))
    for index, answer in waiting.items():
        for message in answer.messages:
            chains[message.sharding_key].append((index, message))

    async def run(chain: list[tuple[int, StoredMessage]]) -> None:
        for index, message in chain:
            await send(message.to_message())
            sent_of[index] += 1

    sent_of = dict.fromkeys(waiting, 0)
    results = await asyncio.gather(*(run(chain) for chain in chains.values()), return_exceptions=True)
    sent = [answer for index, answer in waiting.items() if sent_of[index] == len(answer.messages)]
    return sent, next((result for result in results if isinstance(result, BaseException)), None)
