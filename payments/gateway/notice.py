"""A callback from the gateway, read with suspicion: the signature first, then every field that money depends on.

Layout: a URL-encoded form, signed like every request (see signing). Nothing in it is looked at before the signature has
been checked; a form that says the same field twice is refused before, because nobody knows which one was signed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

from django.conf import settings

from common import money
from payments.gateway import keys, signing
from payments.gateway.client import from_text

BODY_BYTES_MAX = 8 * 1024
_FIELD_COUNT_MAX = 50
#: A callback is signed when it is sent: one that is older, or from the future, is a recording.
_FRESH = timedelta(minutes=5)
_PAID = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED"})


class Verdict(enum.StrEnum):
    """What was made of a callback, for the log. The sender learns `success` or `failure` and nothing else."""

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
    WRONG_MERCHANT = "WRONG_MERCHANT"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    WRONG_AMOUNT = "WRONG_AMOUNT"
    WRONG_CURRENCY = "WRONG_CURRENCY"
    TRADE_OF_ANOTHER_ORDER = "TRADE_OF_ANOTHER_ORDER"
    STALE = "STALE"

    @property
    def is_success(self) -> bool:
        return self in _SUCCESSES


_SUCCESSES = frozenset(
    {Verdict.ACCEPTED, Verdict.REPLAYED, Verdict.IGNORED, Verdict.LATE_PAYMENT, Verdict.SECOND_PAYMENT}
)


class Refused(Exception):
    """The callback is not believed; `verdict` is why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.value)
        self.verdict = verdict


@dataclass(frozen=True)
class Notice:
    """A genuine callback: the buyer has paid to our account."""

    notify_id: str
    order_no: str
    trade_no: str
    amount_cents: int
    currency: str
    paid_at: datetime
    sent_at: datetime

    def is_fresh(self, now: datetime) -> bool:
        return abs(now - self.sent_at) <= _FRESH


def fields_of(body: bytes) -> dict[str, str]:
    """Raises: Refused: too large, no form in UTF-8, or a field that appears twice."""
    if len(body) > BODY_BYTES_MAX:
        raise Refused(Verdict.TOO_LARGE)
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_FIELD_COUNT_MAX,
        )
    except ValueError as error:
        raise Refused(Verdict.MALFORMED) from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Refused(Verdict.MALFORMED)
    return fields


def read(fields: dict[str, str]) -> Notice | None:
    """The payment that the gateway tells of; None when it tells of something else (another state, a refund).

    Raises: Refused: somebody else said it, or said it to somebody else. KeysMissing.
    """
    if fields.get("sign_type") != "RSA2" or not signing.is_genuine(
        keys.gateway(), fields.get("sign", ""), signing.text_to_sign(fields)
    ):
        raise Refused(Verdict.BAD_SIGNATURE)
    if (fields.get("app_id"), fields.get("seller_id")) != (settings.PAYMENT_APP_ID, settings.PAYMENT_SELLER_ID):
        raise Refused(Verdict.WRONG_MERCHANT)
    is_refund = "refund_fee" in fields or "out_biz_no" in fields
    if fields.get("trade_status") not in _PAID or is_refund:
        return None
    try:
        return _notice(fields)
    except (KeyError, ValueError) as error:
        raise Refused(Verdict.MALFORMED) from error


def _notice(fields: dict[str, str]) -> Notice:
    return Notice(
        notify_id=fields["notify_id"],
        order_no=fields["out_trade_no"],
        trade_no=fields["trade_no"],
        amount_cents=money.from_text(fields["total_amount"]),
        currency=fields["trans_currency"],
        paid_at=from_text(fields["gmt_payment"]),
        sent_at=from_text(fields["notify_time"]),
    )
