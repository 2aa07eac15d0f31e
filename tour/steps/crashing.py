"""Step 7: the broker is killed while orders are on their way, and every order still ends right."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tour.buyer import Buyer
from tour.guide import Guide
from tour.steps.buying import SKU

_ORDERS = 24
_AT_ONCE = 8
_KILL_AFTER = 12
_PATIENCE_S = 60.0


class _Crowd:
    """Buyers who order and pay at the same time, and how far they are."""

    def __init__(self, guide: Guide) -> None:
        self._guide = guide
        self._counting = threading.Condition()
        self.placed: list[str] = []

    def buy(self, buyer: Buyer) -> str:
        order_no = buyer.place(SKU, 1)
        with self._counting:
            self.placed.append(order_no)
            self._counting.notify_all()
        buyer.wait(order_no, "PENDING_PAYMENT", timeout_s=_PATIENCE_S)
        self._guide.cashier.pay(buyer.cashier_url(order_no))
        return order_no

    def wait_until_placed(self, count: int) -> None:
        with self._counting:
            self._counting.wait_for(lambda: len(self.placed) >= count, timeout=_PATIENCE_S)


def kill_the_broker(guide: Guide, number: int) -> None:
    guide.story.step(
        number, "The broker dies", "kill -9 in the middle: what was accepted is on disk, what was not is said."
    )
    crowd = _Crowd(guide)
    buyers = list(guide.buyers.values())
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        guide.story.did(f"{_ORDERS} orders are placed and paid, {_AT_ONCE} at a time")
        journeys = [pool.submit(crowd.buy, buyers[one % len(buyers)]) for one in range(_ORDERS)]
        crowd.wait_until_placed(_KILL_AFTER)
        in_flight = crowd.placed[-1]
        before = guide.kill("broker")
        killed_s = time.monotonic()
        assert before.process is not None
        guide.story.did(f"kill -9 {before.process.pid}: the broker is gone, with {len(crowd.placed)} orders under way")
        after = guide.wait_for_restart(before)
        assert after.process is not None
        down_s = time.monotonic() - killed_s
        guide.story.did(f"the supervisor has started it again after {down_s:.1f} s (pid {after.process.pid})")
        orders = [journey.result() for journey in journeys]
    guide.story.did(f"all {_ORDERS} are paid; where the shop had to say 503, buyers tried again with the same key")

    guide.travel("5m")
    guide.story.did("callbacks that the shop could not take are repeated by the payment company after 4 minutes")
    statuses = [
        buyers[one % len(buyers)].wait(order_no, "PAID", timeout_s=_PATIENCE_S)["status"]
        for one, order_no in enumerate(orders)
    ]
    guide.story.did(f"the messages of one order that was under way, {in_flight}:")
    _show(guide, in_flight)
    guide.story.check(statuses == ["PAID"] * _ORDERS, f"{len(statuses)} of {_ORDERS} orders are PAID")
    guide.story.check(len(set(crowd.placed)) == _ORDERS, "no order was lost, none was placed twice")


def _show(guide: Guide, order_no: str) -> None:
    """The messages of an order, and a word on those that came more than once."""
    messages = guide.show_messages(order_no)
    for (tag, _), times in Counter((message.tag, message.keys) for message in messages).items():
        if times > 1:
            guide.story.did(f"{tag} came {times} times, as its sender could not know better, and had one effect")
