"""What load balancers and the supervisor ask: is the process alive, and can it serve?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import Final

from django.db import Error, connections
from django.http import HttpRequest, JsonResponse

from config.environment import SERVICES
from messaging.database import database_access

#: Whoever asks is told within this, also when a database takes the question and never answers.
_TIMEOUT_S: Final = 1.8
#: One thread per database: a question that hangs holds up the next ones to the same database, and no others.
_asking: Final = {service: ThreadPoolExecutor(1, thread_name_prefix=f"ready-{service}") for service in SERVICES}


def alive(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """Whether every service's database answers. The broker may be away: orders are refused then, the rest is served."""
    answers = {service: _asking[service].submit(_answers, service) for service in SERVICES}
    wait(answers.values(), timeout=_TIMEOUT_S)
    # What has not begun is withdrawn, so that questions do not pile up behind one that hangs.
    late = {service for service, answer in answers.items() if answer.cancel() or not answer.done()}
    down = [service for service, answer in answers.items() if service in late or not answer.result()]
    return JsonResponse({"status": "unavailable" if down else "ok", "down": down}, status=503 if down else 200)


def _answers(service: str) -> bool:
    try:
        with database_access(), connections[service].cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return False
    return True
