"""Commands about topics, on a broker: each is seen to have done what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from mq.admin.tests.conftest import Admin

CLUSTER = "DefaultCluster"


@pytest.fixture
def topic(admin: Admin, request: pytest.FixtureRequest) -> str:
    name = f"T-{request.node.name}"
    admin("updateTopic", "-t", name, "-c", CLUSTER, "-r", 4, "-w", 4)
    return name


class TestUpdateTopic:
    def test_makes_a_topic_on_every_master_of_a_cluster(self, admin: Admin):
        made = admin("updateTopic", "-t", "orders", "-c", CLUSTER, "-r", 3, "-w", 2, "-p", 6)
        assert made["brokers"] == [admin.broker]
        (queues,) = admin("topicRoute", "-t", "orders")["queueDatas"]
        assert (queues["readQueueNums"], queues["writeQueueNums"], queues["perm"]) == (3, 2, 6)

    def test_makes_it_on_one_broker(self, admin: Admin):
        text = admin.text("updateTopic", "-t", "on-one", "-b", admin.broker)
        assert text.startswith(f"create topic to {admin.broker} success.")

    def test_notes_the_queues_of_an_ordered_one(self, admin: Admin):
        made = admin("updateTopic", "-t", "in-order", "-c", CLUSTER, "-w", 4, "-o", "true")
        assert made["orderConf"] == "broker-a:4"
        assert admin("updateOrderConf", "-t", "in-order", "-m", "get")["orderConf"] == "broker-a:4"

    def test_sets_and_removes_attributes(self, admin: Admin):
        admin("updateTopic", "-t", "with-type", "-c", CLUSTER, "-a", "+message.type=DELAY")
        admin("updateTopic", "-t", "with-type", "-c", CLUSTER, "-a", "-message.type")

    def test_refuses_attributes_that_say_neither(self, admin: Admin):
        status, sentence = admin.refusal("updateTopic", "-t", "T", "-c", CLUSTER, "-a", "message.type=DELAY")
        assert (status, sentence) == (2, "attribute 'message.type': +NAME=VALUE sets one, -NAME removes it")

    def test_refuses_a_name_that_no_topic_has(self, admin: Admin):
        status, sentence = admin.refusal("updateTopic", "-t", "no blanks", "-c", CLUSTER)
        assert status == 1
        assert "no blanks" in sentence

    def test_knows_no_cluster_that_is_not_there(self, admin: Admin):
        assert admin.refusal("updateTopic", "-t", "T", "-c", "Elsewhere") == (
            1,
            "no broker of cluster 'Elsewhere' is registered at the name server",
        )


class TestUpdateTopicList:
    def test_makes_all_topics_of_a_file(self, admin: Admin, tmp_path: Path):
        file = tmp_path / "topics.json"
        file.write_text('[{"topicName": "first", "readQueueNums": 2}, {"topicName": "second"}]')
        assert admin("updateTopicList", "-f", file, "-c", CLUSTER)["brokers"] == [admin.broker]
        assert admin("topicRoute", "-t", "first")["queueDatas"][0]["readQueueNums"] == 2

    @pytest.mark.parametrize("text", ["no JSON", '{"topicName": "T"}', '[{"perm": 6}]', "7"])
    def test_refuses_a_file_that_holds_no_topics(self, admin: Admin, tmp_path: Path, text: str):
        file = tmp_path / "topics.json"
        file.write_text(text)
        assert admin.refusal("updateTopicList", "-f", file, "-c", CLUSTER)[0] == 2


class TestDeleteTopic:
    def test_leaves_nothing_of_it(self, admin: Admin, topic: str):
        admin("deleteTopic", "-t", topic, "-c", CLUSTER)
        assert {"topic": topic} not in admin("topicList")["rows"]
        assert admin.refusal("topicStatus", "-t", topic)[0] == 1


class TestLooking:
    def test_at_all_topics(self, admin: Admin, topic: str):
        assert {"topic": topic} in admin("topicList")["rows"]

    def test_at_all_topics_with_their_clusters(self, admin: Admin, topic: str):
        rows = admin("topicList", "-c")["rows"]
        assert {"clusterName": CLUSTER, "topic": topic, "consumerGroup": ""} in rows

    def test_at_a_route_as_a_table(self, admin: Admin, topic: str):
        route = admin("topicRoute", "-t", topic, "-l")
        assert route["totalQueues"] == 4
        assert route["rows"][0]["brokerAddrs"] == admin.broker

    def test_at_the_queues_of_a_topic(self, admin: Admin, topic: str):
        for body in ("one", "two", "three"):
            admin("sendMessage", "-t", topic, "-p", body, "-b", "broker-a", "-i", 2)
        queues = admin("topicStatus", "-t", topic)["rows"]
        assert [(queue["qid"], queue["minOffset"], queue["maxOffset"]) for queue in queues] == [
            (0, 0, 0),
            (1, 0, 0),
            (2, 0, 3),
            (3, 0, 0),
        ]
        assert [bool(queue["lastUpdated"]) for queue in queues] == [False, False, True, False]

    def test_at_its_clusters(self, admin: Admin, topic: str):
        assert admin("topicClusterList", "-t", topic)["rows"] == [{"clusterName": CLUSTER}]


class TestUpdateTopicPerm:
    def test_changes_nothing_else(self, admin: Admin, topic: str):
        text = admin.text("updateTopicPerm", "-t", topic, "-c", CLUSTER, "-p", 4)
        assert text == f"update topic perm from 6 to 4 in {admin.broker} success.\n"
        (queues,) = admin("topicRoute", "-t", topic)["queueDatas"]
        assert (queues["perm"], queues["readQueueNums"]) == (4, 4)

    def test_says_when_it_was_so_already(self, admin: Admin, topic: str):
        assert admin.text("updateTopicPerm", "-t", topic, "-b", admin.broker, "-p", 6).startswith("new perm equals")


class TestUpdateOrderConf:
    def test_notes_shows_and_forgets(self, admin: Admin):
        admin("updateOrderConf", "-t", "T", "-m", "put", "-v", "broker-a:8")
        assert admin("updateOrderConf", "-t", "T", "-m", "get")["orderConf"] == "broker-a:8"
        admin("updateOrderConf", "-t", "T", "-m", "delete")
        assert admin.refusal("updateOrderConf", "-t", "T", "-m", "get") == (1, "topic 'T' has no order conf")

    def test_refuses_other_methods(self, admin: Admin):
        assert admin.refusal("updateOrderConf", "-t", "T", "-m", "drop") == (2, "-m drop: put, get or delete")


class TestAllocateMQ:
    def test_shares_the_queues_out(self, admin: Admin, topic: str):
        rows = admin("allocateMQ", "-t", topic, "-i", "10.0.0.2,10.0.0.1,10.0.0.3")["rows"]
        assert [(row["consumer"], row["qid"]) for row in rows] == [
            ("10.0.0.1", 0),
            ("10.0.0.1", 1),
            ("10.0.0.2", 2),
            ("10.0.0.3", 3),
        ]
