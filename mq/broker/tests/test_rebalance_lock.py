import asyncio

from mq.broker.tests.wire import Wire
from mq.message import MessageQueue
from mq.remoting.bodies import LockBatchRequestBody, LockBatchResponseBody, UnlockBatchRequestBody
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.headers import LockBatchRequestHeader

QUEUE = MessageQueue("order-events", "broker-a", 0)


class TestLock:
    async def test_is_held_against_other_clients_whatever_the_connection(self, wire: Wire, new_wire):
        await wire.create_topic("order-events")

        assert await wire.lock("orders", QUEUE, client_id="client-1")
        assert await new_wire().lock("orders", QUEUE, client_id="client-1")
        assert not await wire.lock("orders", QUEUE, client_id="client-2")

    async def test_answers_with_the_queues_locked_of_those_asked_for(self, wire: Wire):
        await wire.create_topic("order-events", queue_count=2)
        await wire.lock("orders", QUEUE, client_id="client-2")
        asked = [MessageQueue("order-events", "broker-a", queue_id) for queue_id in range(3)]
        body = LockBatchRequestBody(client_id="client-1", consumer_group="orders", mq_set=asked)

        response = await wire.call(RequestCode.LOCK_BATCH_MQ, body=body.to_json())

        # Queue 0 is another client's, queue 2 does not exist.
        assert LockBatchResponseBody.from_json(response.body).lock_ok_mq_set == [asked[1]]

    async def test_is_refused_to_a_group_with_an_illegal_name(self, wire: Wire):
        await wire.create_topic("order-events")
        body = LockBatchRequestBody(client_id="client-1", consumer_group="a b", mq_set=[QUEUE])

        response = await wire.call(RequestCode.LOCK_BATCH_MQ, body=body.to_json())

        assert response.code == ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST

    async def test_is_given_back_by_an_unlock(self, wire: Wire):
        await wire.create_topic("order-events")
        await wire.lock("orders", QUEUE, client_id="client-1")
        body = UnlockBatchRequestBody(client_id="client-1", consumer_group="orders", mq_set=[QUEUE])

        await wire.call(RequestCode.UNLOCK_BATCH_MQ, body=body.to_json())

        assert await wire.lock("orders", QUEUE, client_id="client-2")

    async def test_outlives_the_connection_unless_the_client_said_otherwise(self, wire: Wire, new_wire):
        await wire.create_topic("order-events", queue_count=2)
        java, ours = QUEUE, MessageQueue("order-events", "broker-a", 1)
        dying = new_wire()
        await dying.lock("orders", java, client_id="java")
        body = LockBatchRequestBody(client_id="ours", consumer_group="orders", mq_set=[ours])
        await dying.call(
            RequestCode.LOCK_BATCH_MQ, LockBatchRequestHeader(lock_ends_with_connection=True), body.to_json()
        )

        (await dying.connection()).close()

        async with asyncio.timeout(5):
            while not await wire.lock("orders", ours, client_id="another"):
                pass
        assert not await wire.lock("orders", java, client_id="another")
