"""Settings of a running broker: 25 (change some) and, for `start`, what earlier requests have changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from mq.broker.config import parse_hours
from mq.properties_file import ConfigError
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.security.guard import who_asks
from mq.security.runtime_settings import FLAG, Check, RuntimeSettings, between

if TYPE_CHECKING:
    from mq.broker.app import Broker


def _is_hours(text: str) -> bool:
    try:
        return bool(parse_hours(text[:100]))
    except ConfigError:
        return False


#: What a request may change. No paths, addresses, names, sizes of files; and not when a message counts as safe.
CHANGEABLE: Final[dict[str, Check]] = {
    "brokerPermission": Check("2, 4 or 6", lambda text: text in ("2", "4", "6")),
    "autoCreateTopicEnable": FLAG,
    "autoCreateSubscriptionGroup": FLAG,
    "maxMessageSize": between(1 << 10, 15 << 20),
    "rejectTransactionMessage": FLAG,
    "transactionTimeOut": between(100, 3_600_000),
    "transactionCheckInterval": between(100, 3_600_000),
    "transactionCheckMax": between(1, 1000),
    "timerMaxDelaySec": between(1, 259_200),
    "longPollingEnable": FLAG,
    "shortPollingTimeMills": between(1, 60_000),
    "maxTransferCountOnMessageInMemory": between(1, 32),
    "maxTransferBytesOnMessageInMemory": between(4 << 10, 4 << 20),
    "flushConsumerOffsetInterval": between(100, 3_600_000),
    "registerNameServerPeriod": between(10_000, 60_000),
    "fileReservedTime": between(1, 87_600),
    "deleteWhen": Check("hours such as 04 or 02;14", _is_hours),
    "diskMaxUsedSpaceRatio": between(10, 95),
    "diskSpaceCleanForciblyRatio": between(30, 100),
    "diskSpaceWarningLevelRatio": between(30, 100),
}


def runtime_settings(store_root: Path) -> RuntimeSettings:
    return RuntimeSettings(CHANGEABLE, store_root.expanduser() / "config" / "brokerChanges.properties")


class RuntimeConfigProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._settings = runtime_settings(broker.config.store_root)

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.UPDATE_BROKER_CONFIG: self._update}

    def _update(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        self._broker.reconfigure(self._settings.change(self._broker.config, command.body, who_asks(connection)))
        return command.respond()
