"""What the shop asks of a payment company, and what it is told: the words that both dialects are translated into.

Money is integer cents. Never call a gateway inside a transaction. Whatever leaves us in doubt about what it did (no
answer, a broken or forged one, its own "system error") is `GatewayUnavailable`: ask again, with the same numbers.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, Protocol

import msgspec


class GatewayUnavailable(Exception):
    """Nobody knows whether the gateway did what it was asked; the same request must be made again."""


class GatewayRefused(Exception):
    """The gateway said no, for good; `sub_code` is its reason."""

    def __init__(self, sub_code: str, sentence: str) -> None:
        super().__init__(f"{sub_code}: {sentence}")
        self.sub_code = sub_code


@dataclass(frozen=True)
class Invoice:
    """What a buyer shall pay, and where buyer and callback go then."""

    order_no: str
    amount_cents: int
    subject: str
    notify_url: str
    return_url: str
    expires_at: datetime


@dataclass(frozen=True)
class Trade:
    """Money that the gateway says it has. `channel` is whose trade number it is."""

    trade_no: str
    amount_cents: int
    paid_at: datetime
    channel: str = "alipay"


#: How the trade of an order stands: paid (with the money), waiting or never begun, or closed for good.
Standing = Trade | Literal["OPEN", "CLOSED"]


@dataclass(frozen=True)
class RefundOrder:
    """Which money goes back, under which number: the same number moves it once, however often it is asked for."""

    order_no: str
    trade_no: str
    refund_no: str
    amount_cents: int
    captured_cents: int
    reason: str


class BookEntry(msgspec.Struct, frozen=True):
    """One trade in the gateway's own book."""

    trade_no: str
    out_trade_no: str
    paid: bool
    total_cents: int
    refunded_cents: int
    refund_count: int


@dataclass(frozen=True)
class StatementLine:
    """One movement of money in the statement of a day; `refund_no` is empty when it came in."""

    trade_no: str
    order_no: str
    refund_no: str
    amount_cents: int
    at: datetime


@dataclass(frozen=True)
class Callback:
    """A callback as it came; the names of the headers are in lower case."""

    method: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Claims:
    """What a callback says it is about, believed or not: for the log."""

    order_no: str = ""
    trade_no: str = ""
    notify_id: str = ""


@dataclass(frozen=True)
class Notice(Claims):
    """A genuine callback: the buyer has paid to our account."""

    amount_cents: int = field(kw_only=True)
    currency: str = field(kw_only=True)
    paid_at: datetime = field(kw_only=True)
    #: When the gateway signed it.
    sent_at: datetime = field(kw_only=True)


class Verdict(enum.StrEnum):
    """What was made of a callback, for the log. The sender learns "success" or "failure" and nothing else."""

    ACCEPTED = "ACCEPTED"
    REPLAYED = "REPLAYED"
    #: Genuine, but no news of a payment.
    IGNORED = "IGNORED"
    LATE_PAYMENT = "LATE_PAYMENT"
    SECOND_PAYMENT = "SECOND_PAYMENT"
    NOT_POST = "NOT_POST"
    TOO_LARGE = "TOO_LARGE"
    MALFORMED = "MALFORMED"
    BAD_SIGNATURE = "BAD_SIGNATURE"
    #: Rightly signed, but what it tells is not encrypted with our key.
    UNDECIPHERABLE = "UNDECIPHERABLE"
    WRONG_MERCHANT = "WRONG_MERCHANT"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    WRONG_AMOUNT = "WRONG_AMOUNT"
    WRONG_CURRENCY = "WRONG_CURRENCY"
    TRADE_OF_ANOTHER_ORDER = "TRADE_OF_ANOTHER_ORDER"
    #: The id of an earlier notice, which told of another trade.
    NOTICE_CHANGED = "NOTICE_CHANGED"
    STALE = "STALE"

    @property
    def is_success(self) -> bool:
        return self in _SUCCESSES


_SUCCESSES = frozenset(
    {Verdict.ACCEPTED, Verdict.REPLAYED, Verdict.IGNORED, Verdict.LATE_PAYMENT, Verdict.SECOND_PAYMENT}
)


class Refused(Exception):
    """The callback is not believed; `verdict` is why."""

    def __init__(self, verdict: Verdict, claims: Claims | None = None) -> None:
        super().__init__(verdict.value)
        self.verdict = verdict
        self.claims = claims or Claims()


class Gateway(Protocol):
    """One payment company. Every method but `read` and a signed link goes over the network."""

    channel: str

    def cashier_url(self, invoice: Invoice, *, now: datetime) -> str:
        """A link that opens the cashier for this order, and for nothing else.

        Raises: GatewayUnavailable. GatewayRefused: the order is paid or closed there.
        """

    def query(self, order_no: str, *, now: datetime) -> Standing:
        """Raises: GatewayUnavailable."""

    def close(self, order_no: str, *, now: datetime) -> Trade | None:
        """Close the trade of an order: None when it is closed (or never began), the trade when the buyer had paid.

        Raises: GatewayUnavailable.
        """

    def refund(self, order: RefundOrder, *, now: datetime) -> datetime:
        """Give money back; when it went.

        Raises: GatewayUnavailable. GatewayRefused: never, with these numbers.
        """

    def find_refund(self, order: RefundOrder, *, now: datetime) -> datetime | None:
        """When the refund of this number went; None: it has not (yet).

        Raises: GatewayUnavailable.
        """

    def statement(self, day: date, *, now: datetime) -> list[StatementLine]:
        """Every movement of our money on a day in China that is over.

        Raises: GatewayUnavailable: also when it has none of that day yet.
        """

    def book(self, *, now: datetime) -> Iterator[BookEntry]:
        """Every trade the gateway has of this shop, by trade number: for the checker.

        Raises: GatewayUnavailable.
        """

    def read(self, callback: Callback, *, now: datetime) -> Notice | Claims:
        """The payment that a callback tells of; mere claims when it is genuine and tells of something else.

        Raises: Refused: somebody else said it, or said it to somebody else. KeysMissing.
        """
