"""A flow of numbered messages, and what came out at its other end: for tests that break things in mid-flow.

Every key sends 0, 1, 2, ...; a number is sent when the one before it is acknowledged and the consumers are not too far
behind, so that the flow lasts as long as the test needs it, without waiting for the clock.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from mq.client import Producer
from mq.message import Message, ReceivedMessage

KEYS = [f"order-{number}" for number in range(12)]
_WINDOW = 12


class Seen:
    """The numbers that consumers handled, by key, in the order they did."""

    def __init__(self) -> None:
        self.numbers: dict[str, list[int]] = defaultdict(list)
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def add(self, key: str, number: int) -> None:
        self.numbers[key].append(number)
        self._changed.set()

    async def handle(self, messages: list[ReceivedMessage]) -> None:
        """A handler for consumers of this process."""
        for message in messages:
            self.add(message.sharding_key or "", int(message.body))

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float = 40.0) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            counts = {key: len(set(numbers)) for key, numbers in self.numbers.items()}
            raise AssertionError(f"it did not happen; numbers seen by key: {counts}") from None

    async def wait_for(self, count: int) -> None:
        """Wait until every key has come to `count` different numbers."""
        await self.wait_until(lambda: all(len(set(self.numbers[key])) >= count for key in KEYS))

    def assert_complete(self, count: int) -> None:
        """Nothing is missing; repetitions are allowed."""
        assert {key: set(numbers) for key, numbers in self.numbers.items()} == {key: set(range(count)) for key in KEYS}

    def assert_in_order(self, count: int) -> None:
        """Nothing is missing, and no number came before every smaller one of its key had."""
        for key in KEYS:
            first_seen = list(dict.fromkeys(self.numbers[key]))
            assert first_seen == list(range(count)), f"{key}: {self.numbers[key]}"


async def send_flow(producer: Producer, topic: str, count: int, seen: Seen) -> None:
    async def send(key: str) -> None:
        for number in range(count):
            await seen.wait_until(lambda: len(set(seen.numbers[key])) + _WINDOW > number)  # noqa: B023 - awaited here
            await producer.send(Message(topic, b"%d" % number, sharding_key=key), timeout_s=30)

    await asyncio.gather(*(send(key) for key in KEYS))


class ConsumerProcesses:
    """Consumers of one group and topic, each a process, all telling one `Seen` through one pipe."""

    def __init__(self, seen: Seen, namesrv: str, group: str, topic: str, *flags: str) -> None:
        self._seen = seen
        self._arguments = [namesrv, group, topic, *flags]
        self._ready: set[int] = set()
        self._running: list[subprocess.Popen[bytes]] = []
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._rest = b""
        asyncio.get_running_loop().add_reader(self._reader, self._read)

    async def start(self) -> subprocess.Popen[bytes]:
        """Start one more; it has queues when this returns."""
        command = [sys.executable, "-m", "mq.client.tests.consumer_process", str(self._writer), *self._arguments]
        root = Path(__file__).parents[3]
        process = await asyncio.to_thread(subprocess.Popen, command, pass_fds=[self._writer], cwd=root)
        self._running.append(process)
        await self._seen.wait_until(lambda: process.pid in self._ready)
        return process

    async def end(self, process: subprocess.Popen[bytes], signal_number: signal.Signals) -> int:
        """Send it a signal and wait until it is gone; its exit status."""
        process.send_signal(signal_number)
        return await asyncio.to_thread(process.wait, 20)

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        asyncio.get_running_loop().remove_reader(self._reader)
        os.close(self._reader)
        os.close(self._writer)

    def _read(self) -> None:
        *lines, self._rest = (self._rest + os.read(self._reader, 1 << 16)).split(b"\n")
        for line in lines:
            key, _, number = line.decode().partition(" ")
            if key == "ready":
                self._ready.add(int(number))
                self._seen._changed.set()
            else:
                self._seen.add(key, int(number))
