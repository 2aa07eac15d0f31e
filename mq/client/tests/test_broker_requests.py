"""What operators' tools ask a consumer by way of its broker: here it is the bundled broker itself that asks."""

import json
from dataclasses import replace

import pytest

from mq import dialect
from mq.client import Admin, ConsumeResult, Producer, PushConsumer
from mq.client.broker_requests import QueueKey, read_queue_offsets
from mq.client.handlers import Handler
from mq.client.tests.conftest import FAST, Cluster, Inbox, QueueWatch
from mq.client.tests.test_push_consumer import committed, send_all
from mq.errors import RemoteProtocolError
from mq.message import Host, Message, MessageQueue, ReceivedMessage, record
from mq.remoting.client import RemotingClient
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand

speaks_for_the_broker = pytest.mark.bundled("speaks for the bundled broker")


async def ask(
    cluster: Cluster, group: str, code: RequestCode, header: dict[str, str], body: bytes = b""
) -> RemotingCommand:
    """The answer of the one client in `group`."""
    members = cluster.standalone.broker.consumers.group(group)
    assert members is not None
    (connection,) = members.clients
    return await connection.invoke(RemotingCommand.request(code, header, body))


def consumer_of(cluster: Cluster, topic: str, group: str, handler: Handler) -> PushConsumer:
    consumer = PushConsumer(group, namesrv=cluster.namesrv, handler=handler, settings=FAST)
    consumer.subscribe(topic, "A || B")
    return consumer


@speaks_for_the_broker
class TestRunningInfo:
    async def test_tells_what_dashboards_show(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=2), cluster.name("group")
        header = {"consumerGroup": group, "clientId": "any"}
        async with consumer_of(cluster, topic, group, Inbox()):
            response = await ask(cluster, group, RequestCode.GET_CONSUMER_RUNNING_INFO, header)

        info = dialect.loads(response.body)
        queues = {tuple(sorted(json.loads(key).items())) for key in info["mqTable"]}
        assert (("brokerName", cluster.broker_name), ("queueId", 1), ("topic", topic)) in queues
        assert b'{"brokerName":' in response.body.partition(b'"mqTable":{')[2][:20], (
            "queues are objects, as Java reads them"
        )
        assert info["properties"]["PROP_CONSUMEORDERLY"] == "false"
        assert {each["topic"]: each["subString"] for each in info["subscriptionSet"]} == {
            topic: "A || B",
            f"%RETRY%{group}": "*",
        }

    async def test_counts_what_was_pulled_and_handled(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=1), cluster.name("group")
        inbox, header = Inbox(), {"consumerGroup": group, "clientId": "any"}
        async with consumer_of(cluster, topic, group, inbox):
            await send_all(cluster, *(Message(topic, b"x", tag="A") for _ in range(6)))
            await inbox.wait_for(6)
            response = await ask(cluster, group, RequestCode.GET_CONSUMER_RUNNING_INFO, header)

        status = dialect.loads(response.body)["statusTable"][topic]
        assert status["consumeOKTPS"] == status["pullTPS"] == 0.1
        assert status["pullRT"] > 0
        assert status["consumeFailedMsgs"] == 0

    @pytest.mark.parametrize("is_wanted", [True, False])
    async def test_shows_stacks_to_who_wants_them(self, cluster: Cluster, is_wanted: bool) -> None:
        topic, group = await cluster.topic(), cluster.name("group")
        header = {"consumerGroup": group, "clientId": "any", "jstackEnable": str(is_wanted).lower()}
        async with consumer_of(cluster, topic, group, Inbox()):
            response = await ask(cluster, group, RequestCode.GET_CONSUMER_RUNNING_INFO, header)

        assert ("MainThread" in dialect.loads(response.body).get("jstack", "")) == is_wanted

    async def test_of_a_group_that_is_not_here_is_refused(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(), cluster.name("group")
        async with consumer_of(cluster, topic, group, Inbox()):
            response = await ask(
                cluster, group, RequestCode.GET_CONSUMER_RUNNING_INFO, {"consumerGroup": "other", "clientId": "any"}
            )

        assert response.code == 1
        assert "other" in (response.remark or "")


@speaks_for_the_broker
class TestConsumerStatus:
    async def test_tells_the_offsets_of_a_topic(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=1), cluster.name("group")
        inbox = Inbox()
        async with consumer_of(cluster, topic, group, inbox):
            await send_all(cluster, *(Message(topic, b"x", tag="A") for _ in range(3)))
            await inbox.wait_for(3)
            response = await ask(
                cluster, group, RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT, {"topic": topic, "group": group}
            )

        queue = QueueKey(cluster.broker_name, 0, topic)
        assert response.body == dialect.dumps({"consumerTable": {}, "messageQueueTable": {queue: 3}}, bare_keys=True)


@speaks_for_the_broker
class TestResetOffset:
    async def test_goes_back_and_consumes_again(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=1), cluster.name("group")
        inbox = Inbox()
        async with consumer_of(cluster, topic, group, inbox):
            await send_all(cluster, *(Message(topic, b"%d" % number, tag="A") for number in range(4)))
            await inbox.wait_for(4)
            body = dialect.dumps({"offsetTable": {QueueKey(cluster.broker_name, 0, topic): 2}}, bare_keys=True)
            header = {"topic": topic, "group": group, "timestamp": "0", "isForce": "true"}
            response = await ask(cluster, group, RequestCode.RESET_CONSUMER_CLIENT_OFFSET, header, body)
            await inbox.wait_for(6)

        assert response.code == 0
        assert inbox.bodies == [b"0", b"1", b"2", b"3", b"2", b"3"]
        assert await committed(cluster, group, topic) == 4

    def test_reads_both_forms_of_the_table(self) -> None:
        queue = MessageQueue("T", "b", 3)
        keyed = b'{"offsetTable":{{"brokerName":"b","queueId":3,"topic":"T"}:7}}'
        listed = b'{"offsetTable":[{"brokerName":"b","offset":7,"queueId":3,"topic":"T"}]}'

        assert read_queue_offsets(keyed) == read_queue_offsets(listed) == {queue: 7}

    @pytest.mark.parametrize("body", [b"[]", b'{"offsetTable":{"x":1}}', b'{"offsetTable":[{"topic":"T"}]}', b"{"])
    def test_refuses_anything_else(self, body: bytes) -> None:
        with pytest.raises(RemoteProtocolError):
            read_queue_offsets(body)


class TestAskedThroughItsBroker:
    """The same questions, as tools ask them: of the broker, which passes them on to the client."""

    async def test_tells_how_it_is_doing(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=1), cluster.name("group")
        inbox = Inbox()
        async with Admin(namesrv=cluster.namesrv) as admin, consumer_of(cluster, topic, group, inbox) as consumer:
            await send_all(cluster, Message(topic, b"x", tag="A"))
            await inbox.wait_for(1)
            header = {"consumerGroup": group, "clientId": consumer.client.client_id}
            response = await ask_broker(admin, cluster, topic, RequestCode.GET_CONSUMER_RUNNING_INFO, header)

        info = dialect.loads(response.body)
        assert response.code == 0
        assert {json.loads(key)["topic"] for key in info["mqTable"]} == {topic, f"%RETRY%{group}"}
        assert info["statusTable"][topic]["consumeOKTPS"] > 0

    async def test_consumes_a_message_out_of_turn(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=1), cluster.name("group")
        inbox = Inbox()
        async with (
            Admin(namesrv=cluster.namesrv) as admin,
            Producer("senders", namesrv=cluster.namesrv) as producer,
            consumer_of(cluster, topic, group, inbox) as consumer,
        ):
            sent = await producer.send(Message(topic, b"by hand", tag="A"))
            await inbox.wait_for(1)
            header = {"consumerGroup": group, "clientId": consumer.client.client_id, "msgId": sent.offset_message_id}
            header |= {"brokerName": cluster.broker_name, "topic": topic}
            response = await ask_broker(admin, cluster, topic, RequestCode.CONSUME_MESSAGE_DIRECTLY, header)

        assert json.loads(response.body)["consumeResult"] == "CR_SUCCESS"
        assert inbox.bodies == [b"by hand"] * 2

    async def test_tells_its_offsets(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=1), cluster.name("group")
        inbox = Inbox()
        async with Admin(namesrv=cluster.namesrv) as admin, consumer_of(cluster, topic, group, inbox) as consumer:
            await send_all(cluster, *(Message(topic, b"x", tag="A") for _ in range(3)))
            await inbox.wait_for(3)
            code = RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS
            response = await ask_broker(admin, cluster, topic, code, {"topic": topic, "group": group})

        (offsets,) = dialect.loads(response.body)["consumerTable"].values()
        assert response.code == 0
        assert list(offsets.values()) == [3]
        assert consumer.queues == frozenset()

    async def test_goes_back_when_the_group_is_reset(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=1), cluster.name("group")
        inbox = Inbox()
        async with Admin(namesrv=cluster.namesrv) as admin, consumer_of(cluster, topic, group, inbox):
            await send_all(cluster, *(Message(topic, b"%d" % number, tag="A") for number in range(4)))
            await inbox.wait_for(4)
            header = {"topic": topic, "group": group, "timestamp": "0", "isForce": "true"}
            response = await ask_broker(admin, cluster, topic, RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, header)
            # Apache's broker tells the consumer with its next pull: one that is held first has to end.
            await inbox.wait_for(8, timeout_s=40)

        assert response.code == 0
        assert inbox.bodies == [b"0", b"1", b"2", b"3"] * 2


async def ask_broker(
    admin: Admin, cluster: Cluster, topic: str, code: RequestCode, header: dict[str, str]
) -> RemotingCommand:
    """The broker's answer, whatever it says."""
    await admin.queues(topic)
    address = admin.client.routes.master(cluster.broker_name)
    return await admin.client.remoting.invoke(address, RemotingCommand.request(code, header), timeout_s=12)


@speaks_for_the_broker
class TestConsumeDirectly:
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [(None, "CR_SUCCESS"), (ConsumeResult(consumed=0), "CR_LATER"), (RuntimeError("no"), "CR_THROW_EXCEPTION")],
        ids=["success", "later", "raised"],
    )
    async def test_runs_the_handler_and_tells_what_it_said(
        self, cluster: Cluster, answer: ConsumeResult | Exception | None, expected: str
    ) -> None:
        topic, group = await cluster.topic(), cluster.name("group")
        got: list[ReceivedMessage] = []

        def handle(messages: list[ReceivedMessage]) -> ConsumeResult | None:
            got.extend(messages)
            if isinstance(answer, Exception):
                raise answer
            return answer

        host = Host("127.0.0.1", 1)
        fields = record.RecordFields(topic, 0, b"by hand", b"TAGS\x01A\x02", 0, 0, 0, host)
        stored = record.encode(fields, queue_offset=5, commit_log_offset=0, store_timestamp_ms=0, store_host=host)
        async with consumer_of(cluster, topic, group, handle):
            header = {"consumerGroup": group, "clientId": "any", "brokerName": cluster.broker_name}
            response = await ask(cluster, group, RequestCode.CONSUME_MESSAGE_DIRECTLY, header, stored)

        result = json.loads(response.body)
        assert (result["consumeResult"], result["order"]) == (expected, False)
        assert [(message.body, message.tag, message.broker_name) for message in got] == [
            (b"by hand", "A", cluster.broker_name)
        ]


class TestByWayOfTheBroker:
    """As a tool asks: it knows the broker only."""

    async def tell(self, cluster: Cluster, code: RequestCode, header: dict[str, str]) -> RemotingCommand:
        if cluster.bundled is None:
            pytest.skip("speaks for the bundled broker")
        tool = RemotingClient()
        try:
            address = cluster.bundled.broker_address
            return await tool.invoke(address, RemotingCommand.request(code, header), timeout_s=10)
        finally:
            await tool.close()

    async def test_a_reset_is_followed_at_once_though_the_pull_is_held(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=1), cluster.name("group")
        inbox = Inbox()
        patient = replace(FAST, pull_suspend_s=60.0, pull_timeout_s=70.0)
        consumer = PushConsumer(group, namesrv=cluster.namesrv, handler=inbox, settings=patient)
        consumer.subscribe(topic)
        async with consumer:
            await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(3)))
            await inbox.wait_for(3)
            header = {"topic": topic, "group": group, "timestamp": "0", "isForce": "true"}
            assert (await self.tell(cluster, RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, header)).code == 0
            await inbox.wait_for(6)

        assert inbox.bodies == [b"0", b"1", b"2"] * 2
        assert await committed(cluster, group, topic) == 3

    async def test_a_consumer_tells_how_it_is_doing_and_where_it_is(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=1), cluster.name("group")
        inbox = Inbox()
        async with consumer_of(cluster, topic, group, inbox) as consumer:
            await send_all(cluster, Message(topic, b"x", tag="A"))
            await inbox.wait_for(1)
            client_id = consumer.client.client_id
            info = await self.tell(
                cluster, RequestCode.GET_CONSUMER_RUNNING_INFO, {"consumerGroup": group, "clientId": client_id}
            )
            where = await self.tell(
                cluster, RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, {"topic": topic, "group": group}
            )

        assert dialect.loads(info.body)["properties"]["PROP_CONSUMEORDERLY"] == "false"
        assert list(dialect.loads(where.body)["consumerTable"][client_id].values()) == [1]


class TestGroupChange:
    async def test_is_acted_on_at_once(self, cluster: Cluster) -> None:
        """Both intervals are far too long to be the reason."""
        topic, group = await cluster.topic(queue_count=2), cluster.name("group")
        watch = QueueWatch(topic)
        first = PushConsumer(group, namesrv=cluster.namesrv, handler=Inbox(), on_queues_changed=watch)
        second = PushConsumer(group, namesrv=cluster.namesrv, handler=Inbox())
        for consumer in (first, second):
            consumer.subscribe(topic)
        async with first:
            await watch.wait_for(2)
            async with second:
                await watch.wait_for(1, timeout_s=5)
