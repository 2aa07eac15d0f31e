"""Staff at the pages: the settings of their own process, and people with one role each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from backoffice import roles
from config.settings import staff
from messaging.testing import RecordedQueue

Login = Callable[..., Client]


@pytest.fixture(autouse=True)
def pages(settings: Any) -> None:
    for name in ("INSTALLED_APPS", "MIDDLEWARE", "ROOT_URLCONF", "TEMPLATES", "APPEND_SLASH", "SILENCED_SYSTEM_CHECKS"):
        setattr(settings, name, getattr(staff, name))


@pytest.fixture
def login(db: None) -> Login:
    roles.sync()

    def log_in(*names: str) -> Client:
        """A browser of somebody with these roles."""
        user = User.objects.create(username="-".join(names) or "nobody-yet", is_staff=True)
        user.groups.set(Group.objects.filter(name__in=names))
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> RecordedQueue:
    recorded = RecordedQueue()
    monkeypatch.setattr("messaging.transactions._sender", lambda service: recorded)
    return recorded
