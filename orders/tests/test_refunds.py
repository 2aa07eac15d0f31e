"""Money that came back: what payments reports, and what it does to the case and to the order."""

from __future__ import annotations

import pytest
from django.db import transaction

from messaging.testing import RecordedQueue
from orders.messages import RefundLine
from orders.models import OrderRefund, RefundCase, Status
from orders.services import cases, refunds
from orders.tests import book
from orders.tests.book import ALICE, NOON

pytestmark = pytest.mark.django_db(databases=["orders"], transaction=True)


def record(refund_no: str, amount_cents: int, *, key: str | None = None):
    return refunds.record_refund(
        order_no="M1", refund_no=refund_no, refund_key=key or refund_no, amount_cents=amount_cents, now=NOON
    )


def refunding(**units: int) -> RefundCase:
    """A case for which payments is asked."""
    case = cases.open_case(order_no="M1", buyer_id=ALICE, wanted=units or None, reason="", now=NOON)
    with transaction.atomic(using="orders"):
        cases.refund_stopped(refund_no=case.refund_no, now=NOON)
    return case


class TestRecordRefund:
    @pytest.mark.parametrize("key", ["late:T1", "duplicate:T2"])
    def test_that_no_case_asked_for_changes_nothing_of_the_order(self, key: str):
        book.order(status=Status.PAID)

        assert record("R1", book.TOTAL_CENTS, key=key) == []

        assert book.state() == (Status.PAID, 3)
        assert OrderRefund.objects.get().amount_cents == book.TOTAL_CENTS

    def test_remembers_a_refund_once(self, queue: RecordedQueue):
        book.order(status=Status.PAID)
        case = refunding()

        said = [record(case.refund_no, case.amount_cents) for _ in range(3)]

        assert [len(one) for one in said] == [1, 0, 0]
        assert OrderRefund.objects.count() == 1
        book.check_histories()

    def test_in_parts_tells_each_part_and_ends_the_order_with_the_last(self, queue: RecordedQueue):
        book.order(status=Status.PAID)
        first, last = refunding(TEAPOT=1), refunding()

        part = book.only(record(first.refund_no, first.amount_cents))
        assert book.state() == (Status.PAID, 4)
        rest = book.only(record(last.refund_no, last.amount_cents))

        assert (part.version, part.refunded_before_cents, part.amount_cents, part.is_whole) == (4, 0, 1250, False)
        assert part.lines == (RefundLine("TEAPOT", 1, 1250),)
        assert (rest.version, rest.refunded_before_cents, rest.amount_cents, rest.is_whole) == (5, 1250, 1250, True)
        assert book.state() == (Status.REFUNDED, 5)
        book.check_histories()

    @pytest.mark.parametrize("status", [Status.PAID, Status.SHIPPED])
    def test_of_a_part_leaves_the_status_as_it_is(self, queue: RecordedQueue, status: Status):
        book.order(status=status)
        case = refunding(TEAPOT=1)

        record(case.refund_no, case.amount_cents)

        assert book.state()[0] == status
        book.check_histories()


class TestFail:
    def test_leaves_the_case_for_a_person_and_the_order_as_it_is(
        self, queue: RecordedQueue, caplog: pytest.LogCaptureFixture
    ):
        book.order(status=Status.PAID)
        case = refunding()

        refunds.fail(refund_no=case.refund_no, reason="ACQ.SELLER_BALANCE_NOT_ENOUGH", now=NOON)

        assert RefundCase.objects.get().status == RefundCase.Status.FAILED
        assert book.state() == (Status.PAID, 3)
        assert "failed for good" in caplog.text
