"""How far this member of a broadcasting group has come: in a file of its own, in RocketMQ's format.

```
FOLDER/ADDRESS@INSTANCE/GROUP/offsets.json    {"offsetTable":{{"brokerName":"a","queueId":0,"topic":"T"}:5}}
```
with the version before as `offsets.json.bak`. FOLDER is `~/.rocketmq_offsets` unless said otherwise, INSTANCE the
client's `instance_name`, or DEFAULT. Two processes that shared a file would make each other skip messages, so the
second one is refused. RocketMQ's clients do share it.
Source: RocketMQ LocalFileOffsetStore.java, OffsetSerializeWrapper.java.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mq import dialect
from mq.client.broker_requests import read_queue_offsets
from mq.client.offset_store import ConsumeFromWhere, OffsetStore
from mq.client.process_queue import ProcessQueue
from mq.errors import MQError, RemoteProtocolError
from mq.message import MessageQueue

if TYPE_CHECKING:
    from mq.client.instance import Client

logger = logging.getLogger(__name__)

DEFAULT_FOLDER: Final = Path("~/.rocketmq_offsets")


class LocalOffsetsUnusable(MQError):
    """The file of offsets is broken together with its backup, may not be written, or is another process's."""


class _QueueKey(NamedTuple):
    """A message queue as the key of a JSON object, in fastjson's order and spelling."""

    brokerName: str
    queueId: int
    topic: str


class LocalFileOffsetStore(OffsetStore):
    def __init__(
        self,
        client: Client,
        group: str,
        from_where: ConsumeFromWhere,
        from_timestamp_ms: int,
        folder: Path | None = None,
    ) -> None:
        super().__init__(client, group, from_where, from_timestamp_ms)
        self._folder = (folder or DEFAULT_FOLDER).expanduser()
        self._offsets: dict[MessageQueue, int] = {}
        self._lock_descriptor: int | None = None

    @property
    def path(self) -> Path:
        return self._folder / self._client.stable_id / self._group / "offsets.json"

    def open(self) -> None:
        """Take the file for this process and read it.

        Raises: LocalOffsetsUnusable.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._lock_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._offsets = _read(self.path)
        except BlockingIOError as error:
            self.close()
            raise LocalOffsetsUnusable(
                f"{self.path} belongs to another consumer that runs: give each its own Client(instance_name=...)"
            ) from error
        except OSError as error:
            self.close()
            raise LocalOffsetsUnusable(f"{self.path}: {error.strerror}") from error

    def close(self) -> None:
        if self._lock_descriptor is not None:
            os.close(self._lock_descriptor)
            self._lock_descriptor = None

    async def start_of(self, queue: MessageQueue) -> int:
        """Where this member stopped.

        Raises: MQError: it has never had this queue, and the broker did not say where to begin.
        """
        known = self._offsets.get(queue)
        return await self._first_of(queue) if known is None else known

    async def commit(self, process_queues: Iterable[ProcessQueue]) -> None:
        """Write down what changed; what cannot be written is the next time."""
        async with self._lock:
            reached = {
                process_queue.queue: process_queue.commit_offset
                for process_queue in process_queues
                if process_queue.commit_offset is not None
            }
            offsets = self._offsets | reached
            if offsets == self._offsets:
                return
            try:
                await asyncio.to_thread(_write, self.path, offsets)
            except OSError as error:
                logger.warning("offsets of group %s were not written: %s", self._group, error)
            else:
                self._offsets = offsets


def _read(path: Path) -> dict[MessageQueue, int]:
    """Raises: LocalOffsetsUnusable: neither the file nor its backup can be read, but one of them is there."""
    problem = None
    for candidate in (path, _backup(path)):
        with contextlib.suppress(FileNotFoundError):
            text = candidate.read_bytes()
            try:
                if text:
                    return read_queue_offsets(text)
            except RemoteProtocolError as error:
                problem = problem or f"{candidate}: {error}"
    if problem is not None:
        raise LocalOffsetsUnusable(f"{problem}; remove it to begin anew")
    return {}


def _write(path: Path, offsets: dict[MessageQueue, int]) -> None:
    table: dict[Any, int] = {
        _QueueKey(queue.broker_name, queue.queue_id, queue.topic): offset for queue, offset in sorted(offsets.items())
    }
    fresh = path.with_suffix(".new")
    fresh.write_bytes(dialect.dumps({"offsetTable": table}, bare_keys=True))
    if path.exists():
        path.replace(_backup(path))
    fresh.replace(path)


def _backup(path: Path) -> Path:
    return path.with_name(path.name + ".bak")
