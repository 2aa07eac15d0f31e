"""Everything a name server can be told, under RocketMQ's own keys. Ours alone: `bindAddress`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args, get_type_hints

from mq.properties_file import ConfigError


@dataclass(frozen=True)
class NameServerConfig:
    # Loopback unless told otherwise: RocketMQ binds to all.
    bind_address: Annotated[str, "bindAddress"] = "127.0.0.1"
    listen_port: Annotated[int, "listenPort"] = 9876
    kv_config_path: Annotated[Path, "kvConfigPath"] = Path("~/namesrv/kvConfig.json")
    scan_interval_ms: Annotated[int, "scanNotActiveBrokerInterval"] = 5000
    #: Put a topic's ORDER_TOPIC_CONFIG into its route.
    order_message_enable: Annotated[bool, "orderMessageEnable"] = False
    return_order_config: Annotated[bool, "returnOrderTopicConfigToBroker"] = True

    def __post_init__(self) -> None:
        """Raises: ConfigError."""
        if not 0 <= self.listen_port <= 65_535:
            raise ConfigError(f"listenPort={self.listen_port} of the name server is no port: 0 to 65535")

    def by_key(self) -> dict[str, str]:
        """The settings under RocketMQ's keys, as its properties files spell them."""
        hints = get_type_hints(NameServerConfig, include_extras=True)
        table = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            table[get_args(hints[field.name])[1]] = str(value).lower() if isinstance(value, bool) else str(value)
        return table
