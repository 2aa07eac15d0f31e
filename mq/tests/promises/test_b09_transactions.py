"""Promise B9: whenever a producer dies around its local commit, every half message ends as its database says."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mq.broker.transaction_check import MAX_CHECKED_TOPIC
from mq.client import ConsumeFromWhere, Producer, PushConsumer, TransactionProducer, TransactionState
from mq.client.tests.conftest import FAST, Inbox
from mq.message import Message, ReceivedMessage
from mq.standalone import Standalone
from mq.testing import standalone

pytestmark = [pytest.mark.promise, pytest.mark.timeout(150)]

KILLS = 50
TOPIC, GROUP = "order-events", "checkout"
AT_ONCE = 4


def orders(path: Path) -> set[str]:
    with sqlite3.connect(path) as database:
        return {name for (name,) in database.execute("SELECT name FROM orders")}


def check_in(path: Path, *, absent: TransactionState) -> Callable[[ReceivedMessage], TransactionState]:
    """Committed when the order is there. One that is absent may yet come, but not once all producers are dead."""

    def check(message: ReceivedMessage) -> TransactionState:
        return TransactionState.COMMIT if message.body.decode() in orders(path) else absent

    return check


async def place_orders(namesrv: str, path: Path, name: str) -> None:
    """What the process does that is killed: half message, local commit, end; one line per step."""
    database = sqlite3.connect(path, timeout=30)

    def step(text: str) -> None:
        os.write(1, f"{text}\n".encode())

    async def place(message: Message) -> TransactionState:
        order = message.body.decode()
        step(f"half {order}")
        with database:
            database.execute("INSERT INTO orders VALUES (?)", (order,))
        step(f"local {order}")
        # Now and then it does not know, and the broker asks.
        return TransactionState.UNKNOWN if order.endswith("3") else TransactionState.COMMIT

    check = check_in(path, absent=TransactionState.UNKNOWN)
    async with TransactionProducer(GROUP, namesrv=namesrv, settings=FAST, check=check) as producer:
        for number in range(1_000_000):
            order = f"{name}-{number}"
            await producer.send_in_transaction(Message(TOPIC, order.encode()), place)
            step(f"ended {order}")


async def kill_one(mq: Standalone, path: Path, name: str, chance: random.Random) -> set[str]:
    """Kill a producer right after a step of its own; returns the half messages that it said were stored."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __spec__.name, mq.namesrv, str(path), name, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    step, number = chance.choice(["half", "local", "ended"]), chance.randrange(8)
    halves: set[str] = set()
    async for line in process.stdout:
        said, order = line.decode().split()
        if said == "half":
            halves.add(order)
        if (said, order) == (step, f"{name}-{number}"):
            process.send_signal(signal.SIGKILL)
    await process.wait()
    return halves


async def test_every_half_message_ends_as_the_database_says(
    chance: random.Random, figure: Callable[[str], None], tmp_path: Path
):
    path = tmp_path / "orders.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE orders (name TEXT PRIMARY KEY)")
    inbox = Inbox()
    hurry: dict[str, Any] = {"transaction_timeout_ms": 1000, "transaction_check_interval_ms": 2000}
    async with standalone(tmp_path / "store", **hurry) as mq:
        async with Producer("senders", namesrv=mq.namesrv) as producer:
            await producer.send(Message(TOPIC, b"first"))
        at_once = asyncio.Semaphore(AT_ONCE)

        async def kill(number: int) -> set[str]:
            async with at_once:
                return await kill_one(mq, path, f"p{number}", chance)

        consumer = PushConsumer(
            "orders", namesrv=mq.namesrv, handler=inbox, settings=FAST, from_where=ConsumeFromWhere.FIRST_OFFSET
        )
        consumer.subscribe(TOPIC)
        async with consumer:
            halves = set().union(*await asyncio.gather(*(kill(number) for number in range(KILLS))))
            # Whoever comes after them answers for what they left open.
            check = check_in(path, absent=TransactionState.ROLLBACK)
            async with TransactionProducer(GROUP, namesrv=mq.namesrv, settings=FAST, check=check):
                await inbox.wait_until(lambda: {body.decode() for body in inbox.bodies} >= orders(path), 60)
                async with asyncio.timeout(60):
                    while mq.broker.halves.due(mq.broker.clock.now_ms() + 3_600_000):  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
        given_up = mq.broker.store.max_offset(MAX_CHECKED_TOPIC, 0)

    committed, seen = orders(path), [body.decode() for body in inbox.bodies if body != b"first"]
    assert set(seen) == committed, "a message without its order, or an order without its message"
    assert len(seen) == len(committed), "an order's message came twice"
    assert given_up == 0
    figure(f"B9: {KILLS} producers killed, {len(halves)} half messages, {len(committed)} committed, 0 unknown or wrong")


if __name__ == "__main__":
    asyncio.run(place_orders(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
