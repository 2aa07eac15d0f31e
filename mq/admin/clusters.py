"""Clusters: who is in them and how they do. Source: RocketMQ tools/command/cluster."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from mq.admin.command import CommandFailed, Family, Flag, Session, count
from mq.admin.report import Report, Table
from mq.admin.sending import TOOLS_PRODUCER, Timed, send_timed
from mq.client import Producer
from mq.errors import MQError

COMMANDS: Final = Family("clusters")

_HOUR_MS: Final = 3_600_000

_COLUMNS: Final = (
    *("#Cluster Name", "#Broker Name", "#BID", "#Addr", "#Version", "#InTPS(LOAD)", "#OutTPS(LOAD)"),
    *("#Timer(Progress)", "#PCWait(ms)", "#Hour", "#SPACE", "#ACTIVATED"),
)
_MORE_COLUMNS: Final = (
    *("#Cluster Name", "#Broker Name"),
    *("#InTotalYest", "#OutTotalYest", "#InTotalToday", "#OutTotalToday"),
)

_ROUNDS: Final = Flag("", "rounds", "with -i, how often; for ever when absent", count, default=0)
_INTERVAL: Final = Flag("i", "interval", "again and again, with so many seconds between", count)


@COMMANDS.add(
    "clusterList",
    "every broker, and what it is doing",
    Flag("m", "moreStats", "messages of yesterday and today instead", read=None),
    Flag("c", "clusterName", "only this cluster"),
    _INTERVAL,
    _ROUNDS,
)
async def cluster_list(session: Session) -> Report:
    rounds = 1 if session["interval"] is None else session["rounds"]
    answer = await _clusters(session)
    async for number in session.every(session["interval"] or 0, rounds):
        if number:
            session.show(answer)
            answer = await _clusters(session)
    return answer


async def _clusters(session: Session) -> Table:
    info = await session.admin.cluster_info()
    wanted = session["clusterName"]
    if wanted and wanted not in info.cluster_addr_table:
        raise CommandFailed(f"cluster {wanted!r} is not registered at the name server")
    rows: list[tuple[object, ...]] = []
    for cluster, names in sorted(info.cluster_addr_table.items()):
        for name in sorted(names) if wanted in (None, cluster) else ():
            for broker_id, address in sorted(info.broker_addr_table[name].broker_addrs.items()):
                running = await _running(session, address)
                if session["moreStats"]:
                    rows.append((cluster, name, *_totals(running)))
                else:
                    rows.append((cluster, name, broker_id, address, *_load(running)))
    return Table(_MORE_COLUMNS if session["moreStats"] else _COLUMNS, rows)


async def _running(session: Session, address: str) -> Mapping[str, str]:
    """Nothing, when the broker does not answer: the others are shown all the same."""
    try:
        return await session.admin.at.runtime_info(address)
    except MQError:
        return {}


def _load(running: Mapping[str, str]) -> tuple[object, ...]:
    def rate(key: str) -> float:
        """The first of three averages: of the last ten seconds."""
        return _number(running, key)

    def pool(name: str) -> str:
        size = running.get(f"{name}ThreadPoolQueueSize", "0")
        return f"{size},{running.get(f'{name}ThreadPoolQueueHeadWaitTimeMills', '0')}ms"

    earliest_ms = _number(running, "earliestMessageTimeStamp")
    hours = (time.time() * 1000 - earliest_ms) / _HOUR_MS if earliest_ms > 0 else 0.0
    out = rate("getTransferredTps" if "getTransferredTps" in running else "getTransferedTps")
    timers = f"{running.get('timerReadBehind', '0')}-{running.get('timerOffsetBehind', '0')}"
    rates = [_number(running, f"timer{kind}Tps") for kind in ("Enqueue", "Dequeue")]
    return (
        running.get("brokerVersionDesc", ""),
        f"{rate('putTps'):.2f}({pool('send')})",
        f"{out:.2f}({pool('pull')})",
        f"{timers}({running.get('timerCongestNum', '0')}, {rates[0]:.1f}, {rates[1]:.1f})",
        running.get("pageCacheLockTimeMills", ""),
        round(hours, 2),
        round(_number(running, "commitLogDiskRatio"), 4),
        running.get("brokerActive", ""),
    )


def _number(running: Mapping[str, str], key: str) -> float:
    """The first number of a text; 0 when there is none, as in averages of an Apache broker that has just started."""
    try:
        return float(running.get(key, "").split()[0])
    except (IndexError, ValueError):
        return 0.0


def _totals(running: Mapping[str, str]) -> tuple[int, ...]:
    """Messages in and out, of yesterday and of today until now."""

    def between(key: str, begin: str, end: str) -> int:
        return int(_number(running, key + end) - _number(running, key + begin))

    days = (("TotalYesterdayMorning", "TotalTodayMorning"), ("TotalTodayMorning", "TotalTodayNow"))
    return tuple(between(kind, *day) for day in days for kind in ("msgPut", "msgGet"))


@COMMANDS.add(
    "clusterRT",
    "how long each broker takes for a message (it sends some to a topic named like the broker)",
    Flag("a", "amount", "messages, 100", count, default=100),
    Flag("s", "size", "bytes of a body, 128", count, default=128),
    Flag("c", "cluster", "only this cluster"),
    _INTERVAL,
    _ROUNDS,
)
async def cluster_rt(session: Session) -> Report:
    async with Producer(TOOLS_PRODUCER, client=session.admin.client) as producer:
        rounds = 1 if session["interval"] is None else session["rounds"]
        answer = await _round_trips(session, producer)
        async for number in session.every(session["interval"] or 0, rounds):
            if number:
                session.show(answer)
                answer = await _round_trips(session, producer)
    return answer


async def _round_trips(session: Session, producer: Producer) -> Table:
    info = await session.admin.cluster_info()
    wanted = session["cluster"]
    if wanted and wanted not in info.cluster_addr_table:
        raise CommandFailed(f"cluster {wanted!r} is not registered at the name server")
    rows = []
    for cluster, names in sorted(info.cluster_addr_table.items()):
        for name in sorted(names) if wanted in (None, cluster) else ():
            sends: list[Timed] = await send_timed(producer, name, count=session["amount"], size=session["size"])
            took = [send.took_ms for send in sends if send.is_stored]
            mean = sum(took) / len(took) if took else 0.0
            rows.append((cluster, name, round(mean, 2), len(took), len(sends) - len(took)))
    return Table(("#Cluster Name", "#Broker Name", "#RT", "#successCount", "#failCount"), rows)
