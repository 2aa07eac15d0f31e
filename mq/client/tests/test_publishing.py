import pytest

from mq.client.outgoing import Outgoing, Packer
from mq.client.publishing import Publishing
from mq.client.routes import Route, build_route
from mq.client.settings import ClientSettings
from mq.message import Message, MessageQueue
from mq.message.ids import UniqueIds
from mq.remoting import codec
from mq.remoting.bodies import BrokerData, QueueData, TopicRouteData
from mq.remoting.headers import SendMessageRequestHeaderV2


def route(topic: str = "order-events", *brokers: str) -> Route:
    names = brokers or ("broker-a",)
    return build_route(
        topic,
        TopicRouteData(
            broker_datas=[BrokerData("C", name, {0: f"127.0.0.1:{port}"}) for port, name in enumerate(names, 1)],
            queue_datas=[QueueData(name, 2, 2, 6) for name in names],
        ),
    )


class TestRequest:
    @pytest.mark.parametrize(
        "outgoing",
        [
            Outgoing("order-events", b"x", "KEYS\x01k\x02TAGS\x01A\x02", "id", sys_flag=0x305, flag=-7),
            Outgoing("order-events", b"x", 'quoted\x01"\\ \n\t中\U0001f600\x02', "id", is_batch=True),
            Outgoing("order-events", b"x", "", "id", reconsume_times=3, max_reconsume_times=16),
        ],
        ids=["flags", "text that JSON escapes", "a retry"],
    )
    def test_is_what_a_header_object_would_have_made(self, outgoing: Outgoing) -> None:
        publishing = Publishing("%RETRY%|100%d", route("%RETRY%orders-%s"))

        command = publishing.request(outgoing, queue_id=3, born_timestamp_ms=1_700_000_000_000)

        (arrived,) = codec.FrameDecoder().feed(codec.encode(command))
        assert arrived.body == b"x"
        assert arrived.code == (320 if outgoing.is_batch else 310)
        assert arrived.header(SendMessageRequestHeaderV2) == SendMessageRequestHeaderV2(
            producer_group="%RETRY%|100%d",
            topic="%RETRY%orders-%s",
            default_topic="TBW102",
            default_topic_queue_nums=4,
            queue_id=3,
            sys_flag=outgoing.sys_flag,
            born_timestamp=1_700_000_000_000,
            flag=outgoing.flag,
            properties=outgoing.properties_text,
            reconsume_times=outgoing.reconsume_times,
            unit_mode=False,
            max_reconsume_times=outgoing.max_reconsume_times,
            batch=outgoing.is_batch,
        )

    def test_carries_texts_only(self) -> None:
        command = Publishing("orders", route()).request(
            Packer(UniqueIds(), ClientSettings()).pack(Message("t", b"x")), 0, 1
        )

        (arrived,) = codec.FrameDecoder().feed(codec.encode(command))

        assert all(isinstance(value, str) for value in arrived.ext_fields.values())


class TestCommonFields:
    def test_are_part_of_every_send(self) -> None:
        publishing = Publishing("orders", route(), {"nsd": "true", "ns": 'a"b%c'})

        request = publishing.request(Packer(UniqueIds(), ClientSettings()).pack(Message("t", b"x")), 3, 1)

        fields = request.ext_fields
        assert (fields["ns"], fields["nsd"], fields["e"]) == ('a"b%c', "true", "3")


class TestNextQueue:
    def test_goes_round(self) -> None:
        publishing = Publishing("orders", route("order-events", "broker-a", "broker-b"))

        assert {publishing.next_queue() for _ in range(4)} == set(publishing.queues)

    def test_avoids_the_broker_that_failed(self) -> None:
        publishing = Publishing("orders", route("order-events", "broker-a", "broker-b"))

        assert {publishing.next_queue(avoid="broker-a").broker_name for _ in range(10)} == {"broker-b"}

    def test_takes_the_same_broker_when_there_is_no_other(self) -> None:
        publishing = Publishing("orders", route())

        assert publishing.next_queue(avoid="broker-a").broker_name == "broker-a"


class TestBuildRoute:
    def test_leaves_out_what_may_not_be_used(self) -> None:
        data = TopicRouteData(
            broker_datas=[BrokerData("C", "full", {0: "h:1"}), BrokerData("C", "slave-only", {1: "h:2"})],
            queue_datas=[
                QueueData("full", 3, 2, 6),
                QueueData("slave-only", 1, 1, 6),
                QueueData("unknown", 1, 1, 6),
            ],
        )

        built = build_route("T", data)

        assert built.publish_queues == (MessageQueue("T", "full", 0), MessageQueue("T", "full", 1))
        assert [queue.broker_name for queue in built.subscribe_queues] == ["full", "full", "full", "slave-only"]

    @pytest.mark.parametrize(("perm", "publish", "subscribe"), [(2, 1, 0), (4, 0, 1), (0, 0, 0), (7, 1, 1)])
    def test_reads_the_permission_bits(self, perm: int, publish: int, subscribe: int) -> None:
        data = TopicRouteData([BrokerData("C", "b", {0: "h:1"})], [QueueData("b", 1, 1, perm)])

        built = build_route("T", data)

        assert (len(built.publish_queues), len(built.subscribe_queues)) == (publish, subscribe)

    def test_takes_four_queues_of_a_borrowed_one(self) -> None:
        data = TopicRouteData([BrokerData("C", "b", {0: "h:1"})], [QueueData("b", 8, 8, 7)])

        assert len(build_route("T", data, is_borrowed=True).publish_queues) == 4
