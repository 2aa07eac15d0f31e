"""What payments does when it is told something. The gateway is asked before the transaction, never inside it."""

from __future__ import annotations

from collections.abc import Iterable

from common.clock import now
from messaging.events import Outgoing
from messaging.registry import consumer
from orders.messages import ORDER_EVENTS, ClosePayment, OrderConfirmed, OrderPaid, RefundRequested
from payments.gateway.contract import Trade
from payments.messages import PAYMENT_EVENTS, CloseTrade, ExecuteRefund, PaymentOpened
from payments.services import capturing, closing, opening, pay_log, reconciling, refunding

BATCH = 64
#: A group of its own: a list for people holds up no money.
LOG_GROUP = "payments-log"


@consumer(topic=ORDER_EVENTS, tags=[OrderConfirmed])
def open_payment(event: OrderConfirmed) -> Iterable[Outgoing]:
    _expect(event)
    return [PaymentOpened(order_no=event.order_no, version=event.version)]


def _expect(event: OrderConfirmed | ClosePayment) -> None:
    opening.open_payment(
        order_no=event.order_no,
        order_version=event.version,
        buyer_id=event.buyer_id,
        amount_cents=event.payable_cents,
        currency=event.currency,
        expires_at=event.expires_at,
        now=now(),
    )


def _ask_to_close(command: ClosePayment | CloseTrade) -> closing.Answer:
    return closing.ask_gateway(order_no=command.order_no, version=command.version, now=now())


def _expect_and_ask_to_close(command: ClosePayment) -> closing.Answer:
    _expect(command)  # The command may have overtaken the confirmation of its order.
    return _ask_to_close(command)


@consumer(topic=ORDER_EVENTS, tags=[ClosePayment], before=_expect_and_ask_to_close)
def close_payment(command: ClosePayment, answer: closing.Answer) -> Iterable[Outgoing]:
    return closing.settle(order_no=command.order_no, version=command.version, attempt=1, answer=answer, now=now())


@consumer(topic=PAYMENT_EVENTS, tags=[CloseTrade], before=_ask_to_close)
def close_trade(command: CloseTrade, answer: closing.Answer) -> Iterable[Outgoing]:
    return closing.settle(
        order_no=command.order_no, version=command.version, attempt=command.attempt, answer=answer, now=now()
    )


def _money_not_heard_of(request: RefundRequested) -> tuple[Trade, ...]:
    return reconciling.money_not_heard_of(request.order_no, now=now())


@consumer(topic=ORDER_EVENTS, tags=[RefundRequested], before=_money_not_heard_of)
def request_refund(request: RefundRequested, trades: tuple[Trade, ...]) -> Iterable[Outgoing]:
    """A refund may be asked for before the callback of its payment has come: then the money is recorded first."""
    moment = now()
    news = [capturing.record(order_no=request.order_no, trade=trade, now=moment) for trade in trades]
    return [*(event for event in news if event is not None), refunding.request_refund(request, now=moment)]


def _ask_to_refund(command: ExecuteRefund) -> refunding.Answer:
    return refunding.ask_gateway(refund_no=command.refund_no, now=now())


@consumer(topic=PAYMENT_EVENTS, tags=[ExecuteRefund], before=_ask_to_refund)
def execute_refund(command: ExecuteRefund, answer: refunding.Answer) -> Iterable[Outgoing]:
    return refunding.settle(command, answer, now=now())


@consumer(topic=ORDER_EVENTS, tags=[OrderPaid], group=LOG_GROUP, batch=BATCH)
def log_paid(events: list[OrderPaid]) -> list[list[Outgoing]]:
    pay_log.log(events, now=now())
    return [[] for _ in events]
