"""Canceling and closing what is overdue: requests that end orders while messages move them."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from common.errors import NotFound
from common.testing import race
from messaging.testing import RecordedQueue
from messaging.transactions import QueueUnavailable
from mq.errors import ConnectionLost
from orders.models import InvalidTransition, Order, OrderEvent, Reason, Status
from orders.services import closing
from orders.tests import book
from orders.tests.book import ALICE, BOB, DAY, NOON

pytestmark = pytest.mark.django_db(databases=["orders"], transaction=True)


def cancel(order_no: str = "M1", *, buyer_id: int = ALICE) -> Order:
    return closing.cancel_order(order_no=order_no, buyer_id=buyer_id, now=NOON)


class TestCancelOrder:
    def test_asks_payments_to_close_first(self, queue: RecordedQueue):
        book.order(status=Status.PENDING_PAYMENT)

        order = cancel()

        assert (order.status, order.version, order.reason) == (Status.CLOSING, 3, Reason.BUYER_CANCELED)
        assert [message.tag for message in queue.shown()] == ["ClosePayment"]
        book.check_histories()

    def test_ends_a_pre_order_at_once(self, queue: RecordedQueue):
        book.order(status=Status.PLACED)

        order = cancel()

        assert (order.status, order.version) == (Status.CANCELED, 2)
        assert [message.tag for message in queue.shown()] == ["OrderCanceled"]
        book.check_histories()

    def test_does_nothing_more_when_asked_again(self, queue: RecordedQueue):
        book.order(status=Status.PENDING_PAYMENT)

        versions = [cancel().version for _ in range(3)]

        assert versions == [3, 3, 3]
        assert len(queue.halves) == 1

    @pytest.mark.parametrize("status", [Status.CLOSING, Status.CLOSED, Status.CANCELED])
    def test_refuses_what_is_paid_or_ends_for_another_reason(self, queue: RecordedQueue, status: Status):
        book.order(status=status)

        with pytest.raises(InvalidTransition):
            cancel()

        assert queue.halves == []

    @pytest.mark.parametrize(("order_no", "buyer_id"), [("M1", BOB), ("M404", ALICE)])
    def test_does_not_find_somebody_elses_order(self, queue: RecordedQueue, order_no: str, buyer_id: int):
        book.order(status=Status.PENDING_PAYMENT)

        with pytest.raises(NotFound):
            cancel(order_no, buyer_id=buyer_id)

    def test_and_payment_at_the_same_moment_leave_one_whole_history(self, queue: RecordedQueue):
        """Protects `_move_or_raise`: a step decided on an order that changed meanwhile is not told."""
        for number in range(50):
            order_no = f"M{number}"
            book.order(order_no, Status.PENDING_PAYMENT)

            paid, canceled = race([partial(book.take, order_no, book.PAID), partial(cancel, order_no)])

            assert not isinstance(paid, Exception), paid
            assert isinstance(canceled, Order | InvalidTransition), canceled

        assert set(Order.objects.values_list("status", flat=True)) == {Status.PAID}
        closings = sum(order.events.filter(tag="ClosePayment").count() for order in Order.objects.all())
        assert [message.tag for message in queue.shown()].count("ClosePayment") == closings
        book.check_histories()


class TestCloseOverdue:
    def test_begins_to_close_what_a_lost_timer_left(self, queue: RecordedQueue):
        book.order("LOST", Status.PENDING_PAYMENT)
        book.order("PAID", Status.PAID)
        book.order("YOUNG", Status.PENDING_PAYMENT)
        Order.objects.filter(order_no="YOUNG").update(expires_at=NOON + 2 * DAY)

        closed = closing.close_overdue(now=NOON + DAY + closing.TIMER_GRACE + timedelta(seconds=1), limit=10)

        assert closed == ["LOST"]
        assert book.state("LOST") == (Status.CLOSING, 3)
        assert Order.objects.get(order_no="LOST").reason == Reason.PAYMENT_TIMEOUT
        assert [message.tag for message in queue.shown()] == ["ClosePayment"]

    def test_leaves_a_timer_its_grace(self, queue: RecordedQueue):
        book.order("M1", Status.PENDING_PAYMENT)

        assert closing.close_overdue(now=NOON + DAY + closing.TIMER_GRACE, limit=10) == []

    def test_takes_no_more_than_its_limit_and_the_oldest_first(self, queue: RecordedQueue):
        for number in range(5):
            book.order(f"M{number}", Status.PENDING_PAYMENT)
            Order.objects.filter(order_no=f"M{number}").update(expires_at=NOON - timedelta(hours=number))

        assert closing.close_overdue(now=NOON + DAY, limit=2) == ["M4", "M3"]

    def test_goes_on_behind_one_that_cannot_be_closed(self, queue: RecordedQueue, caplog: pytest.LogCaptureFixture):
        """Protects the `except` in `_change_or_log`, and that what failed counts for nothing: else it stays first."""
        for number in range(3):
            book.order(f"M{number}", Status.PENDING_PAYMENT)
        Order.objects.filter(order_no="M0").update(expires_at=NOON)
        OrderEvent.objects.create(order_id="M0", version=3, tag="broken", status="BROKEN", happened_at=NOON)

        closed = closing.close_overdue(now=NOON + 2 * DAY, limit=2)

        assert sorted(closed) == ["M1", "M2"]
        assert book.state("M0") == (Status.PENDING_PAYMENT, 2)
        assert [record.getMessage() for record in caplog.records if record.exc_info] == [
            "order M0 is overdue and cannot be changed"
        ]
        assert len(queue.shown()) == 2

    def test_blames_no_order_when_the_queue_is_down(self, queue: RecordedQueue, caplog: pytest.LogCaptureFixture):
        book.order("M1", Status.PENDING_PAYMENT)
        queue.failure = ConnectionLost("no broker")

        with pytest.raises(QueueUnavailable):
            closing.close_overdue(now=NOON + 2 * DAY, limit=10)

        assert caplog.records == []
