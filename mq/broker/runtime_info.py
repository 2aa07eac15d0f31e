"""How the broker is doing (code 28): RocketMQ's keys, which its tools and dashboards read numbers out of.

Everything here runs on one loop without pools, so what counts waiting requests is 0. What is not known is left out,
because tools parse whatever is there. Source: RocketMQ AdminBrokerProcessor.prepareRuntimeInfo, StoreStatsService.
"""

from __future__ import annotations

import shutil
import time
from bisect import bisect_left
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from mq.broker.delay import SCHEDULE_TOPIC, TIMER_TOPIC
from mq.message import record
from mq.remoting.bodies import KVTable
from mq.remoting.codes import RequestCode
from mq.remoting.command import VERSION, RemotingCommand
from mq.remoting.connection import Connection, Handler

if TYPE_CHECKING:
    from mq.broker.app import Broker

_POOLS: Final = ("send", "pull", "litePull", "query", "ack")
#: Bounds in ms of what `putMessageDistributeTime` shows, as RocketMQ words them.
_BOUNDS_MS: Final = (0, 10, 50, 100, 200, 500, 1000, 2000, 3000, 4000, 5000, 10_000)
#: RocketMQ's answer without a transient store pool, which there is none of.
_ANY_NUMBER: Final = 2**31 - 1


class RuntimeInfoProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._started_ms = broker.clock.now_ms()
        self._started_s = time.monotonic()

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.GET_BROKER_RUNTIME_INFO: self._runtime_info}

    def _runtime_info(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        table = self._about() | self._traffic() | self._send_times() | self._log() | self._delays() | self._queues()
        return command.respond(body=KVTable(table).to_json())

    def _about(self) -> dict[str, str]:
        return {
            "bootTimestamp": str(self._started_ms),
            "runtime": _duration(time.monotonic() - self._started_s),
            "brokerVersion": str(VERSION),
            "brokerVersionDesc": "V5_3_3",
            "brokerActive": "true",
            "startAcceptSendRequestTimeStamp": "0",
        }

    def _traffic(self) -> dict[str, str]:
        statistics, puts = self._broker.statistics, self._broker.store.put_statistics
        now = statistics.counters()

        def rates(*names: str) -> str:
            parts = zip(*(statistics.rates(name) for name in names), strict=True)
            return " ".join(f"{sum(part):.3f}" for part in parts)

        return {
            "putMessageTimesTotal": str(puts.count),
            "putMessageFailedTimes": str(statistics.refused),
            "putMessageSizeTotal": str(puts.bytes),
            "putMessageAverageSize": str(puts.bytes / puts.count if puts.count else 0.0),
            "putTps": rates("stored"),
            "getFoundTps": rates("pulls_found"),
            "getMissTps": rates("pulls_missed"),
            "getTotalTps": rates("pulls_found", "pulls_missed"),
            "getTransferredTps": rates("given"),
            "getTransferedTps": rates("given"),  # 4.x tools know this spelling only
            "msgPutTotalYesterdayMorning": str(statistics.yesterday_morning.stored),
            "msgPutTotalTodayMorning": str(statistics.today_morning.stored),
            "msgPutTotalTodayNow": str(now.stored),
            "msgGetTotalYesterdayMorning": str(statistics.yesterday_morning.given),
            "msgGetTotalTodayMorning": str(statistics.today_morning.given),
            "msgGetTotalTodayNow": str(now.given),
        }

    def _send_times(self) -> dict[str, str]:
        times = self._broker.statistics.send_times
        return {
            "putMessageEntireTimeMax": str(round(times.percentile(1.0))),
            "putMessageDistributeTime": _distribution(times.took_ms),
            "putLatency99": f"{times.percentile(0.99):.3f}",
            "putLatency999": f"{times.percentile(0.999):.3f}",
            "getMessageEntireTimeMax": str(round(self._broker.statistics.slowest_pull_ms)),
        }

    def _log(self) -> dict[str, str]:
        store = self._broker.store
        disk = shutil.disk_usage(self._broker.config.store_root.expanduser())
        used_ratio = f"{disk.used / disk.total:.4f}"
        return {
            "commitLogDiskRatio": used_ratio,
            "consumeQueueDiskRatio": used_ratio,
            "commitLogMinOffset": str(store.min_commit_log_offset),
            "commitLogMaxOffset": str(store.max_commit_log_offset),
            "commitLogDirCapacity": f"Total : {disk.total}, Free : {disk.free}.",
            "earliestMessageTimeStamp": str(self._earliest_ms()),
            "remainHowManyDataToFlush": f"{store.max_commit_log_offset - store.durable_commit_log_offset} B",
            "remainTransientStoreBufferNumbs": str(_ANY_NUMBER),
            "dispatchMaxBuffer": "0",
            "dispatchBehindBytes": "0",
            "pageCacheLockTimeMills": "0",
        }

    def _earliest_ms(self) -> int:
        """When the oldest message of the log was stored; -1 without one."""
        first = self._broker.store.record_at(self._broker.store.min_commit_log_offset)
        return next((message.store_timestamp_ms for message in record.iterate(first or b"")), -1)

    def _delays(self) -> dict[str, str]:
        store, timers = self._broker.store, self._broker.timers
        levels = {
            f"scheduleMessageOffset_{level}": f"{delivered},{store.max_offset(SCHEDULE_TOPIC, level - 1)}"
            for level, delivered in self._broker.schedule.progress().items()
        }
        if not self._broker.config.timer_wheel_enable:
            return levels
        return levels | {
            "timerReadBehind": str(timers.behind_s()),
            "timerOffsetBehind": str(timers.unread_count()),
            "timerCongestNum": "0",
            "timerEnqueueTps": f"{self._broker.statistics.topic_rate(TIMER_TOPIC):.3f}",
            "timerDequeueTps": f"{self._broker.statistics.timer_rate():.3f}",
        }

    def _queues(self) -> dict[str, str]:
        waiting = dict.fromkeys(_POOLS, 0) | {"pull": len(self._broker.long_polling)}
        sizes = {f"{pool}ThreadPoolQueueSize": str(count) for pool, count in waiting.items()}
        others = {f"{pool}ThreadPoolQueue{what}": "0" for pool in _POOLS for what in ("Capacity", "HeadWaitTimeMills")}
        return sizes | others | {"EndTransactionQueueSize": "0", "EndTransactionThreadPoolQueueCapacity": "0"}


def _distribution(took_ms: Iterable[float]) -> str:
    """How many times fell between which bounds, in RocketMQ's words: `[<=0ms]:3 [0~10ms]:7 ... [10s~]:0`."""
    counts = [0] * (len(_BOUNDS_MS) + 1)
    for time_ms in took_ms:
        counts[bisect_left(_BOUNDS_MS, int(time_ms))] += 1
    labels = ["<=0ms", *(f"{_short(low)}~{_short(high)}" for low, high in pairwise(_BOUNDS_MS)), "10s~"]
    return " ".join(f"[{label}]:{count}" for label, count in zip(labels, counts, strict=True))


def _short(bound_ms: int) -> str:
    return f"{bound_ms // 1000}s" if bound_ms >= 1000 else f"{bound_ms}ms"


def _duration(seconds: float) -> str:
    """RocketMQ's form, which tools show as it is."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"[ {days} days, {hour} hours, {minute} minutes, {second} seconds ]"
