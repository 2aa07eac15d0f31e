"""Topics: make, change, delete, list them, and see where they live. Source: RocketMQ tools/command/topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mq.admin.command import (
    BROKER,
    CLUSTER,
    TOPIC,
    CommandFailed,
    Family,
    Flag,
    Session,
    UsageError,
    boolean,
    configs,
    count,
    listed,
    perm,
)
from mq.admin.report import Document, Fields, Report, Table, Text, time_text
from mq.client.admin_name_servers import ORDER_TOPIC_CONFIG
from mq.client.allocation import Averagely
from mq.client.routes import MASTER_ID, build_route
from mq.errors import NoRoute, ResponseError
from mq.message import MessageQueue
from mq.message.message import DLQ_PREFIX, RETRY_PREFIX, check_topic
from mq.remoting.bodies import TopicConfig, TopicRouteData

COMMANDS: Final = Family("topics")

#: Bits of a topic's `topicSysFlag`.
_UNIT: Final = 1
_UNIT_SUB: Final = 2


@COMMANDS.add(
    "updateTopic",
    "make a topic, or change it",
    BROKER,
    CLUSTER,
    TOPIC,
    Flag("r", "readQueueNums", "queues to read from, 8", count, default=8),
    Flag("w", "writeQueueNums", "queues to write to, 8", count, default=8),
    Flag("p", "perm", "2 write, 4 read, 6 both (6)", perm, default=6),
    Flag("o", "order", "an ordered topic: note its queues at the name servers", boolean, default=False),
    Flag("a", "attributes", "such as +message.type=DELAY,-cleanup.policy"),
    Flag("u", "unit", "a topic of a unit", boolean, default=False),
    Flag("s", "hasUnitSub", "with subscriptions of units", boolean, default=False),
)
async def update_topic(session: Session) -> Report:
    check_topic(session["topic"])
    topic = TopicConfig(
        topic_name=session["topic"],
        read_queue_nums=session["readQueueNums"],
        write_queue_nums=session["writeQueueNums"],
        perm=session["perm"],
        topic_sys_flag=(_UNIT if session["unit"] else 0) | (_UNIT_SUB if session["hasUnitSub"] else 0),
        order=session["order"],
        attributes=_attributes(session["attributes"] or ""),
    )
    masters = await session.masters()
    for address in masters:
        await session.admin.at.put_topic(address, topic)
    parts = [Text(f"create topic to {address} success.", {"brokers": [address]}) for address in masters]
    if topic.order:
        order = await _note_order(session, masters)
        parts.append(Text(f"set order conf of {topic.topic_name}: {order}", {"orderConf": order}))
    return [*parts, Fields(topic.to_dict())]


async def _note_order(session: Session, masters: Sequence[str]) -> str:
    """`broker-a:8;broker-b:8`, which tells producers of ordered messages not to count on fewer brokers."""
    table = (await session.admin.brokers()).items()
    names = sorted(name for name, addresses in table if addresses.get(MASTER_ID) in masters)
    order = ";".join(f"{name}:{session['writeQueueNums']}" for name in names)
    await session.admin.name_servers.put_kv(ORDER_TOPIC_CONFIG, session["topic"], order)
    return order


def _attributes(text: str) -> dict[str, str]:
    changes = {name: value for name, _, value in (word.partition("=") for word in listed(text))}
    for name, value in changes.items():
        if not ((name.startswith("+") and value) or (name.startswith("-") and not value)):
            raise UsageError(f"attribute {name!r}: +NAME=VALUE sets one, -NAME removes it")
    return changes


@COMMANDS.add(
    "updateTopicList",
    "make or change the topics of a file, all or none",
    BROKER,
    CLUSTER,
    Flag(
        "f",
        "filename",
        'a JSON list: [{"topicName": "orders", "readQueueNums": 8}]',
        configs(TopicConfig),
        required=True,
    ),
)
async def update_topic_list(session: Session) -> Report:
    masters = await session.masters()
    for address in masters:
        await session.admin.at.put_topics(address, session["filename"])
    names = [topic.topic_name for topic in session["filename"]]
    return [Text(f"{len(names)} topics: success, {address}", {"brokers": [address]}) for address in masters]


@COMMANDS.add(
    "deleteTopic",
    "delete a topic and its messages",
    TOPIC,
    Flag("c", "clusterName", "from every master of this cluster", required=True),
)
async def delete_topic(session: Session) -> Report:
    topic, cluster = session["topic"], session["clusterName"]
    for address in await session.admin.masters(cluster):
        await session.admin.at.delete_topic(address, topic)
    await session.admin.name_servers.delete_topic(topic)
    return [
        Text(f"delete topic [{topic}] from cluster [{cluster}] success.", {"cluster": cluster}),
        Text(f"delete topic [{topic}] from NameServer success.", {"topic": topic}),
    ]


@COMMANDS.add("topicList", "every topic", Flag("c", "clusterModel", "with the clusters and groups of each", read=None))
async def topic_list(session: Session) -> Report:
    topics = await session.admin.topics()
    if not session["clusterModel"]:
        return Table(("#Topic",), [(topic,) for topic in topics])
    rows = []
    for topic in topics:
        if not topic.startswith((RETRY_PREFIX, DLQ_PREFIX)):
            groups = await groups_of_topic(session, topic)
            for cluster in await _clusters_of(session, topic):
                rows += [(cluster, topic, group) for group in groups or [""]]
    return Table(("#Cluster Name", "#Topic", "#Consumer Group"), rows)


@COMMANDS.add(
    "topicRoute", "where a topic lives, as clients are told", TOPIC, Flag("l", "list", "as a table", read=None)
)
async def topic_route(session: Session) -> Report:
    route = await existing_route(session, session["topic"])
    if not session["list"]:
        return Document(route.to_dict())
    brokers = {broker.broker_name: broker for broker in route.broker_datas}
    rows = [
        (
            brokers[queues.broker_name].cluster,
            queues.broker_name,
            ", ".join(brokers[queues.broker_name].broker_addrs.values()),
            queues.read_queue_nums,
            queues.write_queue_nums,
            queues.perm,
        )
        for queues in sorted(route.queue_datas, key=lambda queues: queues.broker_name)
        if queues.broker_name in brokers
    ]
    columns = ("#ClusterName", "#BrokerName", "#BrokerAddrs", "#ReadQueue", "#WriteQueue", "#Perm")
    return [Table(columns, rows), Fields({"Total queues": sum(row[3] for row in rows)})]


@COMMANDS.add(
    "topicStatus", "where each queue of a topic begins and ends", TOPIC, Flag("c", "cluster", "only of this cluster")
)
async def topic_status(session: Session) -> Report:
    topic = session["topic"]
    masters = await session.admin.masters_of_topic(topic)
    if session["cluster"]:
        wanted = await session.admin.masters(session["cluster"])
        masters = [address for address in masters if address in wanted]
    rows, tps = [], 0.0
    for address in masters:
        stats = await session.admin.at.topic_stats(address, topic)
        tps += stats.put_tps
        rows += [
            (queue.broker_name, queue.queue_id, one.min_offset, one.max_offset, time_text(one.last_update_ms))
            for queue, one in stats.queues.items()
        ]
    columns = ("#Broker Name", "#QID", "#Min Offset", "#Max Offset", "#Last Updated")
    return [Table(columns, rows), Fields({"Topic Put TPS": tps})]


@COMMANDS.add("topicClusterList", "the clusters that have a topic", TOPIC)
async def topic_cluster_list(session: Session) -> Report:
    await existing_route(session, session["topic"])
    return Table(("#Cluster Name",), [(name,) for name in await _clusters_of(session, session["topic"])])


@COMMANDS.add(
    "updateTopicPerm",
    "change what may be done with a topic",
    BROKER,
    CLUSTER,
    TOPIC,
    Flag("p", "perm", "2 write, 4 read, 6 both", perm, required=True),
)
async def update_topic_perm(session: Session) -> Report:
    topic, new = session["topic"], session["perm"]
    parts = []
    for address in await session.masters():
        config = await session.admin.at.topic_config(address, topic)
        old, config.perm = config.perm, new
        # Attributes in the request are changes, and these do not change.
        config.attributes = {}
        await session.admin.at.put_topic(address, config)
        parts.append(
            Text(f"update topic perm from {old} to {new} in {address} success.", {"brokers": [address], "perm": new})
            if old != new
            else Text("new perm equals to the old one!", {"perm": new})
        )
    return parts


@COMMANDS.add(
    "updateOrderConf",
    "note, show or forget the queues of an ordered topic",
    TOPIC,
    Flag("m", "method", "put, get or delete", required=True),
    Flag("v", "orderConf", "broker-a:4;broker-b:4"),
)
async def update_order_conf(session: Session) -> Report:
    topic, name_servers = session["topic"], session.admin.name_servers
    match session["method"]:
        case "get":
            order = await name_servers.kv(ORDER_TOPIC_CONFIG, topic)
            if order is None:
                raise CommandFailed(f"topic {topic!r} has no order conf")
        case "put":
            order = session["orderConf"]
            if not order:
                raise UsageError("-v broker-a:4;broker-b:4 is needed to put")
            await name_servers.put_kv(ORDER_TOPIC_CONFIG, topic, order)
        case "delete":
            await name_servers.delete_kv(ORDER_TOPIC_CONFIG, topic)
            return Text(f"delete orderConf success. topic=[{topic}]", {"topic": topic})
        case other:
            raise UsageError(f"-m {other}: put, get or delete")
    text = f"{session['method']} orderConf success. topic=[{topic}], orderConf=[{order}]"
    return Text(text, {"topic": topic, "orderConf": order})


@COMMANDS.add(
    "allocateMQ",
    "which queues each of these consumers would get",
    TOPIC,
    Flag("i", "ipList", "consumers, separated by commas", listed, required=True),
)
async def allocate_mq(session: Session) -> Report:
    topic, members = session["topic"], sorted(session["ipList"])
    queues = build_route(topic, await existing_route(session, topic)).subscribe_queues
    rows: list[tuple[str, str, int]] = []
    for member in members:
        share: Sequence[MessageQueue] = Averagely().allocate(member, queues, members)
        rows += [(member, queue.broker_name, queue.queue_id) for queue in share]
    return Table(("#Consumer", "#Broker Name", "#QID"), rows)


# What other families ask too


async def existing_route(session: Session, topic: str) -> TopicRouteData:
    """Raises: NoRoute: no such topic."""
    route = await session.admin.name_servers.route(topic)
    if route is None:
        raise NoRoute(f"no broker serves topic {topic!r}")
    return route


async def groups_of_topic(session: Session, topic: str) -> list[str]:
    """Every group that consumes the topic, on any broker."""
    found: set[str] = set()
    for address in await session.admin.masters_of_topic(topic):
        try:
            found.update(await session.admin.at.groups_of_topic(address, topic))
        except ResponseError:  # a broker that has no such topic any more: the name server will hear of it
            continue
    return sorted(found)


async def _clusters_of(session: Session, topic: str) -> list[str]:
    route = await session.admin.name_servers.route(topic)
    return sorted({broker.cluster for broker in route.broker_datas}) if route else []
