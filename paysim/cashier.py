"""The cashier: a signed link opens it, the buyer presses a button, and the shop is called back.

`GET /cashier?<signed fields>` shows the page in Alipay's dialect, `GET /cashier/wechat?prepay_id=...` that of a trade
which the merchant's server has prepared; `POST /cashier/pay` takes `token` and `outcome` (`pay` or `fail`). A script
sends `Accept: application/json` and gets JSON; its buttons are JSON too. The token is the right to press: only who came
with a link of the merchant's has it.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from paysim import clock, money, trades
from paysim.alipay.signing import authenticate
from paysim.config import REQUEST_BYTES_MAX, Config
from paysim.errors import invalid, refused
from paysim.requests import form_fields, json_as
from paysim.service import Service
from paysim.trades import Invoice, Trade

_URL_LENGTH_MAX = 512


class PagePay(msgspec.Struct, frozen=True):
    """`biz_content` of the link."""

    out_trade_no: Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z_-]{1,64}$")]
    total_amount: str
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    time_expire: str | None = None


class Press(msgspec.Struct, frozen=True):
    """The body of `POST /cashier/pay`."""

    token: Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z_-]{32}$")]
    outcome: Literal["pay", "fail"]


def visit(service: Service, query: bytes) -> Trade:
    """The trade behind a signed link, made at the first visit.

    Raises: Refusal: the link is not signed by a known merchant, or says something that cannot be.
    """
    fields = form_fields(query, bytes_max=REQUEST_BYTES_MAX)
    app_id = authenticate(fields, service.keys)
    if fields.get("method") != "alipay.trade.page.pay":
        raise invalid("isv.invalid-method", "a cashier link has the method alipay.trade.page.pay")
    invoice = _invoice(app_id, fields, service.config)
    now_ms = service.clock.now_ms()
    with service.database.transaction() as db:
        return trades.open_trade(db, invoice, now_ms=now_ms)


def visit_prepared(service: Service, token: str, return_url: str) -> Trade:
    """The trade behind a link that the gateway itself handed to the merchant, as WeChat Pay does.

    Raises: Refusal: nobody has this token, or the way back is no HTTP address.
    """
    with service.database.transaction() as db:
        trade = trades.by_token(db, token[:_URL_LENGTH_MAX], now_ms=service.clock.now_ms())
    if trade is None:
        raise refused("ACQ.TRADE_NOT_EXIST", "no trade was prepared under this link")
    return dataclasses.replace(trade, return_url=http_url(return_url))


def press(service: Service, button: Press) -> Trade:
    """What became of the trade after the button; a failed payment leaves it waiting for another try.

    Raises: Refusal: nobody has this token, or the trade is closed.
    """
    now_ms = service.clock.now_ms()
    with service.database.transaction() as db:
        trade = trades.by_token(db, button.token, now_ms=now_ms)
        if trade is None:
            raise refused("ACQ.TRADE_NOT_EXIST", "no cashier was opened with this token")
        if button.outcome == "fail":
            return trade
        trade = trades.pay(db, trade, now_ms=now_ms)
    service.notifier.wake()
    return trade


def _invoice(app_id: str, fields: dict[str, str], config: Config) -> Invoice:
    content = json_as(fields.get("biz_content", ""), PagePay)
    try:
        total_cents = money.from_text(content.total_amount)
        expires_at_ms = None if content.time_expire is None else clock.from_text(content.time_expire)
    except ValueError as error:
        raise invalid("isv.invalid-parameter", f"total_amount or time_expire: {error}") from error
    return Invoice(
        "alipay",
        app_id,
        content.out_trade_no,
        content.subject,
        total_cents,
        notify_url(fields.get("notify_url", ""), config),
        http_url(fields.get("return_url", "")),
        expires_at_ms,
    )


def notify_url(url: str, config: Config) -> str:
    """Raises: Refusal: not HTTP, or a host that callbacks may not go to."""
    host = _host_of(url)
    if host not in config.notify_hosts:
        raise invalid("isv.invalid-parameter", f"notify_url may only go to {', '.join(sorted(config.notify_hosts))}")
    return url


def http_url(url: str) -> str:
    """Raises: Refusal: not HTTP; it becomes a link on the page."""
    if url and _host_of(url) is None:
        raise invalid("isv.invalid-parameter", "return_url is no HTTP address")
    return url


def _host_of(url: str) -> str | None:
    if len(url) > _URL_LENGTH_MAX or not url.startswith(("http://", "https://")):
        return None
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
