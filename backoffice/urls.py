"""Every address of the staff's process; `ROOT_URLCONF` of `config.settings.staff` alone."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path
from django.views.generic import RedirectView

from backoffice.pages import inventory, orders, parked, payments, people
from backoffice.site import site
from config import health

#: Importing a module of pages puts them into the site.
PAGES = (orders, payments, inventory, people, parked)

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(url="/admin/")),
    path("admin/", site.urls),
    path("healthz", health.alive),
    path("readyz", health.ready),
]
