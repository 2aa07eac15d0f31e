"""The answers of inventory, coupons and accounts meet: the last yes confirms, any no and any silence cancels."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from itertools import permutations

import pytest

from common.testing import race
from messaging.events import Delayed
from orders.messages import CancelSilentOrder
from orders.models import Order, Party, Reason, Status
from orders.services import lifecycle
from orders.tests import book
from orders.tests.book import DAY, NOON

WINDOW = timedelta(seconds=30)
EVERYBODY = Party.STOCK | Party.COUPON | Party.BALANCE
SILENT = lifecycle.cancel_when_silent(now=NOON + WINDOW, window=WINDOW, attempt=1)


def yes(by: Party):
    return lifecycle.confirm(now=NOON, payment_window=DAY, by=by)


def no(reason: Reason):
    return lifecycle.cancel_refused(now=NOON, reason=reason, details={})


def asking(parties: Party, order_no: str = "M1") -> None:
    """A pre-order that waits for these."""
    book.order(order_no)
    Order.objects.filter(order_no=order_no).update(awaiting=parties)


@pytest.mark.django_db(databases=["orders"])
class TestJoin:
    @pytest.mark.parametrize(
        "answers", list(permutations(Party)), ids=lambda one: " ".join(party.name for party in one)
    )
    def test_confirms_with_the_last_yes_in_whatever_order_they_come(self, answers: tuple[Party, ...]):
        asking(EVERYBODY)

        said = [book.take("M1", yes(party)) for party in answers]

        assert [book.tags(one) for one in said] == [[], [], ["OrderConfirmed", "CloseUnpaidOrder"]]
        assert book.state() == (Status.PENDING_PAYMENT, 2)
        book.check_histories()

    def test_waits_for_nobody_whom_the_order_does_not_need(self):
        asking(Party.STOCK)

        assert book.tags(book.take("M1", yes(Party.STOCK))) == ["OrderConfirmed", "CloseUnpaidOrder"]

    def test_counts_an_answer_once_however_often_it_comes(self):
        asking(EVERYBODY)

        for _ in range(3):
            assert book.take("M1", yes(Party.COUPON)) == []

        assert Order.objects.get().awaiting == Party.STOCK | Party.BALANCE

    @pytest.mark.parametrize("reason", [Reason.OUT_OF_STOCK, Reason.COUPON_REFUSED, Reason.BALANCE_REFUSED])
    def test_cancels_with_the_first_no_and_hears_no_yes_after_it(self, reason: Reason):
        asking(EVERYBODY)
        book.take("M1", yes(Party.STOCK))

        canceled = book.only(book.take("M1", no(reason)))

        assert (canceled.tag, canceled.reason) == ("OrderCanceled", reason)
        assert book.take("M1", yes(Party.BALANCE)) == []
        assert book.state() == (Status.CANCELED, 2)

    def test_pays_at_once_what_the_balance_pays_alone(self):
        asking(EVERYBODY)
        Order.objects.update(balance_cents=book.TOTAL_CENTS)

        said = [book.take("M1", yes(party)) for party in Party]

        assert [book.tags(one) for one in said] == [[], [], ["OrderPaid"]]
        assert book.state() == (Status.PAID, 2)
        book.check_histories()


@pytest.mark.django_db(databases=["orders"])
class TestSilence:
    def test_cancels_and_names_who_kept_silent(self):
        asking(EVERYBODY)
        book.take("M1", yes(Party.STOCK))

        canceled = book.only(book.take("M1", SILENT))

        assert (canceled.tag, canceled.reason) == ("OrderCanceled", Reason.NOT_CONFIRMED)
        assert Order.objects.get().reason_details == {"silent": ["COUPON", "BALANCE"]}

    def test_rings_again_when_it_rang_early(self):
        """Protects `now < order.placed_at + window` in lifecycle.py."""
        asking(EVERYBODY)

        [again] = book.take("M1", lifecycle.cancel_when_silent(now=NOON, window=WINDOW, attempt=1))

        assert isinstance(again, Delayed)
        assert again == Delayed(CancelSilentOrder(order_no="M1", version=1, attempt=2), deliver_at=NOON + WINDOW)
        assert again.event.key == "M1:2"

    def test_does_nothing_to_an_order_that_was_confirmed(self):
        book.order(status=Status.PENDING_PAYMENT)

        assert book.take("M1", SILENT) == []


@pytest.mark.django_db(databases=["orders"], transaction=True)
class TestRaces:
    def test_answers_in_the_same_moment_confirm_once(self):
        """Protects `o.awaiting = step.from_awaiting` in changes.sql: else one answer overwrites the note of another."""
        for number in range(12):
            order_no = f"M{number}"
            asking(EVERYBODY, order_no)

            said = race([partial(book.take, order_no, yes(party)) for party in Party])

            assert sorted(book.tags([event for one in said for event in one])) == ["CloseUnpaidOrder", "OrderConfirmed"]
            assert book.state(order_no) == (Status.PENDING_PAYMENT, 2)

    def test_a_yes_and_a_no_in_the_same_moment_cancel(self):
        for number in range(12):
            order_no = f"M{number}"
            asking(Party.STOCK | Party.COUPON, order_no)

            race(
                [
                    partial(book.take, order_no, yes(Party.STOCK)),
                    partial(book.take, order_no, no(Reason.COUPON_REFUSED)),
                ]
            )

            assert book.state(order_no) == (Status.CANCELED, 2)
