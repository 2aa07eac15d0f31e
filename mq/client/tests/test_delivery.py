"""What becomes of a send when brokers refuse, fail, or are slow."""

from dataclasses import replace

import pytest

from mq.client import ClientSettings, Producer, SendStatus
from mq.client.tests.conftest import FAST, eventually
from mq.client.tests.scripted import ScriptedBroker, scripted
from mq.errors import ConnectionLost, ResponseError
from mq.message import Message

MESSAGE = Message("order-events", b"placed")


def count_of(*brokers: ScriptedBroker) -> list[int]:
    return [broker.send_count for broker in brokers]


class TestRetries:
    @pytest.mark.parametrize("code", sorted(ResponseError.RETRYABLE_CODES))
    async def test_go_to_another_broker_after_an_answer_that_may_pass(self, code: int) -> None:
        bad, good = ScriptedBroker("bad", code), ScriptedBroker("good")
        async with scripted(bad, good) as namesrv, Producer("orders", namesrv=namesrv) as producer:
            results = [await producer.send(MESSAGE) for _ in range(2)]

        assert {result.queue.broker_name for result in results} == {"good"}
        assert good.send_count == 2
        assert bad.send_count >= 1

    @pytest.mark.parametrize("code", [3, 4, 13, 15, 29, 215, 501])
    async def test_are_not_made_after_an_answer_that_stays(self, code: int) -> None:
        only = ScriptedBroker("only", code)
        async with scripted(only) as namesrv, Producer("orders", namesrv=namesrv) as producer:
            with pytest.raises(ResponseError, match=f"scripted {code}"):
                await producer.send(MESSAGE)

        assert only.send_count == 1

    async def test_end_after_as_many_as_were_asked_for(self) -> None:
        only = ScriptedBroker("only", 14)
        async with scripted(only) as namesrv, Producer("orders", namesrv=namesrv, retries=3) as producer:
            with pytest.raises(ResponseError, match="scripted 14"):
                await producer.send(MESSAGE)

        assert only.send_count == 4

    async def test_follow_the_answers_that_the_settings_name(self) -> None:
        settings = replace(FAST, retry_response_codes=frozenset({215}))
        busy, refusing = ScriptedBroker("busy", 215, 0), ScriptedBroker("refusing", 1)
        async with (
            scripted(busy) as calm,
            scripted(refusing) as angry,
            Producer("orders", namesrv=calm, settings=settings) as patient,
            Producer("orders", namesrv=angry, settings=settings) as impatient,
        ):
            await patient.send(MESSAGE)
            with pytest.raises(ResponseError, match="scripted 1"):
                await impatient.send(MESSAGE)

        assert count_of(busy, refusing) == [2, 1]


class TestStoredButNotSafely:
    @pytest.mark.parametrize("code", [10, 11, 12])
    async def test_is_an_answer_unless_the_settings_want_more(self, code: int) -> None:
        only = ScriptedBroker("only", code)
        async with scripted(only) as namesrv, Producer("orders", namesrv=namesrv) as producer:
            result = await producer.send(MESSAGE)

        assert result.status is SendStatus(code)
        assert only.send_count == 1

    async def test_is_tried_on_another_broker_when_they_do(self) -> None:
        settings = ClientSettings(retry_another_broker_when_not_store_ok=True)
        slow, fast = ScriptedBroker("slow", 11), ScriptedBroker("fast")
        async with (
            scripted(slow, fast) as namesrv,
            Producer("orders", namesrv=namesrv, settings=settings) as producer,
        ):
            results = [await producer.send(MESSAGE) for _ in range(2)]

        assert {result.status for result in results} == {SendStatus.SEND_OK}
        assert fast.send_count == 2
        assert slow.send_count >= 1

    async def test_is_still_an_answer_when_no_broker_does_better(self) -> None:
        settings = ClientSettings(retry_another_broker_when_not_store_ok=True)
        only = ScriptedBroker("only", 10)
        async with scripted(only) as namesrv, Producer("orders", namesrv=namesrv, settings=settings) as producer:
            result = await producer.send(MESSAGE)

        assert result.status is SendStatus.FLUSH_DISK_TIMEOUT
        assert only.send_count == 3


class TestLatencyFaults:
    async def test_keep_sends_away_from_a_broker_that_failed(self) -> None:
        bad, good = ScriptedBroker("bad", 14), ScriptedBroker("good")
        settings = replace(FAST, send_latency_fault=True)
        async with scripted(bad, good) as namesrv, Producer("orders", namesrv=namesrv, settings=settings) as producer:
            for _ in range(10):
                await producer.send(MESSAGE)

        assert count_of(bad, good) == [1, 10]

    async def test_are_not_remembered_unless_the_settings_say_so(self) -> None:
        bad, good = ScriptedBroker("bad", 14), ScriptedBroker("good")
        async with scripted(bad, good) as namesrv, Producer("orders", namesrv=namesrv, settings=FAST) as producer:
            for _ in range(10):
                await producer.send(MESSAGE)

        assert bad.send_count > 2

    async def test_use_a_broker_again_once_the_detector_reaches_it(self) -> None:
        gone, good = ScriptedBroker("gone"), ScriptedBroker("good")
        settings = replace(FAST, send_latency_fault=True, start_detector=True, detector_interval_s=0.02)
        async with scripted(gone, good) as namesrv, Producer("orders", namesrv=namesrv, settings=settings) as producer:
            faults = producer._delivery._faults
            assert faults is not None
            await gone.server.stop()
            for _ in range(2):
                await producer.send(MESSAGE)
            was_unreachable = faults.unreachable

            await gone.start(int(gone.address.rpartition(":")[2]))
            await eventually(lambda: not faults.unreachable)

        assert was_unreachable == ["gone"]

    async def test_use_a_failing_broker_when_there_is_no_other(self) -> None:
        only = ScriptedBroker("only", 14, 0)
        settings = replace(FAST, send_latency_fault=True)
        async with scripted(only) as namesrv, Producer("orders", namesrv=namesrv, settings=settings) as producer:
            result = await producer.send(MESSAGE)
            await only.server.stop()
            with pytest.raises(ConnectionLost):
                await producer.send(MESSAGE, timeout_s=0.2)

        assert result.status is SendStatus.SEND_OK
