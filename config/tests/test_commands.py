from __future__ import annotations

import importlib
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from mq.clock import OffsetFileClock, SystemClock

time_travel = importlib.import_module("config.management.commands.time-travel")


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
        brokers = OffsetFileClock(settings.CLOCK_OFFSET_FILE)
        before = clock.now()

        call_command("time-travel", "24h", data=tmp_path)

        assert timedelta(days=1) <= clock.now() - before < timedelta(days=1, minutes=1)
        assert brokers.now_ms() - SystemClock().now_ms() >= 86_400_000 - 1
        assert "1 day" in capsys.readouterr().out

    def test_needs_a_shop(self, tmp_path, capsys):
        with pytest.raises(SystemExit) as end:
            call_command("time-travel", "24h", data=tmp_path)

        assert end.value.code == 3
        assert "start it with `manage.py up`" in capsys.readouterr().err


class TestStatus:
    def test_of_no_shop_is_3_and_says_how_to_start_one(self, tmp_path, capsys):
        with pytest.raises(SystemExit) as end:
            call_command("status", data=tmp_path, json=True)

        said = capsys.readouterr()
        assert end.value.code == 3
        assert json.loads(said.out)["phase"] == "stopped"
        assert "manage.py up" in said.err


class TestDown:
    def test_of_no_shop_is_fine(self, tmp_path, capsys):
        call_command("down", data=tmp_path)

        assert capsys.readouterr().out == f"No shop runs in {tmp_path}.\n"


class TestLogs:
    def test_of_an_unknown_process_are_refused(self, tmp_path, capsys):
        with pytest.raises(SystemExit):
            call_command("logs", "nobody", data=tmp_path)

        assert "nobody.log" in capsys.readouterr().err
