"""What retention must leave alone; what it deletes, and when, is told by the golden script `retention.txt`."""

from __future__ import annotations

import time
from pathlib import Path

from mq.store.disk import Disk
from mq.store.tests.small_store import fields_of, small_store


class NearlyFullDisk(Disk):
    def used_percent(self, folder: Path) -> int:
        return 88


class TestRetention:
    def test_leaves_a_file_whose_last_messages_are_not_committed(self, tmp_path: Path) -> None:
        """Guards `_durable_offset` in `Retention._may_go`: the commit would write into a file that is closed."""
        store = small_store(tmp_path, disk=NearlyFullDisk())
        store.open()
        for _ in range(3):
            store.append(fields_of("orders", bytes(2000)))  # two files: the second begins with the second message

        before = store._maintenance.retention.take(time.time())
        store.commit()
        after = store._maintenance.retention.take(time.time())

        assert before is None
        assert after == tmp_path / "commitlog" / f"{0:020d}"
