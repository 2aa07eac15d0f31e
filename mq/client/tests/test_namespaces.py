from dataclasses import replace

import pytest

from mq.client import Admin, ConsumeFromWhere, Producer, PullConsumer, PushConsumer, TransactionProducer
from mq.client import TransactionState as State
from mq.client.namespaces import Namespace
from mq.client.tests.conftest import FAST, Cluster, Inbox
from mq.client.tests.scripted import ScriptedBroker, scripted
from mq.message import Message, MessageQueue, ReceivedMessage
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler


class TestNamespace:
    @pytest.mark.parametrize(
        ("resource", "wrapped"),
        [
            ("orders", "shop%orders"),
            ("%RETRY%orders", "%RETRY%shop%orders"),
            ("%DLQ%orders", "%DLQ%shop%orders"),
            ("shopping%orders", "shop%shopping%orders"),
        ],
    )
    def test_is_put_before_the_name_and_behind_what_rocketmq_puts_there(self, resource: str, wrapped: str) -> None:
        namespace = Namespace("shop")

        assert namespace.wrap(resource) == wrapped
        assert namespace.wrap(wrapped) == wrapped
        assert namespace.unwrap(wrapped) == resource

    @pytest.mark.parametrize(
        "resource", ["TBW102", "RMQ_SYS_TRACE_TOPIC", "rmq_sys_wheel_timer", "CID_RMQ_SYS_TRANS", "OFFSET_MOVED_EVENT"]
    )
    def test_leaves_alone_what_belongs_to_the_cluster(self, resource: str) -> None:
        assert Namespace("shop").wrap(resource) == resource

    def test_without_a_name_changes_nothing(self) -> None:
        queue = MessageQueue("a%b", "broker-a", 0)

        assert Namespace().wrap("a%b") == Namespace().unwrap("a%b") == "a%b"
        assert Namespace().wrap_queue(queue) is queue


class TestClientOfANamespace:
    async def test_shows_its_user_names_without_it_and_brokers_names_with_it(self, cluster: Cluster) -> None:
        namespace, topic, group = cluster.name("ns"), cluster.name("topic"), cluster.name("group")
        settings = replace(FAST, namespace=namespace)
        tried: list[ReceivedMessage] = []
        inbox = Inbox()

        async def fail_once(messages: list[ReceivedMessage]) -> None:
            tried.extend(messages)
            if len(tried) == 1:
                raise ValueError("once")
            inbox.take(messages)

        async with Admin(namesrv=cluster.namesrv) as admin:
            await admin.create_topic(f"{namespace}%{topic}", queue_count=2)
            async with Producer("senders", namesrv=cluster.namesrv, settings=settings) as producer:
                queue = (await producer.queues(topic))[1]
                result = await producer.send(Message(topic, b"placed"), queue=queue)
            consumer = PushConsumer(
                group,
                handler=fail_once,
                namesrv=cluster.namesrv,
                settings=settings,
                from_where=ConsumeFromWhere.FIRST_OFFSET,
            )
            consumer.subscribe(topic)
            async with consumer:
                await inbox.wait_for(1, timeout_s=40)
                queues = consumer.queues
            stored = await admin.view_message(result.offset_message_id)

        assert result.queue == queue == MessageQueue(topic, cluster.broker_name, 1)
        assert [message.topic for message in tried] == [topic, topic]
        assert {queue.topic for queue in queues} == {topic, f"%RETRY%{group}"}
        assert stored.topic == f"{namespace}%{topic}"
        assert stored.properties["INSTANCE_ID"] == namespace
        assert tried[1].properties["RETRY_TOPIC"] == f"{namespace}%{topic}"

    async def test_keeps_offsets_of_its_own(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=1), cluster.name("group")
        async with Admin(namesrv=cluster.namesrv) as admin:
            await admin.create_topic(f"ns%{topic}", queue_count=1)
        settings = replace(FAST, namespace="ns")
        async with (
            Producer("senders", namesrv=cluster.namesrv, settings=settings) as producer,
            PullConsumer(group, namesrv=cluster.namesrv, settings=settings) as inside,
            PullConsumer(f"ns%{group}", namesrv=cluster.namesrv) as outside,
        ):
            result = await producer.send(Message(topic, b"placed"))
            pulled = await inside.pull(result.queue, 0)
            await inside.commit(result.queue, 1)

            assert [(message.topic, message.body) for message in pulled.messages] == [(topic, b"placed")]
            assert await inside.max_offset(result.queue) == 1
            assert await inside.committed_offset(result.queue) == 1
            assert await outside.committed_offset(MessageQueue(f"ns%{topic}", cluster.broker_name, 0)) == 1
            assert await outside.committed_offset(MessageQueue(topic, cluster.broker_name, 0)) in (None, 0)

    async def test_is_asked_about_its_own_transactions(self, cluster: Cluster) -> None:
        topic = cluster.name("topic")
        asked: list[str] = []

        async def check(half: ReceivedMessage) -> State:
            asked.append(half.topic)
            return State.COMMIT

        settings = replace(FAST, namespace="ns")
        async with Admin(namesrv=cluster.namesrv) as admin:
            await admin.create_topic(f"ns%{topic}", queue_count=1)
        inbox = Inbox()
        consumer = PushConsumer(cluster.name("g"), handler=inbox, namesrv=cluster.namesrv, settings=settings)
        consumer.subscribe(topic)
        producer = TransactionProducer(cluster.name("p"), check=check, namesrv=cluster.namesrv, settings=settings)
        async with consumer, producer:
            await producer.send_half(Message(topic, b"checked"))
            sent = await producer.send_half(Message(topic, b"told"))
            await producer.end(sent, State.COMMIT)
            await inbox.wait_for(2, timeout_s=40)

        assert set(asked) == {topic}
        assert {(message.topic, message.body) for message in inbox.messages} == {(topic, b"checked"), (topic, b"told")}


class TestSecondKind:
    async def test_is_named_in_every_request(self) -> None:
        broker = ScriptedBroker("only")
        seen: dict[int, tuple[str | None, str | None]] = {}

        def noting(handler: Handler) -> Handler:
            def note(connection: Connection, command: RemotingCommand) -> object:
                seen[command.code] = (command.ext_fields.get("ns"), command.ext_fields.get("nsd"))
                return handler(connection, command)

            return note  # type: ignore[return-value]

        broker.handlers.update({code: noting(handler) for code, handler in broker.handlers.items()})
        settings = replace(FAST, namespace_v2="shop")
        async with (
            scripted(broker) as namesrv,
            Producer("orders", namesrv=namesrv, settings=settings) as producer,
        ):
            result = await producer.send(Message("order-events", b"placed"))
            await producer.client.heartbeats.to_all()
            await producer.client.brokers.max_offset(broker.address, result.queue)

        assert result.queue.topic == "order-events"
        assert set(seen) == {310, 34, 35, 30}
        assert set(seen.values()) == {("shop", "true")}
