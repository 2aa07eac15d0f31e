"""Which queues a member of a group is to ask for, and whether by pulling or by POP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mq import dialect
from mq.broker.tests.wire import Wire, start_broker
from mq.remoting.bodies import QueryAssignmentRequestBody, SetMessageRequestModeRequestBody
from mq.remoting.codes import RequestCode, ResponseCode


@pytest.fixture
async def wire(new_wire: Callable[..., Wire]) -> Wire:
    """One of three members."""
    members = [new_wire() for _ in range(3)]
    await members[0].create_topic("order-events", 4)
    for number, member in enumerate(members, 1):
        await member.heartbeat("orders", {"order-events": "*"}, client_id=f"client-{number}")
    return members[0]


async def set_mode(wire: Wire, mode: str = "POP", shared_with: int = 0, topic: str = "order-events") -> int:
    body = SetMessageRequestModeRequestBody(topic, "orders", mode, shared_with)
    return (await wire.call(RequestCode.SET_MESSAGE_REQUEST_MODE, body=body.to_json())).code


async def assigned(wire: Wire, client_id: str = "client-1", **changes: Any) -> tuple[list[int], set[str]]:
    """Queue ids and modes. Raises: AssertionError: it was refused."""
    body = QueryAssignmentRequestBody(
        **({"topic": "order-events", "consumer_group": "orders", "client_id": client_id} | changes)
    )
    response = await wire.call(RequestCode.QUERY_ASSIGNMENT, body=body.to_json())
    assert response.code == 0, response.remark
    found = json.loads(response.body)["messageQueueAssignments"]
    assert {each["messageQueue"]["brokerName"] for each in found} <= {"broker-a"}
    return [each["messageQueue"]["queueId"] for each in found], {each["mode"] for each in found}


class TestAssignment:
    @pytest.mark.parametrize(
        ("strategy", "shares"), [("AVG", [[0, 1], [2], [3]]), ("AVG_BY_CIRCLE", [[0, 3], [1], [2]])]
    )
    async def test_by_pulling_divides_the_queues_as_clients_do(
        self, wire: Wire, strategy: str, shares: list[list[int]]
    ):
        for number, share in enumerate(shares, 1):
            assert await assigned(wire, f"client-{number}", strategy_name=strategy) == (share, {"PULL"})

    async def test_by_pop_is_any_queue(self, wire: Wire):
        assert await set_mode(wire) == 0

        assert await assigned(wire) == ([-1], {"POP"})

    async def test_by_pop_is_shared_with_the_next_members(self, wire: Wire):
        await set_mode(wire, shared_with=1)

        assert await assigned(wire, "client-3") == ([3, 0, 1], {"POP"})

    async def test_goes_back_to_pulling(self, wire: Wire):
        await set_mode(wire)
        await set_mode(wire, "PULL")

        assert await assigned(wire) == ([0, 1], {"PULL"})

    async def test_of_a_broadcast_is_every_queue(self, wire: Wire):
        assert await assigned(wire, message_model="BROADCASTING") == ([0, 1, 2, 3], {"PULL"})

    async def test_of_a_stranger_is_nothing(self, wire: Wire):
        assert await assigned(wire, "client-9") == ([], set())

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"strategy_name": "CONSISTENT_HASH"}, ResponseCode.REQUEST_CODE_NOT_SUPPORTED),
            ({"topic": "nothing"}, ResponseCode.TOPIC_NOT_EXIST),
            ({"consumer_group": "nobody"}, ResponseCode.SYSTEM_ERROR),
        ],
    )
    async def test_is_refused(self, wire: Wire, changes: dict[str, str], code: ResponseCode):
        fields = {"topic": "order-events", "consumer_group": "orders", "client_id": "client-1"} | changes
        body = QueryAssignmentRequestBody(**fields)

        assert (await wire.call(RequestCode.QUERY_ASSIGNMENT, body=body.to_json())).code == code


class TestMode:
    async def test_outlives_a_restart(self, wire: Wire, tmp_path):
        await set_mode(wire, shared_with=2)
        await wire.broker.stop()

        again = await start_broker(tmp_path / "store")
        fresh = Wire(again)
        try:
            response = await fresh.call(RequestCode.GET_ALL_MESSAGE_REQUEST_MODE)
        finally:
            await fresh.close()
            await again.stop()

        mode = {"consumerGroup": "orders", "mode": "POP", "popShareQueueNum": 2, "topic": "order-events"}
        assert dialect.loads(response.body) == {"messageRequestModeMap": {"order-events": {"orders": mode}}}

    async def test_is_refused_for_what_does_not_exist(self, wire: Wire):
        assert await set_mode(wire, topic="nothing") == ResponseCode.TOPIC_NOT_EXIST
        assert await set_mode(wire, topic="%RETRY%orders") == ResponseCode.NO_PERMISSION
        assert await set_mode(wire, mode="PUSH") == ResponseCode.INVALID_PARAMETER
