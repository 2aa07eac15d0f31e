"""Consumer groups: their settings and how far they are. Source: RocketMQ tools/command/consumer."""

from __future__ import annotations

from typing import Any, Final

from mq.admin.command import (
    BROKER,
    CLUSTER,
    GROUP,
    CommandFailed,
    Family,
    Flag,
    Session,
    UsageError,
    boolean,
    configs,
    count,
    json_object,
)
from mq.admin.connections import members, version_text
from mq.admin.report import Fields, Report, Table, Text, time_text
from mq.client.admin_results import ConsumerConnection, ConsumeStats, GroupOffset
from mq.errors import NoRoute, ResponseError
from mq.message import MessageQueue
from mq.message.message import DLQ_PREFIX, RETRY_PREFIX, check_group
from mq.remoting.bodies import SubscriptionGroupConfig

COMMANDS: Final = Family("consumer groups")


@COMMANDS.add(
    "updateSubGroup",
    "make a consumer group, or change it",
    BROKER,
    CLUSTER,
    GROUP,
    Flag("s", "consumeEnable", "may consume (true)", boolean, default=True),
    Flag("m", "consumeFromMinEnable", "may begin at the beginning (true)", boolean, default=True),
    Flag("d", "consumeBroadcastEnable", "may broadcast (true)", boolean, default=True),
    Flag("o", "consumeMessageOrderly", "in order (false)", boolean, default=False),
    Flag("q", "retryQueueNums", "queues of its retry topic, 1", count, default=1),
    Flag("r", "retryMaxTimes", "tries before the dead letters, 16", count, default=16),
    Flag("i", "brokerId", "consume from this one, 0", count, default=0),
    Flag("w", "whichBrokerWhenConsumeSlowly", "and from this one when it is slow, 1", count, default=1),
    Flag("a", "notifyConsumerIdsChanged", "tell members about each other (true)", boolean, default=True),
    Flag("p", "groupRetryPolicy", 'when to try again: {"type": "CUSTOMIZED"}', json_object),
)
async def update_sub_group(session: Session) -> Report:
    check_group(session["groupName"])
    group = SubscriptionGroupConfig(
        group_name=session["groupName"],
        consume_enable=session["consumeEnable"],
        consume_from_min_enable=session["consumeFromMinEnable"],
        consume_broadcast_enable=session["consumeBroadcastEnable"],
        consume_message_orderly=session["consumeMessageOrderly"],
        retry_queue_nums=session["retryQueueNums"],
        retry_max_times=session["retryMaxTimes"],
        broker_id=session["brokerId"],
        which_broker_when_consume_slowly=session["whichBrokerWhenConsumeSlowly"],
        notify_consumer_ids_changed_enable=session["notifyConsumerIdsChanged"],
    )
    if session["groupRetryPolicy"]:
        group.group_retry_policy = session["groupRetryPolicy"]
    masters = await session.masters()
    for address in masters:
        await session.admin.at.put_group(address, group)
    made = [Text(f"create subscription group to {address} success.", {"brokers": [address]}) for address in masters]
    return [*made, Fields(group.to_dict())]


@COMMANDS.add(
    "updateSubGroupList",
    "make or change the consumer groups of a file, all or none",
    BROKER,
    CLUSTER,
    Flag(
        "f",
        "filename",
        'a JSON list: [{"groupName": "billing", "retryMaxTimes": 3}]',
        configs(SubscriptionGroupConfig),
        required=True,
    ),
)
async def update_sub_group_list(session: Session) -> Report:
    masters = await session.masters()
    for address in masters:
        await session.admin.at.put_groups(address, session["filename"])
    count_ = len(session["filename"])
    return [Text(f"{count_} groups: success, {address}", {"brokers": [address]}) for address in masters]


@COMMANDS.add(
    "setConsumeMode",
    "have a group consume a topic by PULL or by POP",
    BROKER,
    CLUSTER,
    Flag("t", "topicName", "topic name", required=True),
    GROUP,
    Flag("m", "mode", "PULL or POP", str.upper, required=True),
    Flag("q", "popShareQueueNum", "with POP, queues that members share, 0", count, default=0),
)
async def set_consume_mode(session: Session) -> Report:
    topic, group, mode = session["topicName"], session["groupName"], session["mode"]
    if mode not in ("PULL", "POP"):
        raise UsageError(f"-m {mode}: PULL or POP")
    masters = await session.masters()
    for address in masters:
        await session.admin.at.set_consume_mode(address, topic, group, mode, session["popShareQueueNum"])
    return [Text(f"set consume mode to {address} success.", {"brokers": [address]}) for address in masters]


@COMMANDS.add(
    "deleteSubGroup",
    "delete a consumer group, its retry topic and its dead letters",
    BROKER,
    CLUSTER,
    GROUP,
    Flag("r", "removeOffset", "forget its offsets too (false)", boolean, default=False),
)
async def delete_sub_group(session: Session) -> Report:
    group = session["groupName"]
    masters = await session.masters()
    for address in masters:
        await session.admin.at.delete_group(address, group, clean_offset=session["removeOffset"])
        for topic in (RETRY_PREFIX + group, DLQ_PREFIX + group):
            await session.admin.at.delete_topic(address, topic)
            await session.admin.name_servers.delete_topic(topic)
    return [
        Text(f"delete subscription group [{group}] from broker [{address}] success.", {"brokers": [address]})
        for address in masters
    ]


@COMMANDS.add("getConsumerConfig", "the settings of a consumer group on every broker", GROUP)
async def get_consumer_config(session: Session) -> Report:
    group = session["groupName"]
    parts = []
    for address in await session.admin.masters():
        config = (await session.admin.at.groups(address)).get(group)
        if config is not None:
            parts.append(Fields(config.to_dict(), address))
    if not parts:
        raise CommandFailed(f"no broker knows a consumer group {group!r}")
    return parts


# Progress


@COMMANDS.add(
    "consumerProgress",
    "how far a group is in every queue, or how all groups are doing",
    Flag("g", "groupName", "one consumer group; every group when absent"),
    Flag("t", "topicName", "only in this topic"),
    Flag("s", "showClientIP", "with the member that reads each queue (false)", boolean, default=False),
    Flag("c", "cluster", "only on the masters of this cluster"),
)
async def consumer_progress(session: Session) -> Report:
    if session["groupName"]:
        return await _progress_of(session, session["groupName"])
    groups = [
        topic.removeprefix(RETRY_PREFIX) for topic in await session.admin.topics() if topic.startswith(RETRY_PREFIX)
    ]
    rows = [await _summary(session, group) for group in groups]
    columns = ("#Group", "#Count", "#Version", "#Type", "#Model", "#TPS", "#Diff Total")
    return Table(columns, sorted(rows, key=lambda row: -row[-1]))


async def _progress_of(session: Session, group: str) -> Report:
    stats = await consume_stats(session, group, session["topicName"])
    readers = await _readers(session, group) if session["showClientIP"] else {}
    rows: list[tuple[Any, ...]] = []
    for queue, at in stats.queues.items():
        reader = (readers.get(queue, "N/A"),) if session["showClientIP"] else ()
        offsets = (at.broker_offset, at.consumer_offset, *reader, at.lag, at.inflight)
        rows.append((queue.topic, queue.broker_name, queue.queue_id, *offsets, time_text(at.last_ms)))
    columns = (
        *("#Topic", "#Broker Name", "#QID", "#Broker Offset", "#Consumer Offset"),
        *(("#Client IP",) if session["showClientIP"] else ()),
        *("#Diff", "#Inflight", "#LastTime"),
    )
    totals = {
        "Consume TPS": stats.tps,
        "Consume Diff Total": stats.lag,
        "Consume Inflight Total": sum(at.inflight for at in stats.queues.values()),
    }
    return [Table(columns, rows), Fields(totals)]


async def _readers(session: Session, group: str) -> dict[MessageQueue, str]:
    """Which member reads each queue, by the part of its client id that is its address."""
    try:
        address, online = await members(session, group)
    except ResponseError:
        return {}
    readers: dict[MessageQueue, str] = {}
    for topic in online.subscription_table:
        status = await session.admin.at.consumer_status(address, group, topic)
        for client_id, offsets in status.items():
            readers |= dict.fromkeys(offsets, client_id.partition("@")[0])
    return readers


async def _summary(session: Session, group: str) -> tuple[Any, ...]:
    online = ConsumerConnection()
    tps, lag = 0.0, 0
    try:
        stats = await consume_stats(session, group)
        tps, lag = stats.tps, stats.lag
        _, online = await members(session, group)
    except (ResponseError, NoRoute):  # nobody is there, or nothing was ever consumed
        pass
    versions = [one.version for one in online.connection_set]
    version = version_text(min(versions)) if versions else "OFFLINE"
    kind = {"CONSUME_PASSIVELY": "PUSH", "CONSUME_ACTIVELY": "PULL", "CONSUME_POP": "POP"}.get(online.consume_type, "")
    return (group, len(versions), version, kind, online.message_model, round(tps, 2), lag)


async def consume_stats(session: Session, group: str, topic: str | None = None) -> ConsumeStats:
    """How far a group is, over all brokers that know it."""
    masters = await session.admin.masters_of_group(group)
    if "cluster" in session.args and session["cluster"]:
        wanted = await session.admin.masters(session["cluster"])
        masters = [address for address in masters if address in wanted]
    queues: dict[MessageQueue, GroupOffset] = {}
    tps = 0.0
    for address in masters:
        stats = await session.admin.at.consume_stats(address, group, topic)
        queues |= stats.queues
        tps += stats.tps
    return ConsumeStats(dict(sorted(queues.items())), tps)


@COMMANDS.add(
    "startMonitoring",
    "look at all groups again and again, and show those that lag, disagree or are stuck",
    Flag("i", "interval", "seconds between, 60", count, default=60),
    Flag("l", "undone", "messages behind from which a group lags, 100000", count, default=100_000),
    Flag("", "rounds", "how often; for ever when absent", count, default=0),
)
async def start_monitoring(session: Session) -> Report:
    answer: Report = ()
    async for number in session.every(session["interval"], session["rounds"]):
        if number:
            session.show(answer)
        answer = await _look(session)
    return answer


async def _look(session: Session) -> Report:
    rows = []
    for topic in await session.admin.topics():
        if topic.startswith(RETRY_PREFIX):
            group, count_, *_, lag = await _summary(session, topic.removeprefix(RETRY_PREFIX))
            if lag >= session["undone"]:
                rows.append((group, count_, lag, "lags" if count_ else "lags and is offline"))
    return [
        Fields({"Groups with something to tell": len(rows)}),
        Table(("#Group", "#Count", "#Diff Total", "#What"), rows),
    ]
