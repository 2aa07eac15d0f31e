"""What the admin tool asks about topics, groups, settings and progress."""

import datetime

import pytest

from mq import dialect
from mq.broker.statistics import SAMPLE_INTERVAL_S
from mq.broker.tests.wire import Wire
from mq.remoting.bodies import (
    GroupList,
    KVTable,
    SubscriptionGroupConfig,
    SubscriptionGroupWrapper,
    TopicConfig,
    TopicConfigSerializeWrapper,
    TopicList,
)
from mq.remoting.codes import RequestCode, ResponseCode

TODAY = datetime.date(2023, 11, 14)


class TestTopics:
    async def test_are_listed_with_their_total(self, wire: Wire):
        await wire.create_topic("order-events", queue_count=3)

        response = await wire.call(RequestCode.GET_ALL_TOPIC_CONFIG)

        table = TopicConfigSerializeWrapper.from_json(response.body).topic_config_table
        assert table["order-events"].write_queue_nums == 3
        assert response.ext_fields == {"totalTopicNum": str(len(table))}

    async def test_are_listed_page_by_page(self, wire: Wire):
        seen: dict[str, TopicConfig] = {}
        total = 1
        while len(seen) < total:
            response = await wire.call(
                RequestCode.GET_ALL_TOPIC_CONFIG, {"topicSeq": str(len(seen)), "maxTopicNum": "4"}
            )
            page = TopicConfigSerializeWrapper.from_json(response.body).topic_config_table
            assert 0 < len(page) <= 4
            seen |= page
            total = int(response.ext_fields["totalTopicNum"])

        assert seen == wire.broker.topics.all()

    async def test_are_shown_one_by_one(self, wire: Wire):
        await wire.create_topic("order-events", queue_count=3)

        found = await wire.call(RequestCode.GET_TOPIC_CONFIG, {"topic": "order-events", "lo": "true"})
        missing = await wire.call(RequestCode.GET_TOPIC_CONFIG, {"topic": "nobody-knows"})

        assert TopicConfig.from_json(found.body) == wire.broker.topics.get("order-events")
        assert missing.code == ResponseCode.TOPIC_NOT_EXIST

    async def test_that_are_the_brokers_own_are_named(self, wire: Wire):
        await wire.create_topic("order-events")

        response = await wire.call(RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER)

        names = TopicList.from_json(response.body).topic_list
        assert {"TBW102", "DefaultCluster", "broker-a", "rmq_sys_wheel_timer"} <= set(names)
        assert "order-events" not in names

    async def test_are_deleted_with_messages_and_offsets(self, wire: Wire):
        await wire.send("order-events")
        await wire.heartbeat("orders", {"order-events": "*"})
        wire.broker.offsets.commit("orders", "order-events", 0, 1)

        response = await wire.call(RequestCode.DELETE_TOPIC_IN_BROKER, {"topic": "order-events"})

        assert response.code == 0
        assert wire.broker.topics.get("order-events") is None
        assert wire.broker.offsets.get("orders", "order-events", 0) == -1
        await wire.send("order-events", b"a new life")
        assert (await wire.pull("order-events")).ext_fields["maxOffset"] == "1"

    @pytest.mark.parametrize("topic", ["TBW102", "broker-a", " "])
    async def test_that_are_the_brokers_own_are_not_deleted(self, wire: Wire, topic):
        response = await wire.call(RequestCode.DELETE_TOPIC_IN_BROKER, {"topic": topic})

        assert response.code == ResponseCode.INVALID_PARAMETER


class TestGroups:
    async def test_are_made_changed_shown_and_deleted(self, wire: Wire):
        group = SubscriptionGroupConfig(group_name="orders", retry_max_times=3)

        assert (await wire.call(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, body=group.to_json())).code == 0
        shown = await wire.call(RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, {"group": "orders"})
        assert SubscriptionGroupConfig.from_json(shown.body) == group

        wire.broker.offsets.commit("orders", "order-events", 0, 1)
        header = {"groupName": "orders", "cleanOffset": "true"}
        assert (await wire.call(RequestCode.DELETE_SUBSCRIPTIONGROUP, header)).code == 0
        gone = await wire.call(RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, {"group": "orders"})
        assert gone.code == ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST
        assert wire.broker.offsets.get("orders", "order-events", 0) == -1

    async def test_are_all_listed_to_a_tool_that_says_nothing(self, wire: Wire):
        await wire.heartbeat("orders", {"order-events": "*"})

        response = await wire.call(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG)

        table = SubscriptionGroupWrapper.from_json(response.body).subscription_group_table
        assert "orders" in table
        assert response.ext_fields == {"totalGroupNum": str(len(table))}

    async def test_with_illegal_names_are_refused(self, wire: Wire):
        body = SubscriptionGroupConfig(group_name="a b").to_json()

        response = await wire.call(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, body=body)

        assert response.code == ResponseCode.INVALID_PARAMETER


class TestBroker:
    async def test_shows_its_settings_under_rocketmqs_keys(self, wire: Wire):
        response = await wire.call(RequestCode.GET_BROKER_CONFIG)

        lines = dict(line.split("=", 1) for line in response.body.decode().splitlines())
        assert (lines["brokerName"], lines["flushDiskType"]) == ("broker-a", "SYNC_FLUSH")
        assert lines["autoCreateTopicEnable"] == "true"
        assert dialect.loads(response.ext_fields["version"])["counter"] >= 1

    async def test_shows_how_it_is_doing(self, wire: Wire):
        await wire.send("order-events")
        await wire.pull("order-events")

        table = KVTable.from_json((await wire.call(RequestCode.GET_BROKER_RUNTIME_INFO)).body).table

        assert (table["msgPutTotalTodayNow"], table["msgGetTotalTodayNow"]) == ("1", "1")
        for key in ("putTps", "getTotalTps", "getTransferredTps", "getTransferedTps"):
            assert len([float(part) for part in table[key].split(" ")]) == 3
        assert 0 < float(table["commitLogDiskRatio"]) < 1


class TestStatistics:
    async def test_average_over_three_windows(self, wire: Wire):
        statistics = wire.broker.statistics
        await statistics.stop()
        for round_ in range(7):
            for _ in range(round_):
                await wire.send("order-events")
            await wire.pull("order-events", group="orders")
            statistics.sample(1000 + round_ * SAMPLE_INTERVAL_S, TODAY)

        # The first sample is the one that the service took at its start.
        assert statistics.rates("stored")[0] == 6 / 10
        assert statistics.rates("stored")[1] == 21 / 60
        assert statistics.topic_rate("order-events") == 21 / 60
        assert statistics.group_rate("order-events", "orders") > 0
        assert statistics.group_rate("order-events", "nobody") == 0

    async def test_remember_the_mornings(self, wire: Wire):
        statistics = wire.broker.statistics
        await statistics.stop()
        statistics.sample(1000, TODAY)
        await wire.send("order-events")
        statistics.sample(1010, TODAY + datetime.timedelta(days=1))
        await wire.send("order-events")
        statistics.sample(1020, TODAY + datetime.timedelta(days=2))

        assert (statistics.yesterday_morning.stored, statistics.today_morning.stored) == (1, 2)


class TestProgress:
    async def test_of_a_topic_is_where_its_queues_begin_and_end(self, wire: Wire):
        await wire.create_topic("order-events", queue_count=2)
        await wire.send("order-events", queue_id=1)

        response = await wire.call(RequestCode.GET_TOPIC_STATS_INFO, {"topic": "order-events"})

        stored_ms = wire.broker.clock.now_ms()
        assert response.body.decode() == (
            '{"offsetTable":{'
            '{"brokerName":"broker-a","queueId":0,"topic":"order-events"}:'
            '{"lastUpdateTimestamp":0,"maxOffset":0,"minOffset":0},'
            '{"brokerName":"broker-a","queueId":1,"topic":"order-events"}:'
            f'{{"lastUpdateTimestamp":{stored_ms},"maxOffset":1,"minOffset":0}}}},"topicPutTps":0.0}}'
        )

    async def test_of_an_unknown_topic_is_refused(self, wire: Wire):
        response = await wire.call(RequestCode.GET_TOPIC_STATS_INFO, {"topic": "nobody-knows"})

        assert response.code == ResponseCode.TOPIC_NOT_EXIST

    async def test_of_a_group_is_how_far_it_is_behind(self, wire: Wire):
        for _ in range(5):
            await wire.send("order-events")
        wire.broker.offsets.commit("orders", "order-events", 0, 3)

        response = await wire.call(RequestCode.GET_CONSUME_STATS, {"consumerGroup": "orders"})

        table = dialect.loads(response.body)["offsetTable"]
        queue = table['{"brokerName":"broker-a","queueId":0,"topic":"order-events"}']
        assert (queue["brokerOffset"], queue["consumerOffset"]) == (5, 3)
        assert queue["lastTimestamp"] == wire.broker.clock.now_ms()
        assert len(table) == 4

    async def test_of_a_group_leaves_out_what_it_consumes_no_more(self, wire: Wire):
        await wire.send("order-events")
        await wire.send("stock-events")
        for topic in ("order-events", "stock-events"):
            wire.broker.offsets.commit("orders", topic, 0, 1)
        await wire.heartbeat("orders", {"order-events": "*"})

        response = await wire.call(RequestCode.GET_CONSUME_STATS, {"consumerGroup": "orders"})

        assert b"stock-events" not in response.body
        assert b"order-events" in response.body


class TestConnections:
    async def test_of_a_consumer_group_are_shown(self, wire: Wire):
        await wire.heartbeat("orders", {"order-events": "A"}, client_id="10.0.0.1@4711")

        response = await wire.call(RequestCode.GET_CONSUMER_CONNECTION_LIST, {"consumerGroup": "orders"})

        body = dialect.loads(response.body)
        local = (await wire.connection()).local
        assert body["connectionSet"] == [
            {"clientAddr": str(local), "clientId": "10.0.0.1@4711", "language": "PYTHON", "version": 479}
        ]
        assert body["messageModel"] == "CLUSTERING"
        assert body["subscriptionTable"]["order-events"]["subString"] == "A"

    async def test_of_an_offline_group_are_refused(self, wire: Wire):
        consumers = await wire.call(RequestCode.GET_CONSUMER_CONNECTION_LIST, {"consumerGroup": "nobody"})
        producers = await wire.call(
            RequestCode.GET_PRODUCER_CONNECTION_LIST, {"topic": "order-events", "producerGroup": "nobody"}
        )

        assert (consumers.code, producers.code) == (ResponseCode.CONSUMER_NOT_ONLINE, ResponseCode.SYSTEM_ERROR)

    async def test_of_a_producer_group_are_shown(self, wire: Wire):
        await wire.heartbeat("orders", producer_group="checkout", client_id="10.0.0.1@4711")

        response = await wire.call(RequestCode.GET_PRODUCER_CONNECTION_LIST, {"producerGroup": "checkout"})

        assert dialect.loads(response.body)["connectionSet"][0]["clientId"] == "10.0.0.1@4711"

    async def test_tell_which_groups_consume_a_topic(self, wire: Wire):
        await wire.heartbeat("online", {"order-events": "*"})
        wire.broker.offsets.commit("offline", "order-events", 0, 1)

        response = await wire.call(RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, {"topic": "order-events"})

        assert GroupList.from_json(response.body).group_list == ["offline", "online"]
