"""Commands about single messages, queues, traces and dead letters."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from mq.admin.tests.conftest import Admin, Beside
from mq.admin.tests.test_consumers import CLUSTER, SETTINGS, eventually
from mq.admin.traces import read_traces
from mq.client import ConsumeFromWhere, ConsumeResult, PushConsumer
from mq.message import Host, ReceivedMessage

TOPIC = "letters"


@pytest.fixture(scope="module")
def ids(admin: Admin) -> list[str]:
    """Six messages in two queues: their ids, in order."""
    admin("updateTopic", "-t", TOPIC, "-c", CLUSTER, "-r", 2, "-w", 2)
    made = []
    for number in range(6):
        place = ("-b", "broker-a", "-i", number % 2)
        words = ("-p", f"body {number}", "-k", f"key-{number} all", "-c", "odd" if number % 2 else "even")
        made.append(admin("sendMessage", "-t", TOPIC, *words, *place)["rows"][0]["msgId"])
    return made


class TestFinding:
    def test_by_key(self, admin: Admin, ids: list[str]):
        assert [row["messageId"] for row in admin("queryMsgByKey", "-t", TOPIC, "-k", "all")["rows"]] == ids
        assert len(admin("queryMsgByKey", "-t", TOPIC, "-k", "all", "-m", 2)["rows"]) == 2
        assert admin("queryMsgByKey", "-t", TOPIC, "-k", "all", "-e", 1)["rows"] == []

    def test_by_the_id_of_the_producer(self, admin: Admin, ids: list[str]):
        for command in ("queryMsgById", "queryMsgByUniqueKey"):
            found = admin(command, "-t", TOPIC, "-i", ids[3])
            assert (found["messageBody"], found["queueId"], found["queueOffset"]) == ("body 3", 1, 1)

    def test_by_the_id_of_the_broker(self, admin: Admin, ids: list[str]):
        place = admin("queryMsgById", "-t", TOPIC, "-i", ids[0])["offsetID"]
        assert admin("queryMsgById", "-t", TOPIC, "-i", place)["messageId"] == ids[0]

    def test_never_asks_an_address_that_only_the_id_names(self, admin: Admin, ids: list[str]):
        status, sentence = admin.refusal("queryMsgById", "-t", TOPIC, "-i", "7F00000100000001" + "0" * 16)
        assert status == 1
        assert sentence.startswith("no message with id")

    def test_by_place(self, admin: Admin, ids: list[str]):
        found = admin("queryMsgByOffset", "-t", TOPIC, "-b", "broker-a", "-i", 1, "-o", 2)
        assert found["messageId"] == ids[5]
        status, sentence = admin.refusal("queryMsgByOffset", "-t", TOPIC, "-b", "broker-a", "-i", 1, "-o", 3)
        assert (status, sentence) == (1, "nothing at offset 3: the queue has 0 to 2")

    def test_says_what_is_not_found(self, admin: Admin, ids: list[str]):
        assert admin.refusal("queryMsgByUniqueKey", "-t", TOPIC, "-i", "X" * 32)[0] == 1

    def test_refuses_a_character_set_that_does_not_exist(self, admin: Admin, ids: list[str]):
        assert admin.refusal("queryMsgById", "-t", TOPIC, "-i", ids[0], "-f", "UTF-99") == (
            1,
            "there is no character set 'UTF-99'",
        )

    def test_sends_a_copy(self, admin: Admin):
        admin("updateTopic", "-t", "copied", "-c", CLUSTER)
        (row,) = admin("sendMessage", "-t", "copied", "-p", "again", "-k", "once", "-c", "tag")["rows"]
        copy = admin("queryMsgById", "-t", "copied", "-i", row["msgId"], "-s", "true")["resent"]
        found = admin("queryMsgById", "-t", "copied", "-i", copy)
        assert copy != row["msgId"]
        assert (found["messageBody"], found["keys"], found["tags"]) == ("again", "once", "tag")


class TestReading:
    def test_prints_every_queue(self, admin: Admin, ids: list[str]):
        rows = admin("printMsg", "-t", TOPIC)["rows"]
        assert [row["messageId"] for row in rows] == [*ids[0::2], *ids[1::2]]

    def test_prints_what_the_tags_select_without_bodies(self, admin: Admin, ids: list[str]):
        rows = admin("printMsg", "-t", TOPIC, "-s", "odd", "-d", "false")["rows"]
        assert [row["messageId"] for row in rows] == ids[1::2]
        assert "body" not in rows[0]

    def test_keeps_to_the_times(self, admin: Admin, ids: list[str]):
        tomorrow = int(time.time() * 1000) + 86_400_000
        assert admin("printMsg", "-t", TOPIC, "-b", tomorrow)["rows"] == []
        assert admin("printMsg", "-t", TOPIC, "-e", 1)["rows"] == []
        assert len(admin("printMsg", "-t", TOPIC, "-b", 1, "-e", tomorrow)["rows"]) == 6

    def test_counts_the_tags_of_one_queue(self, admin: Admin, ids: list[str]):
        queue = ("-t", TOPIC, "-a", "broker-a", "-i", 0)
        answer = admin("printMsgByQueue", *queue, "-f", "true")
        assert answer == {"tags": [{"tag": "even", "count": 3}], "messages": 3}
        assert [row["body"] for row in admin("printMsgByQueue", *queue, "-p", "true")["rows"]] == [
            "body 0",
            "body 2",
            "body 4",
        ]

    def test_reads_from_an_offset_on(self, admin: Admin, ids: list[str]):
        rows = admin("consumeMessage", "-t", TOPIC, "-b", "broker-a", "-i", 1, "-o", 1)["rows"]
        assert [row["messageId"] for row in rows] == [ids[3], ids[5]]
        assert len(admin("consumeMessage", "-t", TOPIC, "-c", 4)["rows"]) == 4

    def test_says_when_there_is_no_such_queue(self, admin: Admin, ids: list[str]):
        assert admin.refusal("printMsgByQueue", "-t", TOPIC, "-a", "broker-a", "-i", 9) == (
            1,
            "topic 'letters' has no such queue",
        )


class TestSending:
    def test_needs_broker_and_queue_together(self, admin: Admin):
        assert admin.refusal("sendMessage", "-t", TOPIC, "-p", "x", "-i", 1)[0] == 2

    def test_leaves_a_trace_when_told_to(self, admin: Admin):
        (row,) = admin("sendMessage", "-t", "TBW102", "-p", "traced", "-m", "true")["rows"]
        (event,) = admin("queryMsgTraceById", "-i", row["msgId"])["rows"]
        assert (event["type"], event["group"], event["status"]) == ("Pub", "TOOLS_PRODUCER", "success")

    def test_leaves_none_otherwise(self, admin: Admin, ids: list[str]):
        admin("updateTopic", "-t", "OTHER_TRACE", "-c", CLUSTER)
        assert admin.refusal("queryMsgTraceById", "-i", ids[0], "-t", "OTHER_TRACE")[0] == 1


class TestTraces:
    @pytest.mark.parametrize("body", [b"", b"Pub", b"Pub\x01\x02", b"Pub" + b"\x01id" * 20 + b"\x02", b"\xff\x00"])
    def test_of_another_form_are_left_out(self, body: bytes):
        host = Host("127.0.0.1", 1)
        message = ReceivedMessage("T", 0, 0, 0, body, {}, 0, 0, 0, host, 0, host, 0, 0, 0)
        assert list(read_traces(message, "id")) == []


class TestDeadLetters:
    GROUP = "unlucky"

    @pytest.fixture
    def seen(self, admin: Admin, beside: Beside) -> Iterator[list[tuple[str, bytes, int]]]:
        """Topic, body and number of tries of what a group was given that took nothing until it had failed once."""
        seen: list[tuple[str, bytes, int]] = []
        admin("updateTopic", "-t", "doomed", "-c", CLUSTER, "-r", 1, "-w", 1)
        admin("updateSubGroup", "-g", self.GROUP, "-c", CLUSTER)

        async def handle(messages: list[ReceivedMessage]) -> ConsumeResult | None:
            (message,) = messages
            seen.append((message.topic, message.body, message.reconsume_times))
            is_first = sum(body == message.body for _, body, _ in seen) == 1
            return ConsumeResult(consumed=0, delay_level=-1) if is_first else None

        async def start() -> PushConsumer:
            consumer = PushConsumer(
                self.GROUP,
                handler=handle,
                namesrv=admin.namesrv,
                settings=SETTINGS,
                from_where=ConsumeFromWhere.FIRST_OFFSET,
            )
            consumer.subscribe("doomed")
            await consumer.start()
            return consumer

        consumer = beside(start())
        yield seen
        beside(consumer.stop())

    def test_come_again_to_their_group_under_their_topic(self, admin: Admin, seen: list[tuple[str, bytes, int]]):
        dead = f"%DLQ%{self.GROUP}"
        first, _ = (admin("sendMessage", "-t", "doomed", "-p", body)["rows"][0]["msgId"] for body in ("one", "two"))
        eventually(lambda: admin.run("printMsg", "-t", dead)[1].count("\n") == 3)

        assert len(admin("resendDeadLetters", "-g", self.GROUP, "-i", first)["rows"]) == 1
        eventually(lambda: len(seen) == 3)
        assert seen[2] == ("doomed", b"one", 0)

        sent = admin("resendDeadLetters", "-g", self.GROUP)["rows"]
        assert [row["sendResult"] for row in sent] == ["SEND_OK", "SEND_OK"]
        eventually(lambda: len(seen) == 5)
        # Nothing was sent to the topic itself, where other groups would get it again.
        assert [row["maxOffset"] for row in admin("topicStatus", "-t", "doomed")["rows"]] == [2]

        assert admin.refusal("resendDeadLetters", "-g", self.GROUP, "-i", "elsewhere") == (
            1,
            f"no dead letter of '{self.GROUP}' has the id elsewhere",
        )
