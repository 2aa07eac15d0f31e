import base64

import pytest

from mq.client import Producer, SendStatus
from mq.client.recall import broker_of_handle
from mq.client.tests.conftest import FAST, Cluster, Inbox
from mq.client.tests.test_push_consumer import consumer_of
from mq.clock import SystemClock
from mq.errors import InvalidMessage, ResponseError
from mq.message import Message
from mq.remoting.codes import ResponseCode


class TestRecall:
    async def test_takes_a_timed_message_back(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        inbox = Inbox()
        async with consumer_of(cluster, topic, inbox), Producer("senders", namesrv=cluster.namesrv) as producer:
            at_ms = SystemClock().now_ms() + 1500
            taken = await producer.send(Message(topic, b"taken back", deliver_at_ms=at_ms))
            await producer.send(Message(topic, b"delivered", deliver_at_ms=at_ms))
            assert taken.recall_handle
            message_id = await producer.recall(topic, taken.recall_handle)
            await producer.send(Message(topic, b"later", deliver_at_ms=at_ms + 1000))
            await inbox.wait_until(lambda: b"later" in inbox.bodies)

        assert taken.status is SendStatus.SEND_OK
        assert message_id == taken.message_id
        assert sorted(inbox.bodies) == [b"delivered", b"later"]

    async def test_is_too_late_once_the_message_was_due(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        text = f"v1 {topic} {cluster.broker_name} 1700000000000 ID1"
        handle = base64.urlsafe_b64encode(text.encode()).decode()
        async with Producer("senders", namesrv=cluster.namesrv, settings=FAST) as producer:
            with pytest.raises(ResponseError) as refusal:
                await producer.recall(topic, handle)

        assert refusal.value.code == ResponseCode.ILLEGAL_OPERATION


class TestHandle:
    def test_names_the_broker(self) -> None:
        assert broker_of_handle("djEgVCBiLWEgMTcwMDAwMDAwMDAwMCBJRDE=") == "b-a"

    @pytest.mark.parametrize("text", [b"", b"v1 T b-a 17", b"v2 T b-a 1700000000000 ID1", b"\xff\xfe"])
    def test_of_another_kind_is_refused(self, text: bytes) -> None:
        with pytest.raises(InvalidMessage, match="no recall handle"):
            broker_of_handle(base64.urlsafe_b64encode(text).decode())

    def test_that_is_not_base64_is_refused(self) -> None:
        with pytest.raises(InvalidMessage, match="no recall handle"):
            broker_of_handle("not a handle")
