"""Sending: what is stored, what is answered, what is refused."""

import asyncio
from collections.abc import Callable

import pytest

from mq.broker.tests.wire import UNIQUE_ID, Wire, bodies, messages, start_broker, until
from mq.message import batch, ids, properties
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import SendMessageRequestHeader

V1_HEADER = SendMessageRequestHeader(
    producer_group="checkout",
    topic="order-events",
    default_topic="TBW102",
    default_topic_queue_nums=4,
    queue_id=1,
    sys_flag=0,
    born_timestamp=1_700_000_000_000,
    flag=7,
    properties="KEYS\x01SO-1\x02",
)


class TestSend:
    async def test_answers_with_everything_a_java_client_reads(self, wire: Wire):
        response = await wire.send("order-events", queue_id=2)

        offset_id = response.ext_fields["msgId"]
        assert response.code == 0
        assert ids.parse_offset_message_id(offset_id).host == wire.broker.store_host
        assert response.ext_fields == {
            "msgId": offset_id,
            "queueId": "2",
            "queueOffset": "0",
            "transactionId": UNIQUE_ID,
            "MSG_REGION": "DefaultRegion",
            "TRACE_ON": "true",
        }

    async def test_stores_what_the_producer_sent_and_what_the_broker_adds(self, wire: Wire):
        await wire.send("order-events", b"paid", tag="OrderPaid", flag=7, sys_flag=1)

        [message] = messages(await wire.pull("order-events"))

        local = (await wire.connection()).local
        assert (message.topic, message.queue_id, message.queue_offset, message.body) == ("order-events", 0, 0, b"paid")
        assert (message.flag, message.sys_flag, message.born_timestamp_ms) == (7, 1, 1_700_000_000_000)
        assert (message.born_host, message.store_host) == (local, wire.broker.store_host)
        assert message.store_timestamp_ms == wire.broker.clock.now_ms()
        assert message.properties == {
            "TAGS": "OrderPaid",
            "UNIQ_KEY": UNIQUE_ID,
            "CLUSTER": "DefaultCluster",
            "MSG_REGION": "DefaultRegion",
            "TRACE_ON": "true",
        }

    @pytest.mark.parametrize("code", [RequestCode.SEND_MESSAGE, RequestCode.SEND_MESSAGE_V2])
    async def test_takes_both_forms_of_the_header(self, wire: Wire, code):
        await wire.create_topic("order-events")

        if code == RequestCode.SEND_MESSAGE:
            response = await wire.call(code, V1_HEADER, b"placed")
        else:
            response = await wire.send("order-events", b"placed", queue_id=1, code=code)

        assert response.code == 0
        assert bodies(await wire.pull("order-events", queue_id=1)) == [b"placed"]

    async def test_answers_a_binary_header_in_binary(self, wire: Wire):
        request = wire.send_request("order-events")
        connection = await wire.connection()
        connection.speaks_binary = True

        response = await connection.invoke(request)

        assert response.is_binary
        assert response.ext_fields["transactionId"] == UNIQUE_ID

    async def test_gives_an_unnamed_message_a_unique_id(self, wire: Wire):
        response = await wire.send("order-events", properties_text="MY_UNIQ_KEY\x01not it")

        [message] = messages(await wire.pull("order-events"))
        assert len(message.properties["UNIQ_KEY"]) == 32
        assert message.properties["MY_UNIQ_KEY"] == "not it"
        assert response.ext_fields["transactionId"] == message.properties["UNIQ_KEY"]

    async def test_answers_with_an_odd_unique_id_unharmed(self, wire: Wire):
        response = await wire.send("order-events", properties_text='UNIQ_KEY\x01a"b\\c 标签\x02')

        assert response.ext_fields["transactionId"] == 'a"b\\c 标签'

    async def test_drops_properties_that_must_not_be_stored(self, wire: Wire):
        await wire.send(
            "order-events", properties_text="POP_CK\x010 1 2\x02__RMQ.TRANSIENT.x\x01y\x02coupon\x01C-1\x02"
        )

        [message] = messages(await wire.pull("order-events"))
        assert message.properties["coupon"] == "C-1"
        assert not any(name.startswith(("POP_CK", "__RMQ")) for name in message.properties)

    async def test_chooses_a_queue_for_a_negative_queue_id(self, wire: Wire):
        await wire.create_topic("order-events", queue_count=4)

        responses = [await wire.send("order-events", queue_id=-1) for _ in range(40)]

        assert {response.ext_fields["queueId"] for response in responses} == {"0", "1", "2", "3"}

    async def test_stores_a_oneway_message_and_answers_nothing(self, wire: Wire):
        connection = await wire.connection()
        connection.send_oneway(wire.send_request("order-events", b"first"))

        await wire.send("order-events", b"second")

        assert bodies(await wire.pull("order-events")) == [b"first", b"second"]

    async def test_keeps_the_order_of_each_connection_in_each_queue(self, wire: Wire, new_wire):
        await wire.create_topic("order-events", queue_count=4)
        producers = [new_wire() for _ in range(4)]

        async def produce(name: int, producer: Wire) -> list[RemotingCommand]:
            sends = [
                producer.send("order-events", f"{name}:{number}".encode(), queue_id=number % 4) for number in range(200)
            ]
            return await asyncio.gather(*sends)

        responses = await asyncio.gather(*(produce(name, producer) for name, producer in enumerate(producers)))

        assert {response.code for part in responses for response in part} == {0}
        for queue_id in range(4):
            stored: list[str] = []
            while len(stored) < 200:
                stored += [
                    body.decode() for body in bodies(await wire.pull("order-events", len(stored), queue_id=queue_id))
                ]
            for name in range(4):
                own = [int(body.split(":")[1]) for body in stored if body.startswith(f"{name}:")]
                assert own == list(range(queue_id, 200, 4))

    async def test_answers_a_whole_turn_after_one_sync(self, wire: Wire):
        await wire.create_topic("order-events")
        connection = await wire.connection()
        store, ends = wire.broker.store, set()
        store.add_arrival_listener(lambda *_: ends.add(store.durable_commit_log_offset))

        answers = await asyncio.gather(*(connection.call(wire.send_request("order-events"), 3.0) for _ in range(50)))

        assert [answer.ext_fields["queueOffset"] for answer in answers] == [str(number) for number in range(50)]
        assert len(ends) < 5  # the end of what is durable moves once per group


class TestSendRefuses:
    @pytest.mark.parametrize(
        "topic",
        ["SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC", "RMQ_SYS_TRANS_OP_HALF_TOPIC", "SELF_TEST_TOPIC"],
    )
    async def test_the_brokers_own_topics(self, wire: Wire, topic):
        assert (await wire.send(topic)).code == ResponseCode.NO_PERMISSION

    async def test_a_queue_that_does_not_exist(self, wire: Wire):
        await wire.create_topic("order-events", queue_count=4)

        response = await wire.send("order-events", queue_id=4)

        assert response.code == ResponseCode.INVALID_PARAMETER
        assert "order-events" in str(response.remark)

    @pytest.mark.parametrize("topic", ["", "no spaces", "a" * 128, "topic/../../etc"])
    async def test_illegal_topic_names(self, wire: Wire, topic):
        assert (await wire.send(topic)).code == ResponseCode.INVALID_PARAMETER

    async def test_a_body_over_the_limit(self, wire: Wire):
        response = await wire.send("order-events", bytes(wire.broker.config.max_message_bytes + 1))

        assert response.code == ResponseCode.MESSAGE_ILLEGAL

    async def test_properties_over_the_limit(self, wire: Wire):
        response = await wire.send("order-events", properties_text=f"k\x01{'x' * 32_760}\x02")

        assert response.code == ResponseCode.MESSAGE_ILLEGAL

    async def test_a_request_without_a_topic(self, wire: Wire):
        response = await wire.call(RequestCode.SEND_MESSAGE_V2, {"a": "checkout"}, b"x")

        assert response.code == ResponseCode.SYSTEM_ERROR
        assert "`b`" in str(response.remark)


class TestSendBatch:
    def batch_request(self, wire: Wire, *entries: batch.BatchEntry, topic: str = "order-events") -> RemotingCommand:
        body = batch.encode(entries)
        return wire.send_request(
            topic, body, code=RequestCode.SEND_BATCH_MESSAGE, batch=True, properties_text="WAIT\x01true"
        )

    def entry(self, body: bytes, **given: str) -> batch.BatchEntry:
        return batch.BatchEntry(0, body, properties.encode(given))

    async def test_stores_its_messages_one_behind_the_other(self, wire: Wire):
        await wire.send("order-events", b"before")
        request = self.batch_request(wire, self.entry(b"a", TAGS="A"), self.entry(b"b", TAGS="B"), self.entry(b"c"))

        response = await wire.client.invoke(wire.broker.address, request)

        stored = messages(await wire.pull("order-events", 1))
        assert [(message.queue_offset, message.body, message.tag) for message in stored] == [
            (1, b"a", "A"),
            (2, b"b", "B"),
            (3, b"c", None),
        ]
        assert response.ext_fields["queueOffset"] == "1"
        assert response.ext_fields["msgId"] == ",".join(message.offset_message_id for message in stored)
        assert response.ext_fields["MSG_REGION"] == "DefaultRegion"

    async def test_refuses_a_delayed_message_inside(self, wire: Wire):
        request = self.batch_request(wire, self.entry(b"now"), self.entry(b"later", DELAY="3"))

        response = await wire.client.invoke(wire.broker.address, request)

        assert response.code == ResponseCode.MESSAGE_ILLEGAL
        assert messages(await wire.pull("order-events")) == []

    @pytest.mark.parametrize("body", [b"", b"\0\0\0\x01", bytes(40)])
    async def test_refuses_a_body_that_is_no_batch(self, wire: Wire, body):
        request = wire.send_request("order-events", body, code=RequestCode.SEND_BATCH_MESSAGE)

        response = await wire.client.invoke(wire.broker.address, request)

        assert response.code in (ResponseCode.MESSAGE_ILLEGAL, ResponseCode.SYSTEM_ERROR)
        assert (await wire.send("order-events", b"still alive")).code == 0

    async def test_refuses_retry_topics(self, wire: Wire):
        request = self.batch_request(wire, self.entry(b"a"), topic="%RETRY%orders")

        assert (await wire.client.invoke(wire.broker.address, request)).code == ResponseCode.MESSAGE_ILLEGAL


class TestABrokerThatIsBehind:
    """With a limit of 0 it is behind as soon as one send waits for the disk."""

    async def test_refuses_further_sends_until_the_first_is_answered(self, tmp_path):
        broker = await start_broker(tmp_path, wait_time_ms_in_send_queue=0)
        wire = Wire(broker)
        await wire.create_topic("order-events")
        connection = await wire.connection()

        answers = await asyncio.gather(
            *(connection.invoke(wire.send_request("order-events", b"%d" % number)) for number in range(3))
        )
        later = await wire.send("order-events", b"later")

        assert [answer.code for answer in answers] == [0, ResponseCode.SYSTEM_BUSY, ResponseCode.SYSTEM_BUSY]
        assert (answers[1].remark or "").startswith("[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while")
        assert later.code == 0
        assert bodies(await wire.pull("order-events")) == [b"0", b"later"]
        await wire.close()
        await broker.stop()

    async def test_refuses_while_an_earlier_turn_waits_for_the_disk(self, tmp_path, monkeypatch):
        broker = await start_broker(tmp_path, wait_time_ms_in_send_queue=0)
        wire = Wire(broker)
        await wire.create_topic("order-events")
        waiting: list[Callable[[], None]] = []
        when_durable = broker.store.when_durable
        monkeypatch.setattr(
            broker.store, "when_durable", lambda callback: waiting.append(lambda: when_durable(callback))
        )

        first = asyncio.create_task(wire.send("order-events", b"first"))
        await until(lambda: waiting)
        assert (await wire.send("order-events", b"second")).code == ResponseCode.SYSTEM_BUSY
        waiting[0]()
        monkeypatch.undo()

        assert (await first).code == 0
        await wire.close()
        await broker.stop()
