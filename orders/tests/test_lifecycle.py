"""What each message does to an order in each status: moves it, leaves it, or is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from messaging.events import Delayed
from orders.messages import CloseUnpaidOrder, OrderConfirmed
from orders.models import InvalidTransition, Order, Reason, Status
from orders.services import lifecycle
from orders.services.changes import Decision
from orders.tests import book
from orders.tests.book import DAY, NOON, ROADS

pytestmark = pytest.mark.django_db(databases=["orders"])

MESSAGES: dict[str, Decision] = {
    "stock reserved": book.CONFIRM,
    "out of stock": book.CANCEL_UNFILLED,
    "timer rings": book.TIMER_RINGS,
    "payment closed": book.PAYMENT_CLOSED,
    "paid": book.PAID,
    "dispatched": book.SHIPPED,
    "delivered": book.DELIVERED,
    "receipt is due": book.RECEIPT_RINGS,
}
REFUSED = "refused"
#: Where a message moves an order, or that it is refused; every pair that is missing changes nothing.
EXPECTED = {
    ("stock reserved", Status.PLACED): Status.PENDING_PAYMENT,
    ("out of stock", Status.PLACED): Status.CANCELED,
    ("timer rings", Status.PENDING_PAYMENT): Status.CLOSING,
    ("paid", Status.PENDING_PAYMENT): Status.PAID,
    ("paid", Status.CLOSING): Status.PAID,
    ("payment closed", Status.CLOSING): Status.CLOSED,
    ("dispatched", Status.PAID): Status.SHIPPED,
    ("delivered", Status.SHIPPED): Status.DELIVERED,
    ("receipt is due", Status.DELIVERED): Status.COMPLETED,
    **{
        ("dispatched", status): REFUSED
        for status in (Status.PLACED, Status.PENDING_PAYMENT, Status.CLOSING, Status.CLOSED, Status.CANCELED)
    },
    **{
        ("delivered", status): REFUSED
        for status in (
            Status.PLACED,
            Status.PENDING_PAYMENT,
            Status.CLOSING,
            Status.PAID,
            Status.CLOSED,
            Status.CANCELED,
        )
    },
    **{("payment closed", status): REFUSED for status in (Status.SHIPPED, Status.DELIVERED, Status.COMPLETED)},
    ("paid", Status.PLACED): REFUSED,
    ("paid", Status.CANCELED): REFUSED,
    ("payment closed", Status.PLACED): REFUSED,
    ("payment closed", Status.PENDING_PAYMENT): REFUSED,
    ("payment closed", Status.PAID): REFUSED,
    ("payment closed", Status.CANCELED): REFUSED,
}


class TestEveryPair:
    @pytest.mark.parametrize("status", ROADS)
    @pytest.mark.parametrize("message", MESSAGES)
    def test_moves_stays_or_is_refused(self, message: str, status: Status):
        before = book.order(status=status)
        expected = EXPECTED.get((message, status), status)

        if expected == REFUSED:
            with pytest.raises(InvalidTransition):
                book.take("M1", MESSAGES[message])
        else:
            said = book.take("M1", MESSAGES[message])
            assert bool(said) == (expected != status)

        moved = expected not in (status, REFUSED)
        assert book.state() == (expected if moved else status, before.version + moved)
        book.check_histories()

    @pytest.mark.parametrize(("message", "status"), [pair for pair, to in EXPECTED.items() if to != REFUSED])
    def test_has_its_effect_once_when_it_comes_twice(self, message: str, status: Status):
        book.order(status=status)

        book.take("M1", MESSAGES[message])
        after_once = book.state()
        said_again = book.take("M1", MESSAGES[message])

        assert said_again == []
        assert book.state() == after_once
        book.check_histories()


class TestConfirm:
    def test_opens_the_window_and_sets_the_timer_to_its_end(self):
        book.order()

        confirmed, timer = book.take("M1", book.CONFIRM)

        assert isinstance(confirmed, OrderConfirmed)
        assert (confirmed.version, confirmed.total_cents, confirmed.expires_at) == (2, book.TOTAL_CENTS, NOON + DAY)
        assert isinstance(timer, Delayed)
        assert timer.deliver_at == NOON + DAY
        assert timer.event.tag == "CloseUnpaidOrder"
        assert Order.objects.get().expires_at == NOON + DAY


class TestCancelUnfilled:
    def test_remembers_what_fell_short(self):
        book.order()

        canceled = book.only(book.take("M1", book.CANCEL_UNFILLED))

        assert (canceled.tag, canceled.version, canceled.reason) == ("OrderCanceled", 2, Reason.OUT_OF_STOCK)
        assert Order.objects.get().reason_details == {"shortages": [{"sku": "TEAPOT", "wanted": 2, "available": 1}]}


class TestCloseWhenDue:
    def test_sets_the_timer_again_when_it_rings_early(self):
        """Protects `now < order.expires_at` in lifecycle.py: the order's deadline decides, not the message's."""
        book.order(status=Status.PENDING_PAYMENT)
        early = NOON + DAY - timedelta(seconds=1)

        [again] = book.take("M1", lifecycle.close_when_due(now=early, attempt=3))

        assert isinstance(again, Delayed)
        assert again.deliver_at == NOON + DAY
        assert isinstance(again.event, CloseUnpaidOrder)
        assert again.event.key == "M1:4"  # A key of its own, or the inbox would take it for the same message.
        assert book.state() == (Status.PENDING_PAYMENT, 2)

    def test_follows_the_orders_own_deadline_when_it_was_moved(self):
        book.order(status=Status.PENDING_PAYMENT)
        Order.objects.update(expires_at=NOON + 2 * DAY)

        [again] = book.take("M1", book.TIMER_RINGS)

        assert isinstance(again, Delayed)
        assert again.deliver_at == NOON + 2 * DAY

    def test_asks_payments_first(self):
        book.order(status=Status.PENDING_PAYMENT)

        close = book.only(book.take("M1", book.TIMER_RINGS))

        assert (close.tag, close.version, close.reason) == ("ClosePayment", 3, Reason.PAYMENT_TIMEOUT)


class TestPay:
    @pytest.mark.parametrize("status", [Status.PENDING_PAYMENT, Status.CLOSING])
    def test_wins_while_the_order_is_open(self, status: Status):
        book.order(status=status)

        paid = book.only(book.take("M1", book.PAID))

        assert (paid.tag, paid.payment_no) == ("OrderPaid", "P1")
        order = Order.objects.get()
        assert (order.status, order.payment_no, order.reason) == (Status.PAID, "P1", "")

    def test_never_revives_a_closed_order(self):
        """Protects the branch for CLOSED in lifecycle.py: the stock is gone, payments gives the money back."""
        book.order(status=Status.CLOSED)

        assert book.take("M1", book.PAID) == []
        assert book.state() == (Status.CLOSED, 4)

    @pytest.mark.parametrize("amount_cents", [book.TOTAL_CENTS - 1, book.TOTAL_CENTS + 1, 0])
    def test_refuses_another_amount_than_the_price(self, amount_cents: int):
        """Protects the comparison with `total_cents` in lifecycle.py; payments checks too, this is the second lock."""
        book.order(status=Status.PENDING_PAYMENT)

        with pytest.raises(InvalidTransition):
            book.take("M1", lifecycle.pay(payment_no="P1", amount_cents=amount_cents, paid_at=NOON))

        assert book.state() == (Status.PENDING_PAYMENT, 2)

    def test_refuses_a_second_payment_by_another_number(self):
        book.order(status=Status.PAID)

        with pytest.raises(InvalidTransition):
            book.take("M1", lifecycle.pay(payment_no="P2", amount_cents=book.TOTAL_CENTS, paid_at=NOON))


class TestFinishClosing:
    def test_tells_the_reason_why_closing_began(self):
        book.order(status=Status.CLOSING)

        closed = book.only(book.take("M1", book.PAYMENT_CLOSED))

        assert (closed.tag, closed.version, closed.reason) == ("OrderClosed", 4, Reason.PAYMENT_TIMEOUT)
