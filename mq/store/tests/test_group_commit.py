"""Groups: who is told what, and when, over a disk that counts, dawdles or fails."""

from __future__ import annotations

import asyncio
import errno
import threading
from pathlib import Path

import pytest

from mq.errors import MQError, StoreNotWritable
from mq.store.config import FlushMode
from mq.store.store import MessageStore
from mq.store.tests.faulty_disk import FaultyDisk
from mq.store.tests.small_store import everything, fields_of, kill, small_store


def started(root: Path, disk: FaultyDisk, **changes: object) -> MessageStore:
    store = small_store(root, disk=disk, **changes)
    store.open()
    store.start()
    return store


class TestACommit:
    async def test_is_one_write_and_one_sync_for_all_that_a_turn_of_the_loop_appended(self, tmp_path: Path) -> None:
        disk = FaultyDisk()
        store = started(tmp_path, disk, async_flush_interval_ms=3_600_000)
        await asyncio.sleep(0)  # the first round of maintenance
        disk.calls.clear()

        for number in range(20):
            store.append(fields_of("orders", b"%d" % number))
        waiting = [asyncio.ensure_future(store.durable()) for _ in range(5)]
        await asyncio.gather(*waiting)

        assert disk.calls["write"] == disk.calls["sync"] == 1
        await store.close()

    async def test_in_async_mode_does_not_wait_for_a_sync(self, tmp_path: Path) -> None:
        disk = FaultyDisk()
        store = started(tmp_path, disk, flush=FlushMode.ASYNC, async_flush_interval_ms=3_600_000)
        await asyncio.sleep(0)
        disk.calls.clear()

        store.append(fields_of("orders", b"one"))
        await store.durable()

        assert (disk.calls["write"], disk.calls["sync"]) == (1, 0)
        await store.close()

    async def test_answers_in_the_order_of_the_log_after_queues_know(self, tmp_path: Path) -> None:
        store = started(tmp_path, FaultyDisk())
        seen: list[str] = []
        store.add_arrival_listener(lambda topic, queue_id, after, code, text: seen.append(f"{topic} {after}"))

        store.append(fields_of("orders", b"one"))
        store.when_durable(lambda error: seen.append(f"first {store.max_offset('orders', 0)} {error}"))
        store.append(fields_of("orders", b"two"))
        store.when_durable(lambda error: seen.append(f"second {store.max_offset('orders', 0)} {error}"))
        assert store.max_offset("orders", 0) == 0
        await store.durable()

        assert seen == ["orders 2", "orders 2", "first 2 None", "second 2 None"]
        store.when_durable(lambda error: seen.append(f"nothing waits: {error}"))
        assert seen[-1] == "nothing waits: None"
        await store.close()


class SlowDisk(FaultyDisk):
    """Its syncs wait for `gate`, once they do not run in the loop's own thread."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.loop_thread = threading.get_ident()
        self.syncs_in_thread = 0

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        if threading.get_ident() != self.loop_thread:
            self.syncs_in_thread += 1
            self.gate.wait(10)


class TestASlowDisk:
    async def test_works_in_a_thread_while_the_next_group_gathers(self, tmp_path: Path) -> None:
        disk = SlowDisk()
        store = small_store(tmp_path, disk=disk)
        store.open()
        store._commit.start(asyncio.get_running_loop())
        store._commit.mean_sync_s = 1.0
        done: list[str] = []

        store.append(fields_of("orders", b"one"))
        store.when_durable(lambda error: done.append("one"))
        await asyncio.sleep(0)
        for body in (b"two", b"three"):
            store.append(fields_of("orders", body))
            store.when_durable(lambda error: done.append("next"))
        await asyncio.sleep(0)
        assert done == []
        assert everything(store) == {("orders", 0): []}
        disk.gate.set()
        await store.durable()

        assert done == ["one", "next", "next"]
        assert disk.syncs_in_thread == 2
        assert everything(store) == {("orders", 0): [b"one", b"two", b"three"]}
        await store.close()


class TestAFailure:
    @pytest.mark.parametrize("site", ["write", "sync"])
    @pytest.mark.parametrize("in_thread", [False, True], ids=["in the loop", "in the thread"])
    async def test_stops_writing_for_good_and_tells_everybody(self, tmp_path: Path, site: str, in_thread: bool) -> None:
        disk = FaultyDisk()
        store = small_store(tmp_path, disk=disk)
        store.open()
        store._commit.start(asyncio.get_running_loop())
        store.append(fields_of("orders", b"before"))
        await store.durable()
        store._commit.mean_sync_s = 1.0 if in_thread else 0.0
        disk.site, disk.number = site, disk.calls[site] + 1
        told: list[MQError | None] = []

        store.append(fields_of("orders", b"lost"))
        store.when_durable(told.append)
        store.when_durable(told.append)
        with pytest.raises(StoreNotWritable, match="restart the broker"):
            await store.durable()

        assert [type(error) for error in told] == [StoreNotWritable, StoreNotWritable]
        assert not store.is_writable
        calls = disk.calls.copy()
        with pytest.raises(StoreNotWritable):
            store.append(fields_of("orders", b"after"))
        store.when_durable(told.append)
        await store.close()
        assert disk.calls["write"] == calls["write"]
        assert isinstance(told[-1], StoreNotWritable)
        assert (tmp_path / "abort").exists()
        assert everything_reopened(tmp_path)[("orders", 0)][0] == b"before"

    @pytest.mark.parametrize("in_thread", [False, True], ids=["in the loop", "in the thread"])
    async def test_that_is_none_of_the_disk_stops_writing_too(self, tmp_path: Path, in_thread: bool) -> None:
        class ForgetfulDisk(FaultyDisk):
            is_forgetful = False

            def write(self, descriptor: int, data: bytes | bytearray | memoryview, position: int) -> None:
                if self.is_forgetful:
                    raise MemoryError("no memory for a group")
                super().write(descriptor, data, position)

        disk = ForgetfulDisk()
        store = small_store(tmp_path, disk=disk)
        store.open()
        disk.is_forgetful = True
        store._commit.start(asyncio.get_running_loop())
        store._commit.mean_sync_s = 1.0 if in_thread else 0.0

        store.append(fields_of("orders", b"lost"))
        async with asyncio.timeout(5):
            with pytest.raises(StoreNotWritable, match="no memory for a group"):
                await store.durable()

        with pytest.raises(StoreNotWritable):
            store.append(fields_of("orders", b"behind a hole"))
        disk.is_forgetful = False
        await store.close()

    async def test_of_the_sync_behind_async_mode_stops_writing_too(self, tmp_path: Path) -> None:
        disk = FaultyDisk(is_lasting=True)
        store = started(tmp_path, disk, flush=FlushMode.ASYNC, async_flush_interval_ms=3_600_000)
        disk.site, disk.number = "sync", disk.calls["sync"] + 1
        store.append(fields_of("orders", b"one"))
        await store.durable()

        await store._maintenance.tick()

        assert store.refusal is not None
        assert "syncing the commit log failed" in store.refusal
        await store.close()
        assert (tmp_path / "abort").exists()


class TestADiskThatDoesNotKeepUp:
    async def test_takes_a_batch_whole_or_not_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = small_store(tmp_path)
        store.open()
        monkeypatch.setattr("mq.store.store._MAX_WAITING_BYTES", 1000)
        store.append_batch([fields_of("orders", b"x" * 100) for _ in range(3)])

        with pytest.raises(StoreNotWritable, match="wait for the disk"):
            store.append_batch([fields_of("orders", b"y" * 100) for _ in range(3)])

        store.commit()
        assert everything(store) == {("orders", 0): [b"x" * 100] * 3}
        await store.close()


class TestAFullDisk:
    async def test_refuses_messages_until_there_is_space_and_never_stops_reading(self, tmp_path: Path) -> None:
        disk = FaultyDisk()
        store = started(tmp_path, disk, async_flush_interval_ms=3_600_000)
        await asyncio.sleep(0)
        disk.site, disk.number, disk.error, disk.is_lasting = "create", disk.calls["create"] + 1, errno.ENOSPC, True
        count = fill(store)
        await store.durable()
        assert store.refusal is not None
        assert "no room for the next commit log file" in store.refusal
        assert len(everything(store)["orders", 0]) == count
        await store._maintenance.tick()
        with pytest.raises(StoreNotWritable):
            store.append(fields_of("orders", b"still full"))

        disk.site = ""
        await store._maintenance.tick()
        store.append(fields_of("orders", b"space again"))
        await store.durable()

        assert store.is_writable
        assert everything(store)["orders", 0][-1] == b"space again"
        await store.close()
        assert everything_reopened(tmp_path)["orders", 0][-1] == b"space again"


def fill(store: MessageStore) -> int:
    """Append until the store refuses; returns how many it took."""
    for count in range(100):
        try:
            store.append(fields_of("orders", b"x" * 300))
        except StoreNotWritable:
            return count
    raise AssertionError("the disk is not full")


def everything_reopened(root: Path) -> dict[tuple[str, int], list[bytes]]:
    store = small_store(root)
    store.open()
    try:
        return everything(store)
    finally:
        kill(store)
