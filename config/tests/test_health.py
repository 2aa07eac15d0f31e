"""Health when databases are away: an answer in time, whatever they do."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.db.utils import ConnectionHandler
from django.test import Client

from config import databases, health
from config.environment import SERVICES

pytestmark = pytest.mark.django_db(databases=SERVICES, transaction=True)


def ready() -> tuple[int, dict[str, Any]]:
    response = Client().get("/readyz")
    return response.status_code, response.json()


@pytest.fixture
def deaf() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


class TestReady:
    def test_when_every_database_answers(self):
        assert ready() == (200, {"status": "ok", "down": []})

    def test_names_the_database_that_is_down(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(connections.settings["orders"], "HOST", "/nowhere")

        assert ready() == (503, {"status": "unavailable", "down": ["orders"]})

        monkeypatch.undo()
        assert ready()[0] == 200

    def test_does_not_wait_for_a_database_that_never_answers(self, deaf: int, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(health, "_TIMEOUT_S", 0.5)
        for name, value in {"HOST": "127.0.0.1", "PORT": str(deaf)}.items():
            monkeypatch.setitem(connections.settings["payments"], name, value)

        answers = [ready() for _ in range(2)]

        assert answers == [(503, {"status": "unavailable", "down": ["payments"]})] * 2

    def test_is_told_within_two_seconds(self):
        assert health._TIMEOUT_S < 2


class TestPool:
    def test_says_soon_that_no_database_is_there(self):
        """Protects the pool's `timeout`: a request keeps its thread no longer than that."""
        nowhere = databases.from_url("postgresql:///orders?host=/nowhere", pool_size=2)
        connection = ConnectionHandler({"default": {}, "orders": nowhere})["orders"]
        began_s = time.monotonic()

        with pytest.raises(OperationalError):
            connection.ensure_connection()

        assert time.monotonic() - began_s < 2.5
        connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's wrapper has it
