"""Messages that wait at the side, of all services: try them again, or give one up, each with an entry in the log."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from backoffice.site import site
from config.environment import SERVICES
from messaging import by_hand, parking
from messaging.audit import Operator
from messaging.by_hand import Place
from messaging.models import ParkedMessage
from mq.errors import MQError

_ROWS_MAX = 200


def page(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm("messaging.view_parkedmessage"):
        raise PermissionDenied
    if request.method == "POST":
        if not request.user.has_perm("messaging.change_parkedmessage"):
            raise PermissionDenied
        _act(request)
        return redirect("admin:parked")
    rows = [
        {"service": service, "message": message}
        for service in SERVICES
        for message in ParkedMessage.objects.using(service).order_by("id")[:_ROWS_MAX]
    ]
    context = {**site.each_context(request), "title": "Parked messages", "rows": rows}
    return render(request, "backoffice/parked.html", context)


def _act(request: HttpRequest) -> None:
    """The same deeds as `manage.py parked`, in the same history."""
    place = Place(*(request.POST.get(name, "") for name in Place._fields))
    first = parking.first_of(*place) if place.service in SERVICES else None
    operator = Operator(request.user.get_username(), "")
    if first is None:
        messages.warning(request, f"Nothing of {place.group} waits under {place.sharding_key} any more.")
    elif request.POST.get("action") == "discard":
        by_hand.discard(place, operator)
        _log(request, first, "given up")
    else:
        try:
            count = by_hand.redrive([place], operator)
        except MQError as error:
            messages.error(request, f"The queue at {settings.MQ_NAMESRV_ADDR} does not answer: {error}")
        else:
            _log(request, first, f"tried again: {count} had their effect")


def _log(request: HttpRequest, message: ParkedMessage, done: str) -> None:
    LogEntry.objects.create(
        user_id=int(request.user.pk or 0),
        content_type=ContentType.objects.get_for_model(ParkedMessage),
        object_id=f"{message.group} {message.key}",
        object_repr=str(message)[:200],
        action_flag=CHANGE,
        change_message=done,
    )
    messages.success(request, f"{message.key}: {done}.")
