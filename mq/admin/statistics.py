"""Traffic of every topic and group, and a look into a queue. Source: RocketMQ tools/command/stats, queue."""

from __future__ import annotations

from typing import Any, Final

from mq.admin.command import TOPIC, Family, Flag, Session, count
from mq.admin.report import Fields, Report, Table
from mq.admin.topics import groups_of_topic
from mq.client.admin_results import BrokerStatsData
from mq.errors import NoRoute, ResponseError
from mq.message import MessageQueue
from mq.message.message import DLQ_PREFIX, RETRY_PREFIX

COMMANDS: Final = Family("statistics")

_NO_CONSUMER: Final = "NO_CONSUMER"


@COMMANDS.add(
    "statsAll",
    "what goes in and out of each topic, by group",
    Flag("a", "activeTopic", "only where something moved in the last day", read=None),
    Flag("t", "topic", "only this topic"),
)
async def stats_all(session: Session) -> Report:
    rows: list[tuple[Any, ...]] = []
    for topic in await session.admin.topics():
        if session["topic"] in (None, topic) and not topic.startswith((RETRY_PREFIX, DLQ_PREFIX)):
            rows += await _traffic(session, topic)
    columns = (
        *("#Topic", "#Consumer Group", "#Accumulation"),
        *("#InTPS", "#OutTPS", "#InMsg24Hour", "#OutMsg24Hour"),
    )
    return Table(columns, rows)


async def _traffic(session: Session, topic: str) -> list[tuple[Any, ...]]:
    try:
        groups = await groups_of_topic(session, topic)
        into = await _sum(session, topic, "TOPIC_PUT_NUMS", topic)
    except NoRoute:  # listed, but its broker is away
        return []
    rows: list[tuple[Any, ...]] = []
    for group in groups:
        out = await _sum(session, topic, "GROUP_GET_NUMS", f"{topic}@{group}")
        if not session["activeTopic"] or into[1] or out[1]:
            rows.append((topic, group, await _lag(session, topic, group), into[0], out[0], into[1], out[1]))
    if not groups and (not session["activeTopic"] or into[1]):
        rows.append((topic, "", 0, into[0], None, into[1], _NO_CONSUMER))
    return rows


async def _sum(session: Session, topic: str, name: str, key: str) -> tuple[float, int]:
    """Messages per second in the last minute, and messages of the last day, over all brokers of the topic."""
    tps, day = 0.0, 0
    for address in await session.admin.masters_of_topic(topic):
        try:
            stats: BrokerStatsData = await session.admin.at.statistic(address, name, key)
        except ResponseError:  # nothing was counted there
            continue
        tps += stats.stats_minute.tps
        # A broker that is up for less than an hour has it in the smaller windows only.
        day += max(stats.stats_day.sum, stats.stats_hour.sum, stats.stats_minute.sum)
    return round(tps, 2), day


async def _lag(session: Session, topic: str, group: str) -> int:
    lag = 0
    for address in await session.admin.masters_of_topic(topic):
        lag += (await session.admin.at.consume_stats(address, group, topic)).lag
    return lag


@COMMANDS.add(
    "queryCq",
    "entries of a queue, as they lie there",
    TOPIC,
    Flag("q", "queue", "queue id", count, required=True),
    Flag("i", "index", "first entry", count, required=True),
    Flag("c", "count", "entries, 10", count, default=10),
    Flag("b", "broker", "address of the broker; any master of the topic when absent"),
    Flag("g", "consumer", "show which of them this group would get", default=""),
)
async def query_cq(session: Session) -> Report:
    topic = session["topic"]
    address = session["broker"] or (await session.admin.masters_of_topic(topic))[0]
    queue = MessageQueue(topic, "", session["queue"])
    view = await session.admin.at.queue_view(address, queue, session["index"], session["count"], session["consumer"])
    first = max(session["index"], view.min_queue_index)
    rows = [
        (first + place, entry.physic_offset, entry.physic_size, entry.tags_code, entry.eval)
        for place, entry in enumerate(view.queue_data)
    ]
    bounds: dict[str, Any] = {"min": view.min_queue_index, "max": view.max_queue_index}
    if view.subscription_data is not None:
        bounds["Subscription"] = view.subscription_data.sub_string
    if view.filter_data:
        bounds["Filter"] = view.filter_data
    columns = ("#Index", "#PhysicOffset", "#PhysicSize", "#TagsCode", "#Eval")
    return [Fields(bounds), Table(columns, rows)]
