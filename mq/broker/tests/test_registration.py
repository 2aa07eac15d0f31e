"""The broker and its name servers: there are two of them here, as in a real cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mq.broker.app import Broker
from mq.broker.registration import parse_addresses
from mq.broker.tests.wire import Wire, start_broker
from mq.message import Host
from mq.namesrv.app import NameServer
from mq.namesrv.config import NameServerConfig
from mq.remoting.bodies import TopicRouteData
from mq.remoting.client import RemotingClient
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand


async def start_name_server(folder: Path, port: int = 0) -> NameServer:
    server = NameServer(NameServerConfig(listen_port=port, kv_config_path=folder / "kvConfig.json"))
    await server.start()
    return server


async def route(address: Host, topic: str) -> TopicRouteData | None:
    """What a client without any connection yet would be told."""
    client = RemotingClient()
    response = await client.invoke(
        str(address), RemotingCommand.request(RequestCode.GET_ROUTEINFO_BY_TOPIC, {"topic": topic})
    )
    await client.close()
    return None if response.code == ResponseCode.TOPIC_NOT_EXIST else TopicRouteData.from_json(response.body)


@pytest.fixture
async def name_servers(tmp_path) -> AsyncIterator[list[NameServer]]:
    servers = [await start_name_server(tmp_path / "a"), await start_name_server(tmp_path / "b")]
    yield servers
    for server in servers:
        await server.stop()


@pytest.fixture
async def broker(tmp_path, name_servers: list[NameServer]) -> AsyncIterator[Broker]:
    addresses = ";".join(str(server.address) for server in name_servers)
    running = await start_broker(tmp_path / "store", name_server_addresses=addresses)
    yield running
    await running.stop()


class TestRegistration:
    async def test_is_done_with_every_name_server_when_the_broker_has_started(self, broker: Broker, name_servers):
        for server in name_servers:
            found = await route(server.address, "TBW102")

            assert found is not None
            assert [(data.broker_name, data.broker_addrs) for data in found.broker_datas] == [
                ("broker-a", {0: broker.address})
            ]
            assert [(data.read_queue_nums, data.perm) for data in found.queue_datas] == [(8, 7)]

    async def test_makes_a_created_topic_known_before_the_answer(self, wire: Wire, name_servers):
        await wire.create_topic("order-events", queue_count=3)

        for server in name_servers:
            found = await route(server.address, "order-events")
            assert found is not None
            assert found.queue_datas[0].write_queue_nums == 3

    async def test_makes_changed_queue_counts_known(self, wire: Wire, name_servers):
        await wire.create_topic("order-events", queue_count=3)
        await wire.create_topic("order-events", queue_count=6)

        found = await route(name_servers[0].address, "order-events")
        assert found is not None
        assert found.queue_datas[0].write_queue_nums == 6

    async def test_makes_a_topic_known_before_its_first_message_is_answered(self, wire: Wire, name_servers):
        await wire.send("order-events")

        for server in name_servers:
            assert await route(server.address, "order-events") is not None

    async def test_makes_a_retry_topic_known(self, wire: Wire, name_servers):
        await wire.heartbeat("orders", {"order-events": "*"})

        async with asyncio.timeout(5):
            while await route(name_servers[1].address, "%RETRY%orders") is None:
                pass

    async def test_ends_when_the_broker_stops(self, tmp_path, name_servers):
        address = name_servers[0].address
        broker = await start_broker(tmp_path / "other", name_server_addresses=str(address), broker_name="broker-b")
        assert await route(address, "broker-b") is not None

        await broker.stop()

        assert await route(address, "broker-b") is None


class TestRegistrationWhenNameServersAreDown:
    async def test_does_not_keep_the_broker_from_working(self, broker: Broker, name_servers, wire: Wire):
        for server in name_servers:
            await server.stop()

        assert (await wire.send("order-events")).code == 0
        assert (await wire.create_topic("stock-events")).code == 0

    async def test_does_not_keep_the_broker_from_starting(self, tmp_path, caplog):
        broker = await start_broker(tmp_path, name_server_addresses="127.0.0.1:1;no-address")
        wire = Wire(broker)

        assert (await wire.send("order-events")).code == 0
        assert "name server 127.0.0.1:1 does not take our registration" in caplog.text
        await wire.close()
        await broker.stop()

    async def test_is_made_up_for_when_one_is_back(self, tmp_path, broker: Broker, name_servers, wire: Wire):
        address = name_servers[0].address
        await name_servers[0].stop()
        await wire.send("order-events")

        name_servers[0] = await start_name_server(tmp_path / "c", address.port)

        async with asyncio.timeout(10):
            while await route(address, "order-events") is None:
                pass


class TestParseAddresses:
    @pytest.mark.parametrize(
        ("text", "addresses"),
        [("", []), ("a:1", ["a:1"]), ("a:1;b:2", ["a:1", "b:2"]), (" a:1 ; b:2;", ["a:1", "b:2"])],
    )
    def test_reads_rocketmqs_lists(self, text, addresses):
        assert parse_addresses(text) == addresses


class TestPermissionOfABroker:
    async def test_is_taken_from_each_of_its_topics(self, tmp_path, name_servers):
        address = name_servers[0].address
        broker = await start_broker(tmp_path / "other", name_server_addresses=str(address), permission=4)

        found = await route(address, "TBW102")

        assert found is not None
        assert found.queue_datas[0].perm == 4
        await broker.stop()
