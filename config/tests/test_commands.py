from __future__ import annotations

import importlib
import json
import os
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from config import sample_data
from config.errors import CannotStart, DataDirectoryUnusable
from config.supervisor import state
from config.supervisor.state import Health, PartState, Phase, ProcessId, State
from mq.clock import OffsetFileClock, SystemClock

time_travel = importlib.import_module("config.management.commands.time-travel")


def pretend_to_run(data, *parts):
    """A state file as a supervisor writes it; this process is the supervisor."""
    state.write(data, State(str(data), Phase.READY, ProcessId.of(os.getpid()), list(parts), {}))


class TestTimeTravel:
    @pytest.mark.parametrize(
        ("text", "step"),
        [
            ("90s", timedelta(seconds=90)),
            ("15m", timedelta(minutes=15)),
            ("24h", timedelta(days=1)),
            ("3d", timedelta(3)),
        ],
    )
    def test_understands_a_duration(self, text, step):
        assert time_travel.parse(text) == step

    @pytest.mark.parametrize("text", ["", "24", "-1h", "1.5h", "0s", "4d", "1w", "999999999999h", "24h\n"])
    def test_refuses_anything_else_and_says_what_it_expects(self, text):
        with pytest.raises(CommandError, match="such as 90s, 15m or 24h"):
            time_travel.parse(text)

    def test_moves_the_broker_s_and_the_shop_s_clock_together(self, tmp_path, settings, capsys):
        from common import clock

        settings.CLOCK_OFFSET_FILE = tmp_path / "clock-offset"
        pretend_to_run(tmp_path)
        brokers = OffsetFileClock(settings.CLOCK_OFFSET_FILE)
        before = clock.now()

        call_command("time-travel", "24h", data=tmp_path)

        assert timedelta(days=1) <= clock.now() - before < timedelta(days=1, minutes=1)
        assert brokers.now_ms() - SystemClock().now_ms() >= 86_400_000 - 1
        assert "1 day" in capsys.readouterr().out

    def test_tells_a_program_how_far_ahead_the_clock_is_now(self, tmp_path, capsys):
        pretend_to_run(tmp_path)

        for _ in range(2):
            call_command("time-travel", "90s", data=tmp_path, json=True)

        assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
            {"offset_ms": 90_000},
            {"offset_ms": 180_000},
        ]

    def test_needs_a_shop_that_runs(self, tmp_path):
        (tmp_path / "clock-offset").write_bytes(bytes(8))  # One has run.

        with pytest.raises(CannotStart, match=f"No shop runs in {tmp_path}: start it with `manage.py up --data "):
            call_command("time-travel", "24h", data=tmp_path)

        assert (tmp_path / "clock-offset").read_bytes() == bytes(8)

    def test_leaves_alone_a_shop_with_servers_whose_clocks_it_cannot_move(self, tmp_path, capsys):
        pretend_to_run(tmp_path, PartState("broker", "mq.example:9876", Health.EXTERNAL))

        with pytest.raises(SystemExit) as end:
            call_command("time-travel", "24h", data=tmp_path)

        assert end.value.code == 3
        assert "The clocks of broker cannot be moved" in capsys.readouterr().err
        assert not (tmp_path / "clock-offset").exists()


class TestStatus:
    def test_of_no_shop_is_3_and_says_how_to_start_one(self, tmp_path, capsys):
        with pytest.raises(SystemExit) as end:
            call_command("status", data=tmp_path, json=True)

        said = capsys.readouterr()
        assert end.value.code == 3
        assert json.loads(said.out)["phase"] == "stopped"
        assert "manage.py up" in said.err

    @pytest.mark.parametrize("health", [Health.RESTARTING, Health.UNRESPONSIVE])
    def test_of_a_part_that_is_not_well_is_1(self, tmp_path, capsys, health):
        pretend_to_run(tmp_path, PartState("web", "here", health))

        with pytest.raises(SystemExit) as end:
            call_command("status", data=tmp_path)

        assert end.value.code == 1
        assert str(health) in capsys.readouterr().out

    def test_in_a_pipe_keeps_every_row_whole(self, tmp_path, capsys):
        pretend_to_run(tmp_path, PartState("postgres", "/a/long/path" * 20, Health.HEALTHY, restarts=3))

        call_command("status", data=tmp_path)

        assert "/a/long/path" * 20 + "  restarted 3 x" in capsys.readouterr().out

    def test_says_how_far_the_clock_was_moved(self, tmp_path, capsys):
        pretend_to_run(tmp_path)
        call_command("time-travel", "24h", data=tmp_path)

        call_command("status", data=tmp_path)

        assert "1 day, 0:00:00 ahead of this machine's" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("command", [["status"], ["down"], ["time-travel", "1h"], ["up"]])
def test_a_directory_that_cannot_be_read_is_refused_in_a_sentence(tmp_path, command):
    for name in ("state.json", "lock", "secret"):
        (tmp_path / name).symlink_to(name)  # Leads nowhere, for root as well.

    with pytest.raises(DataDirectoryUnusable, match=rf"{tmp_path} cannot be used \(.*: make it readable"):
        call_command(*command, data=tmp_path)


def test_logins_that_are_damaged_are_refused_in_a_sentence(tmp_path):
    sample_data.logins_file(tmp_path).write_text("{")

    with pytest.raises(DataDirectoryUnusable, match=r"logins.json is damaged: remove it"):
        sample_data.logins(tmp_path)


class TestDown:
    def test_of_no_shop_is_fine(self, tmp_path, capsys):
        call_command("down", data=tmp_path)

        assert capsys.readouterr().out == f"No shop runs in {tmp_path}.\n"


class TestLogs:
    def test_of_an_unknown_process_are_refused(self, tmp_path, capsys):
        with pytest.raises(SystemExit):
            call_command("logs", "nobody", data=tmp_path)

        assert "nobody.log" in capsys.readouterr().err
