"""Promise B17: a broker killed with SIGKILL, again and again, while messages are popped and acknowledged.

Two groups consume the same topic, one in any order and one in order. What must hold, whatever the instant: what was
acknowledged in time is never given again; what was not comes again, until it is; of an order nothing is passed over,
and what is locked is not given to a second member before its invisible time is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mq.broker.tests.popping import PopConsumer, Popped
from mq.errors import ConnectionLost, RequestTimeout
from mq.remoting.client import RemotingClient
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import CreateTopicRequestHeader, SendMessageRequestHeaderV2
from mq.testing import BrokerProcess

TOPIC = "order-events"
QUEUE_COUNT = 4
MEMBERS = 3
INVISIBLE_MS = 2000
KILLS = 6
#: Nothing for so long, and nothing is left: longer than anything is invisible.
QUIET_S = INVISIBLE_MS / 1000 + 1.5


class Wire:
    """A connection to a broker that may die."""

    def __init__(self, address: str) -> None:
        self._address, self._client = address, RemotingClient()

    async def call(self, code: int, header: Any = None, body: bytes = b"", timeout_s: float = 5.0) -> RemotingCommand:
        return await self._client.invoke(self._address, RemotingCommand.request(code, header, body), timeout_s)

    async def close(self) -> None:
        await self._client.close()


@dataclass
class Group:
    """What one group was given and has acknowledged, to be held against what it is given next."""

    name: str
    is_ordered: bool
    #: Bodies whose acknowledgement was sent, and those where it was answered in time.
    asked: set[bytes] = field(default_factory=set)
    done: set[bytes] = field(default_factory=set)
    given: int = 0
    given_again: int = 0
    #: In order, by queue and offset: when it was given last, by the broker's clock.
    pop_times: dict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    #: In order, by queue: offsets for which an acknowledgement was sent, answered or not.
    sent: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))

    def note(self, popped: Popped, done_before: set[bytes]) -> None:
        assert popped.body not in done_before, f"{popped.body!r} was acknowledged and comes again to {self.name}"
        self.given += 1
        queue_offset = popped.receipt.queue_offset
        if not self.is_ordered:
            self.given_again += popped.message.reconsume_times > 0
            return
        sent, times = self.sent[popped.receipt.queue_id], self.pop_times[popped.receipt.queue_id]
        before_ms = times.get(queue_offset)
        if before_ms is not None:
            self.given_again += 1
            assert popped.receipt.pop_time_ms >= before_ms + INVISIBLE_MS, f"{popped.receipt} was locked"
        times[queue_offset] = popped.receipt.pop_time_ms
        open_before = [offset for offset in range(queue_offset) if offset not in sent and offset not in times]
        assert not open_before, f"{popped.receipt} comes before {open_before}"


async def consume(wire: Wire, group: Group, chance: random.Random, *, ack_share: float) -> None:
    """Pop and acknowledge until the broker is gone, or nothing has come for a while."""
    consumer = PopConsumer(wire, group.name, TOPIC)
    quiet_since_s = time.monotonic()
    while time.monotonic() - quiet_since_s < QUIET_S:
        done_before, asked_s = set(group.done), time.monotonic()
        popped = await consumer.pop(
            invisible_time=INVISIBLE_MS, poll_time=300, max_msg_nums=8, order=group.is_ordered or None
        )
        for each in popped:
            group.note(each, done_before)
            quiet_since_s = time.monotonic()
        for each in popped:
            if chance.random() >= ack_share:
                if group.is_ordered:
                    break  # what follows it would be given again with it
                continue
            group.sent[each.receipt.queue_id].add(each.receipt.queue_offset)
            group.asked.add(each.body)
            response = await consumer.ack(each)
            assert response.code == 0, response.remark
            if time.monotonic() < asked_s + INVISIBLE_MS / 1000:  # later it may have come again before
                group.done.add(each.body)


async def produce(wire: Wire, name: str, stored: set[bytes]) -> None:
    async def send(number: int) -> None:
        header = SendMessageRequestHeaderV2(
            producer_group="checkout",
            topic=TOPIC,
            default_topic="TBW102",
            default_topic_queue_nums=QUEUE_COUNT,
            queue_id=number % QUEUE_COUNT,
            sys_flag=0,
            born_timestamp=0,
            flag=0,
        )
        body = f"{name}:{number}".encode()
        response = await wire.call(RequestCode.SEND_MESSAGE_V2, header, body)
        assert response.code == 0, response.remark
        stored.add(body)

    for first in itertools.count(step=QUEUE_COUNT):
        await asyncio.gather(*(send(number) for number in range(first, first + QUEUE_COUNT)))


async def run_until_killed(broker: BrokerProcess, work: list[asyncio.Task[None]], chance: random.Random) -> None:
    await asyncio.wait(work, timeout=chance.uniform(0.1, 1.0), return_when=asyncio.FIRST_EXCEPTION)
    broker.kill()
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if outcome is not None and not isinstance(outcome, ConnectionLost | RequestTimeout):
            raise outcome


@pytest.mark.promise
@pytest.mark.timeout(180)
async def test_nothing_acknowledged_comes_back_and_everything_else_comes_again(
    tmp_path: Path, chance: random.Random, figure: Callable[[str], None]
):
    """Guarded by `PopAckProcessor._answer_later`, and in order by `ConsumerOrderInfo._log`."""
    groups = [Group("shippers", is_ordered=False), Group("ledger", is_ordered=True)]
    stored: set[bytes] = set()
    broker = BrokerProcess(tmp_path / "store", mappedFileSizeCommitLog=4 << 20)

    with contextlib.ExitStack() as stack:
        stack.push(broker)  # stopped whatever happens
        for cycle in range(KILLS + 1):
            await asyncio.to_thread(broker.start)
            wires = [Wire(broker.broker_address) for _ in range(1 + MEMBERS * len(groups))]
            if cycle == 0:
                topic = CreateTopicRequestHeader(TOPIC, "TBW102", QUEUE_COUNT, QUEUE_COUNT, 6, "SINGLE_TAG")
                assert (await wires[0].call(RequestCode.UPDATE_AND_CREATE_TOPIC, topic)).code == 0
            is_last = cycle == KILLS
            members = zip(wires[1:], groups * MEMBERS, strict=True)
            share = 1.0 if is_last else 0.7
            work = [asyncio.create_task(consume(wire, group, chance, ack_share=share)) for wire, group in members]
            if is_last:
                await asyncio.gather(*work)
            else:
                work.append(asyncio.create_task(produce(wires[0], str(cycle), stored)))
                await run_until_killed(broker, work, chance)
            await asyncio.gather(*(wire.close() for wire in wires))
        assert await asyncio.to_thread(broker.stop) == 0

    for group in groups:
        lost = stored - group.asked
        assert not lost, f"{group.name} never got {sorted(lost)}"
        assert group.given_again > 0
    again = sum(group.given_again for group in groups)
    figure(
        f"B17: {KILLS} kills, {len(stored)} messages to 2 groups by POP, {again} given again, 0 lost, 0 after their end"
    )
