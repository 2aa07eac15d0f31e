"""An error at every call to the disk, once: nothing acknowledged is lost, not even when the power goes afterwards.

A sync that failed has forgotten what it should have written, as Linux does: the next one succeeds and proves nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from mq.errors import MQError
from mq.store.store import MessageStore
from mq.store.tests.faulty_disk import CALLS, FaultyDisk
from mq.store.tests.sim_disk import Images, SimDisk, Step, write_files
from mq.store.tests.small_store import everything, fields_of, kill, small_store
from mq.store.tests.test_power_loss import rebooted

MESSAGE_COUNT = 24


class ForgetfulDisk(FaultyDisk, SimDisk):
    """Fails like the one, is remembered like the other."""

    def __init__(self, site: str = "", number: int = 1, error: int = errno.EIO) -> None:
        SimDisk.__init__(self)
        FaultyDisk.__init__(self, site, number, error)
        #: Whether the call that failed was on a file of the commit log.
        self.has_hit_the_log = False

    def sync(self, descriptor: int) -> None:
        try:
            super().sync(descriptor)
        except OSError:
            self.journal.append(Step("forgotten", self._file(descriptor)))
            self._look(descriptor)
            raise

    def write(self, descriptor: int, data: bytes | bytearray | memoryview, position: int) -> None:
        try:
            super().write(descriptor, data, position)
        except OSError:
            self._look(descriptor)
            raise

    def _look(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        self.has_hit_the_log = path.parent.name == "commitlog"  # a file still being made holds no message


async def live(root: Path, disk: ForgetfulDisk) -> tuple[list[bytes], int]:
    """Send messages one by one, with all the store does beside; returns what was acknowledged, and how many of these
    after the log itself had failed.
    """
    acknowledged: list[bytes] = []
    late = 0
    store = small_store(root, disk=disk, async_flush_interval_ms=3_600_000)
    with contextlib.suppress(MQError):  # refused to open: nothing was acknowledged
        store.open()
        store.start()
        for number in range(MESSAGE_COUNT):
            with contextlib.suppress(MQError):  # refused: the sender knows
                await send(store, body := b"%d:" % number + b"x" * 300)
                acknowledged.append(body)
                late += disk.has_hit_the_log
            if number % 6 == 5:
                await store._maintenance.tick()
                with contextlib.suppress(MQError, OSError):
                    store._maintenance.save_point()
    await store.close()
    return acknowledged, late


async def send(store: MessageStore, body: bytes) -> None:
    store.append(fields_of("orders", body))
    await store.durable()


class TestAnErrorOfTheDisk:
    @pytest.mark.parametrize("stride", [9, pytest.param(1, marks=[pytest.mark.promise, pytest.mark.timeout(600)])])
    async def test_at_any_call_is_followed_by_no_false_acknowledgement(
        self, memory_folder: Path, stride: int, figure: Callable[[str], None]
    ) -> None:
        calls = ForgetfulDisk()
        (memory_folder / "sound").mkdir()
        await live(memory_folder / "sound" / "store", calls)
        chance, met = random.Random(5), Counter[str]()
        for site in CALLS:
            for number in range(1 + (stride > 1), calls.calls[site] + 1, stride):
                for error in (errno.EIO, errno.ENOSPC):
                    base = memory_folder / f"{site}-{number}-{error}"
                    base.mkdir()
                    disk = ForgetfulDisk(site, number, error)
                    acknowledged, late = await live(base / "store", disk)
                    what = f"call {number} of {site} met {os.strerror(error)}"
                    assert disk.has_failed, what
                    assert not late, f"{what}: {late} messages were acknowledged after the log had failed"
                    met[site] += 1

                    images = Images(base)
                    for step in disk.journal:
                        images.take(step)
                    write_files(images.left("drop", chance), base, base / "left")
                    store = rebooted(base / "left" / "store")
                    found = everything(store).get(("orders", 0), [])
                    assert set(acknowledged) <= set(found), f"{what}: acknowledged and lost"
                    assert found[: len(acknowledged)] == acknowledged, f"{what}: order"
                    kill(store)
        sites = ", ".join(f"{count} of {site}" for site, count in met.items())
        figure(f"B5: {met.total()} errors of the disk ({sites}), 0 false acknowledgements, 0 lost by a power cut after")
