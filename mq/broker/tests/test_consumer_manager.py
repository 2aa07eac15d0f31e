"""Heartbeats and what follows from them: client lists, notifications, retry topics, farewells."""

import asyncio
import errno
import json
from pathlib import Path
from typing import Any

import pytest

from mq.broker.clients import EXPIRY_S, MAX_GROUPS_PER_CLIENT
from mq.broker.tests.wire import Wire
from mq.remoting.bodies import (
    CheckClientRequestBody,
    ConsumerData,
    HeartbeatData,
    ProducerData,
    SubscriptionData,
    SubscriptionGroupConfig,
)
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.store import json_files
from mq.store.disk import Disk


class Notices:
    """The groups whose change a client was told of."""

    def __init__(self) -> None:
        self.groups: asyncio.Queue[str] = asyncio.Queue()

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.NOTIFY_CONSUMER_IDS_CHANGED: self._changed}

    def _changed(self, connection: Connection, command: RemotingCommand) -> None:
        assert command.is_oneway
        self.groups.put_nowait(command.ext_fields["consumerGroup"])


class TestHeartbeat:
    async def test_makes_a_client_known(self, wire: Wire):
        response = await wire.heartbeat("orders", {"order-events": "*"}, client_id="10.0.0.1@4711")

        assert (response.code, response.version) == (0, 479)
        assert await wire.consumer_ids("orders") == ["10.0.0.1@4711"]

    async def test_creates_the_groups_retry_topic_at_once(self, wire: Wire):
        await wire.heartbeat("orders", {"order-events": "*"})

        topic = wire.broker.topics.get("%RETRY%orders")
        assert topic is not None
        assert (topic.read_queue_nums, topic.write_queue_nums, topic.perm) == (1, 1, 6)

    async def test_writes_each_file_once_however_many_groups_are_new(self, wire: Wire, monkeypatch: pytest.MonkeyPatch):
        saved: list[str] = []
        save = json_files.save

        def counted(path: Path, value: dict[str, Any], disk: Disk | None = None) -> None:
            saved.append(path.name)
            save(path, value, disk)

        monkeypatch.setattr(json_files, "save", counted)
        names = [f"group-{number}" for number in range(200)]
        data = HeartbeatData(
            client_id="many", producer_data_set=[], consumer_data_set=[ConsumerData(group_name=name) for name in names]
        )

        assert (await wire.call(RequestCode.HEART_BEAT, body=data.to_json(), timeout_s=10)).code == 0

        assert sorted(saved) == ["subscriptionGroup.json", "topics.json"]
        on_disk = json.loads((wire.broker.config.store_root / "config" / "topics.json").read_text())["topicConfigTable"]
        assert {f"%RETRY%{name}" for name in names} <= on_disk.keys()
        assert await wire.consumer_ids("group-199") == ["many"]

    async def test_changes_nothing_when_the_disk_refuses(self, wire: Wire, monkeypatch: pytest.MonkeyPatch):
        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(json_files, "save", refuse)

        assert (await wire.heartbeat("orders", {"order-events": "*"})).code != 0

        assert wire.broker.groups.get("orders") is None
        assert wire.broker.topics.get("%RETRY%orders") is None

    async def test_skips_a_group_with_an_illegal_name(self, wire: Wire):
        assert (await wire.heartbeat("a b", {"order-events": "*"})).code == 0
        assert await wire.consumer_ids("a b") == []

    async def test_of_a_cpp_client_is_understood(self, wire: Wire):
        """Ordinals for enums, a text for the version, wrong hashes, missing sets, a newline at the end."""
        body = {
            "clientID": "PID-127.0.0.1@DEFAULT",
            "consumerDataSet": [
                {
                    "groupName": "orders",
                    "consumeType": 1,
                    "messageModel": 1,
                    "consumeFromWhere": 0,
                    "subscriptionDataSet": [
                        {"topic": "order-events", "subString": "A||C", "subVersion": "17", "codeSet": [0, 0]}
                    ],
                }
            ],
        }

        response = await wire.call(RequestCode.HEART_BEAT, body=json.dumps(body).encode() + b"\n")

        assert response.code == 0
        group = wire.broker.consumers.group("orders")
        assert group is not None
        assert (group.message_model, group.consume_type) == ("CLUSTERING", "CONSUME_PASSIVELY")
        assert group.subscriptions["order-events"].filter.tag_codes == frozenset({65, 67})
        assert group.subscriptions["order-events"].version == 17

    async def test_replaces_a_subscription_by_a_newer_one_only(self, wire: Wire):
        await wire.heartbeat("orders", {"order-events": "A"}, version=5)
        await wire.heartbeat("orders", {"order-events": "B"}, version=4)
        group = wire.broker.consumers.group("orders")
        assert group is not None
        assert group.subscriptions["order-events"].filter.tag_codes == frozenset({65})

        await wire.heartbeat("orders", {"order-events": "B"}, version=6)

        assert group.subscriptions["order-events"].filter.tag_codes == frozenset({66})

    async def test_drops_subscriptions_that_are_not_listed_any_more(self, wire: Wire):
        await wire.heartbeat("orders", {"order-events": "*", "stock-events": "*"})
        await wire.heartbeat("orders", {"order-events": "*"}, version=2)

        group = wire.broker.consumers.group("orders")
        assert group is not None
        assert list(group.subscriptions) == ["order-events"]

    async def test_that_is_no_json_is_refused(self, wire: Wire):
        assert (await wire.call(RequestCode.HEART_BEAT, body=b"{clientID")).code == ResponseCode.SYSTEM_ERROR

    async def test_with_too_many_groups_is_refused(self, wire: Wire):
        body = {"clientID": "c", "producerDataSet": [{"groupName": f"g{number}"} for number in range(1001)]}

        response = await wire.call(RequestCode.HEART_BEAT, body=json.dumps(body).encode())

        assert response.code == ResponseCode.SYSTEM_ERROR


class TestConsumerList:
    async def test_of_a_group_without_consumers_is_an_error(self, wire: Wire):
        response = await wire.call(RequestCode.GET_CONSUMER_LIST_BY_GROUP, {"consumerGroup": "nobody"})

        assert response.code == ResponseCode.SYSTEM_ERROR
        assert "nobody" in str(response.remark)

    async def test_names_each_client_once(self, wire: Wire, new_wire):
        """A client that reconnects is there twice until its old connection is closed."""
        await wire.heartbeat("orders", {"order-events": "*"}, client_id="client-1")
        await new_wire().heartbeat("orders", {"order-events": "*"}, client_id="client-1")
        await new_wire().heartbeat("orders", {"order-events": "*"}, client_id="client-0")

        assert await wire.consumer_ids("orders") == ["client-0", "client-1"]

    async def test_loses_a_client_with_its_connection(self, wire: Wire, new_wire):
        leaving = new_wire()
        await wire.heartbeat("orders", {"order-events": "*"}, client_id="stays")
        await leaving.heartbeat("orders", {"order-events": "*"}, client_id="leaves")

        await leaving.close()

        while len(ids := await wire.consumer_ids("orders")) > 1:
            pass
        assert ids == ["stays"]

    async def test_loses_a_client_that_says_farewell(self, wire: Wire):
        await wire.heartbeat("orders", {"order-events": "*"})

        response = await wire.call(
            RequestCode.UNREGISTER_CLIENT, {"clientID": "client-1", "consumerGroup": "orders", "producerGroup": ""}
        )

        assert response.code == 0
        assert await wire.consumer_ids("orders") == []

    async def test_loses_a_client_that_falls_silent(self, wire: Wire):
        await wire.heartbeat("orders", {"order-events": "*"}, producer_group="checkout")
        now_s = asyncio.get_running_loop().time()

        for part in (wire.broker.consumers, wire.broker.producers):
            part.drop_expired(now_s + EXPIRY_S - 1)
        assert await wire.consumer_ids("orders") == ["client-1"]
        for part in (wire.broker.consumers, wire.broker.producers):
            part.drop_expired(now_s + EXPIRY_S + 1)

        assert await wire.consumer_ids("orders") == []
        assert wire.broker.producers.clients("checkout") == []


class TestNotification:
    @pytest.fixture
    def notices(self) -> Notices:
        return Notices()

    @pytest.fixture
    async def consumer(self, new_wire, notices: Notices) -> Wire:
        """A client in the group, past the notice of its own arrival."""
        consumer: Wire = new_wire(notices.handlers())
        await consumer.heartbeat("orders", {"order-events": "*"}, client_id="first")
        await notices.groups.get()
        return consumer

    async def test_tells_of_a_new_client(self, consumer: Wire, notices: Notices, wire: Wire):
        await wire.heartbeat("orders", {"order-events": "*"}, client_id="second")

        assert await notices.groups.get() == "orders"

    async def test_tells_of_a_client_that_left(self, consumer: Wire, notices: Notices, new_wire):
        leaving = new_wire()
        await leaving.heartbeat("orders", {"order-events": "*"}, client_id="second")
        await notices.groups.get()

        await leaving.close()

        assert await notices.groups.get() == "orders"

    async def test_tells_of_a_changed_set_of_topics(self, consumer: Wire, notices: Notices):
        await consumer.heartbeat("orders", {"order-events": "*", "stock-events": "*"}, client_id="first")

        assert await notices.groups.get() == "orders"

    async def test_is_silent_when_nothing_changed(self, consumer: Wire, notices: Notices):
        await consumer.heartbeat("orders", {"order-events": "A"}, client_id="first", version=9)
        await consumer.consumer_ids("orders")

        assert notices.groups.empty()

    async def test_is_silent_in_broadcasting_groups(self, new_wire, notices: Notices, wire: Wire):
        first = new_wire(notices.handlers())
        for number, client in enumerate((first, wire)):
            await client.heartbeat("all", {"order-events": "*"}, client_id=f"c{number}", model="BROADCASTING")
        await first.consumer_ids("all")

        assert notices.groups.empty()

    async def test_is_silent_where_the_group_wants_it_so(self, new_wire, notices: Notices, wire: Wire):
        wire.broker.groups.put(SubscriptionGroupConfig(group_name="quiet", notify_consumer_ids_changed_enable=False))
        first = new_wire(notices.handlers())
        for number, client in enumerate((first, wire)):
            await client.heartbeat("quiet", {"order-events": "*"}, client_id=f"c{number}")
        await first.consumer_ids("quiet")

        assert notices.groups.empty()


class TestProducers:
    async def test_are_picked_in_turn(self, wire: Wire, new_wire):
        for number, client in enumerate((new_wire(), new_wire())):
            await client.heartbeat("x", producer_group="checkout", client_id=f"producer-{number}")

        picked = {wire.broker.producers.pick("checkout") for _ in range(4)}

        assert len(picked) == 2
        assert wire.broker.producers.pick("nobody") is None

    async def test_leave_with_their_connection(self, wire: Wire, new_wire):
        leaving = new_wire()
        await leaving.heartbeat("x", producer_group="checkout")

        await leaving.close()

        while wire.broker.producers.clients("checkout"):
            await wire.consumer_ids("x")
        assert wire.broker.producers.pick("checkout") is None

    async def test_may_not_be_named_without_end_by_one_connection(self, wire: Wire):
        """Guard: the count in `ProducerManager.register`; each name stays until the connection closes."""
        names = [f"group-{number}" for number in range(MAX_GROUPS_PER_CLIENT)]
        all_one_may = HeartbeatData("client-1", [ProducerData(name) for name in names])
        one_more = HeartbeatData("client-1", [ProducerData("one-more")])

        first = await wire.call(RequestCode.HEART_BEAT, body=all_one_may.to_json())
        second = await wire.call(RequestCode.HEART_BEAT, body=one_more.to_json())

        assert (first.code, second.code) == (0, ResponseCode.SYSTEM_ERROR)


class TestCheckClientConfig:
    @pytest.mark.parametrize(
        ("expression_type", "expression", "code"),
        [
            ("TAG", "A || B", 0),
            ("TAG", " || ", ResponseCode.SUBSCRIPTION_PARSE_FAILED),
            ("SQL92", "a > 1", 0),
            ("SQL92", "a > ", ResponseCode.SUBSCRIPTION_PARSE_FAILED),
            ("SQL92", "", ResponseCode.SUBSCRIPTION_PARSE_FAILED),
            ("XPATH", "/a", ResponseCode.SUBSCRIPTION_PARSE_FAILED),
        ],
    )
    async def test_says_whether_an_expression_is_understood(self, wire: Wire, expression_type, expression, code):
        data = SubscriptionData(topic="order-events", sub_string=expression, expression_type=expression_type)
        body = CheckClientRequestBody(client_id="client-1", group="orders", subscription_data=data)

        assert (await wire.call(RequestCode.CHECK_CLIENT_CONFIG, body=body.to_json())).code == code
