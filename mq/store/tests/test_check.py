"""`check_store`: says nothing of a sound store, names what is damaged, and leaves no trace."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from mq.errors import CorruptRecord, StoreUnusable
from mq.store.check import Report, check_store
from mq.store.scan import Scan
from mq.store.tests.small_store import everything, fields_of, kill, small_config, small_store
from mq.store.tests.test_recovery import (
    TIMERS_AT_MS,
    UNTOUCHED,
    Bodies,
    check_aside,
    damage,
    fill,
    fill_aside,
    said,
    timers_of,
)

NIGHT = [pytest.mark.nightly, pytest.mark.timeout(1200)]


def named(report: Report) -> list[tuple[str, int | None]]:
    """Name and offset of what is damaged."""
    return [(found.path.name, found.offset) for part in report.parts for found in part.damage]


def traces(root: Path) -> dict[Path, tuple[int, int, bytes]]:
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file() and path.name != "timerwheel"
    }


class TestASoundStore:
    @pytest.mark.parametrize("clean", [True, False], ids=["clean", "killed"])
    def test_has_no_damage_and_is_not_touched(self, memory_folder: Path, clean: bool) -> None:
        bodies = fill(memory_folder, seed=3, count=120, clean=clean)
        fill_aside(memory_folder)
        before = traces(memory_folder)

        report = check_store(small_config(memory_folder))

        assert named(report) == []
        items = {part.name: part.items for part in report.parts}
        assert items["commit log"] == sum(map(len, bodies.values())) == 120
        assert clean <= (items["consume queues"] == 120)
        assert items["timers"] == 30
        assert traces(memory_folder) == before

    def test_without_its_derived_files_is_sound(self, memory_folder: Path) -> None:
        fill(memory_folder, seed=3, count=50, clean=True)
        for name in ("consumequeue", "index"):
            shutil.rmtree(memory_folder / name)

        assert named(check_store(small_config(memory_folder))) == []

    def test_whose_first_messages_expired_is_sound(self, memory_folder: Path) -> None:
        fill(memory_folder, seed=3, count=100, clean=True)
        (memory_folder / "commitlog" / f"{0:020d}").unlink()

        report = check_store(small_config(memory_folder))

        assert named(report) == []


class TestDamage:
    @pytest.fixture
    def root(self, memory_folder: Path) -> Path:
        fill(memory_folder, seed=3, count=100, clean=True)
        fill_aside(memory_folder)
        return memory_folder

    def change(self, path: Path, at: int, data: bytes) -> None:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    def test_of_several_records_is_named_place_by_place(self, root: Path) -> None:
        store = small_store(root)
        store.open()
        first, second = (store.entries("orders", 0, at, 1)[0].commit_log_offset for at in (0, 5))
        kill(store)
        (root / "abort").unlink()
        for commit_log_offset in (first, second):
            start = commit_log_offset // 4096 * 4096
            self.change(root / "commitlog" / f"{start:020d}", commit_log_offset - start + 90, b"\xff\xff")

        found = named(check_store(small_config(root)))

        places = [(f"{at // 4096 * 4096:020d}", at % 4096) for at in (first, second)]
        assert [place for place in found if place in places] == places

    def test_of_a_topics_name_in_a_record_is_named_by_the_queue_that_points_to_it(self, root: Path) -> None:
        """From a run with seed 2010026370: sizes and CRC are right, but the record belongs to no topic there is."""
        path = root / "commitlog" / f"{0:020d}"
        at = path.read_bytes().index(b"orders")
        self.change(path, at, b"0rders")

        log_damage = [found for found in named(check_store(small_config(root))) if found[1] is not None]

        begin = max(offset for offset in record_begins(path) if offset < at)
        assert (path.name, begin) in log_damage

    def test_of_a_records_queue_offset_is_named(self, root: Path) -> None:
        """From a run with seed 542959250: a bit flipped, and the record says it is message 2 ** 56 of its queue."""
        path = root / "commitlog" / f"{0:020d}"
        begin = record_begins(path)[3]
        self.change(path, begin + 20, b"\x01")

        assert (path.name, begin) in named(check_store(small_config(root)))

    def test_of_a_queue_entry_is_named(self, root: Path) -> None:
        self.change(root / "consumequeue" / "orders" / "0" / f"{0:020d}", 45, b"\x55")

        assert named(check_store(small_config(root))) == [(f"{0:020d}", 40)]

    def test_of_entries_that_are_missing_in_a_store_stopped_cleanly_is_named(self, root: Path) -> None:
        self.change(root / "consumequeue" / "orders" / "0" / f"{0:020d}", 60, bytes(40))

        assert named(check_store(small_config(root))) == [(f"{0:020d}", 60)]

    def test_of_a_wheel_is_named_by_the_timer_that_is_not_on_it(self, root: Path) -> None:
        index = timers_of(root)
        slot = next(index.due(TIMERS_AT_MS + 60_000_000))
        index.close()
        self.change(root / "timerwheel", slot.number % (14 * 86_400) * 32, bytes(32))

        assert named(check_store(small_config(root))) == [(f"{0:020d}", slot.last_position)]

    def test_of_a_slot_of_the_key_index_is_named(self, root: Path) -> None:
        path = sorted((root / "index").iterdir())[0]
        slots = path.read_bytes()[40 : 40 + 20 * 4]
        used = next(place for place in range(20) if any(slots[place * 4 : place * 4 + 4]))
        self.change(path, 40 + used * 4, bytes(4))

        assert named(check_store(small_config(root))) == [(path.name, 40 + used * 4)]

    def test_of_a_digit_in_json_is_named(self, root: Path) -> None:
        path = root / "config" / "consumerOffset.json"
        path.write_text(path.read_text().replace('"1": 49', '"1": 48'))

        report = check_store(small_config(root))

        assert named(report) == [("consumerOffset.json", None)]
        assert "does not match its crc32" in report.parts[-1].damage[0].what

    @pytest.mark.parametrize("count", [
        40,
        pytest.param(500, marks=[pytest.mark.promise, pytest.mark.timeout(600)]),
        *(pytest.param(1000, marks=NIGHT, id=f"night-{number}") for number in range(20)),
    ])  # fmt: skip
    def test_anywhere_is_named_or_harms_nothing(
        self, memory_folder: Path, count: int, chance: random.Random, figure: Callable[[str], None]
    ) -> None:
        whole, root = memory_folder / "whole", memory_folder / "damaged"
        bodies = fill(whole, seed=11, count=80, clean=True)
        fill_aside(whole)
        files = sorted(path for path in whole.rglob("*") if path.is_file() and path.name not in ("lock", *UNTOUCHED))
        outcomes: Counter[str] = Counter()
        for _ in range(count):
            shutil.copytree(whole, root, ignore=shutil.ignore_patterns("timerwheel"))
            victim = chance.choice(files)
            if victim.name != "timerwheel":
                (root / "timerwheel").hardlink_to(whole / "timerwheel")
            else:
                shutil.copy(victim, root)
            what = damage(root / victim.relative_to(whole), chance)

            is_named = any(name == victim.name for name, _offset in named(check_store(small_config(root))))

            assert is_named or is_harmless(root, bodies), f"{what} in {victim.relative_to(whole)}"
            outcomes["named" if is_named else "harmless"] += 1
            shutil.rmtree(root)
        assert outcomes["named"] > count // 3
        figure(f"B3: {count} damages to a store that `store check` reads: {said(outcomes)}, 0 harmful and not named")


def record_begins(path: Path) -> list[int]:
    return [record[0] for record in Scan(path.read_bytes(), 0, 0)]


def is_harmless(root: Path, bodies: Bodies) -> bool:
    store = small_store(root)
    try:
        check_aside(root)
        store.open()
        return everything(store) == bodies
    except (CorruptRecord, StoreUnusable):
        return False
    finally:
        kill(store)


class TestWhatCannotBeChecked:
    def test_a_store_in_use_is_refused(self, tmp_path: Path) -> None:
        store = small_store(tmp_path)
        store.open()

        with pytest.raises(StoreUnusable, match="open in a broker: stop that one"):
            check_store(small_config(tmp_path))

        store.append(fields_of("orders", b"unharmed"))
        store.close_now()
        assert named(check_store(small_config(tmp_path))) == []

    def test_a_folder_that_is_no_store_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnusable, match="is no store"):
            check_store(small_config(tmp_path))
