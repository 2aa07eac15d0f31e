"""Config files: fastjson's dialect in, standard JSON out, and a version to fall back on."""

from __future__ import annotations

from pathlib import Path

import pytest

from mq.errors import StoreUnusable
from mq.store import json_files


class TestJsonFiles:
    def test_reads_what_rocketmq_writes(self, tmp_path: Path) -> None:
        path = tmp_path / "delayOffset.json"
        path.write_text('{\n\t"dataVersion":{"counter":1},\n\t"offsetTable":{1:3,18:9}\n}')

        assert json_files.load(path)["offsetTable"] == {"1": 3, "18": 9}

    def test_keeps_the_version_before(self, tmp_path: Path) -> None:
        path = tmp_path / "config" / "topics.json"
        json_files.save(path, {"version": 1})
        json_files.save(path, {"version": 2, "offsetTable": {3: 4}})

        assert json_files.load(path) == {"version": 2, "offsetTable": {"3": 4}}
        assert json_files.load(json_files.backup_of(path)) == {"version": 1}
        assert {item.name for item in path.parent.iterdir()} == {"topics.json", "topics.json.bak"}

    @pytest.mark.parametrize("content", ["", "{", "[1]", None], ids=["empty", "broken", "no object", "absent"])
    def test_falls_back_on_it(self, tmp_path: Path, content: str | None) -> None:
        path = tmp_path / "topics.json"
        json_files.save(path, {"version": 1})
        json_files.save(path, {"version": 2})
        path.unlink() if content is None else path.write_text(content)

        assert json_files.load(path) == {"version": 1}

    def test_refuses_to_start_empty_over_a_broken_file(self, tmp_path: Path) -> None:
        path = tmp_path / "topics.json"
        path.write_text('{"topicConfigTable": {')

        with pytest.raises(StoreUnusable, match=r"topics\.json.*restore it from a backup"):
            json_files.load(path)

    def test_is_empty_when_there_is_none(self, tmp_path: Path) -> None:
        assert json_files.load(tmp_path / "topics.json") == {}
