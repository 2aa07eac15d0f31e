"""Everything a name server can be told, under RocketMQ's own keys.

Ours alone: `bindAddress`, and what `SecurityConfig` has: accounts and certificates.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mq.properties_file import ConfigError
from mq.security.config import SecurityConfig


@dataclass(frozen=True)
class NameServerConfig(SecurityConfig):
    listen_port: Annotated[int, "listenPort"] = 9876
    kv_config_path: Annotated[Path, "kvConfigPath"] = Path("~/namesrv/kvConfig.json")
    scan_interval_ms: Annotated[int, "scanNotActiveBrokerInterval"] = 5000
    #: Put a topic's ORDER_TOPIC_CONFIG into its route.
    order_message_enable: Annotated[bool, "orderMessageEnable"] = False
    return_order_config: Annotated[bool, "returnOrderTopicConfigToBroker"] = True

    def __post_init__(self) -> None:
        """Raises: ConfigError."""
        super().__post_init__()
        if not 0 <= self.listen_port <= 65_535:
            raise ConfigError(f"listenPort={self.listen_port} of the name server is no port: 0 to 65535")

    @property
    def accounts_path(self) -> Path:
        return (self.acl_file or self.kv_config_path.with_name("plain_acl.yml")).expanduser()
