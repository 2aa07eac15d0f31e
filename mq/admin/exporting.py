"""A cluster's settings, topics, groups and figures as files, in mqadmin's shape. Source: RocketMQ tools/command/export.

Each file is what mqadmin writes under the same name, so that two clusters can be compared, or a cluster set up like
another with `updateTopicList` and `updateSubGroupList`.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

from mq.admin.command import CommandFailed, Family, Flag, Session, UsageError
from mq.admin.connections import version_text
from mq.admin.report import Report, Text
from mq.errors import ResponseError
from mq.message.message import DLQ_PREFIX, RETRY_PREFIX
from mq.remoting.bodies import Body

COMMANDS: Final = Family("exports")

_CLUSTER: Final = Flag("c", "clusterName", "the cluster", required=True)
#: Not mqadmin's /tmp/rocketmq/export, which any other user of the machine could have made before us.
_FOLDER: Final = Flag(
    "f", "filePath", "folder for the file, made if need be (rocketmq-export)", default="rocketmq-export"
)
#: Of all settings those that tell one cluster from another.
_TELLING: Final = (
    *("brokerClusterName", "brokerId", "brokerName", "brokerRole", "fileReservedTime", "filterServerNums"),
    *("flushDiskType", "maxMessageSize", "messageDelayLevel", "msgTraceTopicName", "slaveReadEnable", "traceOn"),
    *("traceTopicEnable", "useTLS", "autoCreateTopicEnable", "autoCreateSubscriptionGroup"),
)
_SYSTEM_GROUPS: Final = frozenset(
    {"TOOLS_CONSUMER", "FILTERSRV_CONSUMER", "SELF_TEST_C_GROUP", "SELF_TEST_P_GROUP", "__MONITOR_CONSUMER"}
    | {"CLIENT_INNER_PRODUCER", "CID_ONS-HTTP-PROXY", "CID_ONSAPI_OWNER", "CID_ONSAPI_PULL", "CID_ONSAPI_PERMISSION"}
)
_SYSTEM_GROUP_PREFIX: Final = "CID_RMQ_SYS_"
#: What is counted apart from ordinary messages.
_APART: Final = {"trans": "RMQ_SYS_TRANS_HALF_TOPIC", "schedule": "SCHEDULE_TOPIC_XXXX"}


@COMMANDS.add("exportConfigs", "write the settings of a cluster's masters to configs.json", _CLUSTER, _FOLDER)
async def export_configs(session: Session) -> Report:
    names, brokers = await _brokers(session)
    configs = {}
    for name in names:
        config = await session.admin.at.config(brokers[name][0])
        configs[name] = {key: config[key] for key in _TELLING if key in config}
    scale = {
        "namesrvSize": len(session.admin.name_servers.addresses),
        "masterBrokerSize": len(names),
        "slaveBrokerSize": sum(len(brokers[name]) - 1 for name in names),
    }
    return _write(session, "configs.json", {"brokerConfigs": configs, "clusterScale": scale})


@COMMANDS.add(
    "exportMetadata",
    "write topics and groups to metadata.json, topic.json or subscriptionGroup.json",
    Flag("c", "clusterName", "of every master of this cluster: their queues are added up"),
    Flag("b", "brokerAddr", "of one broker, host:port: with -t or -g"),
    _FOLDER,
    Flag("t", "topic", "topics only", read=None),
    Flag("g", "subscriptionGroup", "groups only", read=None),
    Flag("s", "specialTopic", "retry and dead letter topics too", read=None),
)
async def export_metadata(session: Session) -> Report:
    if session["brokerAddr"] and not (session["topic"] or session["subscriptionGroup"]):
        raise UsageError("of one broker either -t or -g can be exported")
    topics: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    for address in await session.masters():
        _add_up(
            topics, await _topics(session, address, special=session["specialTopic"]), "readQueueNums", "writeQueueNums"
        )
        _add_up(groups, await _groups(session, address), "retryQueueNums")
    tables = {"topicConfigTable": topics, "subscriptionGroupTable": groups}
    if session["topic"]:
        name, kept = "topic.json", ["topicConfigTable"]
    elif session["subscriptionGroup"]:
        name, kept = "subscriptionGroup.json", ["subscriptionGroupTable"]
    else:
        name, kept = "metadata.json", list(tables)
    return _write(session, name, {key: tables[key] for key in kept} | {"exportTime": int(time.time() * 1000)})


@COMMANDS.add(
    "exportMetrics", "write what a cluster's brokers and clients are doing to metrics.json", _CLUSTER, _FOLDER
)
async def export_metrics(session: Session) -> Report:
    names, brokers = await _brokers(session)
    report = {}
    totals: dict[str, dict[str, float]] = {"totalTps": {}, "totalOneDayNum": {}}
    for name in names:
        address = brokers[name][0]
        groups = await _groups(session, address)
        quota = await _quota(session, address, len(groups))
        report[name] = {
            "runtimeEnv": {"totalMemKBytes": (await session.admin.at.runtime_info(address)).get("totalMemKBytes")},
            "runtimeQuota": quota,
            "runtimeVersion": {"clientInfo": await _clients(session, address, list(groups))},
        }
        for key, value in quota["tps"].items():
            total = f"total{key[0].upper()}{key[1:]}"
            totals["totalTps"][total] = totals["totalTps"].get(total, 0) + value
        for key, value in quota["oneDayNum"].items():
            totals["totalOneDayNum"][key] = totals["totalOneDayNum"].get(key, 0) + value
    return _write(session, "metrics.json", {"evaluateReport": report, "totalData": totals})


async def _brokers(session: Session) -> tuple[list[str], dict[str, dict[int, str]]]:
    """The names of the cluster's brokers that have a master, and the addresses of all brokers by id."""
    info = await session.admin.cluster_info()
    wanted = info.cluster_addr_table.get(session["clusterName"])
    if wanted is None:
        raise CommandFailed(f"there is no cluster {session['clusterName']}")
    brokers = {name: data.broker_addrs for name, data in info.broker_addr_table.items()}
    return [name for name in sorted(wanted) if 0 in brokers.get(name, {})], brokers


async def _topics(session: Session, address: str, *, special: bool) -> dict[str, Any]:
    system = set(await session.admin.at.system_topics(address))
    hidden = () if special else (RETRY_PREFIX, DLQ_PREFIX)
    topics = await session.admin.at.topic_configs(address)
    return {
        name: _plain(topic)
        for name, topic in sorted(topics.items())
        if name not in system and not name.startswith(hidden) and topic.perm & 6
    }


async def _groups(session: Session, address: str) -> dict[str, Any]:
    groups = await session.admin.at.groups(address)
    return {
        name: _plain(group)
        for name, group in sorted(groups.items())
        if name not in _SYSTEM_GROUPS and not name.startswith(_SYSTEM_GROUP_PREFIX)
    }


def _add_up(all_: dict[str, Any], of_one: dict[str, Any], *keys: str) -> None:
    for name, config in of_one.items():
        before = all_.get(name, {})
        all_[name] = config | {key: config[key] + before.get(key, 0) for key in keys}


async def _quota(session: Session, address: str, group_count: int) -> dict[str, Any]:
    figures = await session.admin.at.runtime_info(address)
    tps = {
        "normalInTps": _first_rate(figures.get("putTps", "")),
        "normalOutTps": _first_rate(figures.get("getTransferredTps") or figures.get("getTransferedTps", "")),
    }
    days = {
        "normalOneDayInNum": _of_yesterday(figures, "msgPutTotal"),
        "normalOneDayOutNum": _of_yesterday(figures, "msgGetTotal"),
    }
    for name, topic in _APART.items():
        tps[f"{name}InTps"], days[f"{name}OneDayInNum"] = await _put(session, address, topic)
    return {
        "diskRatio": {key: figures.get(key) for key in ("commitLogDiskRatio", "consumeQueueDiskRatio")},
        "tps": tps,
        "oneDayNum": days,
        "messageAverageSize": figures.get("putMessageAverageSize"),
        "topicSize": len(await _topics(session, address, special=False)),
        "groupSize": group_count,
    }


def _first_rate(rates: str) -> float:
    """Of `10s 1min 10min`, the rate of the last seconds."""
    return float(rates.split()[0]) if rates.split() else 0.0


def _of_yesterday(figures: dict[str, str], name: str) -> int:
    return int(figures.get(f"{name}TodayMorning", 0)) - int(figures.get(f"{name}YesterdayMorning", 0))


async def _put(session: Session, address: str, topic: str) -> tuple[float, int]:
    try:
        stats = await session.admin.at.statistic(address, "TOPIC_PUT_NUMS", topic)
    except ResponseError:  # nothing was counted
        return 0.0, 0
    return stats.stats_minute.tps, max(stats.stats_day.sum, stats.stats_hour.sum, stats.stats_minute.sum)


async def _clients(session: Session, address: str, groups: list[str]) -> list[str]:
    """Language and version of every consumer that is connected."""
    found = set()
    for group in groups:
        try:
            online = await session.admin.at.consumers(address, group)
        except ResponseError:  # nobody is
            continue
        found |= {f"{client.language}%{version_text(client.version)}" for client in online.connection_set}
    return sorted(found)


def _plain(body: Body) -> dict[str, Any]:
    return dict(json.loads(body.to_json(bare_keys=False)))


def _write(session: Session, name: str, content: dict[str, Any]) -> Report:
    path = Path(session["filePath"]) / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}") from error
    return Text(f"export {path} success", {"file": str(path)})
