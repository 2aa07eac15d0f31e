from __future__ import annotations

import pytest
from django.db import connections

from config.environment import SERVICES
from config.router import ServiceRouter
from messaging.models import InboxMessage


@pytest.mark.django_db(databases=SERVICES)
class TestServiceDatabases:
    @pytest.mark.parametrize("service", SERVICES)
    def test_each_holds_its_own_inbox(self, service):
        InboxMessage.objects.using(service).create(group="inventory", key="OrderPlaced:1", message_id="A")

        counts = {alias: InboxMessage.objects.using(alias).count() for alias in SERVICES}

        assert counts == {alias: int(alias == service) for alias in SERVICES}

    def test_messaging_has_no_home_of_its_own(self):
        assert ServiceRouter().db_for_write(InboxMessage) is None

    def test_is_a_real_postgresql(self):
        with connections["orders"].cursor() as cursor:
            cursor.execute("SHOW server_version_num")
            assert int(cursor.fetchone()[0]) >= 180000
