"""Step 3: an order with a coupon and some balance, for which three services answer at the same time."""

from __future__ import annotations

from tour.guide import Guide
from tour.steps.buying import SKU

_COUPON = "TEA-10"
_BALANCE_CENTS = 2_000


def use_coupon_and_balance(guide: Guide, number: int) -> None:
    guide.story.step(
        number, "A coupon and some balance", "Stock, coupon and balance are held at the same time, or none of them."
    )
    carol = guide.buyers["carol"]
    balance_cents = carol.balance_cents()
    coupon_no = carol.grab(_COUPON)
    choices = {"coupon_no": coupon_no, "balance_cents": _BALANCE_CENTS}
    page = carol.checkout(SKU, 4, **choices)
    guide.story.did(
        f"carol grabs a coupon; the confirm page: {page['goods_cents']} cents of tea - {page['discount_cents']} "
        f"+ {page['freight_cents']} of freight - {page['balance_cents']} of balance = {page['payable_cents']} to pay"
    )

    order_no = carol.place(SKU, 4, **choices, price_version=page["price_version"])
    guide.follow(order_no, lambda: carol.order(order_no)["status"] in ("PENDING_PAYMENT", "CANCELED"))
    guide.cashier.pay(carol.cashier_url(order_no))
    guide.follow(order_no, lambda: carol.coupon_status(coupon_no) == "REDEEMED")

    payment = carol.payment(order_no)
    left_cents = carol.balance_cents()
    guide.story.check(
        payment["captured_cents"] == page["payable_cents"],
        f"{payment['captured_cents']} cents paid, as the page had said",
    )
    guide.story.check(
        left_cents == balance_cents - _BALANCE_CENTS, f"the balance went from {balance_cents} to {left_cents} cents"
    )
    guide.story.check(carol.coupon_status(coupon_no) == "REDEEMED", "the coupon is used, once")
