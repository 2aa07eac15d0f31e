"""Settings of a running name server: which of them 318 may change."""

from __future__ import annotations

from typing import Final

from mq.namesrv.config import NameServerConfig
from mq.security.runtime_settings import FLAG, Check, RuntimeSettings, between

CHANGEABLE: Final[dict[str, Check]] = {
    "orderMessageEnable": FLAG,
    "returnOrderTopicConfigToBroker": FLAG,
    "scanNotActiveBrokerInterval": between(100, 60_000),
}


def runtime_settings(config: NameServerConfig) -> RuntimeSettings:
    return RuntimeSettings(CHANGEABLE, config.kv_config_path.expanduser().with_name("namesrvChanges.properties"))
