"""Steps 1 and 2: an order is bought and paid, and what happens when its messages arrive more than once."""

from __future__ import annotations

from tour.buyer import Buyer
from tour.guide import Guide

SKU = "TEA-JASMINE-50"
_CENTS_PER_POINT = 100


def buy_and_pay(guide: Guide, number: int) -> None:
    guide.story.step(number, "Buy and pay", "From the basket to the points, over seven messages in one sequence.")
    alice = guide.buyers["alice"]
    points_before = alice.points()

    order_no, points_due = order_and_pay(guide, alice)

    order = alice.order(order_no)
    points = alice.points()
    guide.story.check(order["status"] == "PAID", f"the order is {order['status']}")
    guide.story.check(
        points == points_before + points_due,
        f"{points_due} points granted, once: alice had {points_before}, has {points}",
    )


def deliver_three_times(guide: Guide, number: int) -> None:
    guide.story.step(
        number,
        "The same message three times",
        "Queues deliver at least once, so every effect must happen exactly once.",
    )
    bob = guide.buyers["bob"]
    points_before = bob.points()

    order_no, points_due = order_and_pay(guide, bob, callbacks=3)
    version, available = bob.order(order_no)["version"], bob.available(SKU)
    for tag in ("PaymentSucceeded", "OrderPaid"):
        guide.story.did(f"the operator sends {tag} two more times, byte for byte, and waits until it is consumed")
        guide.deliver_again(guide.message(order_no, tag), times=2)
        guide.show_messages(order_no)

    guide.story.check(
        bob.points() == points_before + points_due, f"{points_due} points granted, once: bob has {bob.points()}"
    )
    guide.story.check(bob.available(SKU) == available, f"stock sold once: still {available} available")
    order = bob.order(order_no)
    guide.story.check(order["version"] == version, f"the order is {order['status']}, still at version {version}")


def order_and_pay(guide: Guide, buyer: Buyer, *, callbacks: int = 1) -> tuple[str, int]:
    """Place an order and pay it at the cashier, showing its messages; its number and the points it is worth."""
    order_no = place(guide, buyer, SKU, 2)
    points_before = buyer.points()
    points_due = buyer.order(order_no)["total_cents"] // _CENTS_PER_POINT
    if callbacks > 1:
        guide.cashier.fault("duplicate", order_no, argument=callbacks - 1)
        guide.story.did(f"fault on demand: the payment company will call back {callbacks} times")
    guide.cashier.pay(buyer.cashier_url(order_no))
    guide.story.did(f'{buyer.name} opens the cashier and presses "Pay"; the payment company calls the shop back')
    guide.follow(
        order_no,
        lambda: buyer.order(order_no)["status"] == "PAID" and buyer.points() >= points_before + points_due,
    )
    return order_no, points_due


def place(guide: Guide, buyer: Buyer, sku: str, quantity: int) -> str:
    """Place an order and wait until its stock is held or refused, showing its messages; its number."""
    [title] = [product["title"] for product in buyer.products() if product["sku"] == sku]
    order_no = buyer.place(sku, quantity)
    guide.story.did(f"{buyer.name} orders {quantity} x {title}: order {order_no}")
    guide.follow(order_no, lambda: buyer.order(order_no)["status"] != "PLACED")
    return order_no
