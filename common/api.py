"""The one JSON API that all services share: how bodies are read, and one shape for everything that is refused.

    {"code": "OUT_OF_STOCK", "message": "...", "details": {...}}

`new_api()` makes the API; `config.urls` mounts each service's router in it. Unreadable or wrong JSON is 422 with the
field that is wrong; a body over the limit is 413; a fault is 500 with nothing of its inside shown, and one log entry.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.parser import Parser
from ninja.renderers import BaseRenderer

from common import errors

log = logging.getLogger(__name__)

#: How many wrong fields an answer names.
_PROBLEM_COUNT_MAX = 10


class StrictParser(Parser):
    """JSON by the book: no NaN, no bare control characters, and a limit on nesting."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        body: dict[str, Any] = msgspec.json.decode(request.body)
        return body


class Renderer(BaseRenderer):
    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return msgspec.json.encode(data)


def new_api() -> NinjaAPI:
    api = NinjaAPI(title="Millrace", version="1", parser=StrictParser(), renderer=Renderer())
    api.exception_handler(errors.ShopError)(_refuse)
    api.exception_handler(ValidationError)(_refuse_fields)
    api.exception_handler(HttpError)(_refuse_unreadable)
    api.exception_handler(AuthenticationError)(_refuse_anonymous)
    api.exception_handler(RequestDataTooBig)(_refuse_large)
    api.exception_handler(Http404)(_refuse_missing)
    api.exception_handler(Exception)(_admit_fault)
    return api


def answer(code: str, message: str, details: Mapping[str, Any], http_status: int) -> HttpResponse:
    """The one shape of a refusal."""
    body = msgspec.json.encode({"code": code, "message": message, "details": details})
    return HttpResponse(body, content_type="application/json", status=http_status)


def _refuse(request: HttpRequest, refusal: Exception) -> HttpResponse:
    assert isinstance(refusal, errors.ShopError)
    return answer(refusal.code, refusal.message, refusal.details, refusal.http_status)


def _refuse_fields(request: HttpRequest, error: Exception) -> HttpResponse:
    assert isinstance(error, ValidationError)
    problems = [_problem(one) for one in error.errors[:_PROBLEM_COUNT_MAX]]
    message = f"{problems[0]['field']}: {problems[0]['problem']}"
    return _refuse(request, errors.InvalidInput(message, field=problems[0]["field"], problems=problems))


def _problem(error: Mapping[str, Any]) -> dict[str, str]:
    source, *path = error["loc"]
    if source == "body":  # Then comes the name of the view's own argument, which is none of the caller's business.
        path = path[1:]
    return {"field": ".".join(str(step) for step in path) or str(source), "problem": error["msg"]}


def _refuse_unreadable(request: HttpRequest, error: Exception) -> HttpResponse:
    assert isinstance(error, HttpError)
    if error.__cause__ is not None:  # What ninja makes of anything that its parser raises.
        return answer("INVALID_JSON", f"The body is no JSON: {error.__cause__}", {"field": "body"}, 422)
    return answer("REFUSED", error.message, {}, error.status_code)


def _refuse_anonymous(request: HttpRequest, error: Exception) -> HttpResponse:
    return _refuse(request, errors.NotAuthenticated("Please log in: send Authorization: Bearer and your token."))


def _refuse_large(request: HttpRequest, error: Exception) -> HttpResponse:
    return _refuse(request, errors.BodyTooLarge("The body is larger than any request of this shop needs to be."))


def _refuse_missing(request: HttpRequest, error: Exception) -> HttpResponse:
    return _refuse(request, errors.NotFound("There is nothing at this address."))


def _admit_fault(request: HttpRequest, error: Exception) -> HttpResponse:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return answer("FAULT", "Something went wrong on our side; trying again is safe with the same key.", {}, 500)
