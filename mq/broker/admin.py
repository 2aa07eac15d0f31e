"""What the admin tool asks of the broker's settings: code 26. Source: RocketMQ AdminBrokerProcessor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mq.properties_file import dump
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.security.config import SECRET_KEYS

if TYPE_CHECKING:
    from mq.broker.app import Broker


class AdminProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.GET_BROKER_CONFIG: self._settings}

    def _settings(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        lines = "".join(f"{key}={value}\n" for key, value in dump(self._broker.config, SECRET_KEYS).items())
        return command.respond(
            ext={"version": self._broker.topics.data_version.to_json().decode()}, body=lines.encode()
        )
