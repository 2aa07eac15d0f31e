"""The whole API as clients see it: every refusal has one shape, and the OpenAPI document says so."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from django.test import Client

from config.api import api

METHODS = ("get", "post", "put", "patch", "delete", "options")
PATHS: dict[str, dict[str, Any]] = api.get_openapi_schema(path_prefix="/api/")["paths"]
OPERATIONS = [(method, path) for path, operations in PATHS.items() for method in operations]


def address(path: str) -> str:
    return re.sub(r"\{\w+\}", "M2611210000000000000000", path)


def is_refusal(body: dict[str, Any]) -> bool:
    kinds = {name: type(value) for name, value in body.items()}
    return kinds == {"code": str, "message": str, "details": dict}


class TestOpenAPI:
    def test_is_served_and_lists_the_routes(self):
        document = Client().get("/api/openapi.json").json()

        assert len(OPERATIONS) >= 9
        assert set(document["paths"]) == set(PATHS)

    @pytest.mark.parametrize(("method", "path"), OPERATIONS)
    def test_says_of_every_operation_what_it_answers_and_how_it_refuses(self, method: str, path: str):
        document = Client().get("/api/openapi.json").json()
        responses = document["paths"][path][method]["responses"]

        for status in ("4XX", "5XX"):
            schema = responses[status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Refusal"}
        assert [status for status in responses if status.startswith("2") and "content" in responses[status]]
        assert set(document["components"]["schemas"]["Refusal"]["required"]) == {"code", "message", "details"}


class TestAMethodThatAnAddressDoesNotTake:
    @pytest.mark.parametrize("path", PATHS)
    def test_is_refused_in_the_one_shape(self, path: str):
        for method in sorted(set(METHODS) - set(PATHS[path])):
            response = getattr(Client(), method)(address(path))

            assert (response.status_code, response.json()["code"]) == (405, "METHOD_NOT_ALLOWED"), method
            assert is_refusal(response.json())
            assert response["Allow"] == ", ".join(sorted(allowed.upper() for allowed in PATHS[path]))

    def test_of_the_callback_is_refused_so_too(self):
        assert Client().options("/api/payments/callbacks/alipay").json()["code"] == "METHOD_NOT_ALLOWED"


class TestAStrangeHost:
    @pytest.mark.parametrize("path", ["/api/products", "/healthz", "/nothing"])
    def test_is_refused_in_the_one_shape_and_not_logged(self, path: str, caplog: pytest.LogCaptureFixture):
        with caplog.at_level(logging.WARNING, logger="django.request"):
            response = Client(headers={"Host": "evil.example"}).get(path)

        assert (response.status_code, response.json()["code"]) == (400, "BAD_REQUEST")
        assert is_refusal(response.json())
        assert not [record for record in caplog.records if record.exc_info]
