"""One statistic of one topic or group (code 315): its sum and rate over the last minute, hour and day.

Names and keys: TOPIC_PUT_NUMS, TOPIC_PUT_SIZE (a topic), GROUP_GET_NUMS, GROUP_GET_SIZE, SNDBCK_PUT_NUMS
(`topic@group`), BROKER_PUT_NUMS, BROKER_GET_NUMS (the cluster). What has not been counted since the start does not
exist: tools ask for every topic and group, and take that answer for zero. Simpler than RocketMQ: the average per
operation counts a message as one, where a pull of it counted as one for many.
Source: RocketMQ AdminBrokerProcessor.viewBrokerStatsData, BrokerStatsManager.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mq import dialect
from mq.broker.statistics import Details
from mq.errors import ResponseError
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import ViewBrokerStatsDataRequestHeader

if TYPE_CHECKING:
    from mq.broker.app import Broker

#: The statistic that counts what another one adds up.
_COUNTED_BY: Final = {"TOPIC_PUT_SIZE": "TOPIC_PUT_NUMS", "GROUP_GET_SIZE": "GROUP_GET_NUMS"}


class StatsDataProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.VIEW_BROKER_STATS_DATA: self._view}

    def _view(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(ViewBrokerStatsDataRequestHeader)
        name, key = header.stats_name, header.stats_key
        statistics = self._broker.statistics
        now, start = statistics.current(asyncio.get_running_loop().time()), statistics.at_start
        if name not in now.tables or now.value(name, key) <= (start.value(name, key) if start else 0):
            raise ResponseError(ResponseCode.SYSTEM_ERROR, f"The stats <{name}> <{key[:300]}> not exist")
        minute, hour, day = (_summary(name, key, samples, now) for samples in statistics.windows())
        return command.respond(body=dialect.dumps({"statsDay": day, "statsHour": hour, "statsMinute": minute}))


def _summary(name: str, key: str, samples: Sequence[Details], now: Details) -> dict[str, float]:
    first = samples[0] if samples else now
    total = max(0, now.value(name, key) - first.value(name, key))
    counted_by = _COUNTED_BY.get(name, name)
    times = now.value(counted_by, key) - first.value(counted_by, key)
    seconds = now.taken_s - first.taken_s
    return {"avgpt": total / times if times > 0 else 0.0, "sum": total, "tps": total / seconds if seconds > 0 else 0.0}
