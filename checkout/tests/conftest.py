from __future__ import annotations

import pytest

from messaging.testing import RecordedQueue


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> RecordedQueue:
    """Stands in for the broker; tests/flows has the same with the real one."""
    recorded = RecordedQueue()
    monkeypatch.setattr("messaging.transactions._sender", lambda service: recorded)
    return recorded
