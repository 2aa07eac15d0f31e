"""Who may open a store, and which."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from mq.errors import StoreUnusable
from mq.store.tests.faulty_disk import FaultyDisk
from mq.store.tests.small_store import everything, fields_of, small_store

OPEN_IN_ANOTHER_PROCESS = """
import sys, pathlib
from mq.store.tests.faulty_disk import FaultyDisk
from mq.store.tests.small_store import small_store
store = small_store(pathlib.Path(sys.argv[1]))
store.open()
print("open", flush=True)
sys.stdin.read()
"""


class TestOpening:
    def test_twice_in_one_process_is_refused(self, tmp_path: Path) -> None:
        store = small_store(tmp_path)
        store.open()

        with pytest.raises(StoreUnusable, match="open in another broker: stop that one"):
            small_store(tmp_path).open()

        store.append(fields_of("orders", b"unharmed"))
        store.close_now()
        again = small_store(tmp_path)
        again.open()
        assert everything(again) == {("orders", 0): [b"unharmed"]}
        again.close_now()

    def test_from_two_processes_is_refused_until_the_first_is_gone(self, tmp_path: Path) -> None:
        other = subprocess.Popen(
            [sys.executable, "-c", OPEN_IN_ANOTHER_PROCESS, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with other:
            assert other.stdout is not None
            assert other.stdout.readline() == "open\n"
            with pytest.raises(StoreUnusable, match="open in another broker"):
                small_store(tmp_path).open()
            other.kill()
            other.wait()

        store = small_store(tmp_path)
        assert "killed" in str(store.open())
        store.close_now()

    @pytest.mark.parametrize(
        "sign",
        [
            "dledger-n0/data/00000000000000000000",
            "consumequeue_r/CURRENT",
            "batchconsumequeue/T/0/00000000000000000000",
        ],
    )
    def test_another_kind_of_store_is_refused_by_name(self, tmp_path: Path, sign: str) -> None:
        (tmp_path / sign).parent.mkdir(parents=True)
        (tmp_path / sign).touch()

        with pytest.raises(StoreUnusable, match="which this broker does not read"):
            small_store(tmp_path).open()

    def test_without_space_for_the_first_file_is_refused_and_leaves_nothing_in_the_way(self, tmp_path: Path) -> None:
        disk = FaultyDisk("create", 1, errno.ENOSPC)

        with pytest.raises(StoreUnusable, match=r"no space .* one takes 4096 bytes: free space"):
            small_store(tmp_path, disk=disk).open()

        store = small_store(tmp_path)
        assert "cleanly stopped" in str(store.open())
        store.close_now()

    def test_a_file_in_the_folders_place_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "store").write_text("not a folder")

        with pytest.raises(StoreUnusable, match="store"):
            small_store(tmp_path / "store").open()


class TestDraftOfAFile:
    def test_that_a_kill_left_behind_is_in_nobodys_way(self, tmp_path: Path) -> None:
        """A draft of a file that was made by somebody else meanwhile stays; making others must not fail over it."""
        preparing = tmp_path / "commitlog" / "preparing"
        preparing.mkdir(parents=True)
        (preparing / "00000000000009437184").touch()

        store = small_store(tmp_path)
        store.open()
        store.append(fields_of("orders", b"unharmed"))
        store.close_now()

        again = small_store(tmp_path)
        again.open()
        assert everything(again) == {("orders", 0): [b"unharmed"]}
        again.close_now()
