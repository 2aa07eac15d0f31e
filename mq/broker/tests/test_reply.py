"""Replies: pushed to the client that waits, stored for whoever looks, and honest when nobody took them."""

from typing import Any

import pytest

from mq.broker.reply import PUSH_REPLY_TIME
from mq.broker.tests.wire import Wire, bodies, until
from mq.message import properties
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection
from mq.remoting.headers import ReplyMessageRequestHeader, SendMessageRequestHeader

REPLY_TOPIC = "DefaultCluster_REPLY_TOPIC"


class Requester:
    def __init__(self) -> None:
        self.got: list[RemotingCommand] = []
        self.code = 0

    def __call__(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        self.got.append(command)
        return command.respond(self.code)


@pytest.fixture
async def requester(new_wire) -> Requester:
    """A client that produces as `checkout` and takes replies."""
    waiting = Requester()
    wire = new_wire({RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT: waiting})
    await wire.heartbeat("any", producer_group="checkout", client_id="requester-1")
    return waiting


async def reply(wire: Wire, body: bytes = b"the answer", **more: str) -> RemotingCommand:
    asked = {"REPLY_TO_CLIENT": "requester-1", "CORRELATION_ID": "c-1", "MSG_TYPE": "reply", "UNIQ_KEY": "U1"} | more
    text = properties.encode({name: value for name, value in asked.items() if value}).decode()
    request = wire.send_request(REPLY_TOPIC, body, code=RequestCode.SEND_REPLY_MESSAGE_V2, properties_text=text)
    return await wire.client.invoke(wire.broker.address, request)


class TestReply:
    async def test_is_handed_to_the_client_that_waits(self, wire: Wire, requester: Requester):
        response = await reply(wire)

        assert (response.code, response.remark) == (0, None)
        (got,) = requester.got
        header = got.header(ReplyMessageRequestHeader)
        said = properties.decode((header.properties or "").encode())
        assert (got.body, said["CORRELATION_ID"], header.topic) == (b"the answer", "c-1", REPLY_TOPIC)
        assert said[PUSH_REPLY_TIME] == str(wire.broker.clock.now_ms())
        assert header.born_host == str((await wire.connection()).local)
        assert not got.is_oneway

    async def test_is_stored_as_well(self, wire: Wire, requester: Requester):
        response = await reply(wire)

        assert {"msgId", "queueId", "queueOffset", "MSG_REGION", "TRACE_ON"} <= response.ext_fields.keys()
        assert bodies(await wire.pull(REPLY_TOPIC)) == [b"the answer"]

    async def test_may_come_under_the_names_of_v1(self, wire: Wire, requester: Requester):
        header = SendMessageRequestHeader(
            producer_group="p",
            topic=REPLY_TOPIC,
            default_topic="TBW102",
            default_topic_queue_nums=4,
            queue_id=0,
            sys_flag=0,
            born_timestamp=1,
            flag=0,
            properties="REPLY_TO_CLIENT\x01requester-1\x02",
        )

        response = await wire.call(RequestCode.SEND_REPLY_MESSAGE, header, b"v1")

        assert (response.code, requester.got[0].body) == (0, b"v1")

    @pytest.mark.parametrize(
        ("more", "remark"),
        [
            ({"REPLY_TO_CLIENT": "gone"}, "push reply message fail, channel of <gone> not found."),
            ({"REPLY_TO_CLIENT": ""}, "reply message properties[REPLY_TO_CLIENT] is null"),
        ],
    )
    async def test_that_nobody_waits_for_is_stored_and_answered_1(
        self, wire: Wire, requester: Requester, more: dict[str, Any], remark: str
    ):
        response = await reply(wire, **more)

        assert (response.code, response.remark) == (ResponseCode.SYSTEM_ERROR, remark)
        assert "queueOffset" in response.ext_fields
        assert len(bodies(await wire.pull(REPLY_TOPIC))) == 1

    async def test_that_is_not_taken_is_answered_1(self, wire: Wire, requester: Requester):
        requester.code = 1

        response = await reply(wire)

        assert (response.code, response.remark) == (1, "push reply message to requester-1 fail.")

    async def test_to_a_client_that_has_gone_finds_nobody(self, wire: Wire, new_wire):
        gone = new_wire()
        await gone.heartbeat("any", producer_group="checkout", client_id="requester-1")
        await gone.close()
        await until(lambda: not wire.broker.producers.clients("checkout"))

        assert "not found" in ((await reply(wire)).remark or "")

    async def test_cannot_become_a_half_message(self, wire: Wire, requester: Requester):
        request = wire.send_request(
            REPLY_TOPIC, code=RequestCode.SEND_REPLY_MESSAGE_V2, sys_flag=4,
            properties_text="REPLY_TO_CLIENT\x01requester-1\x02TRAN_MSG\x01true\x02",
        )  # fmt: skip

        await wire.client.invoke(wire.broker.address, request)

        assert len(bodies(await wire.pull(REPLY_TOPIC))) == 1
