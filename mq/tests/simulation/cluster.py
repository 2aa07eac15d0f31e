"""A cluster on one simulated loop: a name server, a broker, senders and consumers, each a machine that may be killed.

All of it is the real code; imagined are time, the network, and which thread gets to run when. A killed broker leaves
its files as they are, and the next one recovers from them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from pathlib import Path
from typing import Any

from mq.broker.app import Broker
from mq.broker.tests.wire import small_config
from mq.client import Client, ClientSettings, Producer, PushConsumer, TransactionProducer
from mq.client.results import TransactionState
from mq.errors import MQError
from mq.message import Message, ReceivedMessage
from mq.namesrv.app import NameServer
from mq.namesrv.config import NameServerConfig
from mq.tests.simulation.history import History
from mq.tests.simulation.loop import Machine, SimulatedClock, SimulatedLoop, machine
from mq.tests.simulation.network import Network

NAMESRV = "127.0.0.1:9876"
BROKER_PORT = 10911
TOPIC = "order-events"
ORDERLY, CONCURRENT = "orderly", "concurrent"
KEYS = [b"order-%d" % number for number in range(6)]


class Cluster:
    def __init__(self, loop: SimulatedLoop, root: Path) -> None:
        self.loop = loop
        self.network = loop.network = Network(loop)
        self.clock = SimulatedClock(loop)
        self.history = History()
        self.machines: dict[str, Machine] = {}
        self.broker: Broker | None = None
        self._root = root
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._outcomes: dict[bytes, TransactionState] = {}
        self._settings = ClientSettings(rebalance_s=10, heartbeat_s=10, route_refresh_s=10)

    # ---- machines

    async def start(self, name: str, life: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let a machine of that name live (again): run `life` on it, in the background."""
        before = self.machines.get(name)
        this = self.machines[name] = Machine(name, before.life + 1 if before else 0)
        context = copy_context()
        context.run(machine.set, this)
        self._tasks[name] = self.loop.create_task(life(), name=name, context=context)

    def kill(self, name: str) -> None:
        victim = self.machines[name]
        if victim.is_alive:
            self.network.kill(victim)
            if name == "broker" and self.broker is not None:
                self.broker.store._release()  # What the system does with the files of a process that is gone.
                self.broker = None

    def is_alive(self, name: str) -> bool:
        return name in self.machines and self.machines[name].is_alive

    # ---- their lives

    async def name_server(self) -> None:
        server = NameServer(NameServerConfig(kv_config_path=self._root / "kvConfig.json"))
        await server.start()

    async def broker_life(self) -> None:
        config = small_config(
            self._root / "store",
            listen_port=BROKER_PORT,
            vip_channel=False,
            name_server_addresses=NAMESRV,
            transaction_timeout_ms=3000,
            transaction_check_interval_ms=3000,
            delay_levels=" ".join(["1s"] * 18),
        )
        self.broker = Broker(config, self.clock)
        await self.broker.start()

    async def ordered_sender(self) -> None:
        """For every key one message after the other; the next one when the last one is acknowledged."""
        async with Producer("senders", client=self._client()) as producer:
            await asyncio.gather(*(self._send_sequence(producer, key) for key in KEYS))

    async def _send_sequence(self, producer: Producer, key: bytes) -> None:
        life = machine.get().life
        for number in range(life * 1000, life * 1000 + 12):
            body = b"%b:%d" % (key, number)
            self.history.tried.add(body)
            if await _patiently(lambda body=body: producer.send(Message(TOPIC, body, sharding_key=key.decode()))):  # type: ignore[misc]
                self.history.acknowledged.add(body)
            await asyncio.sleep(self.loop.chance.expovariate(1 / 1.5))

    async def transaction_sender(self) -> None:
        """Half messages whose local work succeeds, fails, or is decided by the check-back only."""
        check = self._check_back
        async with TransactionProducer("transactions", check=check, client=self._client()) as producer:
            life = machine.get().life
            for number in range(life * 1000, life * 1000 + 15):
                await self._send_transaction(producer, b"tx:%d" % number)
                await asyncio.sleep(self.loop.chance.expovariate(1 / 1.2))
            await asyncio.Event().wait()  # It stays, to be asked.

    async def _send_transaction(self, producer: TransactionProducer, body: bytes) -> None:
        outcome = self.loop.chance.choice([TransactionState.COMMIT, TransactionState.ROLLBACK])
        says_unknown = self.loop.chance.random() < 0.3

        async def work(message: Message) -> TransactionState:
            await asyncio.sleep(self.loop.chance.expovariate(1 / 0.2))
            self._outcomes[body] = outcome  # The local database: it outlives the machine.
            (self.history.committed if outcome is TransactionState.COMMIT else self.history.rolled_back).add(body)
            return TransactionState.UNKNOWN if says_unknown else outcome

        self.history.tried.add(body)
        try:
            await producer.send_in_transaction(Message(TOPIC, body), work)
        except MQError:
            return  # Whatever became of it, the outcome in the database counts; without one it must never be seen.

    async def _check_back(self, message: ReceivedMessage) -> TransactionState:
        return self._outcomes.get(message.body, TransactionState.UNKNOWN)

    async def consumer(self, group: str) -> None:
        async def handle(messages: list[ReceivedMessage]) -> None:
            await asyncio.sleep(self.loop.chance.expovariate(1 / 0.05))
            for message in messages:
                if self.loop.chance.random() < 0.02:
                    raise RuntimeError("handlers fail, too")
                self.history.note(group, message)

        consumer = PushConsumer(group, handler=handle, client=self._client(), orderly=group == ORDERLY)
        consumer.subscribe(TOPIC)
        async with consumer:
            await asyncio.Event().wait()

    def _client(self) -> Client:
        return Client(NAMESRV, settings=self._settings, clock=self.clock, instance_name=machine.get().name)

    async def senders_done(self) -> None:
        await asyncio.wait([self._tasks["sender"]])


async def _patiently(send: Callable[[], Awaitable[Any]]) -> bool:
    """Send until it is acknowledged, as a sender does that must not lose the order; a repetition is no loss."""
    while True:
        try:
            await send()
            return True
        except MQError:
            await asyncio.sleep(0.5)
