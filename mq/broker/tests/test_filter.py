"""Consuming by SQL92 expression: what a pull gives, what wakes it, and what becomes of a wrong expression."""

import asyncio
from typing import Any

import pytest

from mq import dialect
from mq.broker.subscription import from_data
from mq.broker.tests.test_long_polling import hold
from mq.broker.tests.wire import Wire, bodies, start_broker
from mq.message import properties
from mq.remoting.bodies import CheckClientRequestBody, SubscriptionData
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import QueryConsumeQueueRequestHeader
from mq.store import queue_reader

OVER_10 = "price > 10"


async def send(wire: Wire, body: bytes, **named: str) -> None:
    await wire.send("order-events", body, properties_text=properties.encode(named).decode())


async def pull(wire: Wire, expression: str | None, queue_offset: int = 0, **changes: Any) -> RemotingCommand:
    return await wire.pull("order-events", queue_offset, tags=expression, expression_type="SQL92", **changes)


async def subscribe(wire: Wire, expression: str, version: int = 1) -> None:
    await wire.heartbeat("orders", {"order-events": expression}, version=version, expression_type="SQL92")


class TestPullByExpression:
    async def test_gives_what_matches_and_goes_on_behind_the_rest(self, wire: Wire):
        for price in (5, 15, 25, 7):
            await send(wire, b"%d" % price, price=str(price))

        response = await pull(wire, OVER_10)

        assert bodies(response) == [b"15", b"25"]
        assert response.ext_fields["nextBeginOffset"] == "4"

    async def test_takes_the_expression_of_the_heartbeat_when_it_carries_none(self, wire: Wire):
        await subscribe(wire, "price > 10 AND TAGS IN ('OrderPaid')")
        await send(wire, b"cheap", price="5", TAGS="OrderPaid")
        await send(wire, b"paid", price="15", TAGS="OrderPaid")
        await send(wire, b"placed", price="15", TAGS="OrderPlaced")

        assert bodies(await pull(wire, None)) == [b"paid"]

    async def test_says_how_far_nothing_matched(self, wire: Wire):
        for _ in range(3):
            await send(wire, b"cheap", price="5")

        response = await pull(wire, OVER_10)

        assert (response.code, response.body) == (ResponseCode.PULL_RETRY_IMMEDIATELY, b"")
        assert response.ext_fields["nextBeginOffset"] == "3"

    async def test_looks_at_so_many_messages_only(self, wire: Wire):
        batch = [asyncio.create_task(send(wire, b"cheap", price="5")) for _ in range(900)]
        await asyncio.gather(*batch)

        first = int((await pull(wire, OVER_10)).ext_fields["nextBeginOffset"])
        second = await pull(wire, OVER_10, first)

        assert 0 < first <= 800
        assert first < int(second.ext_fields["nextBeginOffset"]) <= 900

    async def test_looks_for_so_long_only(self, wire: Wire, monkeypatch: pytest.MonkeyPatch):
        for _ in range(10):
            await send(wire, b"cheap", price="5")
        ticks = iter(range(100))
        monkeypatch.setattr(queue_reader, "perf_counter", lambda: next(ticks) * queue_reader._MAX_FILTERING_S / 2.5)

        response = await pull(wire, OVER_10)

        assert (response.code, response.ext_fields["nextBeginOffset"]) == (ResponseCode.PULL_RETRY_IMMEDIATELY, "3")

    async def test_counts_only_what_it_gave(self, wire: Wire):
        await send(wire, b"cheap", price="5")
        await send(wire, b"dear", price="15")

        await pull(wire, OVER_10)

        assert wire.broker.statistics.given_to["order-events", "orders"].messages == 1

    async def test_of_a_retry_topic_sees_the_properties_of_the_original(self, wire: Wire):
        retry = "%RETRY%orders"
        await wire.heartbeat("orders", {retry: "price > 10"}, expression_type="SQL92")
        text = properties.encode({"price": "15", "RETRY_TOPIC": "order-events"}).decode()
        await wire.send(retry, b"again", properties_text=text)

        assert bodies(await wire.pull(retry, tags=None)) == [b"again"]

    async def test_by_a_class_filter_gives_all(self, wire: Wire):
        await send(wire, b"any", price="5")
        data = SubscriptionData(topic="order-events", sub_string="com.example.Filter", class_filter_mode=True)

        assert from_data(data).filter.accepts(0, b"")


class TestQueueView:
    @pytest.mark.parametrize(("expression", "expected"), [(OVER_10, [False, True]), ("price >", [False, False])])
    async def test_says_which_messages_the_group_would_get(self, wire: Wire, expression, expected):
        await send(wire, b"cheap", price="5")
        await send(wire, b"dear", price="15")
        await subscribe(wire, expression)
        header = QueryConsumeQueueRequestHeader(
            topic="order-events", queue_id=0, index=0, count=9, consumer_group="orders"
        )

        body = dialect.loads((await wire.call(RequestCode.QUERY_CONSUME_QUEUE, header)).body)

        assert [entry["eval"] for entry in body["queueData"]] == expected


class TestHeldPull:
    async def test_is_woken_by_a_message_that_matches_only(self, wire: Wire, new_wire):
        await wire.create_topic("order-events")
        producer = new_wire()
        held = await hold(wire, "order-events", tags=OVER_10, expression_type="SQL92")

        await send(producer, b"cheap", price="5")
        await wire.consumer_ids("nobody")
        assert not held.done()
        await send(producer, b"dear", price="15")

        assert bodies(await held) == [b"dear"]

    async def test_goes_on_behind_what_did_not_match_when_its_time_is_up(self, wire: Wire, new_wire):
        await wire.create_topic("order-events")
        held = await hold(wire, "order-events", tags=OVER_10, expression_type="SQL92", suspend_timeout_millis=200)

        await send(new_wire(), b"cheap", price="5")

        response = await held
        assert response.code == ResponseCode.PULL_RETRY_IMMEDIATELY
        assert response.ext_fields["nextBeginOffset"] == "1"


class TestWrongExpression:
    @pytest.mark.parametrize("expression", ["price >", "", "price != 5", "a = 1 nonsense"])
    async def test_of_a_group_matches_nothing_and_says_why(self, wire: Wire, expression):
        await send(wire, b"any", price="15")
        await subscribe(wire, expression)

        response = await pull(wire, None)

        assert (response.code, response.body) == (ResponseCode.FILTER_DATA_NOT_EXIST, b"")
        assert "character" in str(response.remark)

    async def test_of_a_group_is_forgotten_with_its_next_version(self, wire: Wire):
        await send(wire, b"dear", price="15")
        await subscribe(wire, "price >")
        await subscribe(wire, OVER_10, version=2)

        assert bodies(await pull(wire, None)) == [b"dear"]

    async def test_of_a_pull_matches_nothing_and_says_why(self, wire: Wire):
        await send(wire, b"any", price="15")

        response = await pull(wire, "price != 5")

        assert (response.code, response.body) == (ResponseCode.SUBSCRIPTION_PARSE_FAILED, b"")
        assert "'unequal' is written <>" in str(response.remark)

    async def test_is_logged_once(self, wire: Wire, caplog: pytest.LogCaptureFixture):
        for version in (1, 2, 3):
            await subscribe(wire, "logged once >", version)

        assert len([record for record in caplog.records if "matches nothing" in record.message]) == 1


async def test_a_broker_that_may_not_filter_says_so(tmp_path):
    broker = await start_broker(tmp_path / "store", property_filter=False)
    wire = Wire(broker)
    await send(wire, b"any", price="15")
    await subscribe(wire, OVER_10)
    data = SubscriptionData(topic="order-events", sub_string=OVER_10, expression_type="SQL92")
    body = CheckClientRequestBody(client_id="client-1", group="orders", subscription_data=data).to_json()

    answers = [
        await pull(wire, None),
        await pull(wire, OVER_10),
        await wire.call(RequestCode.CHECK_CLIENT_CONFIG, body=body),
    ]

    assert {answer.code for answer in answers} == {ResponseCode.SYSTEM_ERROR}
    assert all("does not support consumer to filter message by SQL92" in str(answer.remark) for answer in answers)
    await wire.close()
    await broker.stop()
