"""The index file's bytes, and what a killed process may leave in them."""

from __future__ import annotations

import random
import struct
from pathlib import Path

from mq.message.properties import java_hash
from mq.store.index_file import ENTRY_BYTES, HEADER_BYTES, IndexFile
from mq.store.key_hash import KeyHash


class TestKeyHash:
    def test_is_javas_of_topic_and_key_made_positive(self) -> None:
        seed = random.randrange(1 << 32)
        print("seed", seed)
        seeded = random.Random(seed)
        hashes = KeyHash()
        for _ in range(5000):
            topic = seeded.choice(["orders", "股票", "T"])
            length = seeded.randrange(40)
            key = "".join(
                seeded.choice("0123456789ABCDEFé中𝄞" if length < 5 else "0123456789AB") for _ in range(length)
            )

            expected = abs(java_hash(f"{topic}#{key}"))

            assert hashes.of(topic, key.encode()) == (0 if expected == 1 << 31 else expected)


class TestIndexFile:
    SLOTS = 10

    def make(self, folder: Path) -> IndexFile:
        return IndexFile.create(folder / "20240101000000000", self.SLOTS, 8, None)

    def test_lies_in_the_file_as_rocketmq_lays_it_out(self, tmp_path: Path) -> None:
        file = self.make(tmp_path)
        file.put([(7, 100, 5000), (17, 200, 6500), (3, 300, 9999)])
        file.close()

        data = file.path.read_bytes()
        assert len(data) == 40 + 4 * self.SLOTS + 20 * 8
        assert struct.unpack_from(">qqqqii", data) == (5000, 9999, 100, 300, 2, 4)
        slots = struct.unpack_from(">10i", data, HEADER_BYTES)
        assert slots == (0, 0, 0, 3, 0, 0, 0, 2, 0, 0)
        entries = [struct.unpack_from(">iqii", data, 80 + ENTRY_BYTES * number) for number in range(5)]
        assert entries == [(0, 0, 0, 0), (7, 100, 0, 0), (17, 200, 1, 1), (3, 300, 4, 0), (0, 0, 0, 0)]

    def test_takes_as_many_as_it_holds(self, tmp_path: Path) -> None:
        file = self.make(tmp_path)

        assert file.put([(number, number, 1) for number in range(20)]) == 7
        assert file.is_full
        file.close()

    def test_takes_back_what_a_killed_process_had_not_counted(self, tmp_path: Path) -> None:
        file = self.make(tmp_path)
        file.put([(7, 100, 5000), (17, 200, 6000)])
        header = file.path.read_bytes()[:HEADER_BYTES]
        file.put([(27, 300, 7000), (37, 400, 8000)])
        file.close()
        with file.path.open("r+b") as raw:  # as if killed before the header was written
            raw.write(header)

        file = IndexFile(file.path, self.SLOTS, 8)
        assert file.find(7, 9, 0, 1 << 50) == []
        file.undo_uncounted()

        assert file.find(7, 9, 0, 1 << 50) == [100]
        assert file.find(17, 9, 0, 1 << 50) == [200]
        file.close()
