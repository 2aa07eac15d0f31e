"""Steps 4, 5 and 6: three ways in which an order ends without goods, and what has to come back then."""

from __future__ import annotations

from tour.guide import Guide
from tour.steps.buying import SKU, place


def let_a_day_pass(guide: Guide, number: int) -> None:
    guide.story.step(
        number, "Unpaid for 24 hours", "A timer message closes the order: at the gateway first, then here."
    )
    carol = guide.buyers["carol"]
    available = carol.available(SKU)

    order_no = place(guide, carol, SKU, 3)
    guide.story.check(carol.available(SKU) == available - 3, f"3 units are held: {available - 3} available")
    guide.travel("24h")
    guide.follow(order_no, lambda: carol.order(order_no)["status"] == "CLOSED" and carol.available(SKU) >= available)

    order = carol.order(order_no)
    guide.story.check(order["status"] == "CLOSED", f"the order is {order['status']} ({order['reason']})")
    back = carol.available(SKU)
    guide.story.check(back >= available, f"the stock is back: {back} available")


def pay_too_late(guide: Guide, number: int) -> None:
    guide.story.step(
        number, "Paid after it closed", "Money that nobody is owed any more goes back, once, without a person."
    )
    bob = guide.buyers["bob"]
    order_no = place(guide, bob, SKU, 1)
    old_page = bob.cashier_url(order_no)
    bob.cancel(order_no)
    guide.story.did("bob has the cashier's link in a second tab, and cancels the order in the first")
    guide.follow(order_no, lambda: bob.order(order_no)["status"] == "CLOSED")

    guide.cashier.pay(old_page)
    guide.story.did('bob opens the old link after all and presses "Pay"; the payment company takes the money')
    guide.follow(order_no, lambda: bob.payment(order_no)["refunded_cents"] > 0)
    guide.story.did("the operator sends the command to refund two more times")
    guide.deliver_again(guide.message(order_no, "ExecuteRefund"), times=2)
    guide.show_messages(order_no)

    payment = bob.payment(order_no)
    guide.story.check(
        payment["captured_cents"] == payment["refunded_cents"] == payment["amount_cents"],
        f"captured {payment['captured_cents']} cents, given back {payment['refunded_cents']}, once",
    )
    guide.story.check(bob.order(order_no)["status"] == "CLOSED", "the order stays CLOSED: its stock may be sold by now")


def order_too_many(guide: Guide, number: int) -> None:
    guide.story.step(number, "Out of stock", "A refusal is an answer: the order ends with the reason, nothing is held.")
    alice = guide.buyers["alice"]
    scarce = min(alice.products(), key=lambda product: int(product["available"]))
    available = int(scarce["available"])

    order_no = place(guide, alice, scarce["sku"], available + 1)

    order = alice.order(order_no)
    shortages = (order["reason_details"] or {}).get("shortages")
    guide.story.check(
        (order["status"], order["reason"]) == ("CANCELED", "OUT_OF_STOCK"),
        f"the order is {order['status']} ({order['reason']}): {shortages}",
    )
    guide.story.check(alice.available(scarce["sku"]) == available, f"nothing is held: still {available} available")
