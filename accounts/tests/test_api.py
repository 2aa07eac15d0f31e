from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from accounts.services import points, registering
from accounts.services.points import Purchase
from common import tokens

pytestmark = pytest.mark.django_db(databases=["accounts"])

PASSWORD = "correct horse"


@pytest.fixture
def alice() -> int:
    return registering.put_buyer(username="alice", password=PASSWORD)


def login(**body: Any) -> tuple[int, dict[str, Any]]:
    response = Client().post("/api/login", json.dumps(body), content_type="application/json")
    return response.status_code, response.json()


class TestLogin:
    def test_gives_a_token_of_the_buyer(self, alice: int):
        status, answer = login(username="alice", password=PASSWORD)

        assert status == 200
        assert tokens.read(answer["token"]) == alice

    @pytest.mark.parametrize(("username", "password"), [("alice", "wrong"), ("nobody", PASSWORD)])
    def test_does_not_say_what_is_wrong(self, alice: int, username: str, password: str):
        status, refusal = login(username=username, password=password)

        assert (status, refusal["code"]) == (401, "WRONG_LOGIN")
        assert refusal["message"] == "The name or the password is wrong."

    def test_refuses_who_was_blocked(self, alice: int):
        User.objects.update(is_active=False)

        assert login(username="alice", password=PASSWORD)[0] == 401

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "username"),
            ({"username": "alice"}, "password"),
            ({"username": "al\u0000ice", "password": "x"}, "username"),
            ({"username": "alice", "password": "x" * 129}, "password"),
            ({"username": "a" * 65, "password": "x"}, "username"),
            ({"username": 1, "password": "x"}, "username"),
            ({"username": "alice", "password": "x", "is_active": True}, "is_active"),
        ],
    )
    def test_names_the_wrong_field(self, body: dict[str, Any], field: str):
        status, refusal = login(**body)

        assert (status, refusal["code"], refusal["details"]["field"]) == (422, "INVALID_INPUT", field)

    def test_is_possible_with_a_changed_password_only(self, alice: int):
        registering.put_buyer(username="alice", password="another one")

        assert login(username="alice", password=PASSWORD)[0] == 401
        assert login(username="alice", password="another one")[0] == 200


class TestMe:
    def test_shows_name_and_points(self, alice: int):
        points.grant_points([Purchase("M1", alice, 2500)], now=datetime(2026, 11, 21, tzinfo=UTC))

        response = Client(headers={"Authorization": f"Bearer {tokens.issue(alice)}"}).get("/api/me")

        assert response.json() == {"username": "alice", "points": 25, "balance_cents": 0, "held_cents": 0}

    def test_refuses_an_account_that_is_gone(self):
        response = Client(headers={"Authorization": f"Bearer {tokens.issue(404)}"}).get("/api/me")

        assert response.status_code == 401
