"""What no message told us, the gateways are asked: trades whose callback never came, refunds whose command was lost.

    PENDING, a cashier was opened   how does the trade stand? Paid: it is recorded as the callback would have done.
    SUCCEEDED, two channels opened  the other trade is closed; was it paid as well, that money goes back.
    a refund overdue for minutes    it is asked for again, under its number.

The first question comes half a minute after the buyer went to the cashier; then every minute for half an hour, and from
then on less and less often, so that money is noticed a thirtieth of the waiting after it was paid.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from payments.gateway import channels
from payments.gateway.contract import GatewayUnavailable, Trade
from payments.models import Alarm, Payment, Refund
from payments.services import alarms, capturing, closing, refunding

_LOG = logging.getLogger(__name__)

#: Payments and refunds per pass; the rest waits for the next one, so that a pass never takes long.
LIMIT = 500
_ASK_EVERY = timedelta(minutes=1)
_ASK_EVERY_MAX = timedelta(minutes=10)
_AGE_PER_QUESTION = 30


@dataclass
class Found:
    """What a pass did."""

    asked: int = 0
    settled: int = 0
    #: Gateways that did not answer: those payments and refunds have their turn later.
    unanswered: int = 0


def ask_about_payments(*, now: datetime, limit: int = LIMIT) -> Found:
    """Ask about every payment whose time has come, at most `limit`; one that fails keeps no other from its turn."""
    due = Payment.objects.filter(ask_at__lte=now).order_by("ask_at")[:limit]
    return _each(due, lambda payment, found: _ask_about(payment, found, now))


def ask_about_refunds(*, now: datetime, limit: int = LIMIT) -> Found:
    """Ask for every refund again whose command the queue should have delivered long ago, at most `limit`."""
    due = Refund.objects.filter(ask_at__lte=now).order_by("ask_at").values_list("refund_no", flat=True)[:limit]
    return _each(due, lambda refund_no, found: _ask_for(refund_no, found, now))


def _each(due: Iterable[object], ask: Callable[..., None]) -> Found:
    found = Found()
    for one in due:
        found.asked += 1
        try:
            ask(one, found)
        except (capturing.TradeOfAnotherOrder, closing.PaidAmountDiffers) as error:
            _LOG.error("%s cannot be reconciled: %r", one, error)
    return found


def _ask_about(payment: Payment, found: Found, now: datetime) -> None:
    # The next question is written down first: should this one go wrong, others still have their turn.
    since = payment.asking_since or payment.created_at
    wait = min(max((now - since) / _AGE_PER_QUESTION, _ASK_EVERY), _ASK_EVERY_MAX)
    still_open = Payment.objects.filter(pk=payment.pk, ask_at=payment.ask_at)
    if not still_open.update(ask_at=now + wait):
        return  # a callback, a closing or another pass was faster
    if payment.status == Payment.Status.PENDING:
        _look_for_money(payment, found, now)
    elif payment.status == Payment.Status.SUCCEEDED:
        _close_others(payment, found, now)


def _look_for_money(payment: Payment, found: Found, now: datetime) -> None:
    for channel in payment.channels:
        try:
            standing = channels.of(channel).query(payment.order_no, now=now)
        except GatewayUnavailable as error:
            _LOG.warning("order %s at %s: %s", payment.order_no, channel, error)
            found.unanswered += 1
            continue
        if isinstance(standing, Trade) and take(payment, standing, now=now):
            found.settled += 1


def money_not_heard_of(order_no: str, *, now: datetime) -> tuple[Trade, ...]:
    """What the gateways have for an order of which we have recorded nothing; nearly always nothing is to be asked.

    Raises: GatewayUnavailable.
    """
    payment = Payment.objects.filter(order_no=order_no, captures__isnull=True).first()
    if payment is None:
        return ()
    standings = [channels.of(channel).query(order_no, now=now) for channel in payment.channels]
    trades = [standing for standing in standings if isinstance(standing, Trade)]
    return tuple(trade for trade in trades if trade.amount_cents == payment.amount_cents)


def _close_others(payment: Payment, found: Found, now: datetime) -> None:
    """The order is paid: nobody shall pay it again at the channel that was not used."""
    used = payment.captures.get(is_for_order=True).channel
    trades, is_known = closing.close_trades(payment, [one for one in payment.channels if one != used], now=now)
    for trade in trades:
        take(payment, trade, now=now)
    if is_known:
        Payment.objects.filter(pk=payment.pk).update(ask_at=None)
        found.settled += 1
    else:
        found.unanswered += 1


def take(payment: Payment, trade: Trade, *, now: datetime) -> bool:
    """Record money that the gateway told us of when asked; whether it was news and is recorded.

    Raises: TradeOfAnotherOrder, and what the queue raises.
    """
    if trade.amount_cents != payment.amount_cents:
        alarms.sound(
            Alarm.Kind.PAID_AMOUNT_DIFFERS,
            channel=trade.channel,
            subject=trade.trade_no,
            order_no=payment.order_no,
            sentence=f"the gateway has {trade.amount_cents} cents, the price is {payment.amount_cents}",
            now=now,
        )
        return False
    return capturing.capture(payment, trade, now=now) is not capturing.Outcome.KNOWN


def _ask_for(refund_no: str, found: Found, now: datetime) -> None:
    Refund.objects.filter(refund_no=refund_no, ask_at__isnull=False).update(ask_at=now + refunding.LOST_AFTER)
    answer = refunding.ask_gateway(refund_no=refund_no, now=now)
    if answer == "UNKNOWN":
        found.unanswered += 1
    elif refunding.settle_aside(refund_no, answer, now=now):
        found.settled += 1
