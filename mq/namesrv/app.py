"""The name server: answers what brokers and clients ask, from `RouteInfo` and `KVConfig`.

Answers are computed in the turn in which the question arrives; the only thing that runs by itself is the scan for
brokers that fell silent. Simpler than RocketMQ: no zones, no static topics, no waiting after a start. Source: RocketMQ
DefaultRequestProcessor, ClientRequestProcessor.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from mq.errors import ResponseError
from mq.message import Host
from mq.namesrv import registration
from mq.namesrv.config import NameServerConfig
from mq.namesrv.kv_config import ORDER_TOPIC_CONFIG, KVConfig
from mq.namesrv.kv_requests import KVConfigProcessor
from mq.namesrv.permissions import PERMISSIONS
from mq.namesrv.route_info import RouteInfo
from mq.namesrv.runtime_config import runtime_settings
from mq.namesrv.topic_requests import TopicsProcessor
from mq.properties_file import dump
from mq.remoting import not_here
from mq.remoting.bodies import (
    BrokerMemberGroup,
    DataVersion,
    GetBrokerMemberGroupResponseBody,
    KVTable,
)
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import (
    BrokerHeartbeatRequestHeader,
    GetBrokerMemberGroupRequestHeader,
    GetRouteInfoRequestHeader,
    QueryDataVersionRequestHeader,
    RegisterBrokerRequestHeader,
    RegisterBrokerResponseHeader,
    UnRegisterBrokerRequestHeader,
)
from mq.remoting.server import RemotingServer
from mq.security.accounts_file import open_accounts
from mq.security.accounts_watch import AccountsWatch
from mq.security.config import SECRET_KEYS
from mq.security.guard import Guard, only_listed, who_asks

logger = logging.getLogger(__name__)

#: Readers from this version (4.9.4) on get routes in standard JSON; older ones expect fastjson's bare integer keys.
STANDARD_JSON_VERSION: Final = 401


class NameServer:
    def __init__(self, config: NameServerConfig | None = None) -> None:
        self.config = config or NameServerConfig()
        self.routes = RouteInfo()
        self.kv_config = KVConfig(self.config.kv_config_path.expanduser())
        accounts = open_accounts(self.config.accounts_path) if self.config.acl else None
        self._accounts_watch = AccountsWatch(self.config.accounts_path, accounts) if accounts is not None else None
        guard = Guard(accounts, PERMISSIONS) if accounts is not None else None
        self.server = RemotingServer(
            {**not_here.handlers(), **only_listed(self._handlers(), PERMISSIONS)},
            on_close=self.routes.connection_closed,
            guard=guard,
            tls=self.config.server_tls(),
        )
        self.address = Host(self.config.bind_address, self.config.listen_port)
        self._scan: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Load the notes and listen.

        Raises: StoreUnusable: the notes cannot be read.  OSError: the port is taken.
        """
        self.kv_config.load()
        self.address = await self.server.start(self.config.bind_address, self.config.listen_port)
        self._scan_later()
        if self._accounts_watch is not None:
            await self._accounts_watch.start()

    async def stop(self) -> None:
        """Close every connection; brokers and clients go on with what they know."""
        if self._accounts_watch is not None:
            await self._accounts_watch.stop()
        if self._scan is not None:
            self._scan.cancel()
        await self.server.stop()

    def _scan_later(self) -> None:
        self._scan = asyncio.get_running_loop().call_later(self.config.scan_interval_ms / 1000, self._scan_now)

    def _scan_now(self) -> None:
        for key in self.routes.drop_expired(asyncio.get_running_loop().time()):
            logger.warning("broker %s of cluster %s gave no sign of life and is dropped", key.address, key.cluster)
        self._scan_later()

    def _handlers(self) -> dict[int, Handler]:
        return {
            **KVConfigProcessor(self.kv_config).handlers(),
            **TopicsProcessor(self.routes).handlers(),
            RequestCode.REGISTER_BROKER: self._register,
            RequestCode.UNREGISTER_BROKER: self._unregister,
            RequestCode.BROKER_HEARTBEAT: self._heartbeat,
            RequestCode.QUERY_DATA_VERSION: self._query_data_version,
            RequestCode.GET_ROUTEINFO_BY_TOPIC: self._route,
            RequestCode.GET_BROKER_CLUSTER_INFO: self._cluster_info,
            RequestCode.GET_BROKER_MEMBER_GROUP: self._member_group,
            RequestCode.GET_NAMESRV_CONFIG: self._settings,
            RequestCode.UPDATE_NAMESRV_CONFIG: self._update_settings,
        }

    # Brokers

    def _register(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(RegisterBrokerRequestHeader)
        topics = registration.decode(header, command.body)
        is_new = self.routes.data_version(header.cluster_name, header.broker_addr) is None
        if not self.routes.register(header, topics, connection, asyncio.get_running_loop().time()):
            raise ResponseError(
                ResponseCode.SYSTEM_ERROR,
                f"register broker failed: {header.broker_name} is new here, send all its topics, not just one",
            )
        if is_new:
            logger.info("broker %s of cluster %s came: %s", header.broker_name, header.cluster_name, header.broker_addr)
        answer = RegisterBrokerResponseHeader()
        if header.broker_id != 0:
            master = self.routes.master_of(header.cluster_name, header.broker_name)
            if master is not None:
                answer = RegisterBrokerResponseHeader(master.ha_server_addr, master.address)
        orders = self.kv_config.namespace(ORDER_TOPIC_CONFIG) if self.config.return_order_config else None
        return command.respond(ext=answer, body=KVTable(orders).to_json() if orders else b"")

    def _unregister(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(UnRegisterBrokerRequestHeader)
        self.routes.unregister(header.cluster_name, header.broker_name, header.broker_addr)
        logger.info("broker %s of cluster %s left: %s", header.broker_name, header.cluster_name, header.broker_addr)
        return command.respond()

    def _heartbeat(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(BrokerHeartbeatRequestHeader)
        self.routes.touch(header.cluster_name, header.broker_addr, asyncio.get_running_loop().time())
        return command.respond()

    def _query_data_version(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(QueryDataVersionRequestHeader)
        held = self.routes.data_version(header.cluster_name, header.broker_addr)
        is_changed = held is None or held != DataVersion.from_json(command.body)
        if not is_changed:
            self.routes.touch(header.cluster_name, header.broker_addr, asyncio.get_running_loop().time())
        return command.respond(ext={"changed": "true" if is_changed else "false"}, body=held.to_json() if held else b"")

    # Routes

    def _route(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(GetRouteInfoRequestHeader)
        route = self.routes.route(header.topic) or self.routes.coming_retry_route(header.topic)
        if route is None:
            raise ResponseError(
                ResponseCode.TOPIC_NOT_EXIST, f"No topic route info in name server for the topic: {header.topic}"
            )
        if self.config.order_message_enable:
            route.order_topic_conf = self.kv_config.get(ORDER_TOPIC_CONFIG, header.topic)
        wants_standard = command.version >= STANDARD_JSON_VERSION or bool(header.accept_standard_json_only)
        return command.respond(body=route.to_json(bare_keys=not wants_standard))

    def _cluster_info(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        return command.respond(body=self.routes.cluster_info().to_json())

    def _member_group(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(GetBrokerMemberGroupRequestHeader)
        group = BrokerMemberGroup(header.cluster_name, header.broker_name)
        broker = self.routes.brokers.get(header.broker_name)
        if broker is not None and broker.cluster == header.cluster_name:
            group.broker_addrs = broker.broker_addrs
        return command.respond(body=GetBrokerMemberGroupResponseBody(group).to_json())

    def _settings(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        lines = "".join(f"{key}={value}\n" for key, value in dump(self.config, SECRET_KEYS).items())
        return command.respond(body=lines.encode())

    def _update_settings(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        self.config = runtime_settings(self.config).change(self.config, command.body, who_asks(connection))
        return command.respond()
