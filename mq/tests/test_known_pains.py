"""Where users of Apache RocketMQ wait or lose, and users of this broker should not: on a real broker and name server.

The rows of this kind in `docs/compatibility.md`; what a held pull does at a reset is in `test_reset_offset.py`.
"""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from typing import cast

import pytest

from mq.broker.app import Broker
from mq.broker.tests.wire import Wire, bodies, messages, small_config, until
from mq.clock import ManualClock
from mq.namesrv.app import NameServer
from mq.namesrv.config import NameServerConfig
from mq.remoting.bodies import TopicRouteData
from mq.remoting.client import RemotingClient
from mq.remoting.codec import encode
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection
from mq.remoting.headers import PullSysFlag

TOPIC, GROUP = "order-events", "brand-new"
RETRY_TOPIC = f"%RETRY%{GROUP}"


class Cluster:
    """A name server, and a broker that may be restarted on its port."""

    def __init__(self, root: Path) -> None:
        self.clock = ManualClock()
        self.name_server = NameServer(NameServerConfig(listen_port=0, kv_config_path=root / "kvConfig.json"))
        self._root = root / "store"
        self._port = 0
        self.broker: Broker

    async def start(self) -> None:
        await self.name_server.start()
        await self.start_broker()

    async def start_broker(self) -> None:
        config = small_config(
            self._root, name_server_addresses=str(self.name_server.address), listen_port=self._port, vip_channel=False
        )
        self.broker = Broker(config, self.clock)
        await self.broker.start()
        self._port = self.broker.store_host.port

    async def stop(self) -> None:
        await self.broker.stop()
        await self.name_server.stop()

    async def route(self, topic: str) -> TopicRouteData | None:
        """What a client that has just come learns."""
        client = RemotingClient()
        request = RemotingCommand.request(RequestCode.GET_ROUTEINFO_BY_TOPIC, {"topic": topic})
        response = await client.invoke(str(self.name_server.address), request)
        await client.close()
        return None if response.code == ResponseCode.TOPIC_NOT_EXIST else TopicRouteData.from_json(response.body)


class TestTheFirstRetryOfANewGroup:
    async def test_comes_after_its_ten_seconds(self, tmp_path):
        """To a client like Java's, which asks for its routes before its first heartbeat and then not for 30 s."""
        cluster = Cluster(tmp_path)
        await cluster.start()
        wire = Wire(cluster.broker)
        await wire.create_topic(TOPIC)

        route = await cluster.route(RETRY_TOPIC)
        assert route is not None
        assert [(queue.broker_name, queue.read_queue_nums) for queue in route.queue_datas] == [("broker-a", 1)]
        assert route.broker_datas[0].broker_addrs == {0: cluster.broker.address}
        await wire.heartbeat(GROUP, {TOPIC: "*", RETRY_TOPIC: "*"})
        waiting = asyncio.create_task(
            wire.pull(RETRY_TOPIC, group=GROUP, sys_flag=PullSysFlag.SUSPEND, suspend_timeout_millis=60_000)
        )
        await wire.send(TOPIC, b"comes back")
        (message,) = messages(await wire.pull(TOPIC, group=GROUP))
        header = {"offset": str(message.commit_log_offset), "group": GROUP, "delayLevel": "0"}
        await wire.call(RequestCode.CONSUMER_SEND_MSG_BACK, header)
        cluster.clock.advance(9_999)
        await cluster.broker.schedule.round()
        assert not waiting.done()
        cluster.clock.advance(1)

        async with asyncio.timeout(5):
            assert bodies(await waiting) == [b"comes back"]
        assert await cluster.route(RETRY_TOPIC) == route
        await wire.close()
        await cluster.stop()

    async def test_has_no_route_where_there_is_no_broker(self, tmp_path):
        cluster = Cluster(tmp_path)
        await cluster.start()
        await cluster.broker.stop()

        assert await cluster.route(RETRY_TOPIC) is None
        await cluster.name_server.stop()


class TestAQuickRestart:
    @pytest.mark.parametrize("is_clean", [True, False], ids=["clean", "killed"])
    async def test_never_loses_the_registration(self, tmp_path, is_clean):
        """The end of the old connection may come after the new registration: it must take nothing along."""
        cluster = Cluster(tmp_path)
        await cluster.start()
        (old,) = cluster.name_server.server.connections
        cluster.broker.name_servers._client._connections.clear()  # it lingers, as connections of the killed do
        if not is_clean:
            cluster.broker.name_servers._down.update(cluster.broker.name_servers.addresses)  # so no farewell is said
        await cluster.broker.stop()
        assert (await cluster.route("TBW102") is None) == is_clean

        await cluster.start_broker()
        old.abort()
        await until(lambda: len(cluster.name_server.server.connections) == 1)

        assert await cluster.route("TBW102") is not None
        await cluster.stop()


class TestACleanStop:
    async def test_takes_less_than_two_seconds_whatever_others_do(self, tmp_path):
        """A hundred held pulls, a client that does not read, and a name server that has ceased to answer."""
        cluster = Cluster(tmp_path)
        await cluster.start()
        broker = cluster.broker
        wire = Wire(broker)
        await wire.create_topic(TOPIC)
        connection = await wire.connection()
        held = [
            connection.call(wire.pull_request(TOPIC, sys_flag=PullSysFlag.SUSPEND, suspend_timeout_millis=60_000), 70)
            for _ in range(100)
        ]
        await until(lambda: len(broker.long_polling) == 100)
        deaf = await deaf_client(broker)
        handlers = cast(dict[int, object], cluster.name_server.server._handlers)
        handlers[RequestCode.UNREGISTER_BROKER] = never

        began_s = time.perf_counter()
        await broker.stop()
        took_s = time.perf_counter() - began_s

        assert took_s < 2, f"{took_s:.1f} s"
        assert {(await each).code for each in held} == {ResponseCode.PULL_NOT_FOUND}
        deaf.close()
        await wire.close()
        await cluster.name_server.stop()


async def never(connection: Connection, command: RemotingCommand) -> None:
    await asyncio.Event().wait()


async def deaf_client(broker: Broker) -> socket.socket:
    """Asks for more than its socket and ours can hold, and reads none of it."""
    wire = Wire(broker)
    for _ in range(2):
        await wire.send(TOPIC, b"x" * 100_000, queue_id=1)
    asking = b"".join(encode(wire.pull_request(TOPIC, queue_id=1)) for _ in range(80))
    await wire.close()
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", broker.store_host.port))
    deaf.sendall(asking)
    await until(lambda: any(each.is_congested for each in broker.listener.server.connections))
    return deaf
