"""Sending messages by hand, and measuring how long that takes. Source: RocketMQ tools/command/message, broker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from mq.admin.command import TOPIC, Family, Flag, Session, UsageError, boolean, count
from mq.admin.report import Fields, Report, Table
from mq.client import Producer, SendResult
from mq.errors import MQError
from mq.message import Message, MessageQueue

COMMANDS: Final = Family("sending")

#: The producer group of everything that is sent here.
TOOLS_PRODUCER: Final = "TOOLS_PRODUCER"


class Timed(NamedTuple):
    """One send: its result, or why there is none, and how long it took."""

    outcome: SendResult | MQError
    took_ms: float

    @property
    def is_stored(self) -> bool:
        return isinstance(self.outcome, SendResult)


async def send_timed(
    producer: Producer, topic: str, *, count: int, size: int, queues: Sequence[MessageQueue] = ()
) -> list[Timed]:
    """Send one after the other, to each of the queues in turn; failures are counted, not raised."""
    sends = []
    for number in range(count):
        began_s = time.perf_counter()
        queue = queues[number % len(queues)] if queues else None
        try:
            outcome: SendResult | MQError = await producer.send(Message(topic, b"x" * size), queue=queue)
        except MQError as error:
            outcome = error
        sends.append(Timed(outcome, (time.perf_counter() - began_s) * 1000))
    return sends


@COMMANDS.add(
    "sendMessage",
    "send one message",
    TOPIC,
    Flag("p", "body", "its body, a text", required=True),
    Flag("k", "key", "its keys, separated by blanks"),
    Flag("c", "tags", "its tag"),
    Flag("b", "broker", "to this broker, by name; needs -i"),
    Flag("i", "qid", "to this queue; needs -b", count),
    Flag("m", "msgTraceEnable", "trace it (false)", boolean, default=False),
)
async def send_message(session: Session) -> Report:
    message = Message(
        session["topic"], session["body"].encode(), tag=session["tags"], keys=tuple((session["key"] or "").split())
    )
    if (session["broker"] is None) != (session["qid"] is None):
        raise UsageError("-b BROKER and -i QUEUE belong together")
    queue = MessageQueue(message.topic, session["broker"], session["qid"]) if session["broker"] else None
    async with Producer(TOOLS_PRODUCER, client=session.admin.client, trace=session["msgTraceEnable"]) as producer:
        sent = await producer.send(message, queue=queue)
    rows = [(sent.queue.broker_name, sent.queue.queue_id, sent.status.name, sent.message_id)]
    return Table(("#Broker Name", "#QID", "#Send Result", "#MsgId"), rows)


@COMMANDS.add(
    "sendMsgStatus",
    "send messages to a broker's own topic and show what became of each",
    Flag("b", "brokerName", "name of the broker", required=True),
    Flag("s", "messageSize", "bytes of a body, 128", count, default=128),
    Flag("c", "count", "messages, 50", count, default=50),
)
async def send_msg_status(session: Session) -> Report:
    async with Producer(TOOLS_PRODUCER, client=session.admin.client) as producer:
        sends = await send_timed(producer, session["brokerName"], count=session["count"], size=session["messageSize"])
    return Table(("#RT", "#Send Result", "#MsgId"), [(round(send.took_ms, 2), *_outcome(send)) for send in sends])


@COMMANDS.add(
    "checkMsgSendRT",
    "how long a send to each queue of a topic takes",
    TOPIC,
    Flag("a", "amount", "messages, 100", count, default=100),
    Flag("s", "size", "bytes of a body, 128", count, default=128),
)
async def check_msg_send_rt(session: Session) -> Report:
    topic = session["topic"]
    async with Producer(TOOLS_PRODUCER, client=session.admin.client) as producer:
        queues = await producer.queues(topic)
        sends = await send_timed(producer, topic, count=session["amount"], size=session["size"], queues=queues)
    rows = []
    for number, send in enumerate(sends):
        queue = queues[number % len(queues)]
        rows.append((queue.broker_name, queue.queue_id, send.is_stored, round(send.took_ms, 2)))
    # The first one pays for the connection.
    took = [send.took_ms for send in sends[1:]]
    mean = Fields({"Avg RT": round(sum(took) / len(took), 2) if took else 0.0})
    return [Table(("#Broker Name", "#QID", "#Send Result", "#RT"), rows), mean]


def _outcome(send: Timed) -> tuple[str, str]:
    if isinstance(send.outcome, SendResult):
        return send.outcome.status.name, send.outcome.message_id
    return f"{type(send.outcome).__name__}: {send.outcome}", ""
