"""The admin's front: its title, and the page of parked messages beside the tables."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.urls import URLPattern, URLResolver, path


class Backoffice(AdminSite):
    site_header = "Millrace, by hand"
    site_title = "Millrace"
    index_title = "Tables of the services"
    index_template = "backoffice/index.html"
    #: A link to the shop's front page, which another process serves.
    site_url = None
    enable_nav_sidebar = False

    def get_urls(self) -> list[URLPattern | URLResolver]:
        from backoffice.pages import parked

        mine: list[Any] = [path("parked/", self.admin_view(parked.page), name="parked")]
        return mine + super().get_urls()


site = Backoffice(name="admin")
