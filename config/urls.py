"""Every address of the web process: the services' APIs under /api/, health under /healthz and /readyz."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from config import health
from config.api import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/", api.urls),
    path("healthz", health.alive),
    path("readyz", health.ready),
]

handler400 = "common.api.bad_request"
handler404 = "common.api.not_found"
handler500 = "common.api.fault"
