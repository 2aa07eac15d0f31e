"""Commands about consumer groups and their offsets, with a consumer and a producer of ours running beside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mq.admin.tests.conftest import Admin, Beside
from mq.client import ClientSettings, ConsumeFromWhere, Producer, PushConsumer
from mq.message import ReceivedMessage

CLUSTER = "DefaultCluster"
TOPIC = "consumed"
GROUP = "readers"
SETTINGS = ClientSettings(offset_persist_s=0.05, rebalance_s=0.5, rebalance_retry_s=0.05)


def eventually(check: Callable[[], bool]) -> None:
    """Ask until it is so, for half a minute at most."""
    deadline = time.monotonic() + 30
    while not check():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.02)  # between two questions; the others go on in their threads


@pytest.fixture(scope="module")
def seen() -> list[bytes]:
    """The bodies that the consumer was given, in order."""
    return []


@pytest.fixture(scope="module")
def consumer(admin: Admin, beside: Beside, seen: list[bytes]) -> Iterator[PushConsumer]:
    admin("updateTopic", "-t", TOPIC, "-c", CLUSTER, "-r", 2, "-w", 2)
    admin("updateSubGroup", "-g", GROUP, "-c", CLUSTER)

    async def handle(messages: list[ReceivedMessage]) -> None:
        seen.extend(message.body for message in messages)

    async def start() -> PushConsumer:
        consumer = PushConsumer(
            GROUP, handler=handle, namesrv=admin.namesrv, settings=SETTINGS, from_where=ConsumeFromWhere.FIRST_OFFSET
        )
        consumer.subscribe(TOPIC, "A || B")
        await consumer.start()
        return consumer

    consumer = beside(start())
    try:
        for number in range(6):
            # What is filtered out comes first: a group is past it when it has consumed what follows.
            tag = "C" if number < 2 else "A"
            place = ("-b", "broker-a", "-i", number % 2)
            admin("sendMessage", "-t", TOPIC, "-p", number, "-c", tag, "-k", f"key-{number}", *place)
        eventually(lambda: len(seen) == 4 and _committed(admin) == 6)
        yield consumer
    finally:
        beside(consumer.stop())


def _committed(admin: Admin) -> int:
    return sum(row["consumerOffset"] for row in admin("consumerProgress", "-g", GROUP, "-t", TOPIC)["rows"])


@pytest.mark.usefixtures("consumer")
class TestAGroupThatRuns:
    def test_is_shown_with_its_members_and_subscriptions(self, admin: Admin):
        online = admin("consumerConnection", "-g", GROUP)
        (client,) = online["clients"]
        assert (client["language"], client["version"]) == ("PYTHON", "V5_3_3")
        assert {"topic": TOPIC, "subExpression": "A || B"} in online["subscriptions"]
        assert (online["consumeType"], online["messageModel"]) == ("CONSUME_PASSIVELY", "CLUSTERING")

    def test_is_shown_queue_by_queue(self, admin: Admin):
        progress = admin("consumerProgress", "-g", GROUP, "-t", TOPIC)
        assert _committed(admin) == 6
        assert [row["diff"] for row in progress["rows"]] == [0, 0]

    def test_is_shown_with_who_reads_each_queue(self, admin: Admin):
        rows = admin("consumerProgress", "-g", GROUP, "-t", TOPIC, "-s", "true")["rows"]
        assert {row["clientIp"] for row in rows} == {"127.0.0.1"}

    def test_is_shown_among_all_groups(self, admin: Admin):
        rows = {row["group"]: row for row in admin("consumerProgress")["rows"]}
        assert (rows[GROUP]["count"], rows[GROUP]["type"], rows[GROUP]["diffTotal"]) == (1, "PUSH", 0)

    def test_is_shown_with_how_it_is_doing(self, admin: Admin):
        status = admin("consumerStatus", "-g", GROUP)
        assert sorted(row["qid"] for row in status["queues"] if row["topic"] == TOPIC) == [0, 1]
        assert (status["sameSubscription"], status["rebalance"]) == (True, "OK")

    def test_tells_what_its_threads_do(self, admin: Admin):
        (client,) = admin("consumerConnection", "-g", GROUP)["clients"]
        info = admin("consumerStatus", "-g", GROUP, "-i", client["clientId"], "-s")
        assert "beside" in info["jstack"]

    def test_tells_the_offsets_it_holds(self, admin: Admin):
        rows = admin("getConsumerStatus", "-g", GROUP, "-t", TOPIC)["rows"]
        assert sorted(row["queueId"] for row in rows) == [0, 1]

    def test_is_shown_with_the_topic_it_consumes(self, admin: Admin):
        assert {"clusterName": CLUSTER, "topic": TOPIC, "consumerGroup": GROUP} in admin("topicList", "-c")["rows"]
        (row,) = admin("statsAll", "-t", TOPIC)["rows"]
        assert (row["consumerGroup"], row["accumulation"], row["inMsg24Hour"]) == (GROUP, 0, 6)

    def test_has_consumed_a_message_or_left_it_out(self, admin: Admin):
        for key, track in (("key-5", "CONSUMED"), ("key-0", "CONSUMED_BUT_FILTERED")):
            (row,) = admin("queryMsgByKey", "-t", TOPIC, "-k", key)["rows"]
            found = admin("queryMsgById", "-t", TOPIC, "-i", row["messageId"])
            assert found["consumers"] == [{"group": GROUP, "track": track}]

    def test_would_get_what_its_tags_select(self, admin: Admin):
        views = [admin("queryCq", "-t", TOPIC, "-q", queue, "-i", 0, "-g", GROUP) for queue in (0, 1)]
        assert sum(entry["eval"] for view in views for entry in view["rows"]) == 4
        assert views[0]["subscription"] == "A || B"

    def test_is_given_one_message_again(self, admin: Admin, seen: list[bytes]):
        (client,) = admin("consumerConnection", "-g", GROUP)["clients"]
        (row,) = admin("queryMsgByKey", "-t", TOPIC, "-k", "key-2")["rows"]
        flags = ("-t", TOPIC, "-i", row["messageId"], "-g", GROUP, "-d", client["clientId"])
        for command in ("queryMsgById", "queryMsgByUniqueKey"):
            assert admin(command, *flags)["consumeResult"] == "CR_SUCCESS"
        assert seen.count(b"2") >= 3

    def test_goes_back_to_a_time_at_once(self, admin: Admin, seen: list[bytes]):
        before = len(seen)
        rows = admin("resetOffsetByTime", "-g", GROUP, "-t", TOPIC, "-s", 0)["rows"]
        assert [(row["queueId"], row["offset"]) for row in rows] == [(0, 0), (1, 0)]
        eventually(lambda: len(seen) >= before + 4)

    def test_that_lags_is_told_of(self, admin: Admin):
        assert admin("startMonitoring", "--rounds", 1)["rows"] == []
        told = {row["group"] for row in admin("startMonitoring", "--rounds", 1, "-l", 0)["rows"]}
        assert GROUP in told

    def test_is_in_the_broker_s_list(self, admin: Admin):
        stats = admin("brokerConsumeStats", "-b", admin.broker)
        assert GROUP in {row["group"] for row in stats["rows"]}


class TestAGroupThatDoesNotRun:
    def test_is_made_shown_and_deleted(self, admin: Admin):
        admin("updateSubGroup", "-g", "made", "-b", admin.broker, "-r", 3, "-d", "false")
        config = admin("getConsumerConfig", "-g", "made")[admin.broker]
        assert (config["retryMaxTimes"], config["consumeBroadcastEnable"]) == (3, False)
        admin("deleteSubGroup", "-g", "made", "-c", CLUSTER, "-r", "true")
        assert admin.refusal("getConsumerConfig", "-g", "made")[0] == 1

    def test_is_made_out_of_a_file(self, admin: Admin, tmp_path: Path):
        file = tmp_path / "groups.json"
        file.write_text('[{"groupName": "listed", "retryMaxTimes": 5}]')
        admin("updateSubGroupList", "-f", file, "-c", CLUSTER)
        assert admin("getConsumerConfig", "-g", "listed")[admin.broker]["retryMaxTimes"] == 5

    def test_has_no_other_mode_than_pull_and_pop(self, admin: Admin):
        flags = ("-t", TOPIC, "-g", GROUP, "-c", CLUSTER)
        assert admin.refusal("setConsumeMode", *flags, "-m", "push") == (2, "-m PUSH: PULL or POP")

    def test_is_said_not_to_be_online(self, admin: Admin):
        admin("updateSubGroup", "-g", "asleep", "-c", CLUSTER)
        status, sentence = admin.refusal("consumerConnection", "-g", "asleep", "-b", admin.broker)
        assert status == 1
        assert "206" in sentence

    def test_is_sent_to_one_place_skipped_and_copied(self, admin: Admin):
        admin("updateTopic", "-t", "walked", "-c", CLUSTER, "-r", 1, "-w", 1)
        for group in ("walker", "follower"):
            admin("updateSubGroup", "-g", group, "-c", CLUSTER)
        for number in range(5):
            admin("sendMessage", "-t", "walked", "-p", number)

        def offset(group: str) -> int:
            rows = admin("consumerProgress", "-g", group, "-t", "walked")["rows"]
            return int(rows[0]["consumerOffset"])

        place = ("-b", admin.broker, "-q", 0, "-o", 2)
        admin("resetOffsetByTime", "-g", "walker", "-t", "walked", "-s", "now", *place)
        assert offset("walker") == 2
        admin("cloneGroupOffset", "-s", "walker", "-d", "follower", "-t", "walked")
        assert offset("follower") == 2
        admin("skipAccumulatedMessage", "-g", "walker", "-t", "walked")
        assert offset("walker") == 5
        assert offset("follower") == 2

    @pytest.mark.parametrize("flags", [("-b", "127.0.0.1:1"), ("-q", 0), ("-o", 3)])
    def test_is_not_sent_to_half_a_place(self, admin: Admin, flags: tuple[object, ...]):
        status, _ = admin.refusal("resetOffsetByTime", "-g", GROUP, "-t", TOPIC, "-s", "now", *flags)
        assert status == 2


class TestProducers:
    @pytest.fixture
    def group(self, admin: Admin, beside: Beside) -> Iterator[str]:
        async def start() -> Producer:
            producer = Producer("writers", namesrv=admin.namesrv)
            await producer.start()
            await producer.queues("TBW102")
            await producer.client.heartbeats.to_all()
            return producer

        producer = beside(start())
        yield producer.group
        beside(producer.stop())

    def test_are_shown_by_group_and_by_broker(self, admin: Admin, group: str):
        (client,) = admin("producerConnection", "-g", group, "-t", "TBW102")["clients"]
        assert client["language"] == "PYTHON"
        assert group in {row["group"] for row in admin("producer", "-b", admin.broker)["rows"]}

    def test_that_are_not_there_are_said_so(self, admin: Admin):
        status, sentence = admin.refusal("producerConnection", "-g", "nobody", "-t", "TBW102")
        assert status == 1
        assert "nobody" in sentence
