"""Every load against a real broker, small: what they report is what arrived."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace

import pytest

from mq.bench import loads
from mq.bench.loads import Options
from mq.bench.threads import threads
from mq.client import Admin
from mq.testing import standalone

SMALL = Options(topic="Small", workers=4, body_bytes=100, messages=200, rate=1000)


@pytest.mark.parametrize(
    ("load", "options", "durations"),
    [
        ("produce", SMALL, {"send": 200}),
        ("produce", replace(SMALL, batch=10), {"send": 20}),
        ("transaction", SMALL, {"transaction": 200}),
        ("consume", replace(SMALL, batch=32), {}),
        ("latency", SMALL, {"to consumer": 200, "to answer": 200, "late sends": 200}),
    ],
)
async def test_a_load_reports_every_message(tmp_path, load, options, durations):
    async with standalone(tmp_path) as mq:
        report = await getattr(loads, load)(replace(options, namesrv=mq.namesrv))

    assert (report.messages, dict(report.failures)) == (200, {})
    assert {name: len(found) for name, found in report.durations.items()} == durations
    assert report.seconds > 0


@pytest.mark.parametrize("seconds", [None, 0.1])
async def test_threads_send_as_well(tmp_path, seconds):
    async with standalone(tmp_path) as mq:
        report = await threads(replace(SMALL, namesrv=mq.namesrv, seconds=seconds))

    assert report.messages == len(report.durations["send"]) > 0
    assert seconds or report.messages == 200
    assert not report.failures


@pytest.mark.parametrize("load", ["produce", "transaction", "latency"])
async def test_a_load_may_last_for_a_time_instead(tmp_path, load):
    async with standalone(tmp_path) as mq:
        report = await getattr(loads, load)(replace(SMALL, namesrv=mq.namesrv, seconds=0.2))

    assert report.seconds >= 0.19
    assert report.messages == (200 if load == "latency" else len(report.durations[next(iter(report.durations))]))
    assert not report.failures


async def test_acknowledged_messages_are_in_the_broker(tmp_path):
    async with standalone(tmp_path) as mq, Admin(namesrv=mq.namesrv) as admin:
        await loads.produce(replace(SMALL, namesrv=mq.namesrv))
        queues = (await admin.topic_route("Small")).subscribe_queues
        stored = sum([await admin.max_offset(queue) for queue in queues])

    # 200 measured, and the warm-up: a tenth of them and one for each of the four workers.
    assert stored == 200 + 20 + 4


async def bench(*arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mq", "bench", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


class TestCommand:
    async def test_prints_one_line_of_json(self, tmp_path):
        async with standalone(tmp_path) as mq:
            status, output, errors = await bench("produce", "-n", mq.namesrv, "-q", "100", "-w", "4", "--json")

        assert (status, errors) == (0, "")
        assert json.loads(output)["messages"] == 100

    async def test_says_in_a_sentence_that_nobody_listens(self):
        status, output, errors = await bench("produce", "-n", "127.0.0.1:1", "-q", "10")

        assert (status, output) == (3, "")
        assert errors.startswith("mq bench: ")
        assert "Traceback" not in errors
