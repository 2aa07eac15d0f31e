"""A real name server, asked over real connections as brokers, clients and mqadmin ask it."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mq.errors import StoreUnusable
from mq.namesrv.app import NameServer
from mq.namesrv.config import NameServerConfig
from mq.remoting.bodies import (
    ClusterInfo,
    DataVersion,
    GetBrokerMemberGroupResponseBody,
    KVTable,
    QueueData,
    RegisterBrokerBody,
    TopicConfig,
    TopicConfigSerializeWrapper,
    TopicList,
    TopicRouteData,
)
from mq.remoting.client import RemotingClient
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand

VERSION = DataVersion(0, 1_700_000_000_000, 1)
TOPICS = TopicConfigSerializeWrapper(VERSION, {name: TopicConfig(name, 8, 8) for name in ("orders", "payments")})
BROKER = {"brokerName": "broker-a", "brokerAddr": "127.0.0.1:10911", "clusterName": "C", "brokerId": "0"}


@asynccontextmanager
async def name_server(tmp_path: Path, **settings: Any) -> AsyncIterator[NameServer]:
    server = NameServer(NameServerConfig(listen_port=0, kv_config_path=tmp_path / "kvConfig.json", **settings))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class Peer:
    """One connection to the name server."""

    def __init__(self, server: NameServer) -> None:
        self._address = str(server.address)
        self.client = RemotingClient()

    async def ask(
        self, code: int, fields: dict[str, str] | None = None, body: bytes = b"", version: int = 479
    ) -> RemotingCommand:
        command = RemotingCommand.request(code, fields, body)
        command.version = version
        return await self.client.invoke(self._address, command)

    async def register(self, *, body: bytes | None = None, **changes: str) -> RemotingCommand:
        fields = {**BROKER, "haServerAddr": "127.0.0.1:10912", "compressed": "false", "bodyCrc32": "0", **changes}
        body = RegisterBrokerBody(TOPICS).to_json() if body is None else body
        return await self.ask(RequestCode.REGISTER_BROKER, fields, body)

    async def route(self, topic: str, *, version: int = 479, **fields: str) -> RemotingCommand:
        return await self.ask(RequestCode.GET_ROUTEINFO_BY_TOPIC, {"topic": topic, **fields}, version=version)


@asynccontextmanager
async def peers(server: NameServer, count: int) -> AsyncIterator[list[Peer]]:
    connected = [Peer(server) for _ in range(count)]
    try:
        yield connected
    finally:
        for peer in connected:
            await peer.client.close()


@pytest.fixture
async def server(tmp_path):
    async with name_server(tmp_path) as server:
        yield server


@pytest.fixture
async def broker(server):
    async with peers(server, 1) as (broker,):
        yield broker


class TestRegistration:
    async def test_makes_topics_routable(self, broker):
        response = await broker.register()

        route = TopicRouteData.from_json((await broker.route("orders")).body)
        assert response.code == 0
        assert route.broker_datas[0].broker_addrs == {0: "127.0.0.1:10911"}
        assert route.queue_datas[0].write_queue_nums == 8

    async def test_may_be_compressed(self, broker):
        body = compressed_registration(["orders 4 8 6 SINGLE_TAG", 'payments 2 2 6 MULTI_TAG {"message.type":"FIFO"}'])

        response = await broker.register(body=body, compressed="true", bodyCrc32=str(zlib.crc32(body) & 0x7FFFFFFF))

        route = TopicRouteData.from_json((await broker.route("orders")).body)
        assert response.code == 0
        assert (route.queue_datas[0].read_queue_nums, route.queue_datas[0].write_queue_nums) == (4, 8)
        assert (await broker.route("payments")).code == 0

    @pytest.mark.parametrize(
        ("body", "changes", "complaint"),
        [
            (b"{", {}, "JSON"),
            (RegisterBrokerBody(TOPICS).to_json(), {"bodyCrc32": "12345"}, "crc32"),
            (b"not zlib", {"compressed": "true"}, "compressed registration"),
            (zlib.compress(b"\x00\x00\x00\x05{}"), {"compressed": "true"}, "compressed registration"),
            (zlib.compress(bytes(100 << 20)), {"compressed": "true"}, "exceeds"),
            (None, {"brokerId": "first"}, "brokerId"),
        ],
    )
    async def test_that_is_malformed_is_refused_with_the_reason(self, broker, body, changes, complaint):
        response = await broker.register(body=body, **changes)

        assert response.code == ResponseCode.SYSTEM_ERROR
        assert complaint in response.remark
        assert (await broker.route("orders")).code == ResponseCode.TOPIC_NOT_EXIST

    async def test_of_one_topic_by_a_newcomer_is_refused(self, broker):
        one = TopicConfigSerializeWrapper(VERSION, {"orders": TopicConfig("orders", 8, 8)})

        response = await broker.register(body=RegisterBrokerBody(one).to_json())

        assert (response.code, "broker-a" in response.remark) == (ResponseCode.SYSTEM_ERROR, True)

    async def test_tells_a_slave_where_its_master_is(self, server, broker):
        await broker.register()
        async with peers(server, 1) as (slave,):
            response = await slave.register(brokerId="1", brokerAddr="127.0.0.1:10921")

        assert response.ext_fields == {"masterAddr": "127.0.0.1:10911", "haServerAddr": "127.0.0.1:10912"}

    async def test_is_over_as_soon_as_its_connection_closes(self, server, broker):
        async with peers(server, 1) as (client,):
            await broker.register()
            assert (await client.route("orders")).code == 0

            await broker.client.close()

            assert await eventually(client, "orders", ResponseCode.TOPIC_NOT_EXIST)

    async def test_outlives_the_old_connection_of_a_broker_that_came_back(self, server, broker):
        await broker.register()
        async with peers(server, 2) as (again, client):
            await again.register()
            await broker.client.close()
            # An answer on another connection proves that the server has had its turn.
            for _ in range(3):
                route = await client.route("orders")

            assert route.code == 0

    async def test_is_over_when_the_broker_says_so(self, broker):
        await broker.register()

        assert (await broker.ask(RequestCode.UNREGISTER_BROKER, BROKER)).code == 0

        assert (await broker.route("orders")).code == ResponseCode.TOPIC_NOT_EXIST

    async def test_of_a_silent_broker_is_found_by_the_scan(self, tmp_path):
        async with name_server(tmp_path, scan_interval_ms=5) as server, peers(server, 2) as (broker, client):
            await broker.register(heartbeatTimeoutMillis="20")

            assert await eventually(client, "orders", ResponseCode.TOPIC_NOT_EXIST)

    async def test_is_compared_by_data_version(self, broker):
        unknown = await broker.ask(RequestCode.QUERY_DATA_VERSION, BROKER, VERSION.to_json())
        await broker.register()
        same = await broker.ask(RequestCode.QUERY_DATA_VERSION, BROKER, VERSION.to_json())
        newer = await broker.ask(RequestCode.QUERY_DATA_VERSION, BROKER, VERSION.next(1).to_json())

        assert [answer.ext_fields["changed"] for answer in (unknown, same, newer)] == ["true", "false", "true"]
        assert DataVersion.from_json(newer.body) == VERSION
        assert (await broker.ask(RequestCode.BROKER_HEARTBEAT, BROKER)).code == 0


class TestRoute:
    @pytest.mark.parametrize(
        ("version", "fields", "key"),
        [
            (479, {}, '"0":'),
            (401, {}, '"0":'),
            (400, {}, "0:"),
            (317, {}, "0:"),
            (317, {"acceptStandardJsonOnly": "true"}, '"0":'),
            (317, {"acceptStandardJsonOnly": "false"}, "0:"),
        ],
    )
    async def test_is_in_the_json_its_reader_understands(self, broker, version, fields, key):
        await broker.register()

        response = await broker.route("orders", version=version, **fields)

        assert '{"brokerAddrs":{' + key + '"127.0.0.1:10911"}' in response.body.decode()

    async def test_of_an_unknown_topic_is_17(self, broker):
        await broker.register()

        response = await broker.route("nowhere")

        assert (response.code, "nowhere" in response.remark) == (ResponseCode.TOPIC_NOT_EXIST, True)

    async def test_names_the_order_configuration_only_when_told_to(self, tmp_path):
        for is_enabled, expected in ((True, "broker-a:8"), (False, None)):
            async with name_server(tmp_path, order_message_enable=is_enabled) as server, peers(server, 1) as (broker,):
                await broker.ask(
                    RequestCode.PUT_KV_CONFIG,
                    {"namespace": "ORDER_TOPIC_CONFIG", "key": "orders", "value": "broker-a:8"},
                )
                registered = await broker.register()

                route = TopicRouteData.from_json((await broker.route("orders")).body)

            assert route.order_topic_conf == expected
            assert KVTable.from_json(registered.body).table == {"orders": "broker-a:8"}


class TestQuestions:
    async def test_cluster_info_names_brokers_and_clusters_in_fastjson_s_dialect(self, broker):
        await broker.register()

        body = (await broker.ask(RequestCode.GET_BROKER_CLUSTER_INFO)).body

        assert ClusterInfo.from_json(body).cluster_addr_table == {"C": ["broker-a"]}
        assert b'"brokerAddrs":{0:' in body

    async def test_topics_are_listed(self, broker):
        await broker.register()

        async def names(code: RequestCode, **fields: str) -> list[str]:
            return TopicList.from_json((await broker.ask(code, fields)).body).topic_list

        assert await names(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER) == ["orders", "payments"]
        assert await names(RequestCode.GET_TOPICS_BY_CLUSTER, cluster="C") == ["orders", "payments"]
        assert await names(RequestCode.GET_TOPICS_BY_CLUSTER, cluster="D") == []
        assert await names(RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS) == ["C", "broker-a"]

    async def test_system_topics_come_with_a_broker_to_ask_for_more(self, broker):
        await broker.register()

        body = (await broker.ask(RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS)).body

        assert TopicList.from_json(body).broker_addr == "127.0.0.1:10911"

    async def test_a_member_group_is_a_broker_s_addresses(self, broker):
        await broker.register()

        body = (
            await broker.ask(RequestCode.GET_BROKER_MEMBER_GROUP, {"clusterName": "C", "brokerName": "broker-a"})
        ).body

        group = GetBrokerMemberGroupResponseBody.from_json(body).broker_member_group
        assert group.broker_addrs == {0: "127.0.0.1:10911"}


class TestAdministration:
    async def test_write_permission_is_wiped_and_added(self, broker):
        await broker.register()

        wiped = await broker.ask(RequestCode.WIPE_WRITE_PERM_OF_BROKER, {"brokerName": "broker-a"})
        assert wiped.ext_fields == {"wipeTopicCount": "2"}
        assert TopicRouteData.from_json((await broker.route("orders")).body).queue_datas[0].perm == 4

        added = await broker.ask(RequestCode.ADD_WRITE_PERM_OF_BROKER, {"brokerName": "broker-a"})
        assert added.ext_fields == {"addTopicCount": "2"}
        assert TopicRouteData.from_json((await broker.route("orders")).body).queue_datas[0].perm == 6

    async def test_a_deleted_topic_has_no_route(self, broker):
        await broker.register()

        await broker.ask(RequestCode.DELETE_TOPIC_IN_NAMESRV, {"topic": "orders"})

        assert (await broker.route("orders")).code == ResponseCode.TOPIC_NOT_EXIST
        assert (await broker.route("payments")).code == 0

    async def test_a_single_topic_is_registered_for_brokers_that_are_there(self, broker):
        await broker.register()
        queues = [QueueData("broker-a", 4, 4, 6), QueueData("nobody", 4, 4, 6)]

        await broker.ask(
            RequestCode.REGISTER_TOPIC_IN_NAMESRV, {"topic": "new"}, TopicRouteData(queue_datas=queues).to_json()
        )

        route = TopicRouteData.from_json((await broker.route("new")).body)
        assert [data.broker_name for data in route.queue_datas] == ["broker-a"]

    async def test_unit_topics_are_listed_by_their_flags(self, broker):
        flags = {"plain": 0, "unit": 1, "subscribed": 2, "both": 3}
        topics = {name: TopicConfig(name, 8, 8, topic_sys_flag=flag) for name, flag in flags.items()}
        await broker.register(body=RegisterBrokerBody(TopicConfigSerializeWrapper(VERSION, topics)).to_json())

        async def names(code: RequestCode) -> list[str]:
            return TopicList.from_json((await broker.ask(code)).body).topic_list

        assert await names(RequestCode.GET_UNIT_TOPIC_LIST) == ["both", "unit"]
        assert await names(RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST) == ["both", "subscribed"]
        assert await names(RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST) == ["subscribed"]

    async def test_settings_are_shown_under_rocketmqs_keys(self, broker):
        lines = (await broker.ask(RequestCode.GET_NAMESRV_CONFIG)).body.decode().splitlines()

        settings = dict(line.split("=", 1) for line in lines)
        assert (settings["listenPort"], settings["orderMessageEnable"]) == ("0", "false")
        assert settings["kvConfigPath"].endswith("kvConfig.json")

    async def test_what_is_not_here_is_refused_with_a_reason(self, broker):
        response = await broker.ask(1002)

        assert response.code == ResponseCode.REQUEST_CODE_NOT_SUPPORTED
        assert "controller" in response.remark


class TestNotes:
    async def test_survive_a_restart(self, tmp_path):
        async with name_server(tmp_path) as server, peers(server, 1) as (admin,):
            await admin.ask(RequestCode.PUT_KV_CONFIG, {"namespace": "N", "key": "k", "value": "值"})
            await admin.ask(RequestCode.PUT_KV_CONFIG, {"namespace": "N", "key": "gone", "value": "v"})
            await admin.ask(RequestCode.DELETE_KV_CONFIG, {"namespace": "N", "key": "gone"})

        async with name_server(tmp_path) as server, peers(server, 1) as (admin,):
            value = await admin.ask(RequestCode.GET_KV_CONFIG, {"namespace": "N", "key": "k"})
            listed = await admin.ask(RequestCode.GET_KVLIST_BY_NAMESPACE, {"namespace": "N"})

        assert value.ext_fields == {"value": "值"}
        assert KVTable.from_json(listed.body).table == {"k": "值"}
        assert json.loads((tmp_path / "kvConfig.json").read_bytes()) == {"configTable": {"N": {"k": "值"}}}

    async def test_that_do_not_exist_are_22(self, broker):
        value = await broker.ask(RequestCode.GET_KV_CONFIG, {"namespace": "N", "key": "k"})
        listed = await broker.ask(RequestCode.GET_KVLIST_BY_NAMESPACE, {"namespace": "N"})

        assert [value.code, listed.code] == [ResponseCode.QUERY_NOT_FOUND] * 2

    async def test_that_are_too_long_are_refused(self, broker):
        response = await broker.ask(RequestCode.PUT_KV_CONFIG, {"namespace": "N", "key": "k", "value": "x" * 100_000})

        assert response.code == ResponseCode.SYSTEM_ERROR

    async def test_that_cannot_be_read_stop_the_start_and_name_the_file(self, tmp_path):
        (tmp_path / "kvConfig.json").write_text('{"configTable":[]}')

        with pytest.raises(StoreUnusable, match=r"kvConfig\.json"):
            async with name_server(tmp_path):
                pass


async def eventually(client: Peer, topic: str, code: int) -> bool:
    async with asyncio.timeout(5):
        while True:
            if (await client.route(topic)).code == code:
                return True


def compressed_registration(lines: list[str]) -> bytes:
    texts = [text.encode() for text in (VERSION.to_json().decode(), *lines)]
    first, *topics = [struct.pack(">i", len(text)) + text for text in texts]
    return zlib.compress(first + struct.pack(">i", len(topics)) + b"".join(topics) + struct.pack(">i", 2) + b"[]", 9)
