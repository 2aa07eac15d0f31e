from __future__ import annotations

import re
from pathlib import Path

import ninja
import pytest

from config.environment import SERVICES

#: What a browser loads by itself, or may be told to.
LINKS = re.compile(r"""(?:src|href)=["\']([^"\']+)["\']""")


class TestHome:
    @pytest.mark.django_db(databases=list(SERVICES))
    def test_leads_to_what_is_there(self, client, settings):
        settings.PAYSIM_URL = "http://127.0.0.1:8001"

        page = client.get("/")

        assert page.status_code == 200
        links = LINKS.findall(page.text)
        assert "http://127.0.0.1:8001" in links
        assert [client.get(link).status_code for link in links if link.startswith("/")] == [200] * 4


class TestApiPage:
    def test_loads_nothing_from_elsewhere(self, client):
        page = client.get("/api/docs")

        assert page.status_code == 200
        links = LINKS.findall(page.text)
        assert len(links) >= 3
        for link in links:
            # The web server serves them from there.
            assert (Path(ninja.__file__).parent / link.removeprefix("/")).is_file()
