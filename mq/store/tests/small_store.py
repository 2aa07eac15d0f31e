"""A store with small files, and messages to put into it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from mq.clock import ManualClock
from mq.message import Host, properties
from mq.message.record import RecordFields, decode
from mq.store.config import StoreConfig
from mq.store.disk import Disk
from mq.store.store import GetStatus, MessageStore

BORN_HOST = Host("10.1.2.3", 50123)
TOPICS = ("orders", "stock-events", "payments")


def small_config(root: Path, **changes: Any) -> StoreConfig:
    sizes: dict[str, Any] = {
        "commit_log_file_bytes": 4096,
        "consume_queue_file_bytes": 400,
        "index_slot_count": 20,
        "index_entry_count": 50,
        "max_message_bytes": 3000,
        "delete_hours": (),
    }
    return StoreConfig(root, **(sizes | changes))


def small_store(root: Path, *, disk: Disk | None = None, **changes: Any) -> MessageStore:
    return MessageStore(small_config(root, **changes), ManualClock(), disk=disk)


def fields_of(topic: str, body: bytes, *, queue_id: int = 0, **names: str) -> RecordFields:
    return RecordFields(topic, queue_id, body, properties.encode(names), 0, 0, 1_699_999_999_000, BORN_HOST)


def random_fields(seeded: random.Random, number: int) -> RecordFields:
    body = f"{number}:".encode() + seeded.randbytes(seeded.randrange(400))
    return fields_of(
        seeded.choice(TOPICS), body, queue_id=seeded.randrange(2), TAGS=f"T{number % 3}", KEYS=f"key-{number}"
    )


def kill(store: MessageStore) -> None:
    """What kill -9 leaves: nothing more is written, every descriptor is closed."""
    store._release()


def everything(store: MessageStore) -> dict[tuple[str, int], list[bytes]]:
    """The bodies of every queue, read through the queues, with CRC, topic, queue and offset of each checked."""
    bodies: dict[tuple[str, int], list[bytes]] = {}
    for topic, queue_ids in store.queues().items():
        for queue_id in queue_ids:
            found = bodies[topic, queue_id] = []
            at = store.min_offset(topic, queue_id)
            while (result := store.get(topic, queue_id, at, max_count=32, max_bytes=1 << 20)).status is GetStatus.FOUND:
                for number, record in enumerate(result.records, at):
                    message = decode(record, check_crc=True)
                    assert (message.topic, message.queue_id, message.queue_offset) == (topic, queue_id, number)
                    found.append(message.body)
                at = result.next_offset
    return bodies
