"""Offsets of whole groups: cloned, compared, shown as times."""

from mq import dialect
from mq.broker.tests.wire import Wire
from mq.clock import ManualClock
from mq.remoting.codes import RequestCode, ResponseCode

TOPIC = "order-events"


async def commit(wire: Wire, group: str, *offsets: int, topic: str = TOPIC) -> None:
    wire.broker.groups.find_or_create(group)
    for queue_id, queue_offset in enumerate(offsets):
        wire.broker.offsets.commit(group, topic, queue_id, queue_offset)


class TestCloning:
    async def clone(self, wire: Wire, **changes: str) -> int:
        header = {"srcGroup": "old", "destGroup": "new", "offline": "false"}
        return (await wire.call(RequestCode.CLONE_GROUP_OFFSET, header | changes)).code

    async def test_gives_a_group_the_offsets_of_another(self, wire: Wire):
        await wire.create_topic(TOPIC)
        await commit(wire, "old", 3, 4)

        assert await self.clone(wire) == 0
        assert wire.broker.offsets.queues_of("new", TOPIC) == {0: 3, 1: 4}

    async def test_may_be_of_one_topic_only(self, wire: Wire):
        for topic in (TOPIC, "stock-events"):
            await wire.create_topic(topic)
            await commit(wire, "old", 3, topic=topic)

        await self.clone(wire, topic=TOPIC)

        assert wire.broker.offsets.topics_of("new") == [TOPIC]

    async def test_leaves_out_what_the_group_consumes_no_more_unless_told_to_look_away(self, wire: Wire):
        await wire.create_topic(TOPIC)
        await commit(wire, "old", 3)
        await wire.heartbeat("old", {"stock-events": "*"})

        await self.clone(wire)
        assert wire.broker.offsets.topics_of("new") == []
        await self.clone(wire, offline="true")
        assert wire.broker.offsets.topics_of("new") == [TOPIC]

    async def test_to_a_group_that_cannot_be_is_refused(self, wire: Wire):
        assert await self.clone(wire, destGroup="a b") == ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST


class TestCorrection:
    async def test_is_the_smallest_offset_unless_the_group_is_behind_all(self, wire: Wire):
        await wire.create_topic(TOPIC)
        await commit(wire, "a", 5, 9)
        await commit(wire, "b", 7, 2)
        await commit(wire, "compared", 6, 1)
        header = {"compareGroup": "compared", "topic": TOPIC, "filterGroups": "compared,nobody"}

        response = await wire.call(RequestCode.QUERY_CORRECTION_OFFSET, header)

        assert response.body == b'{"correctionOffsets":{0:5,1:9223372036854775807}}'


class TestTimeSpan:
    async def test_tells_when_the_messages_were_stored(self, wire: Wire):
        clock = wire.broker.clock
        assert isinstance(clock, ManualClock)
        await wire.create_topic(TOPIC, queue_count=2)
        start_ms = clock.now_ms()
        for _ in range(3):
            await wire.send(TOPIC)
            clock.advance(1000)
        await commit(wire, "orders", 2)

        response = await wire.call(RequestCode.QUERY_CONSUME_TIME_SPAN, {"topic": TOPIC, "group": "orders"})

        first, empty = dialect.loads(response.body)["consumeTimeSpanSet"]
        assert first == {
            "consumeTimeStamp": start_ms + 1000,
            "delayTime": 1000,
            "maxTimeStamp": start_ms + 2000,
            "messageQueue": {"brokerName": "broker-a", "queueId": 0, "topic": TOPIC},
            "minTimeStamp": start_ms,
        }
        assert (empty["minTimeStamp"], empty["maxTimeStamp"], empty["delayTime"]) == (-1, -1, 0)

    async def test_of_an_unknown_topic_is_refused(self, wire: Wire):
        response = await wire.call(RequestCode.QUERY_CONSUME_TIME_SPAN, {"topic": TOPIC, "group": "orders"})

        assert response.code == ResponseCode.TOPIC_NOT_EXIST
