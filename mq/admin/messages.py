"""Reading queues from one place to another. Source: RocketMQ tools/command/message."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

from mq.admin.command import TOPIC, CommandFailed, Family, Flag, Session, boolean, count, moment
from mq.admin.queries import TOOLS_CONSUMER, body_text
from mq.admin.report import Fields, Part, Report, Table, time_text
from mq.client import PullConsumer, PullStatus
from mq.client.dead_letters import resend
from mq.message import MessageQueue, ReceivedMessage
from mq.message.message import DLQ_PREFIX

COMMANDS: Final = Family("messages")

_BATCH: Final = 32
_FROM: Final = Flag("b", "beginTimestamp", "stored from this time on: now, epoch ms, yyyy-MM-dd#HH:mm:ss:SSS", moment)
_TO: Final = Flag("e", "endTimestamp", "and up to this time", moment)
_TAGS: Final = Flag("s", "subExpression", "only these tags: A || B", default="*")
_CHARSET: Final = Flag("c", "charsetName", "character set of the bodies, UTF-8", default="UTF-8")
_BODY: Final = Flag("d", "printBody", "with the bodies (true)", boolean, default=True)
_MOST: Final = Flag("m", "maxNum", "at most so many messages, 1000", count, default=1000)
_COLUMNS: Final = ("#Message ID", "#Broker Name", "#QID", "#Offset", "#Tags", "#Keys", "#Store Time")


@COMMANDS.add("printMsg", "the messages of a topic", TOPIC, _CHARSET, _TAGS, _FROM, _TO, _BODY, _MOST)
async def print_msg(session: Session) -> Report:
    return _listed(session, await _read(session, session["topic"]), session["printBody"])


@COMMANDS.add(
    "printMsgByQueue",
    "the messages of one queue, or how many there are of each tag",
    TOPIC,
    Flag("a", "brokerName", "name of the broker", required=True),
    Flag("i", "queueId", "queue id", count, required=True),
    _CHARSET,
    _TAGS,
    _FROM,
    _TO,
    Flag("p", "print", "show the messages (false)", boolean, default=False),
    _BODY,
    Flag("f", "calculate", "count the tags (false)", boolean, default=False),
    _MOST,
)
async def print_msg_by_queue(session: Session) -> Report:
    queue = MessageQueue(session["topic"], session["brokerName"], session["queueId"])
    messages = await _read(session, session["topic"], queue)
    parts: list[Part] = []
    if session["calculate"]:
        tags = Counter(message.tag or "" for message in messages)
        parts.append(Table(("#Tag", "#Count"), tags.most_common(), "tags"))
    if session["print"]:
        parts += _listed(session, messages, session["printBody"])
    return [*parts, Fields({"Messages": len(messages)})]


@COMMANDS.add(
    "consumeMessage",
    "the messages of a topic, of a queue, from an offset or a time on; nothing is committed",
    TOPIC,
    Flag("b", "brokerName", "only of this broker, by name"),
    Flag("i", "queueId", "only of this queue; needs -b", count),
    Flag("o", "offset", "from this offset on; needs -i", count),
    Flag("g", "consumerGroup", "read as this group", default=TOOLS_CONSUMER),
    Flag("s", "beginTimestamp", "stored from this time on", moment),
    Flag("e", "endTimestamp", "and up to this time", moment),
    Flag("c", "MessageNumber", "at most so many, 128", count, default=128),
)
async def consume_message(session: Session) -> Report:
    return _listed(session, await _read(session, session["topic"]), with_body=True)


@COMMANDS.add(
    "resendDeadLetters",
    "give a group its dead letters again (not in mqadmin: the dashboard does it)",
    Flag("g", "groupName", "consumer group", required=True),
    Flag("i", "msgId", "only these, separated by commas; all when absent"),
    Flag("b", "beginTimestamp", "only those that died from this time on", moment),
    Flag("e", "endTimestamp", "and up to this time", moment),
    _MOST,
)
async def resend_dead_letters(session: Session) -> Report:
    group = session["groupName"]
    wanted = set((session["msgId"] or "").split(",")) - {""}
    letters = [
        message
        for message in await _read(session, DLQ_PREFIX + group)
        if not wanted or wanted & {message.message_id, message.offset_message_id}
    ]
    missing = wanted - {one for message in letters for one in (message.message_id, message.offset_message_id)}
    if missing:
        raise CommandFailed(f"no dead letter of {group!r} has the id {', '.join(sorted(missing))}")
    rows = []
    for message in letters:
        sent = await resend(session.admin.client, group, message)
        rows.append((message.message_id, message.queue_offset, sent.status.name))
    return Table(("#Message ID", "#Offset", "#Send Result"), rows)


# Reading


async def _read(session: Session, topic: str, queue: MessageQueue | None = None) -> list[ReceivedMessage]:
    """The messages between the flags' bounds, queue after queue."""
    limit = _flag(session, "maxNum", _flag(session, "MessageNumber", _BATCH))
    messages: list[ReceivedMessage] = []
    async with PullConsumer(_flag(session, "consumerGroup", TOOLS_CONSUMER), client=session.admin.client) as consumer:
        queues = [one for one in await consumer.queues(topic) if queue in (None, one) and _is_asked(session, one)]
        if not queues:
            raise CommandFailed(f"topic {topic!r} has no such queue")
        for one in queues:
            async for message in _of_queue(session, consumer, one):
                if len(messages) == limit:
                    return messages
                messages.append(message)
    return messages


def _is_asked(session: Session, queue: MessageQueue) -> bool:
    """By the flags of consumeMessage."""
    if "offset" not in session.args:
        return True
    return session["brokerName"] in (None, queue.broker_name) and session["queueId"] in (None, queue.queue_id)


async def _of_queue(session: Session, consumer: PullConsumer, queue: MessageQueue) -> AsyncIterator[ReceivedMessage]:
    begin_ms, end_ms = session["beginTimestamp"], session["endTimestamp"]
    low, high = await consumer.min_offset(queue), await consumer.max_offset(queue)
    at = low if begin_ms is None else await session.admin.search_offset(queue, begin_ms)
    if _flag(session, "offset", None) is not None:
        at = session["offset"]
    while at < high:  # what arrives meanwhile is not waited for
        result = await consumer.pull(queue, at, tags=_flag(session, "subExpression", "*"), max_count=_BATCH)
        if result.next_offset <= at and result.status is not PullStatus.FOUND:
            return
        for message in result.messages:
            if end_ms is not None and message.store_timestamp_ms > end_ms:
                return
            yield message
        at = result.next_offset


def _listed(session: Session, messages: list[ReceivedMessage], with_body: bool) -> list[Part]:
    charset = _flag(session, "charsetName", "UTF-8")
    rows: list[tuple[Any, ...]] = []
    for message in messages:
        place = (message.broker_name, message.queue_id, message.queue_offset)
        named = (message.tag, " ".join(message.keys), time_text(message.store_timestamp_ms))
        body = (body_text(message, charset),) if with_body else ()
        rows.append((message.message_id, *place, *named, *body))
    return [Table((*_COLUMNS, "#Body") if with_body else _COLUMNS, rows)]


def _flag(session: Session, name: str, default: Any) -> Any:
    """The value of a flag that not every command here has."""
    return session[name] if name in session.args else default
