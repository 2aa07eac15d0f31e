"""What coupons and red packets take off, to the cent."""

from __future__ import annotations

from typing import Any

import pytest

from coupons import rules
from coupons.models import CouponTemplate
from coupons.rules import Item, Refusal
from coupons.tests.wallet import BASKET, RED_PACKET, TEA_15_PERCENT, TEN_OFF


class TestCoupon:
    @pytest.mark.parametrize(
        ("rule", "off"),
        [
            (TEN_OFF, 1000),
            ({**TEN_OFF, "threshold_cents": 8000}, 1000),
            ({**TEN_OFF, "threshold_cents": 8001}, Refusal.BELOW_THRESHOLD),
            ({**TEN_OFF, "category": "tea"}, 1000),
            ({**TEN_OFF, "category": "tea", "threshold_cents": 5001}, Refusal.BELOW_THRESHOLD),
            ({**TEN_OFF, "category": "pots"}, Refusal.NOTHING_OF_ITS_CATEGORY),
            (TEA_15_PERCENT, 750),
            ({**TEA_15_PERCENT, "category": ""}, 1200),
            ({**TEA_15_PERCENT, "off_cents_max": 700}, 700),
            ({**TEA_15_PERCENT, "threshold_cents": 5001}, Refusal.BELOW_THRESHOLD),
        ],
    )
    def test_takes_off(self, rule: dict[str, Any], off: int | Refusal):
        assert rules.coupon_off(CouponTemplate(**rule), BASKET) == off

    @pytest.mark.parametrize(("cents", "off"), [(1, 0), (99, 14), (100, 15), (101, 15), (106, 15), (107, 16)])
    def test_leaves_shares_of_a_cent_to_the_shop(self, cents: int, off: int):
        assert rules.coupon_off(CouponTemplate(**TEA_15_PERCENT), [Item("LONGJING", "tea", cents)]) == off


class TestRedPacket:
    @pytest.mark.parametrize(("goods", "coupon", "off"), [(8000, 1000, 500), (501, 0, 500), (500, 0, 499), (1, 0, 0)])
    def test_leaves_at_least_a_cent_to_pay(self, goods: int, coupon: int, off: int):
        items = [Item("CUP", "cups", goods)]

        assert rules.red_packet_off(CouponTemplate(**RED_PACKET), items, coupon_cents=coupon) == off
