"""Records by the side of what Java's TraceDataEncoder (rocketmq-client 5.3.3) writes for the same facts."""

import asyncio
from dataclasses import replace

import pytest

from mq.client import (
    RETRY_LATER,
    Admin,
    ConsumeFromWhere,
    ConsumeResult,
    Producer,
    PullConsumer,
    SendResult,
    SendStatus,
    TransactionProducer,
    TransactionState,
    trace,
)
from mq.client.tests.conftest import FAST, Cluster, Inbox, eventually
from mq.client.tests.test_push_consumer import consumer_of
from mq.client.trace import ConsumeOutcome, MessageKind, Traced, TraceRecord
from mq.client.trace_dispatcher import TraceDispatcher
from mq.message import Message, MessageQueue, ReceivedMessage, record
from mq.message.tests.test_record import HELLO

AT_MS = 1_700_000_000_000
PLACED = Traced("ID1", "order-events", "OrderPlaced", ("4711", "buyer-1"))
PLAIN = Traced("ID2", "order-events", None, ())
BROKER = "127.0.0.1:10911"


def readable(record: TraceRecord) -> str:
    return record.text.replace("\x01", "|").replace("\x02", "#")


def send_result(status: SendStatus = SendStatus.SEND_OK) -> SendResult:
    return SendResult(status, "ID1", "OFF1", MessageQueue("order-events", "broker-a", 0), 0, region_id="DefaultRegion")


def received(message_id: str, keys: str | None) -> ReceivedMessage:
    message = record.decode(HELLO)
    message.reconsume_times = 2
    message.properties = {"UNIQ_KEY": message_id} | ({"KEYS": keys} if keys else {})
    return message


class TestRecords:
    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            (PLACED, "order-events|ID1|OrderPlaced|4711 buyer-1|127.0.0.1:10911|6|7|3|OFF1|true#"),
            (PLAIN, "order-events|ID2|null|null|127.0.0.1:10911|6|7|3|OFF1|true#"),
        ],
        ids=["with tag and keys", "without"],
    )
    def test_of_a_send_are_javas(self, message: Traced, expected: str) -> None:
        written = trace.sent(
            message,
            send_result(),
            MessageKind.DELAY,
            group="orders",
            broker_address=BROKER,
            body_bytes=6,
            began_at_ms=AT_MS,
            cost_ms=7,
        )

        assert readable(written) == f"Pub|{AT_MS}|DefaultRegion|orders|{expected}"
        assert written.keys == (message.message_id, *message.keys)

    @pytest.mark.parametrize(("keys", "written_keys"), [("4711 buyer-1", "4711 buyer-1"), (None, "null")])
    def test_of_consuming_are_javas(self, keys: str | None, written_keys: str) -> None:
        message = received("ID1", keys)
        before = trace.consuming(message, "DefaultRegion", group="orders", request_id="REQ1", at_ms=AT_MS)
        after = trace.consumed(
            message, "R", ConsumeOutcome.FAILED, group="orders", request_id="REQ1", at_ms=AT_MS, cost_ms=7
        )

        assert readable(before) == f"SubBefore|{AT_MS}|DefaultRegion|orders|REQ1|ID1|2|{written_keys}#"
        assert readable(after) == f"SubAfter|REQ1|ID1|7|false|{written_keys}|4|{AT_MS}|orders#"

    @pytest.mark.parametrize(
        ("state", "name"),
        [
            (TransactionState.COMMIT, "COMMIT_MESSAGE"),
            (TransactionState.ROLLBACK, "ROLLBACK_MESSAGE"),
            (TransactionState.UNKNOWN, "UNKNOW"),
        ],
    )
    def test_of_the_end_of_a_transaction_are_javas(self, state: TransactionState, name: str) -> None:
        written = trace.transaction_ended(
            PLACED, state, group="orders", broker_address=BROKER, transaction_id="TX1", is_asked=False, at_ms=AT_MS
        )

        expected = "order-events|ID1|OrderPlaced|4711 buyer-1|127.0.0.1:10911|2|TX1"
        assert readable(written) == f"EndTransaction|{AT_MS}|DefaultRegion|orders|{expected}|{name}|false#"

    def test_of_a_message_taken_back_are_javas(self) -> None:
        written = trace.recalled("ID1", "order-events", group="orders", at_ms=AT_MS)

        assert readable(written) == f"Recall|{AT_MS}|DefaultRegion|orders|order-events|ID1|true#"


TRACED = replace(FAST, trace_flush_s=0.02)


async def traces_of(cluster: Cluster, topic: str, message_id: str, count: int) -> list[list[str]]:
    """The fields of the records that mention a message, once there are `count`."""
    async with Admin(namesrv=cluster.namesrv) as admin, asyncio.timeout(20):
        while True:
            found = await admin.query_message(topic, message_id)
            lines = [line for each in found for line in each.body.decode().split("\x02") if message_id in line]
            if len(lines) >= count:
                return sorted(line.split("\x01") for line in lines)


class TestTraces:
    """To a topic of their own, which tools would be told of; the default one need not exist everywhere."""

    async def test_tell_the_way_of_a_message(self, cluster: Cluster) -> None:
        topic, trace_topic = await cluster.topic(), await cluster.topic("trace")
        settings = replace(TRACED, trace_topic=trace_topic)
        inbox, tries = Inbox(), 0

        async def fail_once(messages: list[ReceivedMessage]) -> ConsumeResult | None:
            nonlocal tries
            tries += 1
            if tries == 1:
                return RETRY_LATER
            inbox.take(messages)
            return None

        group = cluster.name("group")
        consumer = consumer_of(
            cluster,
            topic,
            fail_once,
            group=group,
            settings=settings,
            trace=True,
            from_where=ConsumeFromWhere.FIRST_OFFSET,
        )
        async with Producer("orders", namesrv=cluster.namesrv, settings=settings, trace=True) as producer:
            result = await producer.send(Message(topic, b"placed", tag="OrderPlaced", keys=("4711", "buyer-1")))
        async with consumer:
            await inbox.wait_for(1, timeout_s=40)
        lines = await traces_of(cluster, trace_topic, result.message_id, 5)

        assert [line[0] for line in lines] == ["Pub", "SubAfter", "SubAfter", "SubBefore", "SubBefore"]
        (pub, *after), before = lines[:3], lines[3:]
        assert pub[2:8] == ["DefaultRegion", "orders", topic, result.message_id, "OrderPlaced", "4711 buyer-1"]
        assert pub[9:] == ["6", pub[10], "0", result.offset_message_id, "true"]
        assert sorted((line[4], line[6]) for line in after) == [("false", "4"), ("true", "0")]
        assert {line[1] for line in after} == {line[4] for line in before}
        assert sorted(line[6] for line in before) == ["0", "1"]
        assert {line[3] for line in before} == {line[8] for line in after} == {group}

    async def test_tell_how_a_transaction_ended(self, cluster: Cluster) -> None:
        topic, trace_topic = await cluster.topic(), await cluster.topic("trace")
        producer = TransactionProducer(
            cluster.name("orders"),
            check=lambda half: TransactionState.COMMIT,
            namesrv=cluster.namesrv,
            settings=replace(TRACED, trace_topic=trace_topic),
            trace=True,
        )
        async with producer:
            result = await producer.send_in_transaction(
                Message(topic, b"placed", tag="OrderPlaced"), lambda message: TransactionState.COMMIT
            )
        ended, half = await traces_of(cluster, trace_topic, result.send_result.message_id, 2)

        assert (half[0], half[11]) == ("Pub", "1")
        assert (ended[0], ended[6], ended[11]) == ("EndTransaction", "OrderPlaced", "COMMIT_MESSAGE")

    async def test_are_left_by_nobody_who_was_not_told_to(self, cluster: Cluster) -> None:
        topic, trace_topic = await cluster.topic(), await cluster.topic("trace", queue_count=1)
        settings = replace(TRACED, trace_topic=trace_topic)
        inbox = Inbox()
        consumer = consumer_of(cluster, topic, inbox, settings=settings)
        async with consumer, Producer("orders", namesrv=cluster.namesrv, settings=settings) as producer:
            await producer.send(Message(topic, b"placed"))
            await inbox.wait_for(1)
        async with PullConsumer("readers", namesrv=cluster.namesrv) as reader:
            (queue,) = await reader.queues(trace_topic)

            assert await reader.max_offset(queue) == 0

    async def test_go_to_rocketmqs_own_topic_unless_told_otherwise(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        async with Producer("orders", namesrv=cluster.namesrv, settings=TRACED, trace=True) as producer:
            result = await producer.send(Message(topic, b"placed"))
        (pub,) = await traces_of(cluster, "RMQ_SYS_TRACE_TOPIC", result.message_id, 1)

        assert pub[0] == "Pub"

    async def test_cost_their_producer_nothing_when_nobody_takes_them(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            dispatcher = TraceDispatcher(producer.client, "orders", "PRODUCE")
            dispatcher._loop = asyncio.get_running_loop()
            for number in range(3000):
                dispatcher.add(TraceRecord("R", f"{number}\x02", (str(number),)))
            batches = list(dispatcher._batches())
            await producer.send(Message(topic, b"placed"))

        assert sum(map(len, batches)) == 2048
        assert {len(batch) for batch in batches[:-1]} == {20}

    async def test_are_sent_without_waiting_once_there_are_many(self, cluster: Cluster) -> None:
        topic, trace_topic = await cluster.topic(), await cluster.topic("trace")
        settings = replace(FAST, trace_topic=trace_topic, trace_flush_s=3600)
        async with Producer("orders", namesrv=cluster.namesrv, settings=settings, trace=True) as producer:
            for _ in range(20):
                result = await producer.send(Message(topic, b"placed"))
            assert producer._trace is not None
            records = producer._trace._dispatcher._records
            await eventually(lambda: not records)
            (pub,) = await traces_of(cluster, trace_topic, result.message_id, 1)

        assert pub[0] == "Pub"
