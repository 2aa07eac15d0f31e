from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command
from rich.console import Console

from config.environment import SERVICES
from verify import report, runner
from verify.finding import Check, Comparison, Finding, Status, exit_code

NOBODY = "127.0.0.1:9"


def finding(status: Status) -> Finding:
    return Finding("I1", "units add up", status, {"units": 1200}, ["RETRO-CLOCK: 1 missing"], 12)


class TestExitCode:
    @pytest.mark.parametrize(
        ("statuses", "code"),
        [
            (["HOLDS"], 0),
            (["HOLDS", "UNREACHABLE"], 3),
            (["HOLDS", "BROKEN"], 1),
            (["UNREACHABLE", "BROKEN"], 1),
        ],
    )
    def test_says_the_worst(self, statuses, code):
        assert exit_code([finding(Status(status)) for status in statuses]) == code


class TestReport:
    def test_shows_the_numbers_the_breaks_and_how_many_more(self):
        file = io.StringIO()

        report.show([finding(Status.BROKEN)], Console(width=130, file=file))
        text = file.getvalue()

        assert "units 1,200" in text
        assert "I1: RETRO-CLOCK: 1 missing" in text
        assert "and 11 more" in text
        assert "Something is broken." in text

    def test_is_json_for_programs(self):
        told = json.loads(json.dumps(report.as_json([finding(Status.HOLDS)])))

        assert told["ok"] is True
        assert told["checks"][0]["numbers"] == {"units": 1200}


@pytest.mark.django_db(databases=SERVICES)
class TestVerify:
    @pytest.fixture(autouse=True)
    def _nobody_answers(self, settings, tmp_path):
        settings.PAYSIM_URL = f"http://{NOBODY}"
        settings.MQ_NAMESRV_ADDR = NOBODY
        settings.PAYMENT_KEYS = tmp_path / "keys"
        settings.PAYMENT_PRIVATE_KEY = tmp_path / "private.pem"

    def test_tells_unreachable_from_broken(self):
        found = {one.name: one for one in runner.run()}

        assert found["C8"].status is found["I12"].status is Status.UNREACHABLE
        assert found["I1"].status is Status.HOLDS
        assert NOBODY in found["I12"].breaks[0]

    def test_is_a_command_with_a_status_and_json(self, shop, tmp_path, capsys):
        with pytest.raises(SystemExit) as ended:
            call_command("verify", data=tmp_path, json=True, drain=0.0)

        assert ended.value.code == 3
        told = json.loads(capsys.readouterr().out)
        assert told["ok"] is False
        assert [check["name"] for check in told["checks"]] == [check.name for check in runner.CHECKS]

    def test_does_not_take_a_bug_of_its_own_for_a_part_that_is_down(self, monkeypatch):
        def bug() -> Comparison:
            raise KeyError("units")

        monkeypatch.setattr(runner, "CHECKS", (Check("I1", "units add up", bug),))

        with pytest.raises(KeyError):
            runner.run()
