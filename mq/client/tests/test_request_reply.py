import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from mq.client import Producer, PushConsumer
from mq.client.request_reply import read_reply, reply_target
from mq.client.tests.conftest import FAST, Cluster
from mq.errors import InvalidMessage, RemoteProtocolError, RequestTimeout, ResponseError
from mq.message import Message, ReceivedMessage, record
from mq.message.tests.test_record import HELLO
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand


@pytest.fixture
async def prices(cluster: Cluster) -> AsyncIterator[str]:
    """A topic whose consumer replies to every question, in its own words, but never to "silence"."""
    topic = await cluster.topic("prices")
    producer = Producer(cluster.name("replier"), namesrv=cluster.namesrv)

    async def answer(messages: list[ReceivedMessage]) -> None:
        for message in messages:
            if message.body != b"silence":
                body = b"the price of " + message.body
                await producer.reply(message, body, user_properties={"currency": "CNY"})

    consumer = PushConsumer(cluster.name("g"), handler=answer, namesrv=cluster.namesrv, settings=FAST)
    consumer.subscribe(topic)
    async with producer, consumer:
        yield topic


class TestRequest:
    async def test_brings_back_what_a_consumer_replied(self, cluster: Cluster, prices: str) -> None:
        async with Producer("askers", namesrv=cluster.namesrv) as producer:
            reply = await producer.request(Message(prices, b"tea"), timeout_s=20)

        assert reply.body == b"the price of tea"
        assert reply.properties["currency"] == "CNY"
        assert reply.properties["MSG_TYPE"] == "reply"

    async def test_gives_every_question_its_own_answer(self, cluster: Cluster, prices: str) -> None:
        goods = [b"tea", b"rice", b"%s" % (b"noodles " * 2000)] * 10
        async with Producer("askers", namesrv=cluster.namesrv) as producer:
            replies = await asyncio.gather(*(producer.request(Message(prices, each), timeout_s=20) for each in goods))

        assert [reply.body for reply in replies] == [b"the price of " + each for each in goods]

    async def test_says_when_nobody_replied_in_time(self, cluster: Cluster, prices: str) -> None:
        async with Producer("askers", namesrv=cluster.namesrv) as producer:
            with pytest.raises(RequestTimeout, match="no reply"):
                await producer.request(Message(prices, b"silence"), timeout_s=0.3)

            assert producer.client.replies._waiting == {}


class TestReply:
    async def test_is_told_when_the_client_that_asked_is_gone(self, cluster: Cluster, prices: str) -> None:
        question = record.decode(HELLO)
        question.properties |= {
            "CLUSTER": await cluster_name(cluster),
            "CORRELATION_ID": str(uuid.uuid4()),
            "REPLY_TO_CLIENT": "10.0.0.1@nobody",
        }
        async with Producer("repliers", namesrv=cluster.namesrv, retries=0) as producer:
            with pytest.raises(ResponseError, match="not found"):
                await producer.reply(question, b"too late")

    @pytest.mark.parametrize("name", ["CLUSTER", "CORRELATION_ID", "REPLY_TO_CLIENT"])
    def test_is_refused_to_what_is_no_request(self, name: str) -> None:
        message = record.decode(HELLO)
        message.properties |= {"CLUSTER": "C", "CORRELATION_ID": "1", "REPLY_TO_CLIENT": "a@b"}
        del message.properties[name]

        with pytest.raises(InvalidMessage, match=name):
            reply_target(message)

    def test_goes_to_the_reply_topic_of_the_requests_cluster(self) -> None:
        message = record.decode(HELLO)
        message.properties |= {"CLUSTER": "C", "CORRELATION_ID": "1", "REPLY_TO_CLIENT": "a@b", "TTL": "3000"}

        topic, carried = reply_target(message)

        assert topic == "C_REPLY_TOPIC"
        assert carried == {"MSG_TYPE": "reply", "CORRELATION_ID": "1", "REPLY_TO_CLIENT": "a@b", "TTL": "3000"}

    @pytest.mark.parametrize("host", ["", "somewhere", "/127.0.0.1", "/:80"])
    def test_that_was_pushed_without_an_address_is_refused(self, host: str) -> None:
        fields = dict.fromkeys(["producerGroup", "topic", "defaultTopic", "storeHost"], "/127.0.0.1:1") | dict.fromkeys(
            ["defaultTopicQueueNums", "queueId", "sysFlag", "bornTimestamp", "flag", "storeTimestamp"], "0"
        )
        command = RemotingCommand.request(RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT, fields | {"bornHost": host}, b"x")

        with pytest.raises(RemoteProtocolError, match="address"):
            read_reply(command, 0)


async def cluster_name(cluster: Cluster) -> str:
    async with Producer("askers", namesrv=cluster.namesrv) as producer:
        info = await producer.client.name_servers.cluster_info()
    return next(iter(info.cluster_addr_table))
