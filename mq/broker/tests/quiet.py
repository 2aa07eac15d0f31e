"""A broker that does nothing by itself: no connections, no background tasks, and a clock that stands still.

Services are taken from the module under test and their rounds called one by one.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mq.broker import delay, transaction
from mq.broker.app import Broker
from mq.broker.tests.wire import small_config
from mq.clock import ManualClock
from mq.message import Host, ReceivedMessage, properties, record
from mq.message.record import RecordFields
from mq.store.store import AppendResult

#: A second's beginning.
START_MS = 1_700_000_000_000
PRODUCER = Host("127.0.0.1", 50_000)


class QuietBroker:
    def __init__(self, root: Path, *, now_ms: int = START_MS, **changes: Any) -> None:
        self.root = root
        self.clock = ManualClock(now_ms)
        self._changes = changes
        self.broker = Broker(small_config(root, **changes), self.clock)
        self.store = self.broker.store
        self.store.open()
        self.broker.offsets.load()
        self.broker.halves.load()
        self.store.start()

    async def close(self) -> None:
        self.broker.offsets.save()
        await self.store.close()

    async def reopened(self) -> QuietBroker:
        """The same after a clean stop."""
        await self.close()
        return QuietBroker(self.root, now_ms=self.clock.now_ms(), **self._changes)

    def killed(self, copy: Path) -> QuietBroker:
        """What starts on the files as they are at this moment, which is what a killed process leaves behind."""
        shutil.copytree(self.root, copy)
        return QuietBroker(copy, now_ms=self.clock.now_ms(), **self._changes)

    async def send(
        self,
        body: bytes = b"hello",
        *,
        topic: str = "order-events",
        queue_id: int = 0,
        age_ms: int = 3,
        **asked: str,
    ) -> AppendResult:
        """Store a message as a send with these properties does; returns when it is on disk.

        `age_ms` is how long ago its producer's clock says it was born.
        """
        fields = RecordFields(
            topic=topic,
            queue_id=queue_id,
            body=body,
            properties_text=properties.encode(asked),
            sys_flag=0,
            flag=7,
            born_timestamp_ms=self.clock.now_ms() - age_ms,
            born_host=PRODUCER,
        )
        if transaction.is_half(asked, 0):
            fields = transaction.to_half(fields, asked)
        else:
            fields = delay.redirect(fields, asked, now_ms=self.clock.now_ms(), config=self.broker.config)
        result = self.store.append(fields)
        await self.store.durable()
        return result

    def messages(self, topic: str = "order-events", queue_id: int = 0) -> list[ReceivedMessage]:
        """Everything in a queue."""
        entries = self.store.entries(topic, queue_id, 0, 1_000_000)
        records = [self.store.record_at(entry.commit_log_offset) for entry in entries]
        return [record.decode(data) for data in records if data is not None]

    def bodies(self, topic: str = "order-events", queue_id: int = 0) -> list[bytes]:
        return [message.body for message in self.messages(topic, queue_id)]
