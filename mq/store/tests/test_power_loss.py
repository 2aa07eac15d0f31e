"""Power cuts, at every call the store makes to its disk: nothing acknowledged is lost, every queue keeps its order."""

from __future__ import annotations

import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mq.store.disk import Disk
from mq.store.store import MessageStore
from mq.store.tests.sim_disk import MODES, Images, SimDisk, write_files
from mq.store.tests.small_store import everything, fields_of, kill, random_fields, small_store

NIGHT = [pytest.mark.nightly, pytest.mark.timeout(3600)]
Bodies = dict[tuple[str, int], list[bytes]]


class UnsyncedDisk(Disk):
    """For opening what is left: the test reads through the page cache, so nothing need reach the real disk."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_folder(self, folder: Path) -> None:
        pass


class Life:
    """Random work on a store over a `SimDisk`; the journal is marked with what was appended and what acknowledged."""

    def __init__(self, root: Path, seed: int) -> None:
        self.disk = SimDisk()
        self._root = root
        self._chance = random.Random(seed)
        self._number = 0
        self._waiting: list[tuple[tuple[str, int], bytes]] = []
        self._store = self._open()

    def _open(self) -> MessageStore:
        store = small_store(self._root, disk=self.disk)
        store.open()
        found = everything(store)
        self.disk.mark(("there", found))  # readers see these from now on
        return store

    def work(self, rounds: int) -> None:
        for _ in range(rounds):
            for _ in range(self._chance.randint(1, 4)):
                self._append()
            what = self._chance.random()
            if what < 0.75:
                self._commit()
            elif what < 0.83:
                self._commit()
                self._store._maintenance.save_point()
            elif what < 0.90:
                self._store._queues.flush()
            elif what < 0.96:
                if self._chance.random() < 0.5:  # written, not synced: what a kill leaves in the page cache
                    self._store._log.write(self._store._log.take())
                self._waiting.clear()
                kill(self._store)
                self._store = self._open()
            else:
                self._commit()
                self._store.close_now()
                self._store = self._open()
        kill(self._store)

    def _append(self) -> None:
        fields = random_fields(self._chance, self._number)
        self._number += 1
        self.disk.mark(("appended", (fields.topic, fields.queue_id), fields.body))
        self._waiting.append(((fields.topic, fields.queue_id), fields.body))
        self._store.append(fields)

    def _commit(self) -> None:
        self._store.commit()
        self.disk.mark(("acknowledged", self._waiting))
        self._waiting = []


class Expected:
    """What the marks of a journal say must be there, and what may be."""

    def __init__(self) -> None:
        self.acknowledged: Bodies = defaultdict(list)
        self.appended: Bodies = defaultdict(list)

    def take(self, mark: Any) -> None:
        match mark:
            case "appended", queue, body:
                self.appended[queue].append(body)
            case "acknowledged", waiting:
                for queue, body in waiting:
                    self.acknowledged[queue].append(body)
            case "there", found:
                self.acknowledged, self.appended = defaultdict(list), defaultdict(list)
                for queue, bodies in found.items():
                    self.acknowledged[queue], self.appended[queue] = list(bodies), list(bodies)

    def check(self, found: Bodies, what: str) -> None:
        for queue, bodies in self.acknowledged.items():
            assert found.get(queue, [])[: len(bodies)] == bodies, f"{what}: {queue} lost what was acknowledged"
        for queue, bodies in found.items():
            assert bodies == self.appended[queue][: len(bodies)], f"{what}: {queue} has what was never sent to it"


def power_cuts(tmp_path: Path, seed: int, state_count: int, rounds: int) -> Counter[str]:
    """Play `state_count` power cuts spread evenly over a life of random work; how many there were of each mode."""
    base, left = tmp_path / "base", tmp_path / "left"
    base.mkdir(parents=True)
    life = Life(base / "store", seed)
    life.work(rounds)
    chance = random.Random(seed)
    images, expected = Images(base), Expected()
    played: Counter[str] = Counter()
    journal = life.disk.journal
    for number, step in enumerate(journal, 1):
        if step.kind == "mark":
            expected.take(step.mark)
        else:
            images.take(step)
        due = number * state_count // len(journal)
        while played.total() < due:
            mode = MODES[played.total() % len(MODES)]
            write_files(images.left(mode, chance), base, left)
            reopen(left / "store", expected, f"seed {seed}, step {number} ({step.kind}), {mode}")
            played[mode] += 1
            shutil.rmtree(left, ignore_errors=True)
    return played


def rebooted(root: Path) -> MessageStore:
    """The store opened as after a reboot of the machine."""
    root.mkdir(parents=True, exist_ok=True)
    abort = root / "abort"
    if abort.exists():
        abort.write_bytes(abort.read_bytes().partition(b"\n")[0] + b"\nthe boot before\n")
    store = small_store(root, disk=UnsyncedDisk())
    store.open()
    return store


def reopen(root: Path, expected: Expected, what: str) -> None:
    """Start after a reboot, look at everything, and go on."""
    store = rebooted(root)
    found = everything(store)
    expected.check(found, what)
    store.append(fields_of("orders", b"the next"))
    store.commit()
    assert everything(store)["orders", 0] == [*found.get(("orders", 0), []), b"the next"], what
    kill(store)


class TestAPowerCut:
    @pytest.mark.promise
    @pytest.mark.timeout(600)
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_of_a_seed_that_lost_messages_once_does_not_any_more(self, memory_folder: Path, seed: int) -> None:
        power_cuts(memory_folder, seed, state_count=200, rounds=60)

    def test_after_a_start_that_followed_a_kill_keeps_what_readers_saw(self, memory_folder: Path) -> None:
        """A killed process had written a group and not synced it; the next one found it and showed it to readers."""
        base = memory_folder / "base"
        base.mkdir()
        disk = SimDisk()
        store = small_store(base / "store", disk=disk)
        store.open()
        store.append(fields_of("orders", b"written, not synced"))
        store._log.write(store._log.take())
        kill(store)
        store = small_store(base / "store", disk=disk)
        store.open()
        assert everything(store) == {("orders", 0): [b"written, not synced"]}

        images = Images(base)
        for step in disk.journal:
            images.take(step)
        write_files(images.left("drop", random.Random(1)), base, memory_folder / "left")
        kill(store)

        left = rebooted(memory_folder / "left" / "store")
        assert everything(left) == {("orders", 0): [b"written, not synced"]}
        kill(left)

    @pytest.mark.parametrize("state_count", [
        100,
        pytest.param(2000, marks=[pytest.mark.promise, pytest.mark.timeout(600)]),
        *(pytest.param(5000, marks=NIGHT, id=f"night-{number}") for number in range(40)),
    ])  # fmt: skip
    def test_at_any_call_loses_nothing_acknowledged_and_keeps_every_queue_in_order(
        self, memory_folder: Path, state_count: int, seed: int, figure: Callable[[str], None]
    ) -> None:
        played = Counter[str]()
        for part in range(max(1, state_count // 500)):
            played += power_cuts(memory_folder / f"{part}", seed + part, min(state_count, 500), rounds=60)
            shutil.rmtree(memory_folder / f"{part}")

        assert played.total() == state_count
        modes = ", ".join(f"{count} {mode}" for mode, count in sorted(played.items()))
        figure(f"B2: {played.total()} power cuts ({modes}), 0 acknowledged messages lost")
