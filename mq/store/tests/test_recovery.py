"""Kills, cuts and missing files: what was committed comes back, in order, whatever else is gone."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from mq.errors import CorruptRecord, StoreUnusable
from mq.store import json_files
from mq.store.tests.small_store import everything, fields_of, kill, random_fields, small_store
from mq.store.timer_index import TimerIndex

NIGHT = [pytest.mark.nightly, pytest.mark.timeout(1200)]
Bodies = dict[tuple[str, int], list[bytes]]


def fill(root: Path, seed: int, count: int, *, clean: bool) -> Bodies:
    """A store of `count` random messages, committed in random groups."""
    seeded = random.Random(seed)
    bodies: Bodies = defaultdict(list)
    store = small_store(root)
    store.open()
    for number in range(count):
        fields = random_fields(seeded, number)
        store.append(fields)
        bodies[fields.topic, fields.queue_id].append(fields.body)
        if seeded.random() < 0.2:
            store.commit()
        if seeded.random() < 0.02:
            store._maintenance.save_point()
    store.commit()
    store.close_now() if clean else kill(store)
    return bodies


def reopened(root: Path) -> Bodies:
    store = small_store(root)
    store.open()
    try:
        return everything(store)
    finally:
        store.close_now()


class TestAfterAKill:
    def test_every_committed_message_is_there_through_twenty_lives(self, memory_folder: Path) -> None:
        seed = random.randrange(1 << 32)
        print("seed", seed)
        seeded = random.Random(seed)
        committed: Bodies = defaultdict(list)
        waiting: list[tuple[tuple[str, int], bytes]] = []
        for _ in range(20):
            store = small_store(memory_folder)
            store.open()
            assert everything(store) == committed
            for number in range(seeded.randrange(60)):
                fields = random_fields(seeded, number)
                store.append(fields)
                waiting.append(((fields.topic, fields.queue_id), fields.body))
                if seeded.random() < 0.3:
                    store.commit()
                    for queue, body in waiting:
                        committed[queue].append(body)
                    waiting.clear()
                if seeded.random() < 0.05:
                    store._maintenance.save_point()
                if seeded.random() < 0.05:
                    store._queues.flush()
            waiting.clear()
            kill(store)

    def test_a_cut_at_any_byte_of_the_last_records_loses_only_what_it_cut(self, memory_folder: Path) -> None:
        whole = fields_of("orders", b"w" * 50, TAGS="paid")  # its last byte is not zero
        store = small_store(memory_folder / "whole")
        store.open()
        for _ in range(20):
            store.append(whole)
        store.commit()
        ends = [0, *(entry.commit_log_offset + entry.record_bytes for entry in store.entries("orders", 0, 0, 20))]
        kill(store)
        for cut in range(ends[-3], ends[-1] + 1):
            root = memory_folder / "cut"
            shutil.copytree(memory_folder / "whole", root)
            log = root / "commitlog" / f"{0:020d}"
            log.write_bytes(log.read_bytes()[:cut].ljust(4096, b"\0"))
            expected = sum(end <= cut for end in ends) - 1

            bodies = reopened(root)

            assert len(bodies["orders", 0]) == expected, f"cut at {cut}"
            shutil.rmtree(root)

    def test_new_records_do_not_bring_cut_ones_back(self, memory_folder: Path) -> None:
        # Record 1 of 3 is broken by a power cut; a new one of the same size would end where the dead third begins.
        store = small_store(memory_folder)
        store.open()
        for body in (b"first", b"torn.", b"dead."):
            store.append(fields_of("orders", body))
        store.commit()
        kill(store)
        (memory_folder / "abort").write_text("1")  # as RocketMQ writes it: nobody knows what became of the machine
        (memory_folder / "recoverypoint").unlink()
        log = memory_folder / "commitlog" / f"{0:020d}"
        data = bytearray(log.read_bytes())
        data[data.index(b"torn.")] ^= 1
        log.write_bytes(data)

        store = small_store(memory_folder)
        store.open()
        store.append(fields_of("orders", b"newer"))
        store.commit()
        kill(store)

        assert reopened(memory_folder) == {("orders", 0): [b"first", b"newer"]}
        assert [path.name for path in (memory_folder / "cut").iterdir()] == ["00000000000000000102"]


class TestWithoutDerivedFiles:
    DERIVED = ("consumequeue", "consumequeue/orders/0", "index", "checkpoint", "recoverypoint", "abort")

    @pytest.mark.parametrize("clean", [True, False], ids=["clean", "killed"])
    def test_all_is_rebuilt_from_the_log(self, memory_folder: Path, clean: bool) -> None:
        bodies = fill(memory_folder / "whole", seed=7, count=200, clean=clean)
        for gone in itertools.product([False, True], repeat=len(self.DERIVED)):
            root = memory_folder / "part"
            shutil.copytree(memory_folder / "whole", root)
            for name in itertools.compress(self.DERIVED, gone):
                path = root / name
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

            store = small_store(root)
            store.open()

            assert everything(store) == bodies, f"without {list(itertools.compress(self.DERIVED, gone))}"
            for key in ("key-0", "key-90", "key-199"):
                assert (
                    sum(len(store.query(topic, key, 9, 0, 1 << 60, max_bytes=1 << 20)) for topic in store.queues()) == 1
                )
            store.close_now()
            shutil.rmtree(root)

    @pytest.mark.timeout(600)
    @pytest.mark.parametrize("seed", [
        pytest.param(7, marks=pytest.mark.promise),
        *(pytest.param(number, marks=pytest.mark.nightly) for number in range(100, 120)),
    ])  # fmt: skip
    def test_all_is_rebuilt_whichever_are_whole_truncated_or_gone(
        self, memory_folder: Path, seed: int, figure: Callable[[str], None]
    ) -> None:
        whole, root = memory_folder / "whole", memory_folder / "part"
        bodies = fill(whole, seed=seed, count=200, clean=True)
        (whole / "abort").write_text("1\nthe boot before\n")
        queue = sorted((whole / "consumequeue" / "orders" / "0").iterdir())
        index = sorted((whole / "index").iterdir())
        files = (queue[0], queue[-1], index[-1], *(whole / name for name in ("checkpoint", "recoverypoint", "abort")))
        assert len(queue) > 1
        count = 0
        for how, hit in itertools.product(("truncated", "gone"), itertools.product([False, True], repeat=len(files))):
            shutil.copytree(whole, root)
            victims = list(itertools.compress(files, hit))
            for file in victims:
                path = root / file.relative_to(whole)
                path.unlink() if how == "gone" else os.truncate(path, path.stat().st_size // 2)

            store = small_store(root)
            store.open()

            what = f"{how}: {[file.name for file in victims]}"
            assert everything(store) == bodies, what
            for key in ("key-0", "key-90", "key-199"):
                found = sum(len(store.query(topic, key, 9, 0, 1 << 60, max_bytes=1 << 20)) for topic in store.queues())
                assert found == 1, f"{what}: {key}"
            kill(store)
            shutil.rmtree(root)
            count += 1
        figure(f"B4: seed {seed}: {count} combinations of derived files whole, truncated or gone, all rebuilt")

    @pytest.mark.parametrize("data", [bytes(4), b"\0\0\0\x01"], ids=["zeroed", "changed"])
    def test_a_slot_of_the_key_index_that_a_disk_changed_is_rebuilt_as_well(
        self, memory_folder: Path, data: bytes
    ) -> None:
        """`KeyIndex.is_as_summed` sees to it."""
        fill(memory_folder, seed=7, count=20, clean=True)
        path = max((memory_folder / "index").iterdir())
        slots = path.read_bytes()[40 : 40 + 20 * 4]
        for place in range(20):
            if any(slots[place * 4 : place * 4 + 4]):
                with path.open("r+b") as file:
                    file.seek(40 + place * 4)
                    file.write(data)

        store = small_store(memory_folder)
        store.open()

        found = [
            len(store.query(topic, f"key-{n}", 9, 0, 1 << 60, max_bytes=1 << 20))
            for n in range(20)
            for topic in store.queues()
        ]
        assert sum(found) == 20
        store.close_now()

    def test_a_log_whose_first_files_expired_keeps_its_queue_offsets(self, memory_folder: Path) -> None:
        store = small_store(memory_folder)
        store.open()
        for number in range(100):
            store.append(fields_of("orders", b"%d" % number * 50))
        store.commit()
        first = store._log.files[2].start
        store.close_now()
        for name in (f"{0:020d}", f"{4096:020d}"):
            (memory_folder / "commitlog" / name).unlink()
        (memory_folder / "recoverypoint").unlink()
        shutil.rmtree(memory_folder / "consumequeue")

        store = small_store(memory_folder)
        store.open()

        low, high = store.min_offset("orders", 0), store.max_offset("orders", 0)
        assert high == 100
        assert store.entries("orders", 0, low, 1)[0].commit_log_offset == first
        assert len(everything(store)["orders", 0]) == high - low
        store.close_now()


class TestDamage:
    @pytest.mark.parametrize(
        "count",
        [
            100,
            pytest.param(500, marks=[pytest.mark.promise, pytest.mark.timeout(600)]),
            *(pytest.param(1000, marks=NIGHT, id=f"night-{number}") for number in range(20)),
        ],
    )
    def test_is_recovered_or_refused_by_name_but_never_passed_over(
        self, memory_folder: Path, count: int, chance: random.Random, figure: Callable[[str], None]
    ) -> None:
        whole = memory_folder / "whole"
        bodies = fill(whole, seed=11, count=120, clean=False)
        fill_aside(whole)
        files = sorted(path for path in whole.rglob("*") if path.is_file() and path.name not in UNTOUCHED)
        outcomes: Counter[str] = Counter()
        for _ in range(count):
            root = memory_folder / "damaged"
            shutil.copytree(whole, root, ignore=shutil.ignore_patterns("timerwheel"))
            victim = chance.choice(files)
            if victim.name != "timerwheel":  # 38 MB that opening does not change
                (root / "timerwheel").hardlink_to(whole / "timerwheel")
            else:
                shutil.copy(victim, root)
            path = root / victim.relative_to(whole)
            what = damage(path, chance)
            outcomes[check_damaged(root, path, bodies, f"{what} in {victim.name}")] += 1
            shutil.rmtree(root)
        assert set(outcomes) <= {"recovered", "refused", "noticed", "cut"}
        assert outcomes["recovered"]
        assert outcomes["refused"]
        figure(f"B3: {count} damages to a store that is opened: {said(outcomes)}, 0 silent losses")


def said(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))


OFFSETS = {"offsetTable": {f"orders@group-{number}": {"0": number, "1": 7 * number} for number in range(20)}}
TIMER_SLOTS = range(1_700_000_000, 1_700_000_030)
#: Not damaged: they hold nothing to lose.
UNTOUCHED = ("lock", "abort")
TIMERS_AT_MS = 1_699_999_000_000


def fill_aside(root: Path) -> None:
    """What lies in a store beside messages: an offsets file with its backup, and thirty timers."""
    for _ in range(2):
        json_files.save(root / "config" / "consumerOffset.json", OFFSETS)
    index = timers_of(root)
    for slot in TIMER_SLOTS:
        index.put(slot, now_ms=TIMERS_AT_MS, magic=1, commit_log_offset=0, record_bytes=100, topic_hash=1)
        index.queue_offset += 1
    index.flush(TIMERS_AT_MS)
    index.close()


def check_aside(root: Path) -> None:
    """Offsets are as they were, or refused; timers are all there, or the index says that it begins anew."""
    # What is damaged may be the name of the CRC, which is then a member like any other.
    assert json_files.load(root / "config" / "consumerOffset.json", dict).items() >= OFFSETS.items()
    index = timers_of(root)
    try:
        waiting = [slot.number for slot in index.due(TIMERS_AT_MS + 60_000_000) for _ in index.chain(slot)]
    except CorruptRecord:
        return  # as the timer service, which then reads the topic again
    finally:
        index.close()
    assert waiting == list(TIMER_SLOTS) or index.queue_offset == 0, "timers are gone and nothing was said"


def timers_of(root: Path) -> TimerIndex:
    index = TimerIndex(root, precision_ms=1000, log_file_bytes=4096)
    whole = (0, len(TIMER_SLOTS))
    index.open(now_ms=TIMERS_AT_MS, queue_range=whole, queue_offset_of=lambda record: None, is_clean=True)
    return index


def damage(path: Path, seeded: random.Random) -> str:
    data = bytearray(path.read_bytes())
    used = len(data.rstrip(b"\0")) or len(data)
    at = seeded.randrange(used)
    match seeded.choice(["flip", "zero", "truncate"]):
        case "flip":
            data[at] ^= 1 << seeded.randrange(8)
            what = f"bit flipped at {at}"
        case "zero":
            at -= at % 512
            data[at : at + 512] = bytes(len(data[at : at + 512]))
            what = f"512 zeros at {at}"
        case _:
            del data[at:]
            what = f"truncated at {at}"
    path.write_bytes(data)
    return what


def check_damaged(root: Path, path: Path, bodies: Bodies, what: str) -> str:
    """Open and read everything; what comes out may lack acknowledged messages only with a report or a refusal."""
    store = small_store(root)
    try:
        check_aside(root)
        report = store.open()
        found = everything(store)
    except StoreUnusable as error:
        return "refused" if str(path) in str(error) else f"refused without a name: {error}"
    except CorruptRecord as error:
        return "refused" if str(root) in str(error.path) else f"refused without a name: {error}"
    finally:
        kill(store)
    if found == bodies:
        return "recovered"
    if report.oddities:
        return "noticed"
    assert report.damage is not None, f"{what}: messages are gone and nothing was said: {report}"
    for queue, expected in bodies.items():
        assert found.get(queue, []) == expected[: len(found.get(queue, []))], f"{what}: {queue}"
    return "cut"
