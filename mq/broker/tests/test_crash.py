"""Promise B1: a broker killed with SIGKILL, again and again, while producers and consumers are at work on it.

What must hold afterwards, whatever the instant: an acknowledged message is where its acknowledgement said; an offset
that anybody has seen a body at never shows another; each queue holds each producer's messages in the order they were
sent, none twice. What was sent and not acknowledged may be there or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from mq.errors import ConnectionLost, RequestTimeout
from mq.message import record
from mq.remoting.client import RemotingClient
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection
from mq.remoting.headers import (
    CreateTopicRequestHeader,
    PullMessageRequestHeader,
    PullSysFlag,
    SendMessageRequestHeaderV2,
)
from mq.testing import BrokerProcess

TOPIC = "order-events"
QUEUE_COUNT = 4
#: Messages under way at once, at most.
IN_FLIGHT = 64
#: Small, so that the log rolls to new files and a kill meets that too.
LOG_FILE_BYTES = 1 << 20


class Place(NamedTuple):
    queue_id: int
    queue_offset: int


class Ledger:
    """Everything anybody was told, to be held against what is there."""

    def __init__(self) -> None:
        self.bodies: dict[Place, bytes] = {}
        self.acknowledged: set[Place] = set()

    def note(self, place: Place, body: bytes) -> None:
        known = self.bodies.setdefault(place, body)
        assert known == body, f"{place} held {known!r} and now {body!r}"


async def produce(
    connection: Connection,
    name: int,
    numbers: dict[int, int],
    ledger: Ledger,
    chance: random.Random,
    in_flight: int,
) -> None:
    """Send numbered messages, several in flight, until the broker is gone."""

    async def one(queue_id: int, body: bytes) -> None:
        header = SendMessageRequestHeaderV2(
            producer_group="checkout",
            topic=TOPIC,
            default_topic="TBW102",
            default_topic_queue_nums=QUEUE_COUNT,
            queue_id=queue_id,
            sys_flag=0,
            born_timestamp=0,
            flag=0,
        )
        response = await connection.invoke(RemotingCommand.request(RequestCode.SEND_MESSAGE_V2, header, body), 5.0)
        assert response.code == 0, response.remark
        place = Place(queue_id, int(response.ext_fields["queueOffset"]))
        assert place not in ledger.acknowledged, f"{place} was given away twice"
        ledger.note(place, body)
        ledger.acknowledged.add(place)

    while True:
        sends = []
        for _ in range(chance.randrange(1, in_flight + 1)):
            queue_id = chance.randrange(QUEUE_COUNT)
            numbers[queue_id] += 1
            body = b"%d:%d:" % (name, numbers[queue_id]) + b"x" * chance.randrange(2000)
            sends.append(one(queue_id, body))
        results = await asyncio.gather(*sends, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result


async def consume(connection: Connection, queue_id: int, queue_offset: int, ledger: Ledger) -> None:
    """Read a queue from `queue_offset` on and wait for more, until the broker is gone."""
    while True:
        response = await pull(connection, queue_id, queue_offset, PullSysFlag.SUSPEND)
        for message in record.iterate(response.body):
            assert message.queue_offset == queue_offset
            ledger.note(Place(queue_id, queue_offset), message.body)
            queue_offset += 1


async def pull(connection: Connection, queue_id: int, queue_offset: int, flags: int = 0) -> RemotingCommand:
    header = PullMessageRequestHeader(
        consumer_group="orders",
        topic=TOPIC,
        queue_id=queue_id,
        queue_offset=queue_offset,
        max_msg_nums=32,
        sys_flag=flags | PullSysFlag.SUBSCRIPTION,
        commit_offset=0,
        suspend_timeout_millis=5000,
        subscription="*",
        sub_version=0,
    )
    response = await connection.invoke(RemotingCommand.request(RequestCode.PULL_MESSAGE, header), 10.0)
    assert response.code in (0, ResponseCode.PULL_NOT_FOUND), (response.code, response.remark, queue_id, queue_offset)
    return response


async def load_until_killed(
    broker: BrokerProcess, ledger: Ledger, numbers: list[dict[int, int]], chance: random.Random
) -> None:
    producer_count = len(numbers)
    clients = [RemotingClient() for _ in range(producer_count + QUEUE_COUNT)]
    connections = [await client.connection(broker.broker_address) for client in clients]
    work = [
        produce(connection, name, numbers[name], ledger, chance, max(1, IN_FLIGHT // producer_count))
        for name, connection in enumerate(connections[:producer_count])
    ]
    seen: dict[int, int] = defaultdict(int)
    for place in ledger.bodies:
        seen[place.queue_id] = max(seen[place.queue_id], place.queue_offset)
    work += [
        consume(connections[producer_count + queue_id], queue_id, chance.randrange(seen[queue_id] + 1), ledger)
        for queue_id in range(QUEUE_COUNT)
    ]
    tasks = [asyncio.create_task(part) for part in work]
    await asyncio.wait(tasks, timeout=chance.uniform(0.02, 0.5))
    broker.kill()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(outcome, ConnectionLost | RequestTimeout):
            assert isinstance(outcome, BaseException)
            raise outcome
    await asyncio.gather(*(client.close() for client in clients))


async def kill_while_it_starts(broker: BrokerProcess, chance: random.Random) -> None:
    """Recovery is interrupted too, and must find its own half-done work."""
    starting = asyncio.create_task(asyncio.to_thread(broker.start))
    await asyncio.wait([starting], timeout=chance.uniform(0.1, 0.3))
    os.kill(broker.pid, signal.SIGKILL)
    with contextlib.suppress(RuntimeError):  # it never said "ready"
        await starting
        broker.kill()


async def create_topic(address: str) -> None:
    header = CreateTopicRequestHeader(
        topic=TOPIC,
        default_topic="TBW102",
        read_queue_nums=QUEUE_COUNT,
        write_queue_nums=QUEUE_COUNT,
        perm=6,
        topic_filter_type="SINGLE_TAG",
    )
    client = RemotingClient()
    response = await client.invoke(address, RemotingCommand.request(RequestCode.UPDATE_AND_CREATE_TOPIC, header))
    assert response.code == 0, response.remark
    await client.close()


async def read_all(address: str) -> dict[Place, bytes]:
    client = RemotingClient()
    connection = await client.connection(address)
    found: dict[Place, bytes] = {}
    for queue_id in range(QUEUE_COUNT):
        queue_offset = 0
        while (response := await pull(connection, queue_id, queue_offset)).code == 0:
            for message in record.iterate(response.body):
                assert message.queue_offset == queue_offset, f"queue {queue_id} has a hole at {queue_offset}"
                found[Place(queue_id, queue_offset)] = message.body
                queue_offset += 1
    await client.close()
    return found


def check_order(found: dict[Place, bytes]) -> None:
    """In each queue each producer's numbers ascend; so none is there twice either."""
    last: dict[tuple[int, bytes], int] = {}
    for place in sorted(found):
        name, number, _ = found[place].split(b":")
        key = (place.queue_id, name)
        assert int(number) > last.get(key, 0), f"{place}: {int(number)} of producer {name!r} comes after {last[key]}"
        last[key] = int(number)


@pytest.mark.parametrize(
    ("cycles", "producer_count"),
    [
        pytest.param(4, 4, id="few", marks=pytest.mark.timeout(120)),
        pytest.param(20, 64, id="many", marks=[pytest.mark.promise, pytest.mark.timeout(240)]),
        *(
            pytest.param(50, 64, id=f"night-{number}", marks=[pytest.mark.nightly, pytest.mark.timeout(600)])
            for number in range(6)
        ),
    ],
)
async def test_loses_no_acknowledged_message_and_keeps_every_queue_in_order(
    tmp_path: Path, cycles: int, producer_count: int, chance: random.Random, figure: Callable[[str], None]
):
    ledger = Ledger()
    numbers: list[dict[int, int]] = [defaultdict(int) for _ in range(producer_count)]
    broker = BrokerProcess(tmp_path / "store", mappedFileSizeCommitLog=LOG_FILE_BYTES)

    with contextlib.ExitStack() as stack:
        stack.push(broker)  # stopped whatever happens
        for cycle in range(cycles):
            if cycle % 4 == 3:
                await kill_while_it_starts(broker, chance)
            await asyncio.to_thread(broker.start)
            if cycle == 0:
                await create_topic(broker.broker_address)
            await load_until_killed(broker, ledger, numbers, chance)
        await asyncio.to_thread(broker.start)
        found = await read_all(broker.broker_address)
        assert await asyncio.to_thread(broker.stop) == 0

    for place, body in ledger.bodies.items():
        assert found.get(place) == body, f"{place} is lost or changed"
    check_order(found)
    assert len(ledger.acknowledged) > 50 * cycles
    figure(f"B1: {cycles} kills, {producer_count} producers, {len(ledger.acknowledged)} acknowledged, 0 lost")
