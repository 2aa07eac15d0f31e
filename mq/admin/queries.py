"""Looking for single messages: by id, key, place and trace. Source: RocketMQ tools/command/message."""

from __future__ import annotations

from typing import Any, Final

from mq.admin.command import TOPIC, CommandFailed, Family, Flag, Session, count, moment
from mq.admin.connections import members
from mq.admin.report import Document, Fields, Part, Report, Table, Text, time_text
from mq.admin.topics import groups_of_topic
from mq.admin.traces import PUBLISHED, read_traces
from mq.client import Producer, PullConsumer
from mq.errors import NoRoute, RemoteProtocolError, ResponseError
from mq.message import Message, MessageQueue, ReceivedMessage, ids
from mq.message import properties as names

COMMANDS: Final = Family("queries")

#: The group that reads for this tool; it commits nothing.
TOOLS_CONSUMER: Final = "TOOLS_CONSUMER"
_FOR_EVER_MS: Final = 2**63 - 1

_BODY: Final = Flag("f", "bodyFormat", "character set of the body, UTF-8", default="UTF-8")
_CLIENT: Final = (
    Flag("g", "consumerGroup", "have a consumer of this group consume it again; with -d"),
    Flag("d", "clientId", "that consumer; with -g"),
)


@COMMANDS.add(
    "queryMsgById",
    "a message by its id, and which groups have it",
    TOPIC,
    Flag("i", "msgId", "ids, separated by commas", required=True),
    *_CLIENT,
    Flag("s", "sendMessage", "send a copy of it (false)", lambda text: text.lower() == "true", default=False),
    _BODY,
)
async def query_msg_by_id(session: Session) -> Report:
    parts: list[Part] = []
    for message_id in session["msgId"].split(","):
        for message in await _by_any_id(session, message_id.strip()):
            parts += await _found(session, message)
            if session["sendMessage"]:
                parts.append(await _send_copy(session, message))
    return parts


@COMMANDS.add(
    "queryMsgByUniqueKey",
    "a message by the id its producer gave it",
    TOPIC,
    Flag("i", "msgId", "unique id", required=True),
    *_CLIENT,
    Flag("a", "showAll", "all of them, when a send was repeated", read=None),
    _BODY,
)
async def query_msg_by_unique_key(session: Session) -> Report:
    found = await session.admin.query_unique_message(session["topic"], session["msgId"])
    if not found:
        raise CommandFailed(f"no message with id {session['msgId']!r} in topic {session['topic']!r}")
    parts: list[Part] = []
    for message in found if session["showAll"] else found[:1]:
        parts += await _found(session, message)
    return parts


@COMMANDS.add(
    "queryMsgByKey",
    "the messages that have a key",
    TOPIC,
    Flag("k", "msgKey", "key", required=True),
    Flag("b", "beginTimestamp", "stored from this time on", moment, default=0),
    Flag("e", "endTimestamp", "and up to this one", moment, default=_FOR_EVER_MS),
    Flag("m", "maxNum", "messages, 64", count, default=64),
)
async def query_msg_by_key(session: Session) -> Report:
    found = await session.admin.query_message(
        session["topic"],
        session["msgKey"],
        max_count=session["maxNum"],
        begin_ms=session["beginTimestamp"],
        end_ms=session["endTimestamp"],
    )
    rows = [(message.message_id, message.queue_id, message.queue_offset) for message in found]
    return Table(("#Message ID", "#QID", "#Offset"), rows)


@COMMANDS.add(
    "queryMsgByOffset",
    "the message at a place in a queue",
    TOPIC,
    Flag("b", "brokerName", "name of the broker", required=True),
    Flag("i", "queueId", "queue id", count, required=True),
    Flag("o", "offset", "offset in the queue", count, required=True),
    _BODY,
)
async def query_msg_by_offset(session: Session) -> Report:
    queue = MessageQueue(session["topic"], session["brokerName"], session["queueId"])
    async with PullConsumer(TOOLS_CONSUMER, client=session.admin.client) as consumer:
        result = await consumer.pull(queue, session["offset"], max_count=1)
    if not result.messages or result.messages[0].queue_offset != session["offset"]:
        raise CommandFailed(
            f"nothing at offset {session['offset']}: the queue has {result.min_offset} to {result.max_offset - 1}"
        )
    return await _found(session, result.messages[0])


@COMMANDS.add(
    "queryMsgTraceById",
    "what a message went through: needs producers and consumers with trace on",
    Flag("i", "msgId", "unique id", required=True),
    Flag("t", "traceTopic", "where traces are", default="RMQ_SYS_TRACE_TOPIC"),
    Flag("b", "beginTimestamp", "stored from this time on", moment, default=0),
    Flag("e", "endTimestamp", "and up to this one", moment, default=_FOR_EVER_MS),
    Flag("c", "maxNum", "traces, 64", count, default=64),
)
async def query_msg_trace_by_id(session: Session) -> Report:
    found = await session.admin.query_message(
        session["traceTopic"],
        session["msgId"],
        max_count=session["maxNum"],
        begin_ms=session["beginTimestamp"],
        end_ms=session["endTimestamp"],
    )
    events = [event for message in found for event in read_traces(message, session["msgId"])]
    if not events:
        raise CommandFailed(f"no trace of {session['msgId']!r} in {session['traceTopic']}")
    rows = [
        (event.kind, event.group, event.client_host, time_text(event.at_ms), event.cost_ms, event.status)
        for event in sorted(events, key=lambda event: (event.kind != PUBLISHED, event.at_ms))
    ]
    return Table(("#Type", "#Group", "#ClientHost", "#Time", "#CostTimes", "#Status"), rows)


# One message


async def _by_any_id(session: Session, message_id: str) -> list[ReceivedMessage]:
    """By the broker's id, which names the broker and the place, or by the producer's. Raises: CommandFailed: none."""
    found = await session.admin.query_unique_message(session["topic"], message_id)
    if found:
        return found
    try:
        host = str(ids.parse_offset_message_id(message_id).host)
        known = {address for table in (await session.admin.brokers()).values() for address in table.values()}
        # An id is anybody's text: only brokers of this cluster are asked.
        if host in known:
            return [await session.admin.view_message(message_id)]
    except (RemoteProtocolError, ResponseError):
        pass
    raise CommandFailed(f"no message with id {message_id!r} in topic {session['topic']!r}")


async def _found(session: Session, message: ReceivedMessage) -> list[Part]:
    """The message and who consumed it; or, with -g and -d, what that consumer says when it gets it again."""
    if "clientId" not in session.args:
        return [describe(message, session["bodyFormat"])]
    if session["consumerGroup"] and session["clientId"]:
        address = (await session.admin.masters_of_group(session["consumerGroup"]))[0]
        result = await session.admin.at.consume_directly(
            address, session["consumerGroup"], session["clientId"], message.topic, message.offset_message_id
        )
        return [Document(result)]
    return [describe(message, session["bodyFormat"]), await _consumed_by(session, message)]


def describe(message: ReceivedMessage, charset: str) -> Fields:
    return Fields(
        {
            "OffsetID": message.offset_message_id,
            "Message ID": message.message_id,
            "Topic": message.topic,
            "Tags": message.tag,
            "Keys": " ".join(message.keys),
            "Queue ID": message.queue_id,
            "Queue Offset": message.queue_offset,
            "CommitLog Offset": message.commit_log_offset,
            "Reconsume Times": message.reconsume_times,
            "Born Timestamp": time_text(message.born_timestamp_ms),
            "Store Timestamp": time_text(message.store_timestamp_ms),
            "Born Host": str(message.born_host),
            "Store Host": str(message.store_host),
            "System Flag": message.sys_flag,
            "Properties": message.properties,
            "Message Body": body_text(message, charset),
        }
    )


def body_text(message: ReceivedMessage, charset: str) -> str:
    try:
        return message.body.decode(charset, errors="replace")
    except LookupError as error:
        raise CommandFailed(f"there is no character set {charset!r}") from error


async def _consumed_by(session: Session, message: ReceivedMessage) -> Table:
    """Each group of the topic: whether it is past the message, has left it out, or does not run."""
    rows = []
    for group in await groups_of_topic(session, message.topic):
        rows.append((group, await _track(session, message, group)))
    return Table(("#Group", "#Track"), rows, "consumers")


async def _track(session: Session, message: ReceivedMessage, group: str) -> str:
    try:
        _, online = await members(session, group)
    except (ResponseError, NoRoute, CommandFailed):
        return "NOT_ONLINE"
    if online.consume_type == "CONSUME_ACTIVELY":
        return "PULL"
    if online.message_model == "BROADCASTING":
        return "CONSUME_BROADCASTING"
    subscription = online.subscription_table.get(message.topic)
    for address in await session.admin.masters_of_topic(message.topic):
        stats = await session.admin.at.consume_stats(address, group, message.topic)
        for queue, at in stats.queues.items():
            is_of_it = queue.queue_id == message.queue_id and address == str(message.store_host)
            if is_of_it and at.consumer_offset > message.queue_offset:
                tags = subscription.tags_set if subscription else []
                return "CONSUMED_BUT_FILTERED" if tags and message.tag not in tags else "CONSUMED"
    return "NOT_CONSUME_YET"


async def _send_copy(session: Session, message: ReceivedMessage) -> Text:
    """The same topic, body, tag, keys and own properties, as a new message."""
    own = {name: value for name, value in message.properties.items() if name not in names.RESERVED}
    copy = Message(message.topic, message.body, tag=message.tag, keys=message.keys, flag=message.flag, properties=own)
    async with Producer("TOOLS_PRODUCER", client=session.admin.client) as producer:
        sent = await producer.send(copy)
    details: dict[str, Any] = {"originalMsgId": message.message_id, "resent": sent.message_id}
    return Text(f"prepare resend msg. originalMsgId={message.message_id}; sent as {sent.message_id}", details)
