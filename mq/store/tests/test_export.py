"""`export_store`: a copy that opens as if stopped cleanly, and an original that nobody touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from mq.errors import CorruptRecord, StoreUnusable
from mq.message import Host
from mq.store.export import export_store
from mq.store.tests.small_store import everything, small_config, small_store
from mq.store.tests.test_check import traces
from mq.store.tests.test_recovery import check_aside, fill, fill_aside


class TestExport:
    @pytest.mark.parametrize("clean", [True, False], ids=["clean", "killed"])
    def test_gives_a_whole_copy_and_leaves_the_store_alone(self, memory_folder: Path, clean: bool) -> None:
        source, target = memory_folder / "source", memory_folder / "target"
        bodies = fill(source, seed=5, count=120, clean=clean)
        fill_aside(source)
        before = traces(source)

        exported = export_store(small_config(source), target)

        assert exported.is_clean
        assert exported.report.damage_count == 0
        assert exported.store_host == Host("127.0.0.1", 10911)
        assert {path.name for path in target.iterdir()} == {
            "commitlog", "consumequeue", "index", "config", "timerlog", "timerwheel", "checkpoint"
        }  # fmt: skip
        assert traces(source) == before
        check_aside(target)
        store = small_store(target)
        assert "cleanly stopped" in str(store.open())
        assert everything(store) == bodies
        assert sum(len(store.query(topic, "key-7", 9, 0, 1 << 60, max_bytes=1 << 20)) for topic in store.queues()) == 1
        store.close_now()

    def test_keeps_the_times_from_which_retention_counts(self, memory_folder: Path) -> None:
        source, target = memory_folder / "source", memory_folder / "target"
        fill(source, seed=5, count=120, clean=True)
        first = f"commitlog/{0:020d}"

        export_store(small_config(source), target)

        assert (target / first).stat().st_mtime_ns == (source / first).stat().st_mtime_ns

    def test_of_a_damaged_log_is_refused_by_name(self, memory_folder: Path) -> None:
        source = memory_folder / "source"
        fill(source, seed=5, count=120, clean=True)
        (source / "recoverypoint").unlink()
        log = source / "commitlog" / f"{0:020d}"
        data = bytearray(log.read_bytes())
        data[100] ^= 1
        log.write_bytes(data)

        with pytest.raises(CorruptRecord, match=f"{0:020d} at byte"):
            export_store(small_config(source), memory_folder / "target")

    def test_into_a_folder_in_use_is_refused(self, memory_folder: Path) -> None:
        fill(memory_folder / "source", seed=5, count=5, clean=True)
        (memory_folder / "target").mkdir()
        (memory_folder / "target" / "mine").touch()

        with pytest.raises(StoreUnusable, match="is not empty"):
            export_store(small_config(memory_folder / "source"), memory_folder / "target")
        with pytest.raises(StoreUnusable, match="lies inside the store"):
            export_store(small_config(memory_folder / "source"), memory_folder / "source" / "copy")
