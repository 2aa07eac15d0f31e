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

        assert json_files.load(path, dict)["offsetTable"] == {"1": 3, "18": 9}

    def test_writes_a_member_a_line_as_rocketmq_does(self, tmp_path: Path) -> None:
        path = tmp_path / "consumerOffset.json"

        json_files.save(path, {"offsetTable": {"orders@group": {0: 5, 1: 7}}, "text": 'a\n  "b" ü', "empty": {}})

        lines = path.read_text().split("\n")
        assert lines[:7] == [
            "{",
            '\t"offsetTable": {',
            '\t\t"orders@group": {',
            '\t\t\t"0": 5,',
            '\t\t\t"1": 7',
            "\t\t}",
            "\t},",
        ]
        assert lines[7:9] == ['\t"text": "a\\n  \\"b\\" ü",', '\t"empty": {},']

    def test_keeps_the_version_before(self, tmp_path: Path) -> None:
        path = tmp_path / "config" / "topics.json"
        json_files.save(path, {"version": 1})
        json_files.save(path, {"version": 2, "offsetTable": {3: 4}})

        assert json_files.load(path, dict) == {"version": 2, "offsetTable": {"3": 4}}
        assert json_files.load(json_files.backup_of(path), dict) == {"version": 1}
        assert {item.name for item in path.parent.iterdir()} == {"topics.json", "topics.json.bak"}

    @pytest.mark.parametrize("content", ["", "{", "[1]", None], ids=["empty", "broken", "no object", "absent"])
    def test_falls_back_on_it(self, tmp_path: Path, content: str | None) -> None:
        path = tmp_path / "topics.json"
        json_files.save(path, {"version": 1})
        json_files.save(path, {"version": 2})
        path.unlink() if content is None else path.write_text(content)

        assert json_files.load(path, dict) == {"version": 1}

    def test_refuses_to_start_empty_over_a_broken_file(self, tmp_path: Path) -> None:
        path = tmp_path / "topics.json"
        path.write_text('{"topicConfigTable": {')

        with pytest.raises(StoreUnusable, match=r"topics\.json.*restore it from a backup"):
            json_files.load(path, dict)

    def test_is_empty_when_there_is_none(self, tmp_path: Path) -> None:
        assert json_files.load(tmp_path / "topics.json", dict) == {}

    def test_keeps_a_broken_one_aside_and_leaves_the_version_before_as_it_is(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = tmp_path / "topics.json"
        json_files.save(path, {"version": 1})
        json_files.save(path, {"version": 2})
        path.write_text('{"version": ')

        json_files.save(path, json_files.load(path, dict))

        assert json_files.load(json_files.backup_of(path), dict) == {"version": 1}
        assert (tmp_path / "topics.json.damaged").read_text() == '{"version": '
        assert f"{path} holds something else" in caplog.text

    def test_refuses_one_of_another_shape_by_name(self, tmp_path: Path) -> None:
        path = tmp_path / "delayOffset.json"
        path.write_text('{"offsetTable":{"1":"x"}}')

        with pytest.raises(StoreUnusable, match=r"delayOffset\.json holds something else"):
            json_files.load(path, lambda file: {int(level): int(at) for level, at in file["offsetTable"].items()})

    def test_refuses_one_it_may_not_open_although_there_is_an_older_one(self, tmp_path: Path) -> None:
        """An unreadable file is no broken one: the older version would silently become the truth."""
        path = tmp_path / "topics.json"
        json_files.save(json_files.backup_of(path), {"version": 1})
        path.mkdir()  # root reads everything but a folder

        with pytest.raises(StoreUnusable, match=r"topics\.json cannot be read"):
            json_files.load(path, dict)
