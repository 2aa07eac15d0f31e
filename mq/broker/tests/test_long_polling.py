"""Pulls that wait: woken by a message, by the end of their time, by the end of the broker or of their client."""

import asyncio

from mq.broker.tests.wire import Wire, bodies
from mq.remoting.bodies import SubscriptionGroupConfig
from mq.remoting.codes import ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import PullSysFlag


async def hold(wire: Wire, topic: str, queue_offset: int = 0, **changes) -> asyncio.Task[RemotingCommand]:
    """A pull that is held by the broker when this returns: an answered request behind it on its connection says so."""
    held = len(wire.broker.long_polling)
    task = asyncio.create_task(wire.pull(topic, queue_offset, sys_flag=PullSysFlag.SUSPEND, **changes))
    await asyncio.sleep(0)
    await wire.consumer_ids("nobody")
    assert len(wire.broker.long_polling) == held + 1
    return task


class TestLongPolling:
    async def test_answers_when_a_message_arrives(self, wire: Wire, new_wire):
        await wire.create_topic("order-events")
        pull = await hold(wire, "order-events")

        await new_wire().send("order-events", b"placed")

        assert bodies(await pull) == [b"placed"]
        assert len(wire.broker.long_polling) == 0

    async def test_waits_for_a_message_with_its_tag(self, wire: Wire, new_wire):
        await wire.create_topic("order-events")
        producer = new_wire()
        pull = await hold(wire, "order-events", tags="OrderPaid")

        await producer.send("order-events", b"placed", tag="OrderPlaced")
        await wire.consumer_ids("nobody")
        assert not pull.done()
        await producer.send("order-events", b"paid", tag="OrderPaid")

        assert bodies(await pull) == [b"paid"]

    async def test_answers_a_pull_that_cannot_be_served_when_it_is_woken(self, wire: Wire, new_wire):
        await wire.create_topic("order-events")
        pull = await hold(wire, "order-events")
        wire.broker.groups.put(SubscriptionGroupConfig(group_name="orders", consume_enable=False))

        assert (await new_wire().send("order-events")).code == 0

        assert (await pull).code == ResponseCode.NO_PERMISSION

    async def test_waits_for_its_own_queue_only(self, wire: Wire, new_wire):
        await wire.create_topic("order-events")
        pull = await hold(wire, "order-events", suspend_timeout_millis=60_000)

        await new_wire().send("order-events", queue_id=1)
        await wire.consumer_ids("nobody")

        assert not pull.done()
        pull.cancel()

    async def test_answers_nothing_found_when_its_time_is_up(self, wire: Wire):
        await wire.send("order-events")
        response = await wire.pull("order-events", 1, sys_flag=PullSysFlag.SUSPEND, suspend_timeout_millis=20)

        assert response.code == ResponseCode.PULL_NOT_FOUND
        assert response.ext_fields["nextBeginOffset"] == "1"

    async def test_tells_at_the_end_of_its_time_how_far_nothing_matched(self, wire: Wire, new_wire):
        await wire.create_topic("order-events")
        pull = await hold(wire, "order-events", tags="OrderPaid", suspend_timeout_millis=200)

        await new_wire().send("order-events", tag="OrderPlaced")

        response = await pull
        assert response.code == ResponseCode.PULL_RETRY_IMMEDIATELY
        assert response.ext_fields["nextBeginOffset"] == "1"

    async def test_uses_the_newest_subscription_when_it_runs_again(self, wire: Wire, new_wire):
        await wire.create_topic("order-events")
        await wire.heartbeat("orders", {"order-events": "OrderPlaced"})
        pull = await hold(wire, "order-events", tags=None, suspend_timeout_millis=100)

        await wire.heartbeat("orders", {"order-events": "OrderPaid"}, version=2)
        await new_wire().send("order-events", b"paid", tag="OrderPaid")

        assert bodies(await pull) == [b"paid"]

    async def test_does_not_hold_what_is_answered_otherwise(self, wire: Wire):
        await wire.send("order-events", b"a")

        found = await wire.pull("order-events", 0, sys_flag=PullSysFlag.SUSPEND)
        moved = await wire.pull("order-events", 9, sys_flag=PullSysFlag.SUSPEND)

        assert (found.code, moved.code) == (0, ResponseCode.PULL_OFFSET_MOVED)

    async def test_forgets_the_pulls_of_a_client_that_left(self, wire: Wire, new_wire):
        await wire.create_topic("order-events")
        leaving = new_wire()
        pull = await hold(leaving, "order-events", suspend_timeout_millis=60_000)

        await leaving.close()
        await asyncio.wait([pull])
        await wire.consumer_ids("nobody")

        assert len(wire.broker.long_polling) == 0
        assert pull.exception() is not None

    async def test_answers_everybody_before_the_broker_stops(self, wire: Wire):
        await wire.create_topic("order-events")
        pull = await hold(wire, "order-events", suspend_timeout_millis=60_000)

        await wire.broker.long_polling.stop()

        assert (await pull).code == ResponseCode.PULL_NOT_FOUND

    async def test_wakes_every_consumer_of_a_broadcast(self, wire: Wire, new_wire):
        await wire.create_topic("order-events")
        pulls = [await hold(new_wire(), "order-events", group=f"group-{number}") for number in range(5)]

        await wire.send("order-events", b"placed")

        assert [bodies(response) for response in await asyncio.gather(*pulls)] == [[b"placed"]] * 5
