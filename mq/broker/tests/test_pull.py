"""Pulling: the table of `mq.broker.pull`, the checks before it, and filters."""

import dataclasses

import pytest

from mq.broker.tests.wire import Wire, bodies, messages
from mq.remoting.bodies import SubscriptionGroupConfig
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.headers import PullSysFlag

OFFSET_FIELDS = {"suggestWhichBrokerId", "nextBeginOffset", "minOffset", "maxOffset"}


class TestPull:
    async def test_gives_messages_and_where_to_go_on(self, wire: Wire):
        for body in (b"a", b"b", b"c"):
            await wire.send("order-events", body)

        response = await wire.pull("order-events", 1)

        assert (response.code, bodies(response)) == (0, [b"b", b"c"])
        assert response.ext_fields == {
            "suggestWhichBrokerId": "0",
            "nextBeginOffset": "3",
            "minOffset": "0",
            "maxOffset": "3",
        }

    @pytest.mark.parametrize(
        ("sent", "queue_offset", "code", "next_offset"),
        [
            (3, 3, ResponseCode.PULL_NOT_FOUND, 3),
            (3, 4, ResponseCode.PULL_OFFSET_MOVED, 3),
            (3, 500, ResponseCode.PULL_OFFSET_MOVED, 3),
            (3, -1, ResponseCode.PULL_OFFSET_MOVED, 0),
            (0, 0, ResponseCode.PULL_NOT_FOUND, 0),
            (0, 5, ResponseCode.PULL_OFFSET_MOVED, 0),
        ],
    )
    async def test_says_why_there_is_nothing(self, wire: Wire, sent, queue_offset, code, next_offset):
        await wire.create_topic("order-events")
        for _ in range(sent):
            await wire.send("order-events")

        response = await wire.pull("order-events", queue_offset)

        assert (response.code, response.body) == (code, b"")
        assert response.ext_fields.keys() == OFFSET_FIELDS
        assert response.ext_fields["nextBeginOffset"] == str(next_offset)
        assert response.ext_fields["maxOffset"] == str(sent)

    async def test_gives_at_most_32_messages(self, wire: Wire):
        for number in range(40):
            await wire.send("order-events", b"%d" % number)

        response = await wire.pull("order-events", max_msg_nums=1000)

        assert len(messages(response)) == 32
        assert response.ext_fields["nextBeginOffset"] == "32"

    @pytest.mark.parametrize("asked", [0, -1, 1])
    async def test_gives_one_message_when_asked_for_none(self, wire: Wire, asked):
        for _ in range(3):
            await wire.send("order-events")

        assert len(messages(await wire.pull("order-events", max_msg_nums=asked))) == 1

    async def test_gives_at_least_one_message_however_large(self, wire: Wire):
        await wire.send("order-events", bytes(300_000))
        await wire.send("order-events", bytes(300_000))

        assert len(messages(await wire.pull("order-events", max_msg_bytes=10))) == 1

    async def test_filters_by_tag(self, wire: Wire):
        for tag in ("OrderPlaced", "OrderPaid", "OrderClosed", "标签"):
            await wire.send("order-events", tag.encode(), tag=tag)

        response = await wire.pull("order-events", tags="OrderPaid || 标签")

        assert bodies(response) == [b"OrderPaid", "标签".encode()]

    async def test_advances_past_messages_that_do_not_match(self, wire: Wire):
        for _ in range(5):
            await wire.send("order-events", tag="OrderPlaced")

        response = await wire.pull("order-events", tags="OrderPaid")

        assert (response.code, response.body) == (ResponseCode.PULL_RETRY_IMMEDIATELY, b"")
        assert response.ext_fields["nextBeginOffset"] == "5"

    async def test_commits_the_offset_that_rides_along(self, wire: Wire):
        await wire.create_topic("order-events")
        await wire.heartbeat("orders", {"order-events": "*"})

        await wire.pull("order-events", sys_flag=PullSysFlag.COMMIT_OFFSET, commit_offset=7)

        assert wire.broker.offsets.get("orders", "order-events", 0) == 7

    async def test_ignores_a_negative_offset_that_rides_along(self, wire: Wire):
        await wire.create_topic("order-events")

        await wire.pull("order-events", sys_flag=PullSysFlag.COMMIT_OFFSET, commit_offset=-1)

        assert wire.broker.offsets.get("orders", "order-events", 0) == -1

    async def test_names_the_place_of_damage_instead_of_passing_over_it(self, wire: Wire, tmp_path):
        await wire.send("order-events", b"a")
        with next((tmp_path / "store" / "commitlog").iterdir()).open("r+b") as file:
            file.write(bytes(8))

        response = await wire.pull("order-events")

        assert (response.code, response.body) == (ResponseCode.SYSTEM_ERROR, b"")
        assert "commitlog/00000000000000000000 at byte 0" in str(response.remark)

    async def test_serves_lite_pulls_too(self, wire: Wire):
        await wire.send("order-events", b"a")
        request = wire.pull_request("order-events")
        request.code = RequestCode.LITE_PULL_MESSAGE

        assert bodies(await wire.client.invoke(wire.broker.address, request)) == [b"a"]


class TestSubscriptionOfAPull:
    async def test_comes_from_the_heartbeat_when_the_pull_carries_none(self, wire: Wire):
        await wire.send("order-events", b"placed", tag="OrderPlaced")
        await wire.send("order-events", b"paid", tag="OrderPaid")
        await wire.heartbeat("orders", {"order-events": "OrderPaid"})

        assert bodies(await wire.pull("order-events", tags=None)) == [b"paid"]

    async def test_needs_a_heartbeat_first(self, wire: Wire):
        await wire.create_topic("order-events")

        assert (await wire.pull("order-events", tags=None)).code == ResponseCode.SUBSCRIPTION_NOT_EXIST

    async def test_must_name_the_topic(self, wire: Wire):
        await wire.create_topic("order-events")
        await wire.heartbeat("orders", {"stock-events": "*"})

        assert (await wire.pull("order-events", tags=None)).code == ResponseCode.SUBSCRIPTION_NOT_EXIST

    async def test_must_be_as_new_as_the_pull(self, wire: Wire):
        await wire.create_topic("order-events")
        await wire.heartbeat("orders", {"order-events": "*"}, version=5)

        older = await wire.pull("order-events", tags=None, sub_version=5)
        newer = await wire.pull("order-events", tags=None, sub_version=6)

        assert (older.code, newer.code) == (ResponseCode.PULL_NOT_FOUND, ResponseCode.SUBSCRIPTION_NOT_LATEST)

    @pytest.mark.parametrize("tags", [" || ", "A||" * 2000])
    async def test_must_have_tags_and_be_short(self, wire: Wire, tags):
        await wire.create_topic("order-events")

        assert (await wire.pull("order-events", tags=tags)).code == ResponseCode.SUBSCRIPTION_PARSE_FAILED


class TestPullRefuses:
    async def test_an_unknown_topic(self, wire: Wire):
        assert (await wire.pull("nobody-knows")).code == ResponseCode.TOPIC_NOT_EXIST

    async def test_a_queue_beyond_the_readable_ones(self, wire: Wire):
        await wire.create_topic("order-events", read_queue_nums=2, write_queue_nums=4)

        assert (await wire.pull("order-events", queue_id=2)).code == ResponseCode.INVALID_PARAMETER
        assert (await wire.pull("order-events", queue_id=-1)).code == ResponseCode.INVALID_PARAMETER

    async def test_a_topic_that_may_not_be_read(self, wire: Wire):
        await wire.create_topic("order-events", perm=2)

        assert (await wire.pull("order-events")).code == ResponseCode.NO_PERMISSION

    async def test_a_group_that_may_not_consume(self, wire: Wire):
        await wire.create_topic("order-events")
        wire.broker.groups.put(SubscriptionGroupConfig(group_name="orders", consume_enable=False))

        assert (await wire.pull("order-events")).code == ResponseCode.NO_PERMISSION

    async def test_broadcasting_where_the_group_may_not(self, wire: Wire):
        await wire.create_topic("order-events")
        wire.broker.groups.put(SubscriptionGroupConfig(group_name="orders", consume_broadcast_enable=False))
        await wire.heartbeat("orders", {"order-events": "*"}, model="BROADCASTING")

        assert (await wire.pull("order-events", tags=None)).code == ResponseCode.NO_PERMISSION

    async def test_an_unknown_group_where_groups_are_not_created(self, wire: Wire):
        await wire.create_topic("order-events")
        wire.broker.config = dataclasses.replace(wire.broker.config, auto_create_group=False)

        assert (await wire.pull("order-events")).code == ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST
        assert (await wire.pull("order-events", group="TOOLS_CONSUMER")).code == ResponseCode.PULL_NOT_FOUND

    async def test_a_group_with_an_illegal_name(self, wire: Wire):
        await wire.create_topic("order-events")

        assert (await wire.pull("order-events", group="a b")).code == ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST
