"""Every address of the web process: a page to start from, the services' APIs under /api/, health beside them."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from config import health, pages
from config.api import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("", pages.home),
    path("api/", api.urls),
    path("healthz", health.alive),
    path("readyz", health.ready, name="ready"),
]

handler400 = "common.api.bad_request"
handler404 = "common.api.not_found"
handler500 = "common.api.fault"
