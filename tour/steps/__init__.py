"""The eight steps, in the order they are taken; each is a function that tells its part of the story."""

from __future__ import annotations

from collections.abc import Callable

from tour.guide import Guide
from tour.steps.buying import buy_and_pay, deliver_three_times
from tour.steps.crashing import kill_the_broker
from tour.steps.ending import let_a_day_pass, order_too_many, pay_too_late
from tour.steps.saving import use_coupon_and_balance
from tour.steps.shipping import send_there_and_back

STEPS: tuple[Callable[[Guide, int], None], ...] = (
    buy_and_pay,
    deliver_three_times,
    use_coupon_and_balance,
    let_a_day_pass,
    pay_too_late,
    order_too_many,
    kill_the_broker,
    send_there_and_back,
)
