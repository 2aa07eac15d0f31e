"""One broker: what it is doing, its settings, and clearing away. Source: RocketMQ tools/command/broker, ha."""

from __future__ import annotations

from typing import Any, Final

from mq.admin.command import BROKER, CLUSTER, Family, Flag, Session, boolean, count
from mq.admin.report import Fields, Report, Table, Text, time_text
from mq.remoting.codes import RequestCode

COMMANDS: Final = Family("brokers")

_CLUSTER: Final = Flag("c", "cluster", "every master of this cluster; without -b and -c, of all")


@COMMANDS.add("brokerStatus", "what a broker is doing, in numbers", BROKER, CLUSTER)
async def broker_status(session: Session) -> Report:
    return [
        Fields(dict(sorted((await session.admin.at.runtime_info(address)).items())), address)
        for address in await session.masters()
    ]


@COMMANDS.add("getBrokerConfig", "a broker's settings", BROKER, CLUSTER)
async def get_broker_config(session: Session) -> Report:
    return [Fields(await session.admin.at.config(address), address) for address in await session.masters()]


@COMMANDS.add(
    "updateBrokerConfig",
    "change a setting of a running broker",
    BROKER,
    CLUSTER,
    Flag("k", "key", "such as brokerPermission", required=True),
    Flag("v", "value", "its new value", required=True),
    Flag("a", "updateAllBroker", "with -c, replicas too (false)", boolean, default=False),
)
async def update_broker_config(session: Session) -> Report:
    brokers = await session.masters()
    if session["updateAllBroker"] and not session["brokerAddr"]:
        info = await session.admin.cluster_info()
        names = info.cluster_addr_table[session["clusterName"]]
        brokers = [address for name in sorted(names) for address in info.broker_addr_table[name].broker_addrs.values()]
    for address in brokers:
        await session.admin.at.update_config(address, {session["key"]: session["value"]})
    return [Text(f"update broker config success, {address}", {"brokers": [address]}) for address in brokers]


@COMMANDS.add(
    "brokerConsumeStats",
    "how far behind every group of a broker is",
    Flag("b", "brokerAddr", "address of the broker, host:port", required=True),
    Flag("l", "level", "only queues that lag by at least so many messages (0)", count, default=0),
    Flag("o", "order", "only ordered topics", boolean, default=False),
    Flag("t", "timeoutMillis", "how long to wait for it, 50000", count, default=50_000),
)
async def broker_consume_stats(session: Session) -> Report:
    groups = await session.admin.at.consume_stats_of_all(
        session["brokerAddr"], is_order=session["order"], timeout_s=session["timeoutMillis"] / 1000
    )
    rows: list[tuple[Any, ...]] = []
    total = 0
    for group, stats in sorted(groups.items()):
        for one in stats:
            total += one.lag
            for queue, at in one.queues.items():
                if at.lag >= session["level"]:
                    place = (queue.topic, group, queue.broker_name, queue.queue_id)
                    rows.append((*place, at.broker_offset, at.consumer_offset, at.lag, time_text(at.last_ms)))
    columns = (
        *("#Topic", "#Group", "#Broker Name", "#QID"),
        *("#Broker Offset", "#Consumer Offset", "#Diff", "#LastTime"),
    )
    return [Table(columns, rows), Fields({"Diff Total": total})]


@COMMANDS.add(
    "haStatus",
    "how far a broker's replicas are",
    BROKER,
    CLUSTER,
    Flag("i", "interval", "again and again, with so many seconds between", count),
    Flag("", "rounds", "with -i, how often; for ever when absent", count, default=0),
)
async def ha_status(session: Session) -> Report:
    rounds = 1 if session["interval"] is None else session["rounds"]
    answer = await _ha_status(session)
    async for number in session.every(session["interval"] or 0, rounds):
        if number:
            session.show(answer)
            answer = await _ha_status(session)
    return answer


async def _ha_status(session: Session) -> list[Fields | Table]:
    parts: list[Fields | Table] = []
    rows: list[tuple[Any, ...]] = []
    for address in await session.masters():
        status = await session.admin.at.ha_status(address)
        replicas = status.get("haConnectionInfo") or []
        parts.append(
            Fields(
                {
                    "MasterAddr": address,
                    "MasterCommitLogMaxOffset": status.get("masterCommitLogMaxOffset", 0),
                    "SlaveNum": len(replicas),
                    "InSyncSlaveNum": status.get("inSyncSlaveNums", 0),
                }
            )
        )
        for one in replicas:
            speed = round(one["transferredByteInSecond"] / 1024, 2)
            state = "OK" if one["inSync"] else "Fall Behind"
            rows.append((one["addr"], one["slaveAckOffset"], one["diff"], speed, state, one["transferFromWhere"]))
    columns = ("#SlaveAddr", "#SlaveAckOffset", "#Diff", "#TransferSpeed(KB/s)", "#Status", "#TransferFromWhere")
    return [*parts, Table(columns, rows, "slaves")]


@COMMANDS.add("cleanExpiredCQ", "delete queue files whose messages are gone", BROKER, _CLUSTER)
async def clean_expired_cq(session: Session) -> Report:
    return await _clean(session, RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE)


@COMMANDS.add("cleanUnusedTopic", "delete queues of topics that do not exist", BROKER, _CLUSTER)
async def clean_unused_topic(session: Session) -> Report:
    return await _clean(session, RequestCode.CLEAN_UNUSED_TOPIC)


@COMMANDS.add("deleteExpiredCommitLog", "delete log files that are past their time, now", BROKER, _CLUSTER)
async def delete_expired_commit_log(session: Session) -> Report:
    return await _clean(session, RequestCode.DELETE_EXPIRED_COMMITLOG)


async def _clean(session: Session, code: RequestCode) -> Report:
    masters = await session.masters_or_all()
    for address in masters:
        await session.admin.at.clean(address, code)
    return [Text(f"success, {address}", {"brokers": [address]}) for address in masters]
