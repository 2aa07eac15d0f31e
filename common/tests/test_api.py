"""The shape of every refusal, whatever is wrong with the request."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import pytest
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest
from django.test import RequestFactory
from ninja import NinjaAPI, Schema
from ninja.testing import TestClient
from pydantic import Field

from common import api, tokens
from common.errors import ShopError, TryAgain


class Teapot(ShopError):
    code = "TEAPOT"
    http_status = 418


class Cup(Schema):
    size: Annotated[int, Field(strict=True, ge=1, le=9)]


def _api() -> NinjaAPI:
    made = api.new_api()

    @made.post("/cups")
    def pour(request: HttpRequest, cup: Cup) -> dict[str, int]:
        return {"size": cup.size}

    @made.get("/teapot")
    def refuse(request: HttpRequest) -> None:
        raise Teapot("This is a teapot.", lid=True)

    @made.get("/missing")
    def miss(request: HttpRequest) -> None:
        raise Http404

    @made.get("/fault")
    def fail(request: HttpRequest) -> None:
        raise RuntimeError("the secret is 42")

    @made.get("/passing/{kind}")
    def pass_by(request: HttpRequest, kind: str) -> None:
        raise {"queue": TryAgain, "database": OperationalError, "connection": InterfaceError}[kind]("the secret is 42")

    @made.get("/mine", auth=tokens.BuyerToken())
    def mine(request: HttpRequest) -> dict[str, int]:
        return {"buyer_id": tokens.buyer_id(request)}

    return made


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(_api())


def pour(client: TestClient, body: Any) -> tuple[int, dict[str, Any]]:
    response = client.post("/cups", data=body, content_type="application/json")
    return response.status_code, response.json()


class TestRefusals:
    def test_of_the_shop_carry_code_message_and_details(self, client: TestClient):
        response = client.get("/teapot")

        assert response.status_code == 418
        assert response.json() == {"code": "TEAPOT", "message": "This is a teapot.", "details": {"lid": True}}

    @pytest.mark.parametrize(
        "body",
        ["{", "", "nonsense", '{"size": NaN}', '{"size": 1}}', '"\x00"', b"\xff\xfe", "[" * 100_000],
        ids=["open", "empty", "word", "NaN", "closed twice", "control", "no UTF-8", "deep"],
    )
    def test_of_unreadable_json_are_422(self, client: TestClient, body: str | bytes):
        status, refusal = pour(client, body)

        assert status == 422
        assert refusal["code"] in ("INVALID_JSON", "INVALID_INPUT")
        assert "field" in refusal["details"]

    @pytest.mark.parametrize("size", ["0", "10", '"3"', "3.5", "null", "[]", "1e400", "99999999999999999999"])
    def test_of_a_wrong_field_name_it(self, client: TestClient, size: str):
        status, refusal = pour(client, f'{{"size": {size}}}')

        assert status == 422
        assert refusal["code"] in ("INVALID_INPUT", "INVALID_JSON")
        assert refusal["details"]["field"] in ("size", "body")

    @pytest.mark.parametrize("body", ["[]", "7", "null", '"text"', "{}"])
    def test_of_another_kind_of_json_are_422(self, client: TestClient, body: str):
        status, refusal = pour(client, body)

        assert (status, refusal["code"]) == (422, "INVALID_INPUT")

    def test_of_faults_show_nothing_of_the_inside_and_are_logged_once(
        self, client: TestClient, caplog: pytest.LogCaptureFixture
    ):
        with caplog.at_level(logging.ERROR):
            response = client.get("/fault")

        assert response.status_code == 500
        assert response.json()["code"] == "FAULT"
        assert "42" not in response.content.decode()
        assert len(caplog.records) == 1

    @pytest.mark.parametrize("kind", ["queue", "database", "connection"])
    def test_of_what_passes_say_when_to_come_back(self, client: TestClient, kind: str):
        response = client.get(f"/passing/{kind}")

        assert (response.status_code, response.json()["code"]) == (503, "TRY_AGAIN")
        assert response.headers["Retry-After"] == "1"
        assert "42" not in response.content.decode()

    def test_of_what_is_missing_are_404(self, client: TestClient):
        assert client.get("/missing").json()["code"] == "NOT_FOUND"

    def test_of_strangers_are_401(self, client: TestClient):
        for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic YTpi"}):
            response = client.get("/mine", headers=headers)

            assert (response.status_code, response.json()["code"]) == (401, "NOT_AUTHENTICATED")

    def test_let_a_buyer_in(self, client: TestClient):
        response = client.get("/mine", headers={"Authorization": f"Bearer {tokens.issue(7)}"})

        assert response.json() == {"buyer_id": 7}


class TestBodies:
    def test_over_the_limit_are_413(self, settings: Any):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
        request = RequestFactory().post("/cups", "x" * 1001, content_type="application/json")
        made = _api()

        response = _call(made, request)

        assert response.status_code == 413
        assert b'"BODY_TOO_LARGE"' in response.content


def _call(made: NinjaAPI, request: HttpRequest) -> Any:
    [view] = [pattern.callback for pattern in made.urls[0] if str(pattern.pattern) == "cups"]
    assert view is not None
    return view(request)
