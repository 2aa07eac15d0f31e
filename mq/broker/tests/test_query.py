"""Finding messages: by id, by key, by unique id."""

import msgspec
import pytest

from mq.broker.tests.wire import UNIQUE_ID, Wire, bodies, messages
from mq.message import ids, properties
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import QueryMessageRequestHeader

FOREVER = 2**63 - 1


async def query(wire: Wire, key: str, max_num: int = 10, **changes) -> RemotingCommand:
    header = QueryMessageRequestHeader(
        topic="order-events", key=key, max_num=max_num, begin_timestamp=0, end_timestamp=FOREVER
    )
    return await wire.call(RequestCode.QUERY_MESSAGE, msgspec.structs.replace(header, **changes))


def with_keys(keys: str, unique_id: str = UNIQUE_ID) -> str:
    return properties.encode({"KEYS": keys, "UNIQ_KEY": unique_id}).decode()


class TestViewMessage:
    async def test_gives_the_record_that_the_id_names(self, wire: Wire):
        response = await wire.send("order-events", b"paid")
        place = ids.parse_offset_message_id(response.ext_fields["msgId"])

        found = await wire.call(RequestCode.VIEW_MESSAGE_BY_ID, {"offset": str(place.commit_log_offset)})

        [message] = messages(found)
        assert (message.body, message.message_id) == (b"paid", UNIQUE_ID)

    @pytest.mark.parametrize("commit_log_offset", [-1, 1, 10**6, 2**62])
    async def test_finds_nothing_between_records(self, wire: Wire, commit_log_offset):
        await wire.send("order-events", b"paid")

        response = await wire.call(RequestCode.VIEW_MESSAGE_BY_ID, {"offset": str(commit_log_offset)})

        assert (response.code, response.body) == (ResponseCode.SYSTEM_ERROR, b"")


class TestQueryMessage:
    async def test_finds_by_every_word_of_the_keys(self, wire: Wire):
        await wire.send("order-events", b"first", properties_text=with_keys("SO-1 BUYER-7"))
        await wire.send("order-events", b"second", properties_text=with_keys("SO-2 BUYER-7"))

        assert bodies(await query(wire, "SO-1")) == [b"first"]
        assert sorted(bodies(await query(wire, "BUYER-7"))) == [b"first", b"second"]

    async def test_finds_by_unique_id(self, wire: Wire):
        await wire.send("order-events", b"first")

        response = await query(wire, UNIQUE_ID, max_num=0, unique_key_query=True)

        assert bodies(response) == [b"first"]
        assert response.ext_fields.keys() == {"indexLastUpdateTimestamp", "indexLastUpdatePhyoffset"}

    async def test_looks_in_one_topic_only(self, wire: Wire):
        await wire.send("stock-events", properties_text=with_keys("SO-1"))

        assert (await query(wire, "SO-1")).code == ResponseCode.QUERY_NOT_FOUND

    async def test_looks_in_the_time_asked_for_only(self, wire: Wire):
        await wire.send("order-events", properties_text=with_keys("SO-1"))
        stored_ms = wire.broker.clock.now_ms()

        later = await query(wire, "SO-1", begin_timestamp=stored_ms + 1)
        meanwhile = await query(wire, "SO-1", begin_timestamp=stored_ms, end_timestamp=stored_ms)

        assert later.code == ResponseCode.QUERY_NOT_FOUND
        assert meanwhile.code == 0

    async def test_gives_no_more_than_asked_for(self, wire: Wire):
        for _ in range(5):
            await wire.send("order-events", properties_text=with_keys("SO-1"))

        assert len(messages(await query(wire, "SO-1", max_num=3))) == 3

    async def test_gives_no_more_than_a_frame_can_carry(self, wire: Wire):
        """Guard: `MAX_BYTES`. Six such messages would be no frame, and one that is too large ends the connection."""
        for _ in range(4):
            await wire.send("order-events", bytes(3 << 20), properties_text=with_keys("SO-1"))

        assert len(messages(await query(wire, "SO-1"))) == 2

    async def test_says_what_it_did_not_find(self, wire: Wire):
        response = await query(wire, "SO-404")

        assert response.code == ResponseCode.QUERY_NOT_FOUND
        assert "SO-404" in str(response.remark)
