"""The JSON API under /api/: one API, a router from each service, and what the queue's refusals look like in it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

import accounts.api
import inventory.api
import orders.api
import payments.api
from common.api import answer, new_api
from messaging.transactions import Overtaken, QueueUnavailable

api = new_api()
for _service in (accounts, inventory, orders, payments):
    api.add_router("", _service.api.router)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Addresses that lead nowhere are refused in the API's own shape, too."""
    return answer("NOT_FOUND", "There is nothing at this address.", {}, 404)


@api.exception_handler(QueueUnavailable)
@api.exception_handler(Overtaken)
def _busy(request: HttpRequest, error: Exception) -> HttpResponse:
    message = "The shop cannot take this right now, and nothing was done: try again with the same Idempotency-Key."
    return answer("TRY_AGAIN", message, {}, 503)
