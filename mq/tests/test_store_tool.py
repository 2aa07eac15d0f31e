"""`python -m mq store`: what it prints, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mq.__main__ import main
from mq.clock import ManualClock
from mq.message import Host
from mq.message.record import RecordFields
from mq.store.config import StoreConfig
from mq.store.store import MessageStore

GEOMETRY = ["--set", "maxHashSlotNum=20", "--set", "maxIndexNum=50"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store of ten messages, stopped cleanly."""
    config = StoreConfig(
        tmp_path / "store",
        store_host=Host("127.0.0.1", 10931),
        commit_log_file_bytes=4096,
        consume_queue_file_bytes=400,
        index_slot_count=20,
        index_entry_count=50,
    )
    store = MessageStore(config, ManualClock())
    store.open()
    for number in range(10):
        store.append(RecordFields("orders", 0, b"order %d" % number, b"", 0, 0, 0, Host("127.0.0.1", 5000)))
    store.commit()
    store.close_now()
    return config.root


class TestCheck:
    def test_of_a_sound_store_shows_a_table_and_exits_with_0(self, root: Path, capsys: pytest.CaptureFixture[str]):
        assert main(["store", "check", str(root), *GEOMETRY]) == 0

        said = capsys.readouterr().out
        assert "commit log" in said
        assert "DAMAGE" not in said

    def test_names_damage_and_exits_with_1(self, root: Path, capsys: pytest.CaptureFixture[str]):
        log = root / "commitlog" / f"{0:020d}"
        data = bytearray(log.read_bytes())
        at = data.index(b"order 0")
        data[at] ^= 1
        log.write_bytes(data)

        assert main(["store", "check", str(root), *GEOMETRY]) == 1
        assert f"DAMAGE {log} at byte 0: a body that does not match its CRC" in capsys.readouterr().out

        assert main(["store", "check", str(root), "--json", *GEOMETRY]) == 1
        report = json.loads(capsys.readouterr().out)
        damage = [found for part in report["parts"] for found in part["damage"]]
        assert {"file": str(log), "offset": 0} == {key: damage[0][key] for key in ("file", "offset")}

    def test_of_what_is_no_store_exits_with_3(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        assert main(["store", "check", str(tmp_path / "nothing")]) == 3
        assert "is no store" in capsys.readouterr().err


class TestExport:
    def test_tells_the_next_broker_what_must_not_change(self, root: Path, capsys: pytest.CaptureFixture[str]):
        target = root.with_name("handed over")

        assert main(["store", "export", str(root), str(target), "--set", "brokerName=broker-a", *GEOMETRY]) == 0

        settings = dict(line.split("=", 1) for line in (target / "broker.conf").read_text().splitlines())
        assert settings["brokerName"] == "broker-a"
        assert settings["listenPort"] == "10931"
        assert settings["mappedFileSizeCommitLog"] == "4096"
        assert settings["maxIndexNum"] == "50"
        assert main(["store", "check", str(target), "-c", str(target / "broker.conf")]) == 0

    def test_into_a_folder_that_is_not_empty_exits_with_3(self, root: Path, capsys: pytest.CaptureFixture[str]):
        assert main(["store", "export", str(root), str(root.parent)]) == 3
        assert "is not empty" in capsys.readouterr().err
