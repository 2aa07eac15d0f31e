from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from common import sql
from messaging import tidying
from messaging.models import InboxMessage, TransactionOutcome
from messaging.tests.clockmaker import SERVICE

pytestmark = pytest.mark.django_db(databases=[SERVICE])

OLD, YOUNG = tidying.LIFETIME + timedelta(minutes=1), tidying.LIFETIME - timedelta(minutes=1)


def remember(key: str, age: timedelta, **more: object) -> None:
    InboxMessage.objects.using(SERVICE).create(
        group="clockmaker", key=key, message_id="A", received_at=Now() - age, **more
    )


def remembered() -> set[str]:
    return set(InboxMessage.objects.using(SERVICE).values_list("key", flat=True))


class TestForgetOldMessages:
    def test_leaves_what_may_come_again_and_what_was_never_sent(self):
        remember("old and silent", OLD)
        remember("old and sent", OLD, outgoing=[], sent_at=Now())
        remember("old and not sent", OLD, outgoing=[])
        remember("young", YOUNG)

        assert tidying.forget_old_messages(SERVICE) == 2

        assert remembered() == {"old and not sent", "young"}

    def test_forgets_old_outcomes(self):
        outcomes = TransactionOutcome.objects.using(SERVICE)
        for key, age in {"old": OLD, "young": YOUNG}.items():
            outcomes.create(key=key, state="COMMITTED", decided_at=Now() - age)

        assert tidying.forget_old_messages(SERVICE) == 1

        assert [outcome.key for outcome in outcomes.all()] == ["young"]

    def test_takes_as_many_batches_as_it_needs(self, monkeypatch, django_assert_num_queries):
        monkeypatch.setattr(sql, "_BATCH_COUNT", 2)
        for number in range(5):
            remember(f"old {number}", OLD)

        with django_assert_num_queries(5, using=SERVICE):  # 2 + 2 + 1 + none; and no outcomes
            assert tidying.forget_old_messages(SERVICE) == 5
