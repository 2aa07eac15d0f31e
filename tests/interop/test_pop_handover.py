"""What is popped and not acknowledged goes with the store, from our broker to RocketMQ and back: by check points in the
revive log, on their way by the time wheel, and in `consumerOrderInfo.json`.

Two groups have popped from one queue, one of them in order. Each has acknowledged something before the store changed
hands and acknowledges more afterwards, with the receipts of the broker before. That never comes again, all else does.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mq.broker.tests.popping import PopConsumer, Popped
from mq.remoting.bodies import SubscriptionGroupConfig
from mq.remoting.client import RemotingClient
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import CreateTopicRequestHeader, SendMessageRequestHeaderV2
from tests.interop import apache
from tests.interop.bundled import bundled_broker

pytestmark = [pytest.mark.interop, pytest.mark.nightly, pytest.mark.timeout(900)]

TOPIC = "order-events"
#: Both brokers keep files of the same size, the one they have without being told.
AS_SHIPPED = {"mappedFileSizeCommitLog": str(1 << 30)}
#: One broker must stop and the other start in that time; a machine that is too busy for the first gets the second.
INVISIBLE_MS = (60_000, 240_000)


class TooSlowError(Exception):
    """What should have been invisible still was not any more."""


class Wire:
    def __init__(self, address: str) -> None:
        self._address, self._client = address, RemotingClient()

    async def call(self, code: int, header: Any = None, body: bytes = b"", timeout_s: float = 20.0) -> RemotingCommand:
        return await self._client.invoke(self._address, RemotingCommand.request(code, header, body), max(timeout_s, 20))

    async def close(self) -> None:
        await self._client.close()


class Groups:
    """Both groups, at one broker; messages are m0 to m5 in one queue."""

    def __init__(self, wire: Wire) -> None:
        self.wire, self.invisible_ms = wire, 0
        self.in_any_order = PopConsumer(wire, "shippers", TOPIC)
        self.in_order = PopConsumer(wire, "ledger", TOPIC)

    async def begin(self) -> tuple[list[Popped], list[Popped]]:
        """Pop m0 to m3 in any order and m0, m1 in order, and acknowledge m0 of either."""
        topic = CreateTopicRequestHeader(TOPIC, "TBW102", 1, 1, 6, "SINGLE_TAG")
        assert (await self.wire.call(RequestCode.UPDATE_AND_CREATE_TOPIC, topic)).code == 0
        for name in ("shippers", "ledger"):
            body = SubscriptionGroupConfig(group_name=name).to_json()
            assert (await self.wire.call(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, body=body)).code == 0
        for number in range(6):
            await self._send(f"m{number}".encode())
        loose = await self._pop(self.in_any_order, 4)
        chained = await self._pop(self.in_order, 2, order=True)
        assert [each.body for each in loose + chained] == [b"m0", b"m1", b"m2", b"m3", b"m0", b"m1"]
        for consumer, popped in ((self.in_any_order, loose), (self.in_order, chained)):
            assert (await consumer.ack(popped[0])).code == 0
        return loose, chained

    async def go_on(self, loose: list[Popped], chained: list[Popped]) -> None:
        """At the other broker, while all of that is still invisible."""
        visible_at_ms = loose[0].receipt.pop_time_ms + self.invisible_ms
        locked = await self._look(self.in_order, order=True)
        assert (await self.in_any_order.ack(loose[2])).code == 0
        assert (await self.in_order.ack(chained[1])).code == 0
        if time.time() * 1000 >= visible_at_ms:
            raise TooSlowError
        assert locked == [], "m1 locks the queue"

        assert [each.body for each in await self._pop(self.in_order, 4, order=True)] == [b"m2", b"m3", b"m4", b"m5"]
        seen: dict[bytes, int] = {}
        deadline_s = time.monotonic() + 2 * self.invisible_ms / 1000
        while len(seen) < 4 and time.monotonic() < deadline_s:
            for each in await self._look(self.in_any_order, poll_time=1000, invisible_time=10 * self.invisible_ms):
                assert each.body not in seen, "given twice"
                assert each.message.reconsume_times == 0 or time.time() * 1000 >= visible_at_ms, "too early"
                seen[each.body] = each.message.reconsume_times
        assert seen == {b"m1": 1, b"m3": 1, b"m4": 0, b"m5": 0}
        assert await self._look(self.in_any_order, poll_time=5000) == []  # what comes too often comes about now

    async def _pop(self, consumer: PopConsumer, count: int, **changes: Any) -> list[Popped]:
        """RocketMQ's queues follow its log a moment later."""
        popped: list[Popped] = []
        deadline_s = time.monotonic() + 20
        while not popped and time.monotonic() < deadline_s:
            popped = await self._look(consumer, max_msg_nums=count, poll_time=1000, **changes)
        return popped

    async def _look(self, consumer: PopConsumer, **changes: Any) -> list[Popped]:
        return await consumer.pop(**({"born_time": 0, "invisible_time": self.invisible_ms} | changes))

    async def _send(self, body: bytes) -> None:
        header = SendMessageRequestHeaderV2(
            producer_group="checkout",
            topic=TOPIC,
            default_topic="TBW102",
            default_topic_queue_nums=1,
            queue_id=0,
            sys_flag=0,
            born_timestamp=int(time.time() * 1000),
            flag=0,
        )
        assert (await self.wire.call(RequestCode.SEND_MESSAGE_V2, header, body)).code == 0


@asynccontextmanager
async def ours(folder: Path, store: Path) -> AsyncIterator[Groups]:
    with bundled_broker(folder, AS_SHIPPED, store=store) as cluster:
        wire = Wire(cluster.broker)
        yield Groups(wire)
        await wire.close()


@asynccontextmanager
async def theirs(folder: Path, store: Path) -> AsyncIterator[Groups]:
    with apache.apache_rocketmq(folder, AS_SHIPPED, store=store) as cluster:
        wire = Wire(cluster.broker)
        yield Groups(wire)
        await wire.close()


At = Callable[[Path, Path], AbstractAsyncContextManager[Groups]]


@pytest.mark.parametrize(
    ("before", "after"),
    [pytest.param(ours, theirs, id="ours to RocketMQ"), pytest.param(theirs, ours, id="RocketMQ to ours")],
)
async def test_what_is_popped_goes_with_the_store(tmp_path: Path, before: At, after: At) -> None:
    for invisible_ms in INVISIBLE_MS:
        folder = tmp_path / str(invisible_ms)
        folder.mkdir()
        with contextlib.suppress(TooSlowError):
            return await hand_over(folder, before, after, invisible_ms)
    pytest.fail(f"no broker started within {INVISIBLE_MS[-1] // 1000} s")


async def hand_over(folder: Path, before: At, after: At, invisible_ms: int) -> None:
    async with before(folder, folder / "store") as groups:
        groups.invisible_ms = invisible_ms
        loose, chained = await groups.begin()
    async with after(folder, folder / "store") as groups:
        groups.invisible_ms = invisible_ms
        await groups.go_on(loose, chained)
