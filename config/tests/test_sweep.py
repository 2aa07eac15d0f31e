from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections
from django.db.models.functions import Now

from common.idempotency import ANSWER_LIFETIME
from config.environment import SERVICES
from messaging import tidying
from messaging.models import InboxMessage
from messaging.transactions import QueueUnavailable
from orders.models import PlacingAnswer
from orders.services import closing
from payments.models import CallbackLog
from payments.services.tidying import LOG_LIFETIME

pytestmark = pytest.mark.django_db(databases=SERVICES, transaction=True)


def make_all_old() -> None:
    """One row of everything that is kept for a while, a minute too old."""
    moment = datetime.now(UTC) - timedelta(minutes=1)
    PlacingAnswer.objects.create(buyer_id=1, key="k", fingerprint="f", body={}, answered_at=moment - ANSWER_LIFETIME)
    CallbackLog.objects.create(received_at=moment - LOG_LIFETIME, verdict="MALFORMED", body="")
    for service in SERVICES:
        InboxMessage.objects.using(service).create(
            group=service, key="k", message_id="A", received_at=Now() - tidying.LIFETIME - timedelta(minutes=1)
        )


def left() -> int:
    inboxes = sum(InboxMessage.objects.using(service).count() for service in SERVICES)
    return inboxes + PlacingAnswer.objects.count() + CallbackLog.objects.count()


class TestSweep:
    def test_forgets_what_is_old_in_every_service(self):
        make_all_old()
        said = StringIO()

        call_command("sweep", stdout=said)

        assert left() == 0
        assert said.getvalue().count("1 old ") == 2 + len(SERVICES)

    def test_does_the_rest_of_a_pass_when_the_queue_is_down(self, monkeypatch: pytest.MonkeyPatch):
        def refuse(**_: object) -> list[str]:
            raise QueueUnavailable("no broker")

        make_all_old()
        monkeypatch.setattr(closing, "close_overdue", refuse)

        with pytest.raises(CommandError, match="Not everything could be swept"):
            call_command("sweep", stdout=StringIO())

        assert left() == 0

    def test_heals_after_the_database_was_restarted(self):
        with connections["orders"].cursor() as cursor, pytest.raises(OperationalError):
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

        call_command("sweep", stdout=StringIO())
