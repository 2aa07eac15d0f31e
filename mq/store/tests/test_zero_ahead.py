"""Zeros written ahead never meet what is written."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from mq.store.store import MessageStore
from mq.store.tests.small_store import everything, fields_of, small_store
from mq.store.zero_ahead import ZeroAhead

MIB = 1 << 20


class TestZeroAhead:
    async def test_never_overwrites_a_record_however_close_it_comes(self, tmp_path: Path) -> None:
        store = small_store(tmp_path, commit_log_file_bytes=8 * MIB, key_index=False)
        store.open()
        store._commit.start(asyncio.get_running_loop())
        stop = threading.Event()
        chaser = threading.Thread(target=self.zero_without_pause, args=(store, stop))
        chaser.start()

        bodies = []
        try:
            for number in range(12_000):
                bodies.append(b"%d:" % number + b"x" * 2900)
                store.append(fields_of("orders", bodies[-1]))
                if number % 40 == 0:
                    await store.durable()
            await store.durable()
        finally:
            stop.set()
            chaser.join()

        assert everything(store) == {("orders", 0): bodies}
        store.close_now()
        store = small_store(tmp_path, commit_log_file_bytes=8 * MIB, key_index=False)
        store.open()
        assert everything(store) == {("orders", 0): bodies}
        store.close_now()

    def zero_without_pause(self, store: MessageStore, stop: threading.Event) -> None:
        """Start again from the position each time, with no memory of what is zero already: the worst neighbor."""
        while not stop.is_set():
            ZeroAhead(store._log).run()
