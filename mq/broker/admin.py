"""What the admin tool asks of the broker's settings: code 26. Source: RocketMQ AdminBrokerProcessor."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, get_args, get_type_hints

from mq.broker.config import BrokerConfig
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler

if TYPE_CHECKING:
    from mq.broker.app import Broker


class AdminProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.GET_BROKER_CONFIG: self._settings}

    def _settings(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        lines = "".join(f"{key}={value}\n" for key, value in _settings_by_key(self._broker.config).items())
        return command.respond(
            ext={"version": self._broker.topics.data_version.to_json().decode()}, body=lines.encode()
        )


def _settings_by_key(config: BrokerConfig) -> dict[str, str]:
    """The configuration under RocketMQ's keys."""
    hints = get_type_hints(BrokerConfig, include_extras=True)
    table = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, enum.Enum):
            value = value.value
        text = str(value).lower() if isinstance(value, bool) else str(value)
        table[get_args(hints[field.name])[1]] = "" if value is None else text
    return table
