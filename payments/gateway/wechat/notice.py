"""A callback of WeChat Pay, read with suspicion: signature over the raw bytes, then the seal, then every field.

Layout: JSON `{id, event_type, resource: {algorithm, ciphertext, associated_data, nonce, original_type}}`; the resource
is AES-256-GCM under the shop's APIv3 key, and inside it is the trade as JSON. Both layers are read strictly: one name
twice in an object, a number that is not an integer, a nesting that no gateway sends are no callback of ours.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Any, Literal, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from payments.gateway import china, keys
from payments.gateway.contract import Callback, Claims, Notice, Refused, Verdict
from payments.gateway.wechat import signing

BODY_BYTES_MAX = 8 * 1024
_NONCE_BYTES = 12
_T = TypeVar("_T")


class _Resource(msgspec.Struct, frozen=True):
    algorithm: Literal["AEAD_AES_256_GCM"]
    ciphertext: str
    nonce: str
    original_type: Literal["transaction"]
    associated_data: Literal["transaction"]


class _Event(msgspec.Struct, frozen=True):
    id: str
    event_type: str
    resource_type: str


class _Paid(_Event, frozen=True):
    resource: _Resource


class _Amount(msgspec.Struct, frozen=True):
    total: int
    currency: str


class _Trade(msgspec.Struct, frozen=True):
    appid: str
    mchid: str
    out_trade_no: str
    trade_state: str
    amount: _Amount
    transaction_id: str = ""
    success_time: str = ""


def read(callback: Callback, *, now: datetime) -> Notice | Claims:
    """Raises: Refused: somebody else said it, or said it to somebody else. KeysMissing."""
    if len(callback.body) > BODY_BYTES_MAX:
        raise Refused(Verdict.TOO_LARGE)
    sent_at = signing.signed_at(callback.headers, callback.body, now=now)
    if sent_at is None:
        raise Refused(Verdict.BAD_SIGNATURE)
    object_ = _object_in(callback.body, Claims())
    event = _typed(object_, _Event, Claims())
    claims = Claims(notify_id=event.id)
    if event.event_type != "TRANSACTION.SUCCESS":
        return claims
    trade = _typed(_object_in(_unsealed(_typed(object_, _Paid, claims).resource, claims), claims), _Trade, claims)
    claims = Claims(trade.out_trade_no, trade.transaction_id, event.id)
    if (trade.mchid, trade.appid) != (settings.WECHAT_MCHID, settings.WECHAT_APP_ID):
        raise Refused(Verdict.WRONG_MERCHANT, claims)
    if trade.trade_state != "SUCCESS":
        return claims
    try:
        paid_at = china.from_rfc3339(trade.success_time)
    except ValueError as error:
        raise Refused(Verdict.MALFORMED, claims) from error
    return Notice(
        *(trade.out_trade_no, trade.transaction_id, event.id),
        amount_cents=trade.amount.total,
        currency=trade.amount.currency,
        paid_at=paid_at,
        sent_at=sent_at,
    )


def _unsealed(resource: _Resource, claims: Claims) -> bytes:
    nonce = resource.nonce.encode()
    try:
        if len(nonce) != _NONCE_BYTES:
            raise ValueError(f"a nonce of {len(nonce)} bytes")
        box = base64.b64decode(resource.ciphertext, validate=True)
        return AESGCM(keys.api_v3()).decrypt(nonce, box, resource.associated_data.encode())
    except (InvalidTag, binascii.Error, ValueError) as error:
        raise Refused(Verdict.UNDECIPHERABLE, claims) from error


def _object_in(text: bytes, claims: Claims) -> dict[str, Any]:
    """The object, read by the one parser here that can refuse a name that comes twice."""
    try:
        found = json.loads(text.decode(), object_pairs_hook=_without_twins, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refused(Verdict.MALFORMED, claims) from error
    if not isinstance(found, dict):
        raise Refused(Verdict.MALFORMED, claims)
    return found


def _typed(object_: dict[str, Any], kind: type[_T], claims: Claims) -> _T:
    try:
        return msgspec.convert(object_, kind)
    except msgspec.ValidationError as error:
        raise Refused(Verdict.MALFORMED, claims) from error


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")
