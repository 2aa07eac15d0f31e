"""What load balancers and the supervisor ask: is the process alive, and can it serve?"""

from __future__ import annotations

from django.db import DatabaseError, connections
from django.http import HttpRequest, JsonResponse

from config.environment import SERVICES


def alive(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """Whether every service's database answers. The broker may be away: orders are refused then, the rest is served."""
    down = [service for service in SERVICES if not _answers(service)]
    return JsonResponse({"status": "unavailable" if down else "ok", "down": down}, status=503 if down else 200)


def _answers(service: str) -> bool:
    try:
        with connections[service].cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True
