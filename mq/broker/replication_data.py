"""What a replica or a backup tool copies of a broker beside its messages: offsets, progress, the state of timers.

Codes 43 (consumer offsets), 45 (delay levels), 60 and 61 (timers), 906 and 907 (replicas). There are no
replicas here: the last two say that this is a master and nobody follows it.
Source: RocketMQ AdminBrokerProcessor; TimerCheckpoint.encode, TimerMetrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mq import dialect
from mq.errors import ResponseError
from mq.message.properties import java_hash
from mq.remoting.bodies import DataVersion
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import ExchangeHAInfoHeader
from mq.store import timer_checkpoint

if TYPE_CHECKING:
    from mq.broker.app import Broker


class ReplicationDataProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.GET_ALL_CONSUMER_OFFSET: self._consumer_offsets,
            RequestCode.GET_ALL_DELAY_OFFSET: self._delay_offsets,
            RequestCode.GET_TIMER_CHECK_POINT: self._timer_checkpoint,
            RequestCode.GET_TIMER_METRICS: self._timer_metrics,
            RequestCode.EXCHANGE_BROKER_HA_INFO: self._exchange,
            RequestCode.GET_BROKER_HA_STATUS: self._ha_status,
        }

    def _consumer_offsets(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        table = self._broker.offsets.to_json()["offsetTable"]
        return _answer(command, {"dataVersion": _no_version(), "offsetTable": table})

    def _delay_offsets(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        return _answer(command, {"dataVersion": _no_version(), "offsetTable": self._broker.schedule.progress()})

    def _timer_checkpoint(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        self._require_timers()
        return command.respond(body=timer_checkpoint.pack(self._broker.timers.checkpoint()))

    async def _timer_metrics(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """How many timers of each topic wait. The wheel knows hashes of topics, which is enough to tell them apart."""
        self._require_timers()
        names = {java_hash(name): name for name in self._broker.topics.all()}
        counts = await self._broker.timers.waiting_by_topic_hash()
        now_ms = self._broker.clock.now_ms()
        timing = {
            names[topic_hash]: {"count": count, "timeStamp": now_ms}
            for topic_hash, count in counts.items()
            if topic_hash in names and count > 0
        }
        return _answer(command, {"dataVersion": _no_version(), "timingCount": timing})

    def _exchange(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        host = self._broker.store_host
        header = ExchangeHAInfoHeader(
            master_ha_address=f"{host.address}:{host.port + 1}",
            master_flush_offset=self._broker.store.durable_commit_log_offset,
            master_address=self._broker.address,
        )
        return command.respond(ext=header)

    def _ha_status(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        nothing = {
            "lastReadTimestamp": 0,
            "lastWriteTimestamp": 0,
            "masterFlushOffset": 0,
            "maxOffset": 0,
            "transferredByteInSecond": 0,
        }
        return _answer(
            command,
            {
                "haClientRuntimeInfo": nothing,
                "haConnectionInfo": [],
                "inSyncSlaveNums": 0,
                "master": True,
                "masterCommitLogMaxOffset": self._broker.store.durable_commit_log_offset,
            },
        )

    def _require_timers(self) -> None:
        if not self._broker.config.timer_wheel_enable:
            raise ResponseError(ResponseCode.SYSTEM_ERROR, "The timer message store is off: timerWheelEnable=false")


def _no_version() -> dict[str, Any]:
    return DataVersion().to_dict()


def _answer(command: RemotingCommand, body: dict[str, Any]) -> RemotingCommand:
    return command.respond(body=dialect.dumps(body, bare_keys=True))
