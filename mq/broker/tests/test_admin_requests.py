"""The rarer questions of the admin tool: statistics, queues, replication data, clearing away, and what is not here."""

import os
import struct
import time

import pytest

from mq import dialect
from mq.broker.statistics import SAMPLE_INTERVAL_S
from mq.broker.tests.test_admin import TODAY
from mq.broker.tests.wire import Wire, start_broker
from mq.remoting import not_here
from mq.remoting.bodies import KVTable
from mq.remoting.codes import RequestCode, ResponseCode

TOPIC, GROUP = "order-events", "orders"


class TestStatsData:
    async def view(self, wire: Wire, name: str, key: str) -> dict[str, float] | None:
        response = await wire.call(RequestCode.VIEW_BROKER_STATS_DATA, {"statsName": name, "statsKey": key})
        if response.code != 0:
            assert response.code == ResponseCode.SYSTEM_ERROR
            return None
        body: dict[str, dict[str, float]] = dialect.loads(response.body)
        assert list(body) == ["statsDay", "statsHour", "statsMinute"]
        return body["statsMinute"]

    async def test_sums_up_what_was_sent_and_consumed(self, wire: Wire):
        for _ in range(3):
            await wire.send(TOPIC, b"x" * 1000)
        await wire.pull(TOPIC, group=GROUP)

        expected = {
            "TOPIC_PUT_NUMS": TOPIC,
            "GROUP_GET_NUMS": f"{TOPIC}@{GROUP}",
            "BROKER_PUT_NUMS": "DefaultCluster",
            "BROKER_GET_NUMS": "DefaultCluster",
        }
        for name, key in expected.items():
            found = await self.view(wire, name, key)
            assert found is not None, name
            assert (found["sum"], found["avgpt"]) == (3, 1), name
        for name, key in (("TOPIC_PUT_SIZE", TOPIC), ("GROUP_GET_SIZE", f"{TOPIC}@{GROUP}")):
            found = await self.view(wire, name, key)
            assert found is not None
            assert 3000 < found["sum"] < 4200, name
            assert 1000 < found["avgpt"] < 1400, name

    async def test_counts_what_is_given_back(self, wire: Wire):
        await wire.send(TOPIC)
        header = {"offset": "0", "group": GROUP, "delayLevel": "0"}

        assert (await wire.call(RequestCode.CONSUMER_SEND_MSG_BACK, header)).code == 0

        found = await self.view(wire, "SNDBCK_PUT_NUMS", f"{TOPIC}@{GROUP}")
        assert found is not None
        assert found["sum"] == 1

    @pytest.mark.parametrize(("name", "key"), [("TOPIC_PUT_NUMS", "quiet-topic"), ("NO_SUCH_STATISTIC", TOPIC)])
    async def test_that_does_not_exist_is_1(self, wire: Wire, name, key):
        await wire.create_topic("quiet-topic")

        assert await self.view(wire, name, key) is None

    async def test_forgets_what_is_older_than_its_window(self, wire: Wire):
        statistics = wire.broker.statistics
        await statistics.stop()
        await wire.send(TOPIC)
        for number in range(8):
            statistics.sample(time.monotonic() - (7 - number) * SAMPLE_INTERVAL_S, TODAY)
        await wire.send(TOPIC)

        response = await wire.call(
            RequestCode.VIEW_BROKER_STATS_DATA, {"statsName": "TOPIC_PUT_NUMS", "statsKey": TOPIC}
        )

        body = dialect.loads(response.body)
        assert (body["statsMinute"]["sum"], body["statsDay"]["sum"]) == (1, 2)

    async def test_of_all_groups_adds_up_how_far_they_are_behind(self, wire: Wire):
        await wire.create_topic(TOPIC, queue_count=1)
        for _ in range(5):
            await wire.send(TOPIC)
        wire.broker.groups.find_or_create(GROUP)
        wire.broker.offsets.commit(GROUP, TOPIC, 0, 2)

        everything = await wire.call(RequestCode.GET_BROKER_CONSUME_STATS, {"isOrder": "false"})
        ordered = await wire.call(RequestCode.GET_BROKER_CONSUME_STATS, {"isOrder": "true"})

        body = dialect.loads(everything.body)
        (stats,) = next(entry[GROUP] for entry in body["consumeStatsList"] if GROUP in entry)
        assert (body["totalDiff"], body["brokerAddr"], len(stats["offsetTable"])) == (3, wire.broker.address, 1)
        assert dialect.loads(ordered.body)["totalDiff"] == 0


class TestQueueView:
    async def test_shows_entries_and_which_of_them_the_group_gets(self, wire: Wire):
        await wire.heartbeat(GROUP, {TOPIC: "A"})
        for tag in "AB":
            await wire.send(TOPIC, tag=tag)
        header = {"topic": TOPIC, "queueId": "0", "index": "0", "count": "10", "consumerGroup": GROUP}

        body = dialect.loads((await wire.call(RequestCode.QUERY_CONSUME_QUEUE, header)).body)

        assert [(entry["eval"], entry["tagsCode"]) for entry in body["queueData"]] == [(True, 65), (False, 66)]
        assert (body["minQueueIndex"], body["maxQueueIndex"]) == (0, 2)
        assert body["subscriptionData"]["subString"] == "A"

    async def test_of_an_unknown_queue_is_refused(self, wire: Wire):
        header = {"topic": TOPIC, "queueId": "7", "index": "0", "count": "10"}

        assert (await wire.call(RequestCode.QUERY_CONSUME_QUEUE, header)).code == ResponseCode.SYSTEM_ERROR


class TestReplicationData:
    async def test_has_the_shapes_that_replicas_read(self, wire: Wire):
        await wire.send(TOPIC)
        await wire.send(TOPIC, properties_text="DELAY\x013\x02")
        wire.broker.offsets.commit(GROUP, TOPIC, 0, 1)

        async def ask(code: RequestCode) -> bytes:
            return (await wire.call(code)).body

        assert b'"order-events@orders":{0:1}' in await ask(RequestCode.GET_ALL_CONSUMER_OFFSET)
        assert b'"offsetTable":{1:0,2:0,3:0' in await ask(RequestCode.GET_ALL_DELAY_OFFSET)
        assert await ask(RequestCode.GET_ALL_MESSAGE_REQUEST_MODE) == b'{"messageRequestModeMap":{}}'
        ha = dialect.loads(await ask(RequestCode.GET_BROKER_HA_STATUS))
        assert (ha["master"], ha["haConnectionInfo"], ha["inSyncSlaveNums"]) == (True, [], 0)
        exchanged = await wire.call(RequestCode.EXCHANGE_BROKER_HA_INFO)
        assert exchanged.ext_fields["masterAddress"] == wire.broker.address

    async def test_of_timers_is_their_checkpoint_and_counts(self, wire: Wire):
        now_ms = wire.broker.clock.now_ms()
        await wire.send(TOPIC, properties_text=f"TIMER_DELIVER_MS\x01{now_ms + 60_000}\x02")
        await wire.broker.timers.round()

        checkpoint = (await wire.call(RequestCode.GET_TIMER_CHECK_POINT)).body
        metrics = dialect.loads((await wire.call(RequestCode.GET_TIMER_METRICS)).body)

        assert struct.unpack(">7q", checkpoint)[0] == now_ms // 1000 * 1000
        assert struct.unpack(">7q", checkpoint)[2] == 1
        assert metrics["timingCount"] == {TOPIC: {"count": 1, "timeStamp": now_ms}}

    async def test_of_timers_is_refused_without_them(self, tmp_path):
        broker = await start_broker(tmp_path, timer_wheel_enable=False)
        wire = Wire(broker)

        codes = [(await wire.call(code)).code for code in (60, 61)]

        assert codes == [ResponseCode.SYSTEM_ERROR] * 2
        await wire.close()
        await broker.stop()


class TestClearingAway:
    async def test_deletes_expired_log_files_whatever_the_hour(self, tmp_path):
        root = tmp_path / "store"
        broker = await start_broker(root, commit_log_file_bytes=64 << 10, delete_when="", disk_max_used_percent=100)
        wire = Wire(broker)
        for _ in range(3):
            await wire.send(TOPIC, b"x" * 40_000)
        oldest = min((root / "commitlog").iterdir())
        long_ago = time.time() - 100 * 3600
        os.utime(oldest, (long_ago, long_ago))

        assert (await wire.call(RequestCode.DELETE_EXPIRED_COMMITLOG)).code == 0

        assert not oldest.exists()
        assert len(list((root / "commitlog").iterdir())) >= 2, "what has not expired stays"
        await wire.close()
        await broker.stop()

    async def test_deletes_queues_of_topics_that_do_not_exist(self, wire: Wire):
        await wire.send(TOPIC)
        await wire.send("stays")
        wire.broker.topics.delete(TOPIC)

        assert (await wire.call(RequestCode.CLEAN_UNUSED_TOPIC)).code == 0

        assert TOPIC not in wire.broker.store.queues()
        assert "stays" in wire.broker.store.queues()

    async def test_of_expired_queue_files_leaves_those_in_use(self, wire: Wire):
        await wire.send(TOPIC)

        assert (await wire.call(RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE)).code == 0
        assert (await wire.pull(TOPIC)).code == 0


class TestRuntimeInfo:
    async def test_has_every_key_that_tools_read(self, wire: Wire):
        await wire.send(TOPIC)
        await wire.pull(TOPIC)

        table = KVTable.from_json((await wire.call(RequestCode.GET_BROKER_RUNTIME_INFO)).body).table

        numbers = (
            "bootTimestamp msgPutTotalTodayNow putMessageTimesTotal putMessageFailedTimes "
            "putMessageSizeTotal putMessageAverageSize putMessageEntireTimeMax getMessageEntireTimeMax "
            "putLatency99 putLatency999 dispatchMaxBuffer dispatchBehindBytes pageCacheLockTimeMills "
            "commitLogDiskRatio consumeQueueDiskRatio commitLogMinOffset commitLogMaxOffset "
            "earliestMessageTimeStamp startAcceptSendRequestTimeStamp remainTransientStoreBufferNumbs "
            "timerReadBehind timerOffsetBehind timerCongestNum timerEnqueueTps timerDequeueTps "
            "sendThreadPoolQueueSize litePullThreadPoolQueueCapacity queryThreadPoolQueueHeadWaitTimeMills "
            "ackThreadPoolQueueSize EndTransactionQueueSize EndTransactionThreadPoolQueueCapacity "
        )
        assert all(float(table[key]) >= 0 for key in numbers.split())
        assert table["earliestMessageTimeStamp"] == str(wire.broker.clock.now_ms())
        assert table["scheduleMessageOffset_18"] == "0,0"
        assert table["putMessageDistributeTime"].startswith("[<=0ms]:")
        assert {"runtime", "commitLogDirCapacity", "remainHowManyDataToFlush", "brokerVersionDesc"} <= table.keys()


class TestLists:
    async def test_of_topics_are_made_whole_or_not_at_all(self, wire: Wire):
        good = b'{"topicName":"t1","readQueueNums":2,"writeQueueNums":2,"attributes":{"+message.type":"FIFO"}}'
        for bad, code in (
            (b'{"topicName":"TBW102"}', ResponseCode.INVALID_PARAMETER),
            (b'{"topicName":"a b"}', ResponseCode.INVALID_PARAMETER),
            (b'{"topicName":"t2","attributes":{"colour":"red"}}', ResponseCode.SYSTEM_ERROR),
        ):
            body = b'{"topicConfigList":[' + good + b"," + bad + b"]}"
            response = await wire.call(RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, body=body)
            assert (response.code, wire.broker.topics.get("t1")) == (code, None)

        body = b'{"topicConfigList":[' + good + b',{"topicName":"t2"}]}'
        assert (await wire.call(RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, body=body)).code == 0
        made = wire.broker.topics.get("t1")
        assert made is not None
        assert (made.read_queue_nums, made.attributes) == (2, {"message.type": "FIFO"})
        assert wire.broker.topics.get("t2") is not None

    async def test_of_groups_are_made_whole_or_not_at_all(self, wire: Wire):
        bad = b'{"groupConfigList":[{"groupName":"g1","retryMaxTimes":3},{"groupName":"a b"}]}'
        good = b'{"groupConfigList":[{"groupName":"g1","retryMaxTimes":3},{"groupName":"g2"}]}'

        refused = await wire.call(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, body=bad)
        assert (refused.code, wire.broker.groups.get("g1")) == (ResponseCode.INVALID_PARAMETER, None)
        assert (await wire.call(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, body=good)).code == 0
        made = wire.broker.groups.get("g1")
        assert made is not None
        assert made.retry_max_times == 3


class TestWhatAGroupReads:
    async def test_is_listed(self, wire: Wire):
        await wire.heartbeat(GROUP, {TOPIC: "A"})
        wire.broker.offsets.commit(GROUP, TOPIC, 0, 1)

        topics = await wire.call(RequestCode.QUERY_TOPICS_BY_CONSUMER, {"group": GROUP})
        one = await wire.call(RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER, {"group": GROUP, "topic": TOPIC})
        none = await wire.call(RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER, {"group": "nobody", "topic": TOPIC})

        assert dialect.loads(topics.body)["topicList"] == [TOPIC]
        assert dialect.loads(one.body)["subscriptionData"]["subString"] == "A"
        assert dialect.loads(none.body) == {"group": "nobody", "topic": TOPIC}

    async def test_may_be_forbidden_and_allowed_again(self, wire: Wire, tmp_path):
        await wire.send(TOPIC)
        await wire.heartbeat(GROUP, {TOPIC: "*"})

        async def forbid(**more: str) -> bool:
            header = {"group": GROUP, "topic": TOPIC} | more
            response = await wire.call(RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN, header)
            return bool(dialect.loads(response.body)["readable"])

        assert await forbid()
        assert not await forbid(readable="false")
        assert (await wire.pull(TOPIC, group=GROUP)).code == ResponseCode.NO_PERMISSION
        assert (await wire.pull(TOPIC, group="other")).code == 0
        assert (
            b'"forbiddenTable":{"orders":{"order-events":4}}'
            in (await wire.call(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG)).body
        )
        wire.broker.groups.load()
        assert not await forbid()
        assert await forbid(readable="true")
        assert (await wire.pull(TOPIC, group=GROUP)).code == 0

    async def test_cannot_be_forbidden_to_a_group_that_is_not_there(self, wire: Wire):
        header = {"group": "misspelt", "topic": TOPIC, "readable": "false"}

        response = await wire.call(RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN, header)

        assert response.code == ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST

    @pytest.mark.parametrize("wish", ["cleanOffset", "removeOffset"])
    async def test_is_forgotten_with_the_group_in_either_spelling(self, wire: Wire, wish):
        wire.broker.groups.find_or_create(GROUP)
        wire.broker.offsets.commit(GROUP, TOPIC, 0, 1)

        await wire.call(RequestCode.DELETE_SUBSCRIPTIONGROUP, {"groupName": GROUP, wish: "true"})

        assert wire.broker.offsets.topics_of(GROUP) == []


class TestProducers:
    async def test_are_all_listed(self, wire: Wire):
        await wire.heartbeat(GROUP, producer_group="checkout", client_id="10.0.0.1@4711")

        table = dialect.loads((await wire.call(RequestCode.GET_ALL_PRODUCER_INFO)).body)["data"]

        (client,) = table["checkout"]
        assert client["remoteIP"] == f"/{(await wire.connection()).local}"
        assert (client["clientId"], client["language"], client["version"]) == ("10.0.0.1@4711", "PYTHON", 479)
        assert 0 <= wire.broker.clock.now_ms() - client["lastUpdateTimestamp"] < 5000


class TestWhatIsNotHere:
    @pytest.mark.parametrize(
        ("code", "word"), [(1002, "controller"), (902, "replicas"), (513, "static"), (354, "RocksDB")]
    )
    async def test_is_refused_with_a_reason(self, wire: Wire, code, word):
        response = await wire.call(code)

        assert response.code == ResponseCode.REQUEST_CODE_NOT_SUPPORTED
        assert word in (response.remark or "")

    async def test_is_served_nowhere_else(self, wire: Wire):
        served = {code for part in wire.broker.processors for code in part.handlers()}

        assert not served & not_here.SENTENCES.keys()

    async def test_includes_codes_that_nobody_knows(self, wire: Wire):
        response = await wire.call(31_000)

        assert response.code == ResponseCode.REQUEST_CODE_NOT_SUPPORTED
