"""Background tasks: rounds, pauses, failures, and a stop that lets a round finish."""

import asyncio
import logging

from mq.broker.background import Background


class TestBackground:
    async def test_goes_on_round_after_round(self):
        rounds = asyncio.Queue[int]()

        async def one_round() -> float:
            rounds.put_nowait(1)
            return 0.0

        background = Background("counter", one_round)
        background.start()

        for _ in range(3):
            await rounds.get()
        await background.stop()

    async def test_begins_early_when_woken(self):
        rounds = asyncio.Queue[int]()

        async def one_round() -> float:
            rounds.put_nowait(1)
            return 3600.0

        background = Background("sleeper", one_round)
        background.start()
        await rounds.get()

        background.wake()

        await rounds.get()
        await background.stop()

    async def test_lets_a_round_finish_before_it_stops(self):
        begun, may_finish, finished = asyncio.Event(), asyncio.Event(), []

        async def one_round() -> float:
            begun.set()
            await may_finish.wait()
            finished.append(background.is_stopping)
            return 3600.0

        background = Background("worker", one_round)
        background.start()
        await begun.wait()

        stopping = asyncio.create_task(background.stop())
        await asyncio.sleep(0)
        assert not stopping.done()
        may_finish.set()
        await stopping

        assert finished == [True]

    async def test_tries_a_failed_round_again_and_reports_each_cause_once(self, monkeypatch, caplog):
        monkeypatch.setattr("mq.broker.background.RETRY_PAUSE_S", 0.0)
        caplog.set_level(logging.INFO)
        outcomes = iter([OSError("disk full"), OSError("disk full"), ValueError("odd"), None])
        done = asyncio.Event()

        async def one_round() -> float:
            outcome = next(outcomes)
            if outcome is not None:
                raise outcome
            done.set()
            return 3600.0

        background = Background("writer", one_round)
        background.start()
        await done.wait()
        await background.stop()

        assert caplog.text.count("OSError: disk full") == 1
        assert caplog.text.count("ValueError: odd") == 1
        assert "writer works again" in caplog.text

    async def test_may_be_stopped_without_having_been_started(self):
        async def one_round() -> float:
            return 0.0

        await Background("idle", one_round).stop()
