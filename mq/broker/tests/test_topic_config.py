"""Topics: made by hand, by a message, by a group; kept; refused."""

import json

import pytest

from mq.broker.tests.wire import Wire, start_broker
from mq.remoting.codes import ResponseCode


class TestCreateTopic:
    async def test_makes_a_topic_with_the_queues_asked_for(self, wire: Wire):
        response = await wire.create_topic("order-events", read_queue_nums=6, write_queue_nums=8)

        topic = wire.broker.topics.get("order-events")
        assert response.code == 0
        assert topic is not None
        assert (topic.read_queue_nums, topic.write_queue_nums, topic.perm) == (6, 8, 6)

    async def test_raises_the_version_unless_nothing_changes(self, wire: Wire):
        await wire.create_topic("order-events")
        version = wire.broker.topics.data_version

        await wire.create_topic("order-events")
        assert wire.broker.topics.data_version == version
        await wire.create_topic("order-events", queue_count=8)

        assert wire.broker.topics.data_version.counter == version.counter + 1

    async def test_keeps_attributes(self, wire: Wire):
        await wire.create_topic("order-events", attributes="+message.type=FIFO,+cleanup.policy=DELETE")
        await wire.create_topic("order-events", attributes="-cleanup.policy")

        topic = wire.broker.topics.get("order-events")
        assert topic is not None
        assert topic.attributes == {"message.type": "FIFO"}

    async def test_that_cannot_be_written_makes_none(self, wire: Wire):
        config = wire.broker.config.store_root / "config"
        drafts = [config / "topics.json.new", config / "subscriptionGroup.json.new"]
        for draft in drafts:
            draft.mkdir()  # so that no file can be made there

        response = await wire.create_topic("order-events")
        with pytest.raises(IsADirectoryError):
            wire.broker.groups.find_or_create("shipping")

        assert response.code == ResponseCode.SYSTEM_ERROR
        assert wire.broker.topics.get("order-events") is None
        assert wire.broker.groups.get("shipping") is None
        for draft in drafts:
            draft.rmdir()

    @pytest.mark.parametrize(
        "topic", ["TBW102", "SCHEDULE_TOPIC_XXXX", "rmq_sys_anything", "DefaultCluster", "a b", "x" * 128, ""]
    )
    async def test_refuses_system_topics_and_illegal_names(self, wire: Wire, topic):
        assert (await wire.create_topic(topic)).code == ResponseCode.INVALID_PARAMETER

    @pytest.mark.parametrize("changes", [{"queue_count": 5000}, {"queue_count": -1}, {"perm": 64}])
    async def test_refuses_impossible_settings(self, wire: Wire, changes):
        assert (await wire.create_topic("order-events", **changes)).code == ResponseCode.INVALID_PARAMETER
        assert wire.broker.topics.get("order-events") is None

    async def test_refuses_unknown_attributes(self, wire: Wire):
        assert (await wire.create_topic("order-events", attributes="+colour=red")).code == ResponseCode.SYSTEM_ERROR

    async def test_is_kept_over_a_restart(self, tmp_path):
        first = await start_broker(tmp_path)
        wire = Wire(first)
        await wire.create_topic("order-events", queue_count=3)
        await wire.close()
        await first.stop()

        second = await start_broker(tmp_path)

        topic = second.topics.get("order-events")
        assert topic is not None
        assert topic.read_queue_nums == 3
        assert second.topics.data_version.counter > first.topics.data_version.counter
        await second.stop()

    async def test_is_in_rocketmqs_file(self, wire: Wire, tmp_path):
        await wire.create_topic("order-events", queue_count=3)

        stored = json.loads((tmp_path / "store" / "config" / "topics.json").read_text())

        assert stored["topicConfigTable"]["order-events"] == {
            "attributes": {},
            "order": False,
            "perm": 6,
            "readQueueNums": 3,
            "topicFilterType": "SINGLE_TAG",
            "topicName": "order-events",
            "topicSysFlag": 0,
            "writeQueueNums": 3,
        }


class TestAutomaticTopics:
    @pytest.mark.parametrize(("asked", "given"), [(4, 4), (100, 8), (0, 1), (-3, 1)])
    async def test_have_the_queues_of_the_first_message_but_not_more_than_the_default(self, wire: Wire, asked, given):
        await wire.send("order-events", default_topic_queue_nums=asked)

        topic = wire.broker.topics.get("order-events")
        assert topic is not None
        assert (topic.write_queue_nums, topic.read_queue_nums) == (given, given)
        assert topic.perm == 6  # the default's, without the right to inherit from it

    async def test_need_a_default_topic_that_may_be_inherited(self, wire: Wire):
        response = await wire.send("order-events", default_topic="SELF_TEST_TOPIC")

        assert response.code == ResponseCode.TOPIC_NOT_EXIST

    async def test_can_be_switched_off(self, tmp_path):
        broker = await start_broker(tmp_path, auto_create_topic=False)
        wire = Wire(broker)

        assert (await wire.send("order-events")).code == ResponseCode.TOPIC_NOT_EXIST
        assert broker.topics.get("TBW102") is None
        await wire.close()
        await broker.stop()

    async def test_of_a_groups_retries_have_one_queue(self, wire: Wire):
        await wire.send("%RETRY%orders", default_topic_queue_nums=4)

        topic = wire.broker.topics.get("%RETRY%orders")
        assert topic is not None
        assert topic.write_queue_nums == 1


class TestBuiltinTopics:
    @pytest.mark.parametrize(
        ("name", "queue_count", "perm"),
        [("TBW102", 8, 7), ("DefaultCluster", 16, 7), ("broker-a", 1, 7), ("SCHEDULE_TOPIC_XXXX", 18, 6)],
    )
    async def test_are_there_from_the_start(self, wire: Wire, name, queue_count, perm):
        topic = wire.broker.topics.get(name)

        assert topic is not None
        assert (topic.write_queue_nums, topic.perm) == (queue_count, perm)

    async def test_named_like_broker_and_cluster_take_messages(self, wire: Wire):
        assert (await wire.send("broker-a")).code == 0
        assert (await wire.send("DefaultCluster")).code == 0


class TestVipChannel:
    async def test_serves_the_same_requests_two_ports_below(self, tmp_path):
        broker = await start_broker(tmp_path, listen_port=free_port_pair())
        wire = Wire(broker)
        address = f"127.0.0.1:{broker.store_host.port - 2}"

        response = await wire.client.invoke(address, wire.send_request("order-events"))

        assert response.code == 0
        assert wire.broker.listener.vip_server.port == broker.store_host.port - 2
        await wire.close()
        await broker.stop()

    async def test_is_given_up_when_its_port_is_taken(self, tmp_path, caplog):
        port = free_port_pair()
        first = await start_broker(tmp_path / "first", listen_port=port)
        second = await start_broker(tmp_path / "second", listen_port=port + 2, broker_name="broker-b")
        wire = Wire(second)

        assert (await wire.send("order-events")).code == 0
        assert f"port {port} is not free" in caplog.text
        await wire.close()
        await second.stop()
        await first.stop()


class TestUnknownRequest:
    async def test_is_answered_not_supported(self, wire: Wire):
        for code in (9999, 1001):  # one that nobody knows, and one of the controller
            assert (await wire.call(code)).code == ResponseCode.REQUEST_CODE_NOT_SUPPORTED


def free_port_pair() -> int:
    """A port p with p - 2, p and p + 2 free a moment ago."""
    import socket

    while True:
        with socket.socket() as first, socket.socket() as second, socket.socket() as third:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port - 2))
                third.bind(("127.0.0.1", port + 2))
            except OSError:
                continue
            return int(port)
