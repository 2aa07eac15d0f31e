from __future__ import annotations

import time

import pytest
from django.core import signing

from common import tokens
from common.errors import NotAuthenticated


class TestRead:
    def test_finds_the_buyer(self):
        assert tokens.read(tokens.issue(42)) == 42

    @pytest.mark.parametrize("token", ["", "x", "a:b:c", "." * 1000, "\x00", "é"])
    def test_refuses_what_is_no_token(self, token: str):
        with pytest.raises(NotAuthenticated):
            tokens.read(token)

    def test_refuses_a_token_that_was_tampered_with(self):
        token = tokens.issue(42)
        other = tokens.issue(43)

        with pytest.raises(NotAuthenticated):
            tokens.read(other.split(":")[0] + ":" + token.split(":", 1)[1])

    def test_refuses_what_the_shop_signed_for_another_purpose(self):
        with pytest.raises(NotAuthenticated):
            tokens.read(signing.dumps(42, salt="something else"))

    def test_refuses_a_token_of_yesterday(self, monkeypatch: pytest.MonkeyPatch):
        token = tokens.issue(42)
        later = time.time() + tokens.TOKEN_LIFETIME.total_seconds() + 60

        monkeypatch.setattr(time, "time", lambda: later)

        with pytest.raises(NotAuthenticated):
            tokens.read(token)
