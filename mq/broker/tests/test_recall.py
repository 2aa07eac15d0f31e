"""Taking timers back by their handles."""

from collections.abc import AsyncIterator

import pytest

from mq.broker import recall
from mq.broker.tests.quiet import START_MS, QuietBroker
from mq.broker.tests.test_timer import delivered_after, service_of
from mq.broker.tests.wire import Wire, start_broker
from mq.broker.timer import TimerService
from mq.errors import ResponseError
from mq.message import properties
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand


@pytest.fixture
async def wire(tmp_path) -> AsyncIterator[Wire]:
    broker = await start_broker(tmp_path, recall_enable=True)
    wire = Wire(broker)
    yield wire
    await wire.close()
    await broker.stop()


async def send_timer(wire: Wire, ms: int, unique_id: str = "U1") -> RemotingCommand:
    text = properties.encode({"UNIQ_KEY": unique_id, "TIMER_DELIVER_MS": str(START_MS + ms)}).decode()
    return await wire.send("order-events", properties_text=text)


async def take_back(wire: Wire, handle: str, topic: str = "order-events") -> RemotingCommand:
    return await wire.call(RequestCode.RECALL_MESSAGE, {"topic": topic, "recallHandle": handle, "producerGroup": "p"})


class TestHandle:
    def test_is_what_rocketmq_makes(self):
        handle = recall.Handle("T", "b-a", 1_700_000_000_000, "ID1")

        assert handle.encode() == "djEgVCBiLWEgMTcwMDAwMDAwMDAwMCBJRDE="
        assert recall.decode(handle.encode()) == handle

    @pytest.mark.parametrize("text", ["", "???", "djI=", "djEgVCBiLWEgeCBJRDE=", "é", "A" * 5000])
    def test_that_is_none_is_refused(self, text):
        with pytest.raises(ResponseError) as refusal:
            recall.decode(text)
        assert refusal.value.code == ResponseCode.ILLEGAL_OPERATION

    async def test_comes_with_the_answer_to_a_timer_only(self, wire: Wire):
        timed, plain = await send_timer(wire, 5000), await wire.send("order-events")

        assert recall.decode(timed.ext_fields["recallHandle"]).unique_id == "U1"
        assert "recallHandle" not in plain.ext_fields


class TestRecall:
    async def test_takes_that_message_back_and_no_other(self, wire: Wire, tmp_path):
        await wire.broker.timers.stop()
        handles = [(await send_timer(wire, 5000, key)).ext_fields["recallHandle"] for key in ("U1", "U2")]

        response = await take_back(wire, handles[0])

        assert (response.code, response.ext_fields) == (0, {"msgId": "U1"})
        timers = TimerService(wire.broker)
        await timers.open()
        await timers.round()
        wire.broker.clock.advance(6000)  # type: ignore[attr-defined]
        while await timers.round() == 0.0:
            pass
        found = await wire.pull("order-events", sys_flag=0)
        assert [b"U2" in found.body, b"U1" in found.body] == [True, False]
        await timers.close()

    async def test_is_off_unless_configured(self, tmp_path):
        broker = await start_broker(tmp_path / "other")
        wire = Wire(broker)
        handle = (await send_timer(wire, 5000)).ext_fields["recallHandle"]

        assert (await take_back(wire, handle)).code == ResponseCode.NO_PERMISSION
        await wire.close()
        await broker.stop()

    @pytest.mark.parametrize(
        ("handle", "topic", "code"),
        [
            ("nonsense", "order-events", ResponseCode.ILLEGAL_OPERATION),
            (recall.Handle("order-events", "broker-b", START_MS + 5000, "U").encode(), "order-events", 604),
            (recall.Handle("order-events", "broker-a", START_MS, "U").encode(), "order-events", 604),
            (recall.Handle("order-events", "broker-a", START_MS + 10**9, "U").encode(), "order-events", 604),
            (recall.Handle("other", "broker-a", START_MS + 5000, "U").encode(), "order-events", 604),
            (recall.Handle("other", "broker-a", START_MS + 5000, "U").encode(), "other", ResponseCode.TOPIC_NOT_EXIST),
        ],
        ids=["malformed", "other broker", "past", "too far", "other topic", "no topic"],
    )
    async def test_refuses_what_is_no_waiting_timer_of_ours(self, wire: Wire, handle, topic, code):
        await wire.create_topic("order-events")

        assert (await take_back(wire, handle, topic)).code == code


class TestCountsOfTimers:
    async def test_are_by_topic_without_those_taken_back(self, tmp_path):
        quiet = QuietBroker(tmp_path)
        service = await service_of(quiet)
        for seconds in (5, 5, 9, 90_000):
            await quiet.send(TIMER_DELIVER_MS=str(START_MS + seconds * 1000), UNIQ_KEY=f"U{seconds}")
        await quiet.send(TIMER_DELIVER_MS=str(START_MS + 9000), TIMER_DEL_UNIQKEY="order-events+U9")
        await delivered_after(quiet, service, 0)

        counts = await service.waiting_by_topic_hash()

        assert counts == {properties.java_hash("order-events"): 3}
        await delivered_after(quiet, service, 6000)
        assert await service.waiting_by_topic_hash() == {properties.java_hash("order-events"): 1}
        await service.close()
        await quiet.close()
