"""How far each consumer group has read each queue, and where the queues begin and end.

Offsets arrive with commits (code 15) and piggy-backed on pulls, several per consumer and second, so they stay in memory
and are written to `config/consumerOffset.json` every few seconds: after a crash a group repeats what it consumed since,
which at-least-once delivery allows. Source: RocketMQ ConsumerOffsetManager, ConsumerManageProcessor.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from mq.broker.background import Background
from mq.broker.pending_resets import PendingResets
from mq.errors import ResponseError
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import (
    GetEarliestMsgStoretimeRequestHeader,
    GetMaxOffsetRequestHeader,
    GetMinOffsetRequestHeader,
    QueryConsumerOffsetRequestHeader,
    SearchOffsetRequestHeader,
    UpdateConsumerOffsetRequestHeader,
)
from mq.store import json_files

if TYPE_CHECKING:
    from mq.broker.app import Broker

logger = logging.getLogger(__name__)

#: The share of memory within which the newest messages count as "in memory" (RocketMQ: accessMessageInMemoryMaxRatio).
_IN_MEMORY_RATIO: Final = 0.4


class ConsumerOffsets:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._path = broker.config.store_root.expanduser() / "config" / "consumerOffset.json"
        self._table: dict[tuple[str, str], dict[int, int]] = {}
        self.resets = PendingResets()
        self._is_dirty = False
        self._saver = Background("the saving of consumer offsets", self._save_regularly)
        self._in_memory_bytes = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * _IN_MEMORY_RATIO)

    # ---- the table

    def load(self) -> None:
        """Raises: StoreUnusable: the file is broken, and so is the version before."""
        self._table = json_files.load(self._path, _read_table)

    def get(self, group: str, topic: str, queue_id: int) -> int:
        """The next queue offset to consume; -1 when the group has committed none."""
        queues = self._table.get((topic, group))
        return queues.get(queue_id, -1) if queues else -1

    def queues_of(self, group: str, topic: str) -> dict[int, int]:
        """What a group has committed in a topic, by queue id."""
        return dict(self._table.get((topic, group), {}))

    def commit(self, group: str, topic: str, queue_id: int, queue_offset: int) -> None:
        """Remember a commit; the caller has checked that topic, group and queue exist.

        What a member commits that has yet to follow a reset is what it consumed before, and is ignored.
        """
        if queue_offset < 0:  # some clients commit -1 before they know where they are
            return
        if not self.resets.is_pending(group, topic, queue_id):
            self._put(group, topic, queue_id, queue_offset)

    def reset(self, group: str, topic: str, targets: Mapping[int, int]) -> None:
        """Set offsets that the group's members must follow, by queue id."""
        for queue_id, target in targets.items():
            self._put(group, topic, queue_id, target)
            self.resets.put(group, topic, queue_id, target)

    def _put(self, group: str, topic: str, queue_id: int, queue_offset: int) -> None:
        queues = self._table.get((topic, group))
        if queues is None:
            queues = self._table[topic, group] = {}
        if queues.get(queue_id) != queue_offset:
            queues[queue_id] = queue_offset
            self._is_dirty = True

    def topics_of(self, group: str) -> list[str]:
        return sorted(topic for topic, owner in self._table if owner == group)

    def groups_of(self, topic: str) -> list[str]:
        return sorted(group for owned, group in self._table if owned == topic)

    def delete_group(self, group: str) -> None:
        self.resets.forget(group=group)
        self._delete([key for key in self._table if key[1] == group])

    def delete_topic(self, topic: str) -> None:
        self.resets.forget(topic=topic)
        self._delete([key for key in self._table if key[0] == topic])

    def to_json(self) -> dict[str, Any]:
        group_topics: dict[str, list[str]] = {}
        for topic, group in self._table:
            group_topics.setdefault(group, []).append(topic)
        table = {f"{topic}@{group}": dict(queues) for (topic, group), queues in self._table.items()}
        return {"groupTopicMap": group_topics, "offsetTable": table}

    def save(self) -> None:
        if self._is_dirty:
            json_files.save(self._path, self.to_json())
            self._is_dirty = False

    def _delete(self, keys: list[tuple[str, str]]) -> None:
        for key in keys:
            del self._table[key]
            self._is_dirty = True

    # ---- the service

    async def start(self) -> None:
        self._saver.start()

    async def stop(self) -> None:
        await self._saver.stop()
        try:
            self.save()
        except OSError as error:
            logger.error("%s could not be written, some messages may be consumed twice: %s", self._path, error)

    async def _save_regularly(self) -> float:
        if self._is_dirty:
            self._is_dirty = False
            try:
                # In a thread: the sync takes milliseconds that no message should wait for.
                await asyncio.to_thread(json_files.save, self._path, self.to_json())
            except OSError:
                self._is_dirty = True
                raise
        return self._broker.config.consumer_offset_flush_interval_ms / 1000

    # ---- requests

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.QUERY_CONSUMER_OFFSET: self._query,
            RequestCode.UPDATE_CONSUMER_OFFSET: self._update,
            RequestCode.SEARCH_OFFSET_BY_TIMESTAMP: self._search,
            RequestCode.GET_MAX_OFFSET: self._max,
            RequestCode.GET_MIN_OFFSET: self._min,
            RequestCode.GET_EARLIEST_MSG_STORETIME: self._earliest,
        }

    def _query(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(QueryConsumerOffsetRequestHeader)
        queue_offset = self.get(header.consumer_group, header.topic, header.queue_id)
        if queue_offset < 0 and header.set_zero_if_not_found is not False:
            queue_offset = 0 if self.is_young(header.topic, header.queue_id) else -1
        if queue_offset < 0:
            return command.respond(ResponseCode.QUERY_NOT_FOUND, "Not found, maybe this group consumer boot first")
        return _offset_response(command, queue_offset)

    def _update(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(UpdateConsumerOffsetRequestHeader)
        topic = self._broker.topics.get(header.topic)
        if topic is None:
            raise ResponseError(ResponseCode.TOPIC_NOT_EXIST, f"Topic {header.topic} not exist!")
        if self._broker.groups.get(header.consumer_group) is None:
            raise ResponseError(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, f"Group {header.consumer_group} not exist!")
        queue_count = max(topic.read_queue_nums, topic.write_queue_nums)
        if not 0 <= header.queue_id < queue_count:
            raise ResponseError(
                ResponseCode.INVALID_PARAMETER,
                f"queue {header.queue_id} of topic {header.topic} does not exist: it has {queue_count}",
            )
        self.commit(header.consumer_group, header.topic, header.queue_id, header.commit_offset)
        return command.respond()

    def _search(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(SearchOffsetRequestHeader)
        is_upper = (header.boundary_type or "LOWER").upper() == "UPPER"
        found = self._broker.store.offset_by_time(header.topic, header.queue_id, header.timestamp, upper=is_upper)
        return _offset_response(command, found)

    def _max(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(GetMaxOffsetRequestHeader)
        return _offset_response(command, self._broker.store.max_offset(header.topic, header.queue_id))

    def _min(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(GetMinOffsetRequestHeader)
        return _offset_response(command, self._broker.store.min_offset(header.topic, header.queue_id))

    def _earliest(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(GetEarliestMsgStoretimeRequestHeader)
        store = self._broker.store
        first = store.min_offset(header.topic, header.queue_id)
        return command.respond(ext={"timestamp": str(store.store_timestamp(header.topic, header.queue_id, first))})

    def is_young(self, topic: str, queue_id: int) -> bool:
        """Whether the queue still has its first message, and that one not long ago in bytes.

        A new group on such a queue starts at 0 whatever it asked for, so that messages sent while a first consumer was
        on its way are not lost. Source: RocketMQ ConsumerManageProcessor.queryConsumerOffset.
        """
        store = self._broker.store
        if store.min_offset(topic, queue_id) > 0:
            return False
        head = store.entries(topic, queue_id, 0, 1)
        return bool(head) and store.max_commit_log_offset - head[0].commit_log_offset <= self._in_memory_bytes


def _offset_response(command: RemotingCommand, queue_offset: int) -> RemotingCommand:
    return command.respond(ext={"offset": str(queue_offset)})


def _read_table(file: dict[str, Any]) -> dict[tuple[str, str], dict[int, int]]:
    """`{"offsetTable":{"topic@group":{"queue id":queue offset}}}`."""
    table = {}
    for key, queues in file.get("offsetTable", {}).items():
        topic, _, group = key.partition("@")
        table[topic, group] = {int(queue_id): int(queue_offset) for queue_id, queue_offset in queues.items()}
    return table
