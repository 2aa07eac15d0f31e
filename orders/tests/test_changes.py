"""Compare-and-set: of rivals one moves the order, the others decide again on what it became."""

from __future__ import annotations

from functools import partial

import pytest

from common.errors import NotFound
from common.testing import race, seeded
from orders.models import TRANSITIONS, InvalidTransition, Order, Status
from orders.services import changes
from orders.services.changes import Step
from orders.tests import book
from orders.tests.book import NOON


@pytest.mark.django_db(databases=["orders"])
class TestMove:
    def test_moves_an_order_that_is_as_it_was_read(self):
        order = book.order()

        assert changes.move([(order, Step(Status.PENDING_PAYMENT))], now=NOON) == {"M1"}

        assert book.state() == (Status.PENDING_PAYMENT, 2)
        book.check_histories()

    def test_moves_nothing_that_changed_since(self):
        """Protects `o.version = step.from_version` and `o.status = step.from_status` in changes.sql."""
        order = book.order(status=Status.PENDING_PAYMENT)
        book.take("M1", book.PAID)

        assert changes.move([(order, Step(Status.CLOSING))], now=NOON) == set()

        assert book.state() == (Status.PAID, 3)
        book.check_histories()

    @pytest.mark.parametrize("before", book.ROADS)
    @pytest.mark.parametrize("after", Status)
    def test_allows_exactly_the_table(self, before: Status, after: Status):
        """Protects the look into TRANSITIONS in `_row`."""
        order = book.order(status=before)

        if after in TRANSITIONS[before]:
            assert changes.move([(order, Step(after))], now=NOON) == {"M1"}
        else:
            with pytest.raises(InvalidTransition):
                changes.move([(order, Step(after))], now=NOON)

        book.check_histories()


@pytest.mark.django_db(databases=["orders"])
class TestDecideAndMove:
    def test_takes_two_messages_about_one_order_one_after_the_other(self):
        book.order()

        confirmed, paid, late = book.take_all([("M1", book.CONFIRM), ("M1", book.PAID), ("M1", book.TIMER_RINGS)])

        assert book.tags(confirmed) == ["OrderConfirmed", "CloseUnpaidOrder"]
        assert book.tags(paid) == ["OrderPaid"]
        assert late == []
        book.check_histories()

    def test_answers_in_the_order_it_was_asked(self):
        for number in range(5):
            book.order(f"M{number}")

        said = book.take_all([(f"M{number}", book.CONFIRM) for number in (3, 1, 4, 0, 2)])

        assert [book.first(answer).order_no for answer in said] == ["M3", "M1", "M4", "M0", "M2"]

    def test_needs_the_same_few_statements_for_one_order_and_for_sixty_four(self, django_assert_num_queries):
        for number in range(64):
            book.order(f"M{number}")

        with django_assert_num_queries(4, using="orders"):  # Two of them are the savepoint of this test's transaction.
            book.take_all([(f"M{number}", book.CONFIRM) for number in range(64)])

    def test_refuses_an_order_that_does_not_exist(self):
        with pytest.raises(NotFound):
            book.take("M404", book.CONFIRM)

    def test_moves_none_of_a_batch_with_a_contradiction_in_it(self):
        book.order("M1")
        book.order("M2")

        with pytest.raises(InvalidTransition):
            book.take_all([("M1", book.CONFIRM), ("M2", book.PAID)])

        assert book.state("M1") == (Status.PLACED, 1)


@pytest.mark.django_db(databases=["orders"], transaction=True)
class TestRaces:
    def test_pay_and_close_at_the_same_moment_have_one_outcome(self):
        """Protects the compare in changes.sql: without it, both say their event and an order has two ends."""
        ends = {Status.PAID: 0, Status.CLOSED: 0}
        for number in range(60):
            order_no = f"M{number}"
            book.order(order_no, Status.CLOSING)

            said = race([partial(book.take, order_no, one) for one in (book.PAID, book.PAYMENT_CLOSED)])

            status = Status(book.state(order_no)[0])
            ends[status] += 1
            # A payment that closes after it succeeded contradicts itself: payments never says both; this asks anyway.
            told = [tag for one in said if not isinstance(one, Exception) for tag in book.tags(one)]
            assert told == (["OrderPaid"] if status == Status.PAID else ["OrderClosed"])
            assert not any(isinstance(one, Exception) for one in said if status == Status.CLOSED), said

        print(ends)
        book.check_histories()

    def test_every_rival_of_many_finds_its_place(self):
        """The same four messages to one order by eight threads each: every change is made once."""
        for number in range(20):
            order_no = f"M{number}"
            book.order(order_no)
            book.take(order_no, book.CONFIRM)

            said = race([partial(book.take, order_no, one) for one in [book.PAID, book.TIMER_RINGS] * 4])

            assert not any(isinstance(one, Exception) for one in said), said
            told = sorted(tag for one in said for tag in book.tags(one))
            assert told in (["OrderPaid"], ["ClosePayment", "OrderPaid"])
            assert book.state(order_no)[0] == Status.PAID

        book.check_histories()

    def test_batches_that_share_orders_never_deadlock(self):
        """Protects `ORDER BY o.order_no FOR UPDATE` in changes.sql."""
        chance = seeded()
        orders = [f"M{number:03}" for number in range(60)]
        for order_no in orders:
            book.order(order_no, Status.PENDING_PAYMENT)

        def take_shuffled(decision, shuffles: list[list[str]]) -> None:
            for shuffled in shuffles:
                book.take_all([(order_no, decision) for order_no in shuffled])

        shuffles = [[chance.sample(orders, 40) for _ in range(5)] for _ in range(4)]
        rivals = [book.PAID, book.TIMER_RINGS, book.PAID, book.TIMER_RINGS]
        results = race([partial(take_shuffled, *pair) for pair in zip(rivals, shuffles, strict=True)])

        assert results == [None] * 4
        assert set(Order.objects.values_list("status", flat=True)) <= {Status.PAID, Status.CLOSING}
        book.check_histories()
