"""A name server and a broker in one process: all a laptop, a demo or a test needs."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from mq.broker.app import Broker
from mq.broker.config import BrokerConfig
from mq.clock import Clock
from mq.namesrv.app import NameServer
from mq.namesrv.config import NameServerConfig
from mq.security.config import SecurityConfig


def name_server_beside(broker: BrokerConfig, port: int = 9876) -> NameServerConfig:
    """The name server of a broker's process: the same addresses, accounts and certificates, its notes in the store."""
    shared = {field.name: getattr(broker, field.name) for field in fields(SecurityConfig)}
    shared["acl_file"] = broker.accounts_path
    notes: Path = broker.store_root / "namesrv" / "kvConfig.json"
    return NameServerConfig(listen_port=port, kv_config_path=notes, **shared)


class Standalone:
    """Port 0 takes a free one; `namesrv` and `broker_address` tell which, once started."""

    def __init__(self, name_server: NameServerConfig, broker: BrokerConfig, clock: Clock | None = None) -> None:
        self.name_server = NameServer(name_server)
        self.broker: Broker
        self._broker_config = broker.trusting_itself()
        self._clock = clock

    @property
    def namesrv(self) -> str:
        return str(self.name_server.address)

    @property
    def broker_address(self) -> str:
        return self.broker.address

    async def start(self) -> None:
        """Start both; a send is accepted when this returns.

        Raises: OSError: a port is taken.  StoreUnusable, CorruptRecord: the directory.
        """
        await self.name_server.start()
        try:
            self.broker = Broker(replace(self._broker_config, name_server_addresses=self.namesrv), self._clock)
            await self.broker.start()
        except BaseException:
            await self.name_server.stop()
            raise

    async def stop(self) -> None:
        """Stop the broker cleanly, then the name server."""
        await self.broker.stop()
        await self.name_server.stop()
