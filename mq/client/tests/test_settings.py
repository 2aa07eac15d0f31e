"""Who a client is when nobody says so."""

from __future__ import annotations

import pytest

from mq.client.settings import ClientSettings
from mq.remoting.signature import Credentials


def test_the_account_of_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQ_ACCESS_KEY", "orders")
    monkeypatch.setenv("MQ_SECRET_KEY", "a secret of sixteen")

    assert ClientSettings().credentials == Credentials("orders", "a secret of sixteen")
    assert ClientSettings(credentials=None).credentials is None


def test_half_an_account_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQ_ACCESS_KEY", "orders")
    monkeypatch.delenv("MQ_SECRET_KEY", raising=False)

    with pytest.raises(ValueError, match="MQ_ACCESS_KEY and MQ_SECRET_KEY belong together"):
        ClientSettings()
