"""A place to test against: a bundled broker in this process for each test, or one Apache RocketMQ for all of them.

    pytest mq/client/tests                      # the bundled broker
    pytest mq/client/tests --broker=apache      # Apache's, started for the session; needs a JDK and Maven

A cluster that runs already is used instead when `MQ_TEST_NAMESRV=host:port` names it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mq.client import Admin, ClientSettings
from mq.message import MessageQueue, ReceivedMessage
from mq.standalone import Standalone
from mq.testing import standalone

#: Liveness looked after often enough that nobody has to wait for it.
FAST = ClientSettings(
    route_refresh_s=1.0,
    heartbeat_s=2.0,
    reconnect_s=0.05,
    rebalance_s=1.0,
    rebalance_retry_s=0.1,
    offset_persist_s=0.2,
    lock_renew_s=1.0,
    pull_suspend_s=2.0,
    pull_timeout_s=5.0,
    pull_error_pause_s=0.05,
)


@dataclass
class Cluster:
    """Where the name server is, and names that no earlier test has used."""

    namesrv: str
    broker_name: str
    #: The bundled broker itself; None when the tests run against Apache's.
    bundled: Standalone | None = None
    _suffix: str = field(default_factory=lambda: uuid.uuid4().hex[:10])

    def name(self, stem: str) -> str:
        return f"{stem}-{self._suffix}"

    @property
    def standalone(self) -> Standalone:
        """The bundled broker, for tests marked so."""
        assert self.bundled is not None, "mark the test: @pytest.mark.bundled(reason)"
        return self.bundled

    async def topic(self, stem: str = "topic", queue_count: int = 4) -> str:
        """A new topic; clients learn of it at once."""
        topic = self.name(stem)
        async with Admin(namesrv=self.namesrv) as admin:
            await admin.create_topic(topic, queue_count=queue_count)
        return topic


#: Where the session's Apache RocketMQ is; the workers of pytest-xdist inherit it.
ADDRESS_VARIABLE = "MQ_TEST_NAMESRV"
#: What `cluster` gives the bundled broker; Apache would gather finished half messages for 3 s before it stores that.
APACHE_KEYS = {
    "messageDelayLevel": "1s " * 17 + "1s",
    "transactionTimeOut": "300",
    "transactionCheckInterval": "200",
    "transactionOpBatchInterval": "100",
    "recallMessageEnable": "true",
    "traceTopicEnable": "true",
    "enablePropertyFilter": "true",
}
_session = contextlib.ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("broker") == "apache" and ADDRESS_VARIABLE not in os.environ:
        # Imported here: the queue's own tests need nothing but Python.
        from tests.interop.apache import apache_rocketmq

        folder = Path(_session.enter_context(tempfile.TemporaryDirectory(prefix="millrace-apache-")))
        os.environ[ADDRESS_VARIABLE] = _session.enter_context(apache_rocketmq(folder, APACHE_KEYS)).namesrv


def pytest_unconfigure(config: pytest.Config) -> None:
    _session.close()


@pytest.fixture
async def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    foreign = os.environ.get(ADDRESS_VARIABLE)
    if foreign:
        marker = request.node.get_closest_marker("bundled")
        if marker is not None:
            pytest.skip(marker.args[0])
        async with Admin(namesrv=foreign) as admin:
            brokers = await admin.brokers()
        yield Cluster(foreign, min(brokers))
    else:
        # Retries begin at level 3, which is 10 s elsewhere; transactions are checked after 6 s and every 30 s.
        hurry: dict[str, Any] = {
            "delay_levels": "1s 1s 1s 1s 1s",
            "transaction_timeout_ms": 300,
            "transaction_check_interval_ms": 200,
            "recall_enable": True,
        }
        async with standalone(tmp_path / "store", **hurry) as mq:
            yield Cluster(mq.namesrv, "broker-a", mq)


async def eventually(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait for something that nobody announces."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


class Inbox:
    """A handler that keeps what it gets, and lets a test wait for it."""

    def __init__(self) -> None:
        self.messages: list[ReceivedMessage] = []
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def bodies(self) -> list[bytes]:
        return [message.body for message in self.messages]

    async def __call__(self, messages: list[ReceivedMessage]) -> None:
        self.take(messages)

    def take(self, messages: list[ReceivedMessage]) -> None:
        """Also from other threads."""
        self.messages += messages
        self._loop.call_soon_threadsafe(self._changed.set)

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"it did not happen; {len(self.messages)} messages: {self.bodies[:40]}") from None

    async def wait_for(self, count: int, timeout_s: float = 20.0) -> list[ReceivedMessage]:
        await self.wait_until(lambda: len(self.messages) >= count, timeout_s)
        return self.messages


class QueueWatch:
    """For `on_queues_changed`: a consumer's share of a topic, and a way to wait for it."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._changed = asyncio.Event()
        self.queues: frozenset[MessageQueue] = frozenset()

    def __call__(self, queues: frozenset[MessageQueue]) -> None:
        self.queues = frozenset(queue for queue in queues if queue.topic == self._topic)
        self._changed.set()

    async def wait_for(self, count: int, timeout_s: float = 20.0) -> frozenset[MessageQueue]:
        return await self._wait_until(lambda: len(self.queues) == count, timeout_s)

    async def wait_for_any(self, timeout_s: float = 20.0) -> frozenset[MessageQueue]:
        return await self._wait_until(lambda: len(self.queues) > 0, timeout_s)

    async def _wait_until(self, condition: Callable[[], bool], timeout_s: float) -> frozenset[MessageQueue]:
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()
        return self.queues
