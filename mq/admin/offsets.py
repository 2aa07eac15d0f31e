"""Where groups go on: looked at, set to a time or a place, copied. Source: RocketMQ tools/command/offset."""

from __future__ import annotations

from typing import Final

from mq.admin.command import Family, Flag, Session, UsageError, boolean, count, moment
from mq.admin.report import Report, Table, Text
from mq.client.routes import MASTER_ID
from mq.errors import ResponseError
from mq.message import MessageQueue
from mq.remoting.codes import ResponseCode

COMMANDS: Final = Family("offsets")

_GROUP: Final = Flag("g", "group", "consumer group", required=True)
_TOPIC: Final = Flag("t", "topic", "topic name", required=True)
_FORCE: Final = Flag("f", "force", "also forward (true)", boolean, default=True)
_CLUSTER: Final = Flag("c", "cluster", "only on the masters of this cluster")
_COLUMNS: Final = ("#brokerName", "#queueId", "#offset")
#: The time that stands for the end of every queue.
_END_MS: Final = -1


@COMMANDS.add(
    "resetOffsetByTime",
    "send a group to a time, online or not",
    _GROUP,
    _TOPIC,
    Flag("s", "timestamp", "now, epoch ms, yyyy-MM-dd#HH:mm:ss:SSS, or -1 for the end", moment, required=True),
    _FORCE,
    Flag("b", "broker", "only on this broker (host:port); with -q"),
    Flag("q", "queue", "only this queue; with -b", count),
    Flag("o", "offset", "to this offset in place of the time; with -b and -q", count),
    Flag("c", "cluster", "only on the masters of this cluster"),
)
async def reset_offset_by_time(session: Session) -> Report:
    if (session["broker"] is None) != (session["queue"] is None):
        raise UsageError("-b BROKER and -q QUEUE belong together")
    if session["offset"] is not None and session["queue"] is None:
        raise UsageError("-o OFFSET is for one queue: it needs -b BROKER and -q QUEUE")
    return _table(await _reset(session, session["timestamp"]))


@COMMANDS.add(
    "skipAccumulatedMessage", "send a group to the end: what waits is never consumed", _GROUP, _TOPIC, _FORCE, _CLUSTER
)
async def skip_accumulated_message(session: Session) -> Report:
    return _table(await _reset(session, _END_MS))


async def _reset(session: Session, timestamp_ms: int) -> dict[MessageQueue, int]:
    group, topic = session["group"], session["topic"]
    if "queue" in session.args and session["queue"] is not None:
        place = -1 if session["offset"] is None else session["offset"]
        return await session.admin.at.reset_offset(
            session["broker"], group, topic, timestamp_ms, queue_id=session["queue"], queue_offset=place
        )
    masters = await session.admin.masters_of_topic(topic)
    if session["cluster"]:
        wanted = await session.admin.masters(session["cluster"])
        masters = [address for address in masters if address in wanted]
    offsets: dict[MessageQueue, int] = {}
    for address in masters:
        try:
            offsets |= await session.admin.at.reset_offset(
                address, group, topic, timestamp_ms, is_force=session["force"]
            )
        except ResponseError as error:
            # Brokers that reset through the members (before 5.0) cannot when none is there: their offsets are set.
            if error.code != ResponseCode.CONSUMER_NOT_ONLINE:
                raise
            offsets |= await _set_offline(session, address, timestamp_ms)
    return offsets


async def _set_offline(session: Session, address: str, timestamp_ms: int) -> dict[MessageQueue, int]:
    """Note the place of every queue of one broker; without force none goes forward."""
    admin, group, topic = session.admin, session["group"], session["topic"]
    brokers = {broker_name: table.get(MASTER_ID) for broker_name, table in (await admin.brokers()).items()}
    targets: dict[MessageQueue, int] = {}
    for queue in await admin.queues(topic):
        if brokers.get(queue.broker_name) != address:
            continue
        end = timestamp_ms < 0
        target = await (admin.max_offset(queue) if end else admin.search_offset(queue, timestamp_ms))
        consumed = await admin.consumer_offset(group, queue)
        if session["force"] or consumed is None or target <= consumed:
            await admin.set_consumer_offset(group, queue, target)
            targets[queue] = target
    return targets


@COMMANDS.add(
    "cloneGroupOffset",
    "let one group go on where another is",
    Flag("s", "srcGroup", "the group to copy from", required=True),
    Flag("d", "destGroup", "the group that goes there", required=True),
    _TOPIC,
    Flag("o", "offline", "also topics the source subscribes to no more (true)", boolean, default=True),
)
async def clone_group_offset(session: Session) -> Report:
    source, destination, topic = session["srcGroup"], session["destGroup"], session["topic"]
    for address in await session.admin.masters_of_topic(topic):
        await session.admin.at.clone_offset(address, source, destination, topic, offline=session["offline"])
    text = f"clone group offset success. srcGroup[{source}], destGroup=[{destination}], topic[{topic}]"
    return Text(text, {"srcGroup": source, "destGroup": destination, "topic": topic})


@COMMANDS.add(
    "getConsumerStatus",
    "the offsets that the members of a group hold",
    _GROUP,
    _TOPIC,
    Flag("i", "originClientId", "only of this client"),
)
async def get_consumer_status(session: Session) -> Report:
    group, topic = session["group"], session["topic"]
    rows = []
    for address in await session.admin.masters_of_topic(topic):
        status = await session.admin.at.consumer_status(address, group, topic, session["originClientId"])
        for client_id, offsets in sorted(status.items()):
            rows += [(client_id, queue.broker_name, queue.queue_id, at) for queue, at in offsets.items()]
    return Table(("#clientId", "#brokerName", "#queueId", "#offset"), rows)


def _table(offsets: dict[MessageQueue, int]) -> Table:
    return Table(_COLUMNS, [(queue.broker_name, queue.queue_id, at) for queue, at in sorted(offsets.items())])
