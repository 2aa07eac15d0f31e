"""Every cent of a price has its line: split over the lines, it adds up, whatever the numbers."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from common import money
from orders.models import CatalogItem
from orders.services import pricing
from orders.services.freight import Parcel, by_zone_and_weight
from orders.services.pricing import Basket, Cut, Quote, Wanted

CENTS = st.integers(min_value=1, max_value=1_000_000)


@st.composite
def quotes(draw: st.DrawFn) -> Quote:
    """Any basket with any coupon, red packet and balance that it could have."""
    prices = draw(st.lists(CENTS, min_size=1, max_size=8))
    wanted = [Wanted(f"SKU{place}", draw(st.integers(1, 20))) for place in range(len(prices))]
    articles = {
        want.sku: CatalogItem(sku=want.sku, title=want.sku, price_cents=cents, weight_grams=draw(st.integers(0, 3000)))
        for want, cents in zip(wanted, prices, strict=True)
    }
    basket = Basket(wanted, articles)
    skus = frozenset(draw(st.sets(st.sampled_from([want.sku for want in wanted]), min_size=1)))
    counted_cents = sum(item.cents for item in basket.items if item.sku in skus)
    coupon = Cut("C1", draw(st.integers(0, counted_cents - 1)), skus)
    left_cents = sum(item.cents for item in basket.items) - coupon.cents
    packet = Cut("C2", draw(st.integers(0, left_cents - 1)), frozenset(articles))
    region = draw(st.sampled_from(["CN-SH", "CN-GD", "CN-XZ"]))
    total_cents = pricing.quote(basket, region=region, coupon=coupon, red_packet=packet).total_cents
    balance_cents = draw(st.integers(0, total_cents))
    return pricing.quote(basket, region=region, coupon=coupon, red_packet=packet, balance_cents=balance_cents)


class TestQuote:
    @settings(max_examples=60, deadline=None, database=None)
    @given(quotes())
    def test_bug_23_splits_discount_and_balance_over_the_lines_to_the_cent(self, quote: Quote):
        """Protects `left` in money.split: rounding each share alone loses or invents cents."""
        assert quote.coupon is not None
        assert quote.red_packet is not None
        assert quote.discount_cents == quote.coupon.cents + quote.red_packet.cents
        for line in quote.lines:
            assert 0 <= line.discount_cents <= line.goods_cents
            assert 0 <= line.balance_cents <= line.price_cents
        freight_balance_cents = quote.balance_cents - sum(line.balance_cents for line in quote.lines)
        assert 0 <= freight_balance_cents <= quote.freight_cents
        # What any set of lines gives back, and what is kept, are the whole price.
        assert sum(line.price_cents for line in quote.lines) + quote.freight_cents == quote.total_cents
        assert quote.payable_cents + quote.balance_cents == quote.total_cents > 0

    @settings(max_examples=30, deadline=None, database=None)
    @given(quotes())
    def test_is_known_again_by_its_version(self, quote: Quote):
        quote.refuse_if_changed(quote.version)


class TestSplit:
    @settings(max_examples=200, deadline=None, database=None)
    @given(st.integers(0, 10**9), st.lists(st.integers(0, 10**9), min_size=1, max_size=20).filter(any))
    @example(100, [1, 1, 1])
    def test_loses_and_invents_nothing(self, cents: int, weights: list[int]):
        shares = money.split(cents, weights)

        assert sum(shares) == cents
        for share, weight in zip(shares, weights, strict=True):
            assert 0 <= share - cents * weight // sum(weights) <= 1

    def test_gives_the_cents_that_are_left_to_who_lost_most(self):
        assert money.split(100, [1, 1, 1]) == [34, 33, 33]
        assert money.split(10, [1, 2, 5]) == [1, 3, 6]
        assert money.split(0, [0, 0]) == [0, 0]


class TestFreight:
    def test_is_by_zone_begun_kilogram_and_threshold(self):
        def freight(region: str, grams: int, goods_cents: int) -> int:
            return by_zone_and_weight(Parcel(region, grams, goods_cents))

        assert [freight("CN-SH", grams, 100) for grams in (0, 1, 1000, 1001, 2001)] == [0, 600, 600, 700, 800]
        assert [freight(region, 2500, 100) for region in ("CN-ZJ", "CN-BJ", "CN-XZ")] == [800, 1800, 4200]
        assert [freight("CN-SH", 500, cents) for cents in (9_899, 9_900)] == [600, 0]
        assert [freight("CN-XZ", 500, cents) for cents in (9_900, 49_900)] == [1800, 0]
