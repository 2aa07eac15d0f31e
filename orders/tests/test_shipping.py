"""An order on its way: a week of timers, the buyer's own word, and a sweeper behind both."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from common.errors import NotFound
from messaging.events import Delayed
from messaging.testing import RecordedQueue
from orders.messages import CompleteOrder
from orders.models import InvalidTransition, Order, Status
from orders.services import shipping
from orders.tests import book
from orders.tests.book import ALICE, BOB, NOON, WEEK

pytestmark = pytest.mark.django_db(databases=["orders"], transaction=True)


class TestAutomaticReceipt:
    def test_is_a_chain_of_timers_none_of_which_reaches_three_days(self):
        """Protects `min(due_at, now + TIMER_REACH)`: the broker refuses a timer that rings later than that."""
        book.order(status=Status.SHIPPED)
        said: list[Any] = book.take("M1", book.DELIVERED)
        delivered, timer = said
        assert delivered.receipt_due_at == NOON + WEEK

        rings = []
        while isinstance(timer, Delayed):
            assert isinstance(timer.event, CompleteOrder)
            rings.append(timer.deliver_at)
            ring = shipping.complete_when_due(now=timer.deliver_at, attempt=timer.event.attempt)
            timer = book.first(book.take("M1", ring))

        assert timer.tag == "OrderCompleted"
        assert not timer.by_buyer
        assert rings == [NOON + timedelta(days=days) for days in (2, 4, 6, 7)]
        assert book.state() == (Status.COMPLETED, 6)
        book.check_histories()

    def test_happens_at_once_when_the_timer_rings_a_week_late(self):
        book.order(status=Status.DELIVERED)

        completed = book.only(book.take("M1", shipping.complete_when_due(now=NOON + 2 * WEEK, attempt=1)))

        assert completed.tag == "OrderCompleted"


class TestConfirmReceipt:
    def confirm(self, buyer_id: int = ALICE) -> Order:
        return shipping.confirm_receipt(order_no="M1", buyer_id=buyer_id, now=NOON)

    def test_completes_the_order_once(self, queue: RecordedQueue):
        book.order(status=Status.DELIVERED)

        versions = [self.confirm().version for _ in range(3)]

        assert versions == [6, 6, 6]
        assert [message.tag for message in queue.shown()] == ["OrderCompleted"]
        book.check_histories()

    @pytest.mark.parametrize("status", [Status.PENDING_PAYMENT, Status.PAID, Status.SHIPPED])
    def test_is_refused_before_the_delivery(self, queue: RecordedQueue, status: Status):
        book.order(status=status)

        with pytest.raises(InvalidTransition):
            self.confirm()

    def test_finds_nothing_of_another_buyer(self, queue: RecordedQueue):
        book.order(status=Status.DELIVERED)

        with pytest.raises(NotFound):
            self.confirm(BOB)


class TestCompleteOverdue:
    def test_completes_what_a_broken_chain_left(self, queue: RecordedQueue):
        book.order("LOST", Status.DELIVERED)
        book.order("YOUNG", Status.DELIVERED)
        Order.objects.filter(order_no="YOUNG").update(receipt_due_at=NOON + 2 * WEEK)

        completed = shipping.complete_overdue(now=NOON + WEEK + timedelta(minutes=11), limit=10)

        assert completed == ["LOST"]
        assert book.state("LOST")[0] == Status.COMPLETED
