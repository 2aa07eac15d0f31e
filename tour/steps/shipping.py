"""Step 8: a parcel there and back: some units given back before it leaves, a carrier that is down, and a return."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

from tour.buyer import Buyer
from tour.carrier import Carrier
from tour.guide import Guide
from tour.steps.buying import SKU, place

_MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
_PATIENCE_S = 60.0


def send_there_and_back(guide: Guide, number: int) -> None:
    guide.story.step(
        number, "There and back", "Part of an order is refunded, the carrier is down, and a unit comes back after all."
    )
    alice = guide.buyers["alice"]
    order_no = place(guide, alice, SKU, 3)
    price = alice.order(order_no)["lines"][0]["unit_price_cents"]
    guide.cashier.pay(alice.cashier_url(order_no))
    guide.follow(order_no, lambda: alice.order(order_no)["status"] == "PAID")
    _refund_before_it_leaves(guide, alice, order_no, price)
    _wait_for_the_carrier(guide, alice, order_no)
    _send_back(guide, alice, order_no, price)


def _refund_before_it_leaves(guide: Guide, alice: Buyer, order_no: str, price: int) -> None:
    refund_no = alice.ask_back(order_no, SKU, 1)
    guide.story.did(f"alice wants one of three back before anything has left: refund {refund_no}")
    guide.follow(order_no, lambda: alice.refund(order_no, refund_no)["status"] == "SUCCEEDED")
    refunded = alice.payment(order_no)["refunded_cents"]
    guide.story.check(refunded == price, f"exactly its price is given back: {refunded} cents; the other two stay")


def _wait_for_the_carrier(guide: Guide, alice: Buyer, order_no: str) -> None:
    with contextlib.closing(Carrier(guide.part("shipsim").address)) as carrier:
        carrier.break_down()
        guide.travel("31m")
        guide.story.did("the warehouse has packed every parcel, and the carrier answers nobody")
        guide.follow(order_no, lambda: guide.has_message(order_no, "DispatchShipment"))
        status = alice.order(order_no)["status"]
        guide.story.check(status == "PAID", f"the parcels wait behind a circuit breaker; the order is {status}")
        carrier.recover()
    guide.story.did("the carrier is back: the next try of any parcel closes the circuit, and the others follow")
    guide.follow(order_no, lambda: alice.order(order_no)["status"] == "SHIPPED", timeout_s=_PATIENCE_S)
    guide.travel("25h")
    guide.follow(order_no, lambda: alice.order(order_no)["status"] == "DELIVERED", timeout_s=_PATIENCE_S)


def _send_back(guide: Guide, alice: Buyer, order_no: str, price: int) -> None:
    refund_no = alice.ask_back(order_no, SKU, 1)
    guide.story.did(f"alice wants to send another one back: refund {refund_no} waits for the staff")
    command = [sys.executable, str(_MANAGE), "refunds", "approve", refund_no, "--by", "wang", "--data", str(guide.data)]
    subprocess.run(command, check=False, capture_output=True)
    guide.story.did(f"manage.py refunds approve {refund_no}: the carrier fetches it at alice's door")
    guide.follow(order_no, lambda: guide.has_message(order_no, "FetchReturn"), timeout_s=_PATIENCE_S)
    guide.travel("25h")
    guide.follow(order_no, lambda: alice.refund(order_no, refund_no)["status"] == "SUCCEEDED", timeout_s=_PATIENCE_S)
    refunded = alice.payment(order_no)["refunded_cents"]
    guide.story.check(refunded == 2 * price, f"two of three units are paid back, to the cent: {refunded}")
    for duration in ("3d", "3d", "25h"):
        guide.travel(duration)
    guide.follow(order_no, lambda: alice.order(order_no)["status"] == "COMPLETED", timeout_s=_PATIENCE_S)
    guide.story.check(True, "a week later, without a word from alice, the order is COMPLETED")
