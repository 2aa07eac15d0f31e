"""Refund cases: who may ask what back, and that no unit and no cent is given back twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from common.errors import InvalidInput, NotFound
from common.testing import race
from messaging.testing import RecordedQueue
from orders.models import InvalidTransition, Order, OrderLine, RefundCase, Status
from orders.services import asking_back, cases, closing
from orders.services.cases import NotDecidable, NothingLeft, ReturnTooLate
from orders.services.pricing import Wanted
from orders.tests import book
from orders.tests.book import ALICE, BOB, NOON, WEEK

pytestmark = pytest.mark.django_db(databases=["orders"], transaction=True)

_Case = RefundCase.Status


def open_case(units: dict[str, int] | None = None, *, buyer_id: int = ALICE, now=NOON) -> RefundCase:
    return cases.open_case(order_no="M1", buyer_id=buyer_id, wanted=units, reason="too green", now=now)


def move(step: Callable[..., Any], case: RefundCase) -> Any:
    with transaction.atomic(using="orders"):
        return step(refund_no=case.refund_no, now=NOON)


def status_of(case: RefundCase) -> str:
    return RefundCase.objects.get(refund_no=case.refund_no).status


class TestOpenCase:
    @pytest.mark.parametrize("status", [Status.PAID, Status.SHIPPED])
    def test_asks_fulfillment_to_stop_the_goods_first(self, queue: RecordedQueue, status: Status):
        book.order(status=status)

        case = open_case()

        assert (case.status, case.amount_cents) == (_Case.STOPPING, book.TOTAL_CENTS)
        assert [message.tag for message in queue.shown()] == ["StopShipment"]
        assert book.state()[0] == status

    @pytest.mark.parametrize("status", [Status.DELIVERED, Status.COMPLETED])
    def test_of_delivered_goods_waits_for_staff(self, queue: RecordedQueue, status: Status):
        book.order(status=status)

        assert open_case().status == _Case.AWAITING_APPROVAL
        assert queue.halves == []

    @pytest.mark.parametrize(
        "status",
        [Status.PLACED, Status.PENDING_PAYMENT, Status.CLOSING, Status.CLOSED, Status.CANCELED],
    )
    def test_is_refused_where_nothing_was_bought(self, queue: RecordedQueue, status: Status):
        book.order(status=status)

        with pytest.raises(InvalidTransition):
            open_case()

    def test_is_refused_a_week_after_the_delivery(self, queue: RecordedQueue):
        """Protects `now > order.receipt_due_at`."""
        book.order(status=Status.COMPLETED)

        with pytest.raises(ReturnTooLate):
            open_case(now=NOON + WEEK + timedelta(seconds=1))
        assert open_case(now=NOON + WEEK).status == _Case.AWAITING_APPROVAL

    def test_finds_nothing_of_another_buyer(self, queue: RecordedQueue):
        book.order(status=Status.PAID)

        with pytest.raises(NotFound):
            open_case(buyer_id=BOB)

    def test_refuses_what_the_order_does_not_have(self, queue: RecordedQueue):
        book.order(status=Status.PAID)

        with pytest.raises(InvalidInput):
            open_case({"KETTLE": 1})
        with pytest.raises(NothingLeft):
            open_case({"TEAPOT": 3})
        open_case({"TEAPOT": 1})
        with pytest.raises(NothingLeft):
            open_case({"TEAPOT": 2})

    def test_bug_20_two_parts_at_the_same_moment_never_take_the_same_unit(self, queue: RecordedQueue):
        """Protects `claimed_quantity=` in `cases._open`, and the order's lock before it."""
        for number in range(10):
            order_no = f"M{number}"
            book.order(order_no, Status.PAID)
            ask = partial(cases.open_case, order_no=order_no, buyer_id=ALICE, wanted={"TEAPOT": 2}, reason="", now=NOON)

            results = race([ask, ask, ask])

            assert sum(isinstance(one, RefundCase) for one in results) == 1, results
            assert sum(isinstance(one, NothingLeft) for one in results) == 2, results
            line = OrderLine.objects.get(order_id=order_no)
            assert (line.claimed_quantity, line.claimed_cents) == (2, book.TOTAL_CENTS)

    def test_bug_23_the_parts_of_a_line_add_up_to_its_price_whatever_is_rejected_in_between(
        self, queue: RecordedQueue, monkeypatch: pytest.MonkeyPatch
    ):
        """Protects `left_cents * quantity // left`: thirds of 10.00 are 3.33, 3.33 and 3.34."""
        book.order(status=Status.DELIVERED)
        OrderLine.objects.update(quantity=3)
        monkeypatch.setattr(OrderLine, "price_cents", 1000)

        first, second = open_case({"TEAPOT": 1}), open_case({"TEAPOT": 1})
        cases.reject(refund_no=first.refund_no, by="wang", why="it is broken", now=NOON)
        third, fourth = open_case({"TEAPOT": 1}), open_case({"TEAPOT": 1})

        amounts = [one.amount_cents for one in (second, third, fourth)]
        assert sum(amounts) == 1000
        assert sorted(amounts) == [333, 333, 334]


class TestCancelOrder:
    def test_bug_57_that_is_paid_asks_all_of_it_back_once(self, queue: RecordedQueue):
        book.order(status=Status.PAID)

        for _ in range(3):
            order = closing.cancel_order(order_no="M1", buyer_id=ALICE, now=NOON)

        assert order.status == Status.PAID
        assert RefundCase.objects.get().amount_cents == book.TOTAL_CENTS
        assert [message.tag for message in queue.shown()] == ["StopShipment"]

    @pytest.mark.parametrize("status", [Status.SHIPPED, Status.DELIVERED, Status.COMPLETED])
    def test_bug_57_that_is_shipped_is_refused(self, queue: RecordedQueue, status: Status):
        """Protects the comparison with PAID in `closing.cancel_order`."""
        book.order(status=status)

        with pytest.raises(InvalidTransition):
            closing.cancel_order(order_no="M1", buyer_id=ALICE, now=NOON)

        assert queue.halves == []
        assert not RefundCase.objects.exists()


class TestACase:
    def test_whose_goods_stayed_asks_for_the_money_once(self, queue: RecordedQueue):
        book.order(status=Status.PAID)
        case = open_case({"TEAPOT": 1})

        request = book.only(move(cases.refund_stopped, case))

        assert (request.tag, request.refund_no, request.amount_cents) == ("RefundRequested", case.refund_no, 1250)
        assert move(cases.refund_stopped, case) == []
        assert status_of(case) == _Case.REFUNDING

    def test_whose_goods_left_waits_for_staff_then_for_the_goods_then_for_the_money(self, queue: RecordedQueue):
        book.order(status=Status.SHIPPED)
        case = open_case()

        cases.await_approval(refund_no=case.refund_no)
        assert move(cases.refund_returned, case) == []
        cases.approve(refund_no=case.refund_no, by="wang", now=NOON)
        request = book.only(move(cases.refund_returned, case))

        assert [message.tag for message in queue.shown()] == ["StopShipment", "ExpectReturn"]
        assert request.amount_cents == book.TOTAL_CENTS
        assert RefundCase.objects.get().decided_by == "wang"

    def test_that_is_rejected_may_be_opened_again(self, queue: RecordedQueue):
        book.order(status=Status.DELIVERED)
        case = open_case()

        cases.reject(refund_no=case.refund_no, by="wang", why="used", now=NOON)

        assert RefundCase.objects.get().decision == "used"
        assert open_case().amount_cents == book.TOTAL_CENTS

    def test_is_decided_by_one_of_two_who_decide_at_the_same_moment(self, queue: RecordedQueue):
        """Protects `status=from_status` in `cases._advance`."""
        book.order(status=Status.DELIVERED)
        case = open_case()

        results = race(
            [
                partial(cases.approve, refund_no=case.refund_no, by="wang", now=NOON),
                partial(cases.reject, refund_no=case.refund_no, by="li", why="no", now=NOON),
            ]
        )

        assert [type(one) for one in results if one] == [NotDecidable]
        shown = [message.tag for message in queue.shown()]
        assert shown == (["ExpectReturn"] if status_of(case) == _Case.AWAITING_RETURN else [])


class TestAskBack:
    def ask(self, key: str, units: int = 1) -> dict[str, Any]:
        return asking_back.ask_back(
            order_no="M1", buyer_id=ALICE, wanted=[Wanted("TEAPOT", units)], reason="", key=key, now=NOON
        )

    def test_answers_a_key_once_and_always_the_same(self, queue: RecordedQueue):
        book.order(status=Status.PAID)

        answers = [self.ask("key-0001") for _ in range(3)]

        assert answers[0] == answers[1] == answers[2]
        assert RefundCase.objects.count() == 1

    def test_answers_twins_of_the_same_moment_alike(self, queue: RecordedQueue):
        """Protects `except (IntegrityError, ...)` in asking_back.py."""
        book.order(status=Status.PAID)

        answers = race([partial(self.ask, "key-0001", 2)] * 4)

        assert all(answer == answers[0] for answer in answers), answers
        assert RefundCase.objects.count() == 1
        assert len(queue.shown()) == 1


def test_a_refund_moves_no_order_by_itself(queue: RecordedQueue):
    book.order(status=Status.PAID)

    open_case()

    assert Order.objects.get().version == 3


class TestFreightAndBalance:
    """An order of 25.00 and 8.00 freight, of which the balance had paid 7.00 of the goods and 3.00 of the freight."""

    @pytest.fixture(autouse=True)
    def _order(self, queue: RecordedQueue) -> None:
        book.order(status=Status.PAID)
        Order.objects.update(total_cents=3300, freight_cents=800, balance_cents=1000)
        OrderLine.objects.update(balance_cents=700)

    def test_come_back_whole_with_an_order_that_never_left(self):
        case = open_case()

        request = book.only(move(cases.refund_stopped, case))

        assert (case.amount_cents, case.balance_cents, case.freight_cents) == (3300, 1000, 800)
        assert request.amount_cents == 2300
        assert [line.amount_cents for line in request.lines] == [1800]

    def test_come_back_with_the_last_part_only(self):
        first, last = open_case({"TEAPOT": 1}), open_case({"TEAPOT": 1})

        assert (first.amount_cents, first.balance_cents) == (1250, 350)
        assert (last.amount_cents, last.balance_cents) == (1250 + 800, 350 + 300)

    def test_of_a_parcel_that_could_not_be_stopped_keeps_the_freight(self):
        """Protects `amount_cents=` in `cases.await_approval`: the freight was used."""
        case = open_case()

        cases.await_approval(refund_no=case.refund_no)

        case.refresh_from_db()
        assert (case.amount_cents, case.balance_cents, case.freight_cents) == (2500, 700, 0)

    def test_of_an_order_that_the_balance_paid_alone_asks_no_payment_company(self):
        Order.objects.update(balance_cents=3300)
        OrderLine.objects.update(balance_cents=2500)
        case = open_case()

        refunded = book.only(move(cases.refund_stopped, case))

        assert (refunded.tag, refunded.amount_cents, refunded.balance_cents) == ("OrderRefunded", 3300, 3300)
        assert refunded.is_whole
        assert book.state() == (Status.REFUNDED, 4)
