"""Resets of offsets: where consumers, running and offline, are sent, and when a reset is over."""

import asyncio

import pytest

from mq import dialect
from mq.broker.tests.wire import Wire, bodies, start_broker, until
from mq.client.broker_requests import read_queue_offsets
from mq.message import MessageQueue
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection
from mq.remoting.headers import PullSysFlag

TOPIC, GROUP = "order-events", "orders"


async def send_some(wire: Wire, count: int = 5) -> None:
    await wire.create_topic(TOPIC, queue_count=1)
    await wire.heartbeat(GROUP, {TOPIC: "*"})
    for number in range(count):
        await wire.send(TOPIC, b"%d" % number)


async def reset(wire: Wire, **changes: str) -> RemotingCommand:
    """To the beginning, unless told otherwise."""
    header = {"topic": TOPIC, "group": GROUP, "queueId": "-1", "offset": "-1", "timestamp": "0", "isForce": "true"}
    return await wire.call(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, header | changes)


async def committed(wire: Wire) -> str:
    header = {"consumerGroup": GROUP, "topic": TOPIC, "queueId": "0"}
    return (await wire.call(RequestCode.QUERY_CONSUMER_OFFSET, header)).ext_fields["offset"]


async def commit(wire: Wire, queue_offset: int) -> None:
    header = {"consumerGroup": GROUP, "topic": TOPIC, "queueId": "0", "commitOffset": str(queue_offset)}
    assert (await wire.call(RequestCode.UPDATE_CONSUMER_OFFSET, header)).code == 0


class TestReset:
    async def test_answers_where_each_queue_goes(self, wire: Wire):
        await send_some(wire)

        response = await reset(wire)

        assert response.body == b'{"offsetTable":{{"brokerName":"broker-a","queueId":0,"topic":"order-events"}:0}}'

    async def test_of_an_offline_group_is_its_next_offset_at_once(self, wire: Wire):
        await send_some(wire)
        await commit(wire, 5)

        await reset(wire, queueId="0", offset="2")

        assert await committed(wire) == "2"
        response = await wire.pull(TOPIC, 2)
        assert (response.code, bodies(response)) == (0, [b"2", b"3", b"4"])

    async def test_sends_the_next_pull_from_elsewhere_to_the_target(self, wire: Wire):
        await send_some(wire)

        await reset(wire)
        response = await wire.pull(TOPIC, 5)

        assert response.code == ResponseCode.PULL_OFFSET_MOVED
        assert response.ext_fields == {
            "suggestWhichBrokerId": "0",
            "nextBeginOffset": "0",
            "minOffset": "0",
            "maxOffset": "5",
        }

    async def test_wakes_a_held_pull(self, wire: Wire):
        await send_some(wire)
        held = asyncio.create_task(wire.pull(TOPIC, 5, sys_flag=PullSysFlag.SUSPEND, suspend_timeout_millis=60_000))
        await until(lambda: len(wire.broker.long_polling))
        await reset(wire, queueId="0", offset="1")
        async with asyncio.timeout(2):
            response = await held

        assert (response.code, response.ext_fields["nextBeginOffset"]) == (ResponseCode.PULL_OFFSET_MOVED, "1")

    async def test_leaves_other_groups_where_they_are(self, wire: Wire):
        await send_some(wire)
        await wire.heartbeat("stock", {TOPIC: "*"})

        await reset(wire)

        assert (await wire.pull(TOPIC, 3, group="stock")).code == 0

    async def test_by_time_goes_to_the_first_message_of_that_time(self, wire: Wire):
        await send_some(wire)
        now_ms = wire.broker.clock.now_ms()

        later = await reset(wire, timestamp=str(now_ms + 1))
        end = await reset(wire, timestamp="-1")
        exact = await reset(wire, timestamp=str(now_ms))

        queue = MessageQueue(TOPIC, "broker-a", 0)
        assert [read_queue_offsets(each.body)[queue] for each in (later, end, exact)] == [5, 5, 0]


class TestPending:
    async def test_ignores_what_members_commit_of_their_old_messages(self, wire: Wire):
        await send_some(wire)

        await reset(wire, queueId="0", offset="1")
        await commit(wire, 4)
        await wire.pull(TOPIC, 5, sys_flag=PullSysFlag.COMMIT_OFFSET, commit_offset=4)

        assert await committed(wire) == "1"

    async def test_is_over_when_a_member_pulls_from_the_target(self, wire: Wire):
        await send_some(wire)

        await reset(wire, queueId="0", offset="1")
        await wire.pull(TOPIC, 1)
        await commit(wire, 5)

        assert await committed(wire) == "5"
        assert (await wire.pull(TOPIC, 3)).code == 0

    async def test_is_told_again_on_a_new_connection_as_the_answer_may_be_lost(self, wire: Wire, new_wire):
        await send_some(wire)
        await reset(wire)

        first = await wire.pull(TOPIC, 5)
        second = await new_wire().pull(TOPIC, 5)

        assert (first.code, second.code) == (ResponseCode.PULL_OFFSET_MOVED, ResponseCode.PULL_OFFSET_MOVED)

    async def test_does_not_insist_with_a_member_that_has_a_mind_of_its_own(self, wire: Wire):
        await send_some(wire)
        await reset(wire)

        codes = [(await wire.pull(TOPIC, 4)).code for _ in range(2)]

        assert codes == [ResponseCode.PULL_OFFSET_MOVED, ResponseCode.SUCCESS]

    async def test_is_gone_with_its_topic(self, wire: Wire):
        await send_some(wire)
        await reset(wire)

        await wire.call(RequestCode.DELETE_TOPIC_IN_BROKER, {"topic": TOPIC})
        await send_some(wire, count=2)

        assert (await wire.pull(TOPIC, 1)).code == 0


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"topic": "nobody-knows"}, ResponseCode.TOPIC_NOT_EXIST),
            ({"group": "nobody-knows"}, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST),
            ({"queueId": "0", "offset": "7"}, ResponseCode.SYSTEM_ERROR),
            ({"queueId": "4"}, ResponseCode.INVALID_PARAMETER),
        ],
    )
    async def test_say_what_is_wrong(self, wire: Wire, changes, code):
        await send_some(wire)

        assert (await reset(wire, **changes)).code == code


class TestThePush:
    """`useServerSideResetOffset=false`, as before 5.0."""

    async def test_tells_every_member_where_to_go(self, tmp_path):
        got: list[RemotingCommand] = []

        def moved(connection: Connection, command: RemotingCommand) -> None:
            got.append(command)

        broker = await start_broker(tmp_path, server_side_reset=False)
        wire = Wire(broker, {RequestCode.RESET_CONSUMER_CLIENT_OFFSET: moved})
        await send_some(wire)
        await commit(wire, 3)

        forward = await reset(wire, timestamp="-1", isForce="false")
        back = await reset(wire)

        await until(lambda: len(got) == 2)
        queue = MessageQueue(TOPIC, "broker-a", 0)
        assert [read_queue_offsets(each.body)[queue] for each in (forward, back, *got)] == [3, 0, 3, 0]
        assert all(command.is_oneway for command in got)
        assert (await wire.pull(TOPIC, 3)).code == 0
        await wire.close()
        await broker.stop()

    async def test_has_a_list_for_cpp_clients(self, tmp_path):
        broker = await start_broker(tmp_path, server_side_reset=False)
        got: list[RemotingCommand] = []

        def moved(connection: Connection, command: RemotingCommand) -> None:
            got.append(command)

        wire = Wire(broker, {RequestCode.RESET_CONSUMER_CLIENT_OFFSET: moved})
        await send_some(wire)
        online = broker.consumers.group(GROUP)
        assert online is not None
        for client in online.clients.values():
            client.language = "CPP"

        await reset(wire)

        await until(lambda: got)
        listed = [{"brokerName": "broker-a", "offset": 0, "queueId": 0, "topic": TOPIC}]
        assert dialect.loads(got[0].body) == {"offsetTable": listed}
        await wire.close()
        await broker.stop()

    async def test_needs_a_member(self, tmp_path):
        broker = await start_broker(tmp_path, server_side_reset=False)
        wire = Wire(broker)
        await send_some(wire)
        await wire.call(RequestCode.UNREGISTER_CLIENT, {"clientID": "client-1", "consumerGroup": GROUP})

        assert (await reset(wire)).code == ResponseCode.CONSUMER_NOT_ONLINE
        await wire.close()
        await broker.stop()
