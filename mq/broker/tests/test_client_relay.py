"""Questions to consumers by way of the broker: what they get to see, and what is said when they do not answer."""

import asyncio

import pytest

from mq import dialect
from mq.broker.client_relay import ClientRelayProcessor
from mq.broker.tests.wire import Wire, start_broker
from mq.message import record
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection

GROUP = "orders"


class Consumer:
    """What a client of the group was asked, and what it answers."""

    def __init__(self) -> None:
        self.asked: list[RemotingCommand] = []
        self.body = b'{"answer":42}'

    def __call__(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        self.asked.append(command)
        return command.respond(body=self.body)


@pytest.fixture
async def consumer(new_wire) -> Consumer:
    answers = Consumer()
    wire = new_wire(
        {
            RequestCode.GET_CONSUMER_RUNNING_INFO: answers,
            RequestCode.CONSUME_MESSAGE_DIRECTLY: answers,
            RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT: answers,
        }
    )
    await wire.heartbeat(GROUP, {"order-events": "*"}, client_id="client-1")
    return answers


class TestRunningInfo:
    async def test_is_what_the_client_says(self, wire: Wire, consumer: Consumer):
        header = {"consumerGroup": GROUP, "clientId": "client-1", "jstackEnable": "true", "AccessKey": "admin"}

        response = await wire.call(RequestCode.GET_CONSUMER_RUNNING_INFO, header)

        assert (response.code, response.body) == (0, b'{"answer":42}')
        (asked,) = consumer.asked
        assert asked.ext_fields == {"consumerGroup": GROUP, "clientId": "client-1", "jstackEnable": "true"}

    @pytest.mark.parametrize(
        "header", [{"consumerGroup": GROUP, "clientId": "x"}, {"consumerGroup": "x", "clientId": "x"}]
    )
    async def test_of_a_client_that_is_not_there_is_refused(self, wire: Wire, consumer: Consumer, header):
        response = await wire.call(RequestCode.GET_CONSUMER_RUNNING_INFO, header)

        assert (response.code, consumer.asked) == (ResponseCode.SYSTEM_ERROR, [])
        assert "not online" in (response.remark or "")

    async def test_of_a_client_too_old_to_know_the_question_is_refused(self, wire: Wire, consumer: Consumer):
        online = wire.broker.consumers.group(GROUP)
        assert online is not None
        (client,) = online.clients.values()
        client.version = 61

        response = await wire.call(
            RequestCode.GET_CONSUMER_RUNNING_INFO, {"consumerGroup": GROUP, "clientId": "client-1"}
        )

        assert (response.code, consumer.asked) == (ResponseCode.SYSTEM_ERROR, [])


class TestConsumeDirectly:
    async def test_takes_the_stored_message_along(self, wire: Wire, consumer: Consumer):
        sent = await wire.send("order-events", b"by hand")
        header = {"consumerGroup": GROUP, "clientId": "client-1", "msgId": sent.ext_fields["msgId"]}

        response = await wire.call(RequestCode.CONSUME_MESSAGE_DIRECTLY, header | {"topic": "order-events"})

        assert response.body == b'{"answer":42}'
        (asked,) = consumer.asked
        assert record.decode(asked.body).body == b"by hand"
        assert asked.ext_fields["brokerName"] == "broker-a"
        assert (asked.ext_fields["topicSysFlag"], asked.ext_fields["groupSysFlag"]) == ("0", "0")

    @pytest.mark.parametrize("message_id", ["", "nonsense", "7F00000100002A9F00000000000004D2"])
    async def test_needs_a_message(self, wire: Wire, consumer: Consumer, message_id):
        header = {"consumerGroup": GROUP, "clientId": "client-1", "msgId": message_id}

        response = await wire.call(RequestCode.CONSUME_MESSAGE_DIRECTLY, header)

        assert (response.code, consumer.asked) == (ResponseCode.SYSTEM_ERROR, [])


class TestASilentClient:
    async def test_is_reported_as_207(self, tmp_path):
        async def never(connection: Connection, command: RemotingCommand) -> None:
            await asyncio.Event().wait()

        broker = await start_broker(tmp_path)
        wire = Wire(broker, {RequestCode.GET_CONSUMER_RUNNING_INFO: never})
        await wire.heartbeat(GROUP, {"order-events": "*"})
        relay = ClientRelayProcessor(broker, timeout_s=0.01)
        broker.listener.server._handlers = {**broker.listener.server._handlers, **relay.handlers()}
        asking = Wire(broker)

        response = await asking.call(
            RequestCode.GET_CONSUMER_RUNNING_INFO, {"consumerGroup": GROUP, "clientId": "client-1"}
        )

        assert response.code == ResponseCode.CONSUME_MSG_TIMEOUT
        await asking.close()
        await wire.close()
        await broker.stop()


class TestConsumerStatus:
    async def test_collects_what_each_client_says(self, wire: Wire, consumer: Consumer, new_wire):
        await new_wire().heartbeat(GROUP, {"order-events": "*"}, client_id="knows-not-how")
        queue = b'{"brokerName":"broker-a","queueId":0,"topic":"order-events"}'
        consumer.body = b'{"consumerTable":{},"messageQueueTable":{' + queue + b":3}}"

        response = await wire.call(
            RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, {"topic": "order-events", "group": GROUP}
        )

        assert response.body == b'{"consumerTable":{"client-1":{' + queue + b':3}},"messageQueueTable":{}}'
        assert consumer.asked[0].ext_fields == {"topic": "order-events", "group": GROUP}

    async def test_asks_one_client_only_when_it_is_named(self, wire: Wire, consumer: Consumer):
        header = {"topic": "order-events", "group": GROUP}

        other = await wire.call(
            RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, header | {"clientAddr": "somebody-else"}
        )
        nobody = await wire.call(RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, header | {"group": "nobody"})

        assert (other.code, nobody.code, consumer.asked) == (1, 1, [])

    async def test_leaves_out_what_is_no_answer(self, wire: Wire, consumer: Consumer):
        consumer.body = b'{"messageQueueTable":[1]}'

        response = await wire.call(
            RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, {"topic": "order-events", "group": GROUP}
        )

        assert dialect.loads(response.body)["consumerTable"] == {}
