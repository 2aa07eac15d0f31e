"""Placing an order: one answer per key, the shop's prices, a message if and only if there is an order."""

from __future__ import annotations

from functools import partial

import pytest

from common.errors import InvalidInput
from common.idempotency import KeyReused
from common.testing import race
from messaging.testing import RecordedQueue
from messaging.transactions import QueueUnavailable
from mq.errors import ConnectionLost
from orders import messages
from orders.messages import Address, Line, OrderPlaced
from orders.models import CatalogItem, Order, OrderEvent, Party, PlacingAnswer, Status
from orders.services import placing, pricing
from orders.services.placing import BuyerLimitReached, Terms, TooManyOpenOrders, Wish
from orders.services.pricing import Cut, PriceChanged, SkuNotAvailable, Wanted
from orders.tests import book
from orders.tests.book import ALICE, BOB, NOON

KEY = "alice-checkout-1"
HOME = Address("Alice Liu", "+86 138 0000 0000", "CN-SH", "Shanghai", "1 Nanjing Road")
BASKET = [Wanted("TEAPOT", 2), Wanted("CUP", 6)]


def place(basket: list[Wanted] = BASKET, *, buyer_id: int = ALICE, key: str = KEY) -> str:
    return place_wish(Wish(basket), buyer_id=buyer_id, key=key)


AT_HOME = Terms(HOME)


def place_wish(wish: Wish, terms: Terms = AT_HOME, *, buyer_id: int = ALICE, key: str = KEY) -> str:
    answer = placing.place_order(buyer_id=buyer_id, wish=wish, terms=lambda items: terms, key=key, now=NOON)
    assert answer["status_url"] == f"/api/orders/{answer['order_no']}"
    order_no: str = answer["order_no"]
    return order_no


def placed(queue: RecordedQueue) -> list[OrderPlaced]:
    return [OrderPlaced.from_body(message.body) for message in queue.shown()]


@pytest.mark.django_db(databases=["orders"], transaction=True)
class TestPlaceOrder:
    def test_makes_a_pre_order_at_the_shops_prices_and_tells_it(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250, CUP=300)

        order_no = place()

        order = Order.objects.get()
        assert (order.order_no, order.status, order.version, order.total_cents) == (order_no, "PLACED", 1, 4300)
        [event] = placed(queue)
        assert (event.order_no, event.version, event.buyer_id, event.total_cents) == (order_no, 1, ALICE, 4300)
        assert event.lines == (Line("TEAPOT", 2, 1250), Line("CUP", 6, 300))
        book.check_histories()

    def test_keeps_the_price_of_the_day_it_was_placed(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250, CUP=300)
        place()

        CatalogItem.objects.update(price_cents=9999)

        assert sorted(Order.objects.get().lines.values_list("unit_price_cents", flat=True)) == [300, 1250]

    def test_is_one_transaction_and_one_half_message(self, queue: RecordedQueue, django_assert_max_num_queries):
        book.on_sale(TEAPOT=1250, CUP=300)

        with django_assert_max_num_queries(9, using="orders"):
            place()

        assert len(queue.halves) == 1

    def test_does_nothing_when_the_queue_takes_no_message(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250, CUP=300)
        queue.failure = ConnectionLost("no broker")

        with pytest.raises(QueueUnavailable):
            place()

        assert not Order.objects.exists()
        assert not PlacingAnswer.objects.exists()


@pytest.mark.django_db(databases=["orders"], transaction=True)
class TestIdempotencyKey:
    def test_repeats_the_answer_and_places_nothing(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250, CUP=300)

        assert place() == place() == place()

        assert Order.objects.count() == len(placed(queue)) == 1

    def test_repeats_the_answer_although_the_price_changed_and_the_article_is_gone(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250, CUP=300)
        order_no = place()
        CatalogItem.objects.update(price_cents=1, on_sale=False)

        assert place() == order_no

    def test_refuses_another_basket_under_the_same_key(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250, CUP=300)
        place()

        with pytest.raises(KeyReused):
            place([Wanted("TEAPOT", 3), Wanted("CUP", 6)])

    def test_is_a_buyers_own(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250, CUP=300)

        assert place() != place(buyer_id=BOB)

    def test_is_still_free_after_a_refusal(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250)
        with pytest.raises(SkuNotAvailable):
            place()
        book.on_sale(CUP=300)

        assert place()

    def test_twins_at_the_same_moment_get_one_answer(self, queue: RecordedQueue):
        """Protects `placing_answer_once`, the unique key of PlacingAnswer: the losing twin's order rolls back."""
        book.on_sale(TEAPOT=1250, CUP=300)
        for number in range(20):
            answers = race([partial(place, key=f"checkout-{number}")] * 4)
            assert len(set(answers)) == 1, answers

        assert Order.objects.count() == len(placed(queue)) == 20
        assert set(Order.objects.values_list("order_no", flat=True)) == {event.order_no for event in placed(queue)}

    def test_twins_with_different_baskets_at_the_same_moment_get_one_order(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250, CUP=300)

        answers = race([partial(place, [Wanted("CUP", quantity)]) for quantity in (1, 2, 3)])

        assert sum(isinstance(answer, KeyReused) for answer in answers) == 2
        assert Order.objects.count() == 1


@pytest.mark.django_db(databases=["orders"], transaction=True)
class TestRefusals:
    @pytest.mark.parametrize(
        "basket",
        [
            [],
            [Wanted("TEAPOT", 1)] * 2,
            [Wanted("TEAPOT", 0)],
            [Wanted("TEAPOT", -1)],
            [Wanted("TEAPOT", 1000)],
            [Wanted(f"SKU{number}", 1) for number in range(51)],
        ],
        ids=["empty", "twice", "none", "negative", "too many units", "too many lines"],
    )
    def test_of_a_basket_leave_nothing_behind(self, queue: RecordedQueue, basket: list[Wanted]):
        book.on_sale(TEAPOT=1250)

        with pytest.raises(InvalidInput):
            place(basket)

        assert queue.halves == []
        assert not PlacingAnswer.objects.exists()

    def test_name_every_article_that_cannot_be_ordered(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250, CUP=300)
        CatalogItem.objects.filter(sku="CUP").update(on_sale=False)

        with pytest.raises(SkuNotAvailable) as refusal:
            place([*BASKET, Wanted("UNICORN", 1)])

        assert refusal.value.details["skus"] == ["CUP", "UNICORN"]

    def test_include_an_order_larger_than_a_payment(self, queue: RecordedQueue):
        book.on_sale(PALACE=pricing.TOTAL_CENTS_MAX // 10)

        with pytest.raises(InvalidInput):
            place([Wanted("PALACE", 11)])


@pytest.mark.django_db(databases=["orders"], transaction=True)
class TestHistory:
    def test_begins_with_the_placing(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250, CUP=300)

        order_no = place()

        assert list(OrderEvent.objects.values_list("order_id", "version", "tag", "status")) == [
            (order_no, 1, "OrderPlaced", Status.PLACED)
        ]


@pytest.mark.django_db(databases=["orders"], transaction=True)
class TestPrices:
    TEN_OFF = Cut("C1", 1000, frozenset({"TEAPOT", "CUP"}))
    PACKET = Cut("C2", 300, frozenset({"TEAPOT", "CUP"}))

    def test_of_coupon_packet_balance_and_freight_are_told_and_kept(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250, CUP=300)
        CatalogItem.objects.filter(sku="TEAPOT").update(weight_grams=700, category="pots")

        place_wish(Wish(BASKET, balance_cents=2000), Terms(HOME, self.TEN_OFF, self.PACKET))

        [event] = placed(queue)
        # 43.00 of goods, 13.00 off, and 1.4 kg to a zone of 6.00 + 1.00.
        assert (event.total_cents, event.freight_cents, event.balance_cents) == (3700, 700, 2000)
        assert (event.coupon, event.red_packet) == (messages.Cut("C1", 1000), messages.Cut("C2", 300))
        assert [line.category for line in event.lines] == ["pots", ""]
        assert sum(line.discount_cents for line in event.lines) == 1300
        order = Order.objects.get()
        assert order.awaiting == Party.STOCK | Party.COUPON | Party.BALANCE
        assert (order.discount_cents, order.payable_cents, order.coupons) == (1300, 1700, ("C1", "C2"))
        assert {line.sku: line.discount_cents for line in order.lines.all()} == {
            line.sku: line.discount_cents for line in event.lines
        }
        assert order.address is not None
        assert order.address["street"] == "1 Nanjing Road"

    def test_wait_for_nobody_who_is_not_needed(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250, CUP=300)

        place()

        assert Order.objects.get().awaiting == Party.STOCK

    def test_that_the_buyer_was_shown_and_that_hold_are_taken(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250, CUP=300)
        version = pricing.quote(pricing.fill_basket(BASKET), region="CN-SH").version

        assert place_wish(Wish(BASKET, price_version=version))

    def test_that_have_changed_are_refused_with_what_changed(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250, CUP=300)
        version = pricing.quote(pricing.fill_basket(BASKET), region="CN-SH").version
        CatalogItem.objects.filter(sku="TEAPOT").update(price_cents=1300, weight_grams=100)

        with pytest.raises(PriceChanged) as refusal:
            place_wish(Wish(BASKET, price_version=version))

        assert refusal.value.details["changes"] == [
            {"what": "unit_price_cents", "sku": "TEAPOT", "was": 1250, "is": 1300},
            {"what": "freight_cents", "was": 0, "is": 600},
        ]
        assert queue.halves == []
        assert place_wish(Wish(BASKET, price_version=refusal.value.details["price_version"]))

    @pytest.mark.parametrize("version", ["", "junk", "W10=", "bnVsbA==", "\u00e9", "WzEsMl0="])
    def test_of_another_shop_are_refused(self, queue: RecordedQueue, version: str):
        book.on_sale(TEAPOT=1250, CUP=300)

        with pytest.raises(InvalidInput) as refusal:
            place_wish(Wish(BASKET, price_version=version))

        assert refusal.value.details["field"] == "price_version"

    def test_are_paid_by_the_balance_at_most_once(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250, CUP=300)

        with pytest.raises(InvalidInput) as refusal:
            place_wish(Wish(BASKET, balance_cents=4301))

        assert refusal.value.details == {"field": "balance_cents", "total": 4300}


@pytest.mark.django_db(databases=["orders"], transaction=True)
class TestLimits:
    def test_end_hoarding_by_many_requests_at_once(self, queue: RecordedQueue, settings):
        """Protects `pg_advisory_xact_lock` in placing.py: without it rivals count the same open orders."""
        settings.OPEN_ORDERS_PER_BUYER_MAX = 3
        book.on_sale(TEAPOT=1250, CUP=300)

        answers = race([partial(place, key=f"checkout-{number}") for number in range(12)])

        assert sum(isinstance(answer, TooManyOpenOrders) for answer in answers) == 9
        assert Order.objects.count() == len(placed(queue)) == 3

    def test_count_only_what_is_open_and_ones_own(self, queue: RecordedQueue, settings):
        settings.OPEN_ORDERS_PER_BUYER_MAX = 1
        book.on_sale(TEAPOT=1250, CUP=300)
        book.order("M1", Status.PAID)
        book.order("M2", Status.PENDING_PAYMENT, buyer_id=BOB)

        assert place()

        with pytest.raises(TooManyOpenOrders):
            place(key="checkout-2")

    def test_hold_for_an_article_over_all_orders_that_live(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250, CUP=300)
        CatalogItem.objects.filter(sku="TEAPOT").update(per_buyer_limit=4)
        book.order("M1", Status.PAID)
        book.order("M2", Status.CANCELED)

        with pytest.raises(BuyerLimitReached) as refusal:
            place([Wanted("TEAPOT", 3)])

        assert refusal.value.details == {"field": "lines", "sku": "TEAPOT", "limit": 4, "has": 2}
        assert place([Wanted("TEAPOT", 2)])


@pytest.mark.django_db(databases=["orders"], transaction=True)
class TestCrash:
    def test_behind_the_commit_leaves_the_answer_to_the_next_try(
        self, queue: RecordedQueue, monkeypatch: pytest.MonkeyPatch
    ):
        """Protects that the answer commits with the order in place.sql: the client heard nothing, and asks again."""
        book.on_sale(TEAPOT=1250, CUP=300)

        def die(*_: object) -> None:
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr(queue, "end", die)
            with pytest.raises(SystemExit):
                place()

        assert place() == Order.objects.get().order_no
        assert len(queue.halves) == 1
