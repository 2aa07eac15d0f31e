"""The few pages a buyer sees. Plain HTML, no script; whatever came from outside is escaped."""

from __future__ import annotations

from html import escape

from paysim import money, trades
from paysim.trades import Trade

#: Neither script nor frame nor a resource from elsewhere.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_STYLE = """
*{box-sizing:border-box}
body{margin:0;font:16px/1.5 system-ui,sans-serif;background:#f3f5f8;color:#1c2430}
.mark{background:#ffd54a;color:#3c2f00;text-align:center;padding:.6rem;font-weight:600}
main{max-width:26rem;margin:3rem auto;padding:2rem;background:#fff;border-radius:14px;box-shadow:0 8px 30px #1c24301a}
h1{margin:0 0 .2rem;font-size:1rem;font-weight:600;color:#5b6675}
.amount{font-size:2.6rem;font-weight:700;margin:.2rem 0 1rem}
dl{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1rem;margin:0 0 1.5rem;font-size:.9rem}
dt{color:#5b6675}dd{margin:0;text-align:right;overflow-wrap:anywhere}
form{display:grid;gap:.6rem}
button{font:inherit;font-weight:600;padding:.8rem;border:0;border-radius:10px;cursor:pointer}
button:focus-visible,a:focus-visible{outline:3px solid #8ab4ff}
.pay{background:#1668dc;color:#fff}.fail{background:#e9edf3;color:#1c2430}
.note{margin:0 0 1rem;padding:.7rem 1rem;border-radius:10px;background:#eef4ff}
.note.done{background:#e5f7ea}.note.over{background:#fdecea}
a{color:#1668dc}
"""


def welcome() -> str:
    """What is here, for whoever comes without an order to pay."""
    return _page(
        "Payment company",
        "<h1>The payment company</h1><p>An order is paid through a link of its own: the shop hands it out when "
        'its buyer asks to pay (<code>POST /api/payments/…</code>).</p><p><a href="/faults">Faults asked for</a></p>',
    )


def cashier(trade: Trade, *, failed: bool = False) -> str:
    """The page of one trade in whatever state it is."""
    parts = [
        "<h1>You pay</h1>",
        f'<div class="amount">¥{money.to_text(trade.total_cents)}</div>',
        f"<dl><dt>For</dt><dd>{escape(trade.subject)}</dd><dt>Order</dt><dd>{escape(trade.out_trade_no)}</dd>"
        f"<dt>Trade</dt><dd>{escape(trade.trade_no)}</dd></dl>",
        _note(trade, failed=failed),
        _buttons(trade) if trade.status == trades.WAITING else _way_back(trade),
    ]
    return _page("Cashier", "".join(parts))


def refusal(sentence: str) -> str:
    return _page("Not possible", f'<h1>This cannot be paid here</h1><p class="note over">{escape(sentence)}</p>')


def _note(trade: Trade, *, failed: bool) -> str:
    if trade.paid_at_ms is not None:
        return '<p class="note done">Paid. The shop is being told.</p>'
    if trade.status == trades.CLOSED:
        return '<p class="note over">This trade is closed; nothing was paid.</p>'
    if failed:
        return '<p class="note over">The payment failed, nothing was paid. You can try again.</p>'
    return ""


def _buttons(trade: Trade) -> str:
    return (
        f'<form method="post" action="/cashier/pay"><input type="hidden" name="token" value="{escape(trade.token)}">'
        '<button class="pay" name="outcome" value="pay">Pay</button>'
        '<button class="fail" name="outcome" value="fail">Let the payment fail</button></form>'
    )


def _way_back(trade: Trade) -> str:
    return f'<p><a href="{escape(trade.return_url)}">Back to the shop</a></p>' if trade.return_url else ""


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title} - paysim</title><style>{_STYLE}</style></head><body>"
        '<div class="mark" role="note">Simulation: no real money moves here.</div>'
        f"<main>{body}</main></body></html>"
    )
