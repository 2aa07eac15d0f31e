from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from messaging import outgoing
from messaging.events import Delayed
from messaging.outgoing import Answer, StoredMessage
from messaging.tests.clockmaker import ClockOrdered, ClockWound


def answer(key: str, *order_nos: str) -> Answer:
    return Answer("orders", "clockmaker", key, tuple(StoredMessage.of(ClockWound(order_no=no)) for no in order_nos))


class TestStoredMessage:
    def test_is_sent_as_the_event_itself_would_be(self):
        event = ClockOrdered(order_no="A1", version=4)

        (stored,) = outgoing.decode(outgoing.encode([event]))

        assert stored.to_message() == event.to_message()

    def test_keeps_the_moment_it_shall_arrive(self):
        moment = datetime(2026, 11, 12, tzinfo=UTC)

        (stored,) = outgoing.decode(outgoing.encode([Delayed(ClockOrdered(order_no="A1"), moment)]))

        assert stored.to_message() == ClockOrdered(order_no="A1").to_message(deliver_at=moment)


class TestSendAll:
    async def test_sends_what_shares_a_key_one_after_the_other_and_the_rest_meanwhile(self):
        under_way: list[str] = []
        seen_together: set[str] = set()

        async def send(message):
            under_way.append(message.sharding_key)
            await asyncio.sleep(0)
            seen_together.add("".join(sorted(under_way)))
            under_way.remove(message.sharding_key)

        sent, failure = await outgoing.send_all([answer("1", "A", "B"), answer("2", "A")], send)

        assert seen_together <= {"AB", "A", "B"}
        assert "AB" in seen_together
        assert ([one.key for one in sent], failure) == (["1", "2"], None)

    async def test_after_a_failure_sends_nothing_more_of_that_key_and_says_what_is_complete(self):
        attempted: list[str] = []

        async def send(message):
            attempted.append(message.sharding_key)
            if message.sharding_key == "A":
                raise ConnectionError("broker gone")

        sent, failure = await outgoing.send_all([answer("1", "A"), answer("2", "B"), answer("3", "A", "B")], send)

        assert sorted(attempted) == ["A", "B", "B"]
        assert [one.key for one in sent] == ["2"]
        assert isinstance(failure, ConnectionError)
