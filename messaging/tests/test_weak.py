"""The weak form: marks in Redis that expire, for effects that may happen again after a crash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import redis
from django.db import OperationalError

from config.embedded.testing import RedisProcess
from messaging import weak
from messaging.deliveries import Delivery
from messaging.events import Event
from messaging.registry import Registry, consumer


class Rang(Event, frozen=True, kw_only=True):
    topic: ClassVar[str] = "bells"
    order_no: str


class Bell:
    def __init__(self) -> None:
        self.rung: list[str] = []
        self.failures = 0

    def ring(self, event: Rang) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the bell is stuck")
        self.rung.append(event.order_no)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    with RedisProcess(tmp_path_factory.mktemp("redis")) as process:
        yield process


@pytest.fixture
def marks(server: RedisProcess, settings: Any) -> Iterator[redis.Redis]:
    settings.REDIS_URL = server.url
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        yield client
    weak.close_connections()


@pytest.fixture
def bell() -> Bell:
    return Bell()


def delivery(bell: Bell, order_no: str = "M1") -> Delivery:
    registry = Registry()
    ring = consumer(topic="bells", tags=[Rang], group="bells", weak=True, into=registry)(lambda event: bell.ring(event))
    assert ring is not None
    found = registry.find("bells", "bells", "Rang")
    assert found is not None
    body = Rang(order_no=order_no).to_message().body
    return Delivery(found, "Rang", f"Rang:{order_no}", order_no, "ID", body)


@pytest.mark.usefixtures("marks")
class TestApply:
    def test_has_one_effect_however_often_a_message_comes(self, bell: Bell):
        """Protects `nx=True`."""
        for _ in range(3):
            weak.apply([delivery(bell), delivery(bell, "M2")])

        assert bell.rung == ["M1", "M2"]

    def test_bug_37_tries_again_what_failed(self, bell: Bell):
        """Protects `marks.delete`: a mark that is left would make the failure look like a success."""
        bell.failures = 2
        for _ in range(2):
            with pytest.raises(ConnectionError):
                weak.apply([delivery(bell)])

        weak.apply([delivery(bell)])

        assert bell.rung == ["M1"]

    def test_waits_for_somebody_else_until_the_lease_runs_out(self, bell: Bell, marks: redis.Redis):
        marks.set("millrace:seen:bells:Rang:M1", b"doing", ex=weak.LEASE_S)

        with pytest.raises(weak.Busy):
            weak.apply([delivery(bell)])
        marks.delete("millrace:seen:bells:Rang:M1")
        weak.apply([delivery(bell)])

        assert bell.rung == ["M1"]

    def test_keeps_its_marks_for_longer_than_the_broker_keeps_messages(self, bell: Bell, marks: redis.Redis):
        weak.apply([delivery(bell)])

        assert weak.KEPT_S - 5 <= marks.ttl("millrace:seen:bells:Rang:M1") <= weak.KEPT_S

    def test_forgets_with_redis_and_that_is_what_is_weak(self, bell: Bell, marks: redis.Redis):
        weak.apply([delivery(bell)])
        marks.flushall()

        weak.apply([delivery(bell)])

        assert bell.rung == ["M1", "M1"]


def test_a_redis_that_is_away_is_nobodys_fault(bell: Bell, tmp_path: Path, settings: Any):
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"

    with pytest.raises(OperationalError):
        weak.apply([delivery(bell)])

    assert bell.rung == []
    weak.close_connections()


def test_a_weak_handler_takes_no_batches():
    with pytest.raises(ValueError, match="one event at a time"):
        consumer(topic="bells", tags=[Rang], weak=True, batch=8, into=Registry())
