"""The bytes on disk: RocketMQ's own store classes read what ours wrote, and ours reads what they wrote."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mq.clock import ManualClock
from mq.message import Host, properties, record
from mq.store.check import check_store
from mq.store.config import StoreConfig
from mq.store.export import export_store
from mq.store.store import MessageStore
from tests.interop import apache

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


@dataclass(frozen=True)
class Sizes:
    """File sizes as both sides are told them; the small ones make every kind of file roll within a few messages."""

    commit_log_bytes: int
    consume_queue_bytes: int
    slots: int
    entries: int

    def for_java(self) -> tuple[str, ...]:
        return (
            f"-Dcommitlog.bytes={self.commit_log_bytes}",
            f"-Dqueue.bytes={self.consume_queue_bytes}",
            f"-Dslots={self.slots}",
            f"-Dentries={self.entries}",
        )

    def config(self, root: Path) -> StoreConfig:
        return StoreConfig(
            root=root,
            commit_log_file_bytes=self.commit_log_bytes,
            consume_queue_file_bytes=self.consume_queue_bytes,
            index_slot_count=self.slots,
            index_entry_count=self.entries,
            store_host=Host("127.0.0.1", 10911),
        )


SMALL = Sizes(commit_log_bytes=4096, consume_queue_bytes=200, slots=100, entries=40)
AS_SHIPPED = Sizes(commit_log_bytes=1 << 30, consume_queue_bytes=6_000_000, slots=5_000_000, entries=20_000_000)


def store_tool(folder: Path, sizes: Sizes, *arguments: str) -> list[str]:
    apache.build()
    jvm = ("-Xmx512m", f"-Duser.home={folder.parent}", *sizes.for_java())
    run = apache.java("millrace.StoreTool", *arguments, jvm=jvm, timeout_s=60)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return [line for line in run.stdout.splitlines() if line.startswith(("queue ", "message ", "query "))]


def numbered(count: int, start: int = 0) -> Iterable[record.RecordFields]:
    for number in range(start, start + count):
        text = {"KEYS": f"key-{number}", "UNIQ_KEY": f"unique-{number}", "TAGS": f"T{number % 3}"}
        yield record.RecordFields(
            topic="from-python",
            queue_id=number % 4,
            body=f"python {number}".encode(),
            properties_text=properties.encode(text),
            sys_flag=0,
            flag=0,
            born_timestamp_ms=1_700_000_000_000 + number,
            born_host=Host("127.0.0.1", 5555),
        )


async def append(root: Path, sizes: Sizes, messages: Iterable[record.RecordFields], *, crash: bool = False) -> None:
    """Append and stop; `crash` copies the files as a killed process would leave them."""
    store = MessageStore(sizes.config(root), ManualClock())
    store.open()
    store.start()
    for message in messages:
        store.append(message)
        await store.durable()
    if crash:
        shutil.copytree(root, root.with_name("crashed"))
    await store.close()


async def dumped(root: Path, sizes: Sizes) -> list[str]:
    """What StoreTool's `dump` prints of a store, told by our own classes."""
    store = MessageStore(sizes.config(root), ManualClock())
    store.open()
    store.start()
    lines = []
    for topic, queue_ids in sorted(store.queues().items()):
        for queue_id in sorted(queue_ids):
            first, end = store.min_offset(topic, queue_id), store.max_offset(topic, queue_id)
            lines.append(f"queue {topic} {queue_id} {first} {end}")
            for entry in store.entries(topic, queue_id, first, end - first):
                message = record.decode(store.record_at(entry.commit_log_offset) or b"", check_crc=True)
                lines.append(
                    f"message {topic} {queue_id} {message.queue_offset} {entry.commit_log_offset} {entry.record_bytes} "
                    f"{entry.tag_code} {message.store_timestamp_ms} /{message.store_host} {' '.join(message.keys)} "
                    f"{message.body.decode()}"
                )
    await store.close()
    return lines


@pytest.mark.parametrize("sizes", [SMALL, AS_SHIPPED], ids=["small", "as-shipped"])
def test_rocketmq_reads_what_we_wrote(tmp_path: Path, sizes: Sizes) -> None:
    root = tmp_path / "store"
    asyncio.run(append(root, sizes, numbered(60)))

    ours = asyncio.run(dumped(root, sizes))
    theirs = store_tool(
        root, sizes, "dump", str(root), "from-python#key-7", "from-python#unique-59", "from-python#none"
    )

    assert len(ours) == 4 + 60
    assert theirs == [*ours, "query from-python#key-7 1", "query from-python#unique-59 1", "query from-python#none 0"]


def test_rocketmq_reads_what_a_killed_broker_of_ours_left(tmp_path: Path) -> None:
    root = tmp_path / "store"
    asyncio.run(append(root, SMALL, numbered(60), crash=True))

    theirs = store_tool(root, SMALL, "dump", str(tmp_path / "crashed"), "from-python#key-59")

    assert theirs == [*asyncio.run(dumped(root, SMALL)), "query from-python#key-59 1"]


def test_rocketmq_reads_long_topics_and_hosts_of_ip_version_6(tmp_path: Path) -> None:
    root = tmp_path / "store"
    long = f"%RETRY%{'g' * 150}"  # with two bytes for its length: magic V2
    far = Host("2001:db8::1", 5555)
    messages = list(numbered(30))
    messages[::3] = [replace(message, topic=long) for message in messages[::3]]
    messages[::2] = [replace(message, born_host=far) for message in messages[::2]]
    asyncio.run(append(root, SMALL, messages))

    theirs = store_tool(root, SMALL, "dump", str(root), "from-python#key-7")

    assert theirs == [*asyncio.run(dumped(root, SMALL)), "query from-python#key-7 1"]
    assert sum(line.startswith(f"message {long}") for line in theirs) == 10


def test_rocketmq_goes_on_after_our_first_messages_expired(tmp_path: Path) -> None:
    root = tmp_path / "store"
    asyncio.run(append(root, SMALL, numbered(120)))
    (root / "commitlog" / f"{0:020d}").unlink()

    ours = asyncio.run(dumped(root, SMALL))
    theirs = store_tool(root, SMALL, "dump", str(root))

    assert theirs == ours
    assert any(line.startswith("queue from-python") and line.split()[3] != "0" for line in theirs)


def test_rocketmq_opens_our_commit_log_alone(tmp_path: Path) -> None:
    root = tmp_path / "store"
    asyncio.run(append(root, SMALL, numbered(60)))
    shutil.copytree(root / "commitlog", tmp_path / "alone" / "commitlog")

    theirs = store_tool(root, SMALL, "dump", str(tmp_path / "alone"), "from-python#key-59")

    assert theirs == [*asyncio.run(dumped(root, SMALL)), "query from-python#key-59 1"]


def test_rocketmq_reads_what_we_exported_from_a_killed_broker_and_from_its_own(tmp_path: Path) -> None:
    root = tmp_path / "store"
    asyncio.run(append(root, SMALL, numbered(60), crash=True))
    assert export_store(SMALL.config(tmp_path / "crashed"), tmp_path / "exported").is_clean
    store_tool(tmp_path / "exported", SMALL, "write", str(tmp_path / "exported"), "20")
    assert export_store(SMALL.config(tmp_path / "exported"), tmp_path / "again").report.damage_count == 0

    theirs = store_tool(root, SMALL, "dump", str(tmp_path / "again"), "from-python#key-59", "from-java#key-19")

    assert theirs[-2:] == ["query from-python#key-59 1", "query from-java#key-19 1"]
    assert sum(line.startswith("message ") for line in theirs) == 80


@pytest.mark.parametrize("sizes", [SMALL, AS_SHIPPED], ids=["small", "as-shipped"])
def test_a_check_of_what_rocketmq_wrote_has_nothing_to_say(tmp_path: Path, sizes: Sizes) -> None:
    root = tmp_path / "store"
    store_tool(root, sizes, "write", str(root), "60")

    report = check_store(sizes.config(root))

    assert report.damage_count == 0, report.to_dict()
    assert [part.items for part in report.parts if part.name in ("commit log", "consume queues")] == [60, 60]


@pytest.mark.parametrize("sizes", [SMALL, AS_SHIPPED], ids=["small", "as-shipped"])
def test_we_read_what_rocketmq_wrote_and_go_on(tmp_path: Path, sizes: Sizes) -> None:
    root = tmp_path / "store"
    store_tool(root, sizes, "write", str(root), "60")
    theirs = store_tool(root, sizes, "dump", str(root))

    assert asyncio.run(dumped(root, sizes)) == theirs
    asyncio.run(append(root, sizes, numbered(20)))
    ours = asyncio.run(dumped(root, sizes))
    assert len(ours) == len(theirs) + 4 + 20
    assert store_tool(root, sizes, "dump", str(root)) == ours
