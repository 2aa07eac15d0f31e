"""A callback from the gateway, read with suspicion: the signature first, then every field that money depends on.

Layout: a URL-encoded form, signed like every request (see signing). Nothing in it is looked at before the signature has
been checked; a form that says the same field twice is refused before, because nobody knows which one was signed.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from django.conf import settings

from common import money
from payments.gateway import china, keys, rsa
from payments.gateway.alipay import signing
from payments.gateway.contract import Callback, Claims, Notice, Refused, Verdict

BODY_BYTES_MAX = 8 * 1024
_FIELD_COUNT_MAX = 50
_PAID = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED"})


def read(callback: Callback) -> Notice | Claims:
    """The payment that the gateway tells of; claims when it tells of something else (another state, a refund).

    Raises: Refused: somebody else said it, or said it to somebody else. KeysMissing.
    """
    fields = _fields_of(callback.body)
    claims = Claims(*(fields.get(name, "") for name in ("out_trade_no", "trade_no", "notify_id")))
    if fields.get("sign_type") != "RSA2" or not rsa.is_genuine(
        keys.gateway(), fields.get("sign", ""), signing.text_to_sign(fields)
    ):
        raise Refused(Verdict.BAD_SIGNATURE, claims)
    if (fields.get("app_id"), fields.get("seller_id")) != (settings.PAYMENT_APP_ID, settings.PAYMENT_SELLER_ID):
        raise Refused(Verdict.WRONG_MERCHANT, claims)
    is_refund = "refund_fee" in fields or "out_biz_no" in fields
    if fields.get("trade_status") not in _PAID or is_refund:
        return claims
    try:
        return _notice(fields)
    except (KeyError, ValueError) as error:
        raise Refused(Verdict.MALFORMED, claims) from error


def _fields_of(body: bytes) -> dict[str, str]:
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


def _notice(fields: dict[str, str]) -> Notice:
    return Notice(
        notify_id=fields["notify_id"],
        order_no=fields["out_trade_no"],
        trade_no=fields["trade_no"],
        amount_cents=money.from_text(fields["total_amount"]),
        currency=fields["trans_currency"],
        paid_at=china.from_text(fields["gmt_payment"]),
        sent_at=china.from_text(fields["notify_time"]),
    )
