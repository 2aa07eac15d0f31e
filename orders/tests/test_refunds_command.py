"""`manage.py refunds`: staff decides what buyers want to send back, and who it was is written down."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from messaging.testing import RecordedQueue
from orders.models import RefundCase, Status
from orders.services import cases
from orders.tests import book
from orders.tests.book import ALICE, NOON

pytestmark = pytest.mark.django_db(databases=["orders"], transaction=True)


def run(*words: str) -> str:
    said = StringIO()
    call_command("refunds", *words, stdout=said)
    return said.getvalue()


@pytest.fixture
def case(queue: RecordedQueue) -> RefundCase:
    book.order(status=Status.DELIVERED)
    return cases.open_case(order_no="M1", buyer_id=ALICE, wanted=None, reason="too green", now=NOON)


class TestRefunds:
    def test_lists_what_waits(self, case: RefundCase):
        said = run("list")

        assert f"{case.refund_no} AWAITING_APPROVAL order M1: 2 x TEAPOT, 25.00: too green" in said
        assert "1 cases wait." in said

    def test_approves_once(self, case: RefundCase, queue: RecordedQueue):
        assert "approved" in run("approve", case.refund_no, "--by", "wang")

        with pytest.raises(CommandError, match="does not wait"):
            run("reject", case.refund_no, "--why", "used")
        case.refresh_from_db()
        assert (case.status, case.decided_by) == ("AWAITING_RETURN", "wang")
        assert [message.tag for message in queue.shown()] == ["ExpectReturn"]

    def test_rejects_with_a_reason_only(self, case: RefundCase):
        with pytest.raises(CommandError, match="why"):
            run("reject", case.refund_no)

        run("reject", case.refund_no, "--by", "li", "--why", "used")

        case.refresh_from_db()
        assert (case.status, case.decision) == ("REJECTED", "used")
