"""The statement of a day against our books, line by line: each movement of money is in both, once, with one amount.

What we have missed and can prove (the order is ours, the amount is its price; the refund is ours and was waiting) is
taken over as its callback would have been. Every other difference is an alarm: a person has to explain it. Days are
days in China, cut by the gateway's own clock on both sides: `Capture.paid_at` and `Refund.refunded_at` are what it told
us.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from payments.gateway import channels, china
from payments.gateway.contract import StatementLine, Trade
from payments.models import Alarm, Capture, Payment, Refund, Statement
from payments.services import alarms, capturing, reconciling, refunding

_LOG = logging.getLogger(__name__)

#: Both gateways have the statement of a day at ten the next morning.
_READY_AFTER = timedelta(hours=10)
#: Days that are made up for when nobody compared them: as long as the gateways keep statements at hand here.
_DAYS_BACK = 30
_A_DAY = timedelta(days=1)
Kind = Alarm.Kind


def days_to_compare(channel: str, *, now: datetime) -> list[date]:
    """Days with a statement that nobody has compared, the oldest first."""
    first = Payment.objects.order_by("pk").values_list("created_at", flat=True).first()
    if first is None:
        return []
    last_day = (now - _READY_AFTER).astimezone(china.ZONE).date() - timedelta(days=1)
    first_day = max(first.astimezone(china.ZONE).date(), last_day - timedelta(days=_DAYS_BACK))
    done = set(Statement.objects.filter(channel=channel, day__gte=first_day).values_list("day", flat=True))
    days = [first_day + timedelta(days=number) for number in range((last_day - first_day).days + 1)]
    return [day for day in days if day not in done]


def compare_due(*, now: datetime) -> list[Statement]:
    """Compare every day of every channel that is waiting for it.

    Raises: GatewayUnavailable: a statement could not be had; those before it are compared.
    """
    return [
        compare(channel, day, now=now) for channel in channels.GATEWAYS for day in days_to_compare(channel, now=now)
    ]


def compare(channel: str, day: date, *, now: datetime) -> Statement:
    """Compare one day, as often as wanted; what was repaired before agrees the next time.

    Raises: GatewayUnavailable.
    """
    lines = channels.of(channel).statement(day, now=now)
    work = _Comparison(channel, now)
    payments = {line.trade_no: line for line in lines if not line.refund_no}
    refunds = {line.refund_no: line for line in lines if line.refund_no}
    for line in payments.values():
        work.payment(line)
    for line in refunds.values():
        work.refund(line)
    work.ours(_captures(channel, day), payments, Kind.PAYMENT_NOT_IN_STATEMENT)
    work.ours(_refunds(channel, day), refunds, Kind.REFUND_NOT_IN_STATEMENT)
    statement, _ = Statement.objects.update_or_create(
        channel=channel,
        day=day,
        defaults={
            "compared_at": now,
            "payment_count": len(payments),
            "refund_count": len(refunds),
            "captured_cents": sum(line.amount_cents for line in payments.values()),
            "refunded_cents": sum(line.amount_cents for line in refunds.values()),
            "repaired_count": work.repaired_count,
            "difference_count": work.difference_count,
        },
    )
    return statement


def _captures(channel: str, day: date) -> Iterable[tuple[str, str, int]]:
    end = china.end_of(day)
    those = Capture.objects.filter(channel=channel, paid_at__gte=end - _A_DAY, paid_at__lt=end)
    return those.values_list("trade_no", "payment__order_no", "amount_cents").iterator()


def _refunds(channel: str, day: date) -> Iterable[tuple[str, str, int]]:
    end = china.end_of(day)
    those = Refund.objects.filter(capture__channel=channel, refunded_at__gte=end - _A_DAY, refunded_at__lt=end)
    return those.values_list("refund_no", "capture__payment__order_no", "amount_cents").iterator()


@dataclass
class _Comparison:
    channel: str
    now: datetime
    repaired_count: int = 0
    difference_count: int = 0

    def payment(self, line: StatementLine) -> None:
        """A payment in the statement: ours, or one that we have missed."""
        known = Capture.objects.filter(trade_no=line.trade_no, channel=self.channel).select_related("payment").first()
        if known is not None:
            told = (line.order_no, line.amount_cents)
            if (known.payment.order_no, known.amount_cents) != told:
                ours = f"{known.amount_cents} cents for {known.payment.order_no}"
                self._differs(Kind.PAID_AMOUNT_DIFFERS, line.trade_no, line, f"we have {ours}")
            return
        payment = Payment.objects.filter(order_no=line.order_no).first()
        if payment is None or payment.amount_cents != line.amount_cents:
            kind = Kind.PAID_FOR_NOTHING if payment is None else Kind.PAID_AMOUNT_DIFFERS
            price = "no such order" if payment is None else f"the price is {payment.amount_cents}"
            self._differs(kind, line.trade_no, line, price)
            return
        trade = Trade(line.trade_no, line.amount_cents, line.at, self.channel)
        try:
            self.repaired_count += reconciling.take(payment, trade, now=self.now)
        except capturing.TradeOfAnotherOrder:
            self._differs(Kind.PAID_FOR_NOTHING, line.trade_no, line, "this trade paid another order")

    def refund(self, line: StatementLine) -> None:
        """A refund in the statement: ours and done, ours and waiting for this news, or nobody's."""
        refund = Refund.objects.filter(refund_no=line.refund_no).select_related("capture").first()
        if refund is None or refund.capture.trade_no != line.trade_no:
            self._differs(Kind.REFUND_UNKNOWN, line.refund_no, line, "we never asked for it")
        elif refund.amount_cents != line.amount_cents:
            self._differs(Kind.REFUND_AMOUNT_DIFFERS, line.refund_no, line, f"we asked for {refund.amount_cents}")
        elif refund.status == Refund.Status.FAILED:
            self._differs(Kind.REFUND_UNKNOWN, line.refund_no, line, f"we took it for refused: {refund.failure}")
        elif refund.status == Refund.Status.PENDING:
            self.repaired_count += refunding.settle_aside(line.refund_no, line.at, now=self.now)

    def ours(self, rows: Iterable[tuple[str, str, int]], theirs: dict[str, StatementLine], kind: Alarm.Kind) -> None:
        """What we have of that day must be in the statement."""
        for number, order_no, cents in rows:
            if number not in theirs:
                self._alarm(kind, number, order_no, f"we have {cents} cents for {order_no}, the statement has nothing")

    def _differs(self, kind: Alarm.Kind, subject: str, line: StatementLine, ours: str) -> None:
        sentence = f"the statement has {line.amount_cents} cents for {line.order_no}; {ours}"
        self._alarm(kind, subject, line.order_no, sentence)

    def _alarm(self, kind: Alarm.Kind, subject: str, order_no: str, sentence: str) -> None:
        self.difference_count += 1
        alarms.sound(kind, channel=self.channel, subject=subject, order_no=order_no, sentence=sentence, now=self.now)
