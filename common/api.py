"""The one JSON API that all services share: how bodies are read, and one shape for everything that is refused.

    {"code": "OUT_OF_STOCK", "message": "...", "details": {...}}

`new_api()` makes the API; `config.urls` mounts each service's router in it. Unreadable or wrong JSON is 422 with the
field that is wrong; a body over the limit is 413; what may be tried again is 503 with `Retry-After`; a fault is 500
with nothing of its inside shown, and one log entry. What Django refuses before ninja sees it has the same shape, by the
handlers and the middleware at the end. The OpenAPI document says all of it once, as the schema `Refusal`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.parser import Parser
from ninja.renderers import BaseRenderer

from common import errors

log = logging.getLogger(__name__)

#: How many wrong fields an answer names.
_PROBLEM_COUNT_MAX = 10
#: When to come back after a 503: what is away for longer than a moment says so again.
_RETRY_AFTER_S: Final = 1

_REFUSAL: Final = {
    "title": "Refusal",
    "type": "object",
    "description": "`code` is stable: branch on it. `message` is for people. `details` depend on the code.",
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "details": {"type": "object"}},
    "required": ["code", "message", "details"],
}
_REFUSALS: Final = {
    "4XX": "The request is refused; it will be again unless something changes.",
    "5XX": "503 TRY_AGAIN: not now, send the same again after `Retry-After` seconds. 500 FAULT: our mistake.",
}


class StrictParser(Parser):
    """JSON by the book: no NaN, no bare control characters, and a limit on nesting."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        body: dict[str, Any] = msgspec.json.decode(request.body)
        return body


class Renderer(BaseRenderer):
    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return msgspec.json.encode(data)


class ShopAPI(NinjaAPI):
    """Says in the OpenAPI document what every operation may answer besides what it is asked for."""

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        document = super().get_openapi_schema(**options)
        document["components"].setdefault("schemas", {})["Refusal"] = _REFUSAL
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
        refusals = {status: {"description": why, "content": content} for status, why in _REFUSALS.items()}
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"] |= refusals
        return document


def new_api() -> NinjaAPI:
    api = ShopAPI(title="Millrace", version="1", parser=StrictParser(), renderer=Renderer())
    api.exception_handler(errors.ShopError)(_refuse)
    for passing in (errors.TryAgain, OperationalError, InterfaceError):
        api.exception_handler(passing)(_ask_to_try_again)
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


def _ask_to_try_again(request: HttpRequest, error: Exception) -> HttpResponse:
    """The queue or a database is away, or too many want the same at once: nobody's mistake, and soon over."""
    log.warning("%s %s has to be tried again: %r", request.method, request.path, error)
    message = "The shop cannot do this right now: trying again in a moment is safe, with the same Idempotency-Key."
    response = answer("TRY_AGAIN", message, {}, 503)
    response["Retry-After"] = str(_RETRY_AFTER_S)
    return response


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
    return fault(request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's `handler400`: a `Host` that is not ours, or what Django itself takes for an attack."""
    return answer("BAD_REQUEST", "No request to this shop looks like this; perhaps its Host is another's.", {}, 400)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's `handler404`: addresses that lead nowhere."""
    return _refuse_missing(request, exception)


def fault(request: HttpRequest) -> HttpResponse:
    """Django's `handler500`, which has logged it."""
    return answer("FAULT", "Something went wrong on our side; trying again is safe with the same key.", {}, 500)


def refuse_other_methods(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: a method that an address does not take is refused by ninja itself, in HTML; here in our shape."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if not isinstance(response, HttpResponseNotAllowed):
            return response
        allowed = ", ".join(sorted(response["Allow"].split(", ")))
        refusal = answer("METHOD_NOT_ALLOWED", f"This address takes {allowed}.", {"allowed": allowed.split(", ")}, 405)
        refusal["Allow"] = allowed
        return refusal

    return middleware
