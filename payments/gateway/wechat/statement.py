"""WeChat Pay's statement file: CSV in UTF-8, every value behind a backtick, and two lines of sums at the end.

The sums are checked: a file that was cut off is no statement.
"""

from __future__ import annotations

from common import money
from payments.gateway import china
from payments.gateway.contract import StatementLine

FILE_BYTES_MAX = 512 * 1024 * 1024
_STATES = ("SUCCESS", "REFUND")


class Unreadable(Exception):
    """Not a statement, or one in a form that this reader does not know."""


def lines_of(content: bytes) -> list[StatementLine]:
    """Raises: Unreadable."""
    try:
        head, *body, sum_names, sums = content.decode("utf-8-sig").splitlines()
        names = head.split(",")
        lines = [_line(dict(zip(names, _values(row), strict=True))) for row in body]
        total = dict(zip(sum_names.split(","), _values(sums), strict=True))
        refunded_cents = sum(line.amount_cents for line in lines if line.refund_no)
        if int(total["总交易单数"]) != len(lines) or money.from_text(total["退款总金额"]) != refunded_cents:
            raise ValueError("its sums are not those of its lines")
    except (KeyError, ValueError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error
    return lines


def _values(row: str) -> list[str]:
    if not row.startswith("`"):
        raise ValueError(f"a line without its backtick: {row[:16]!r}")
    return row[1:].split(",`")


def _line(row: dict[str, str]) -> StatementLine:
    state = row["交易状态"]
    if state not in _STATES or row["货币种类"] != "CNY":
        raise ValueError(f"a line of an unknown kind: {state[:16]!r}")
    is_refund = state == "REFUND"
    return StatementLine(
        trade_no=row["微信订单号"],
        order_no=row["商户订单号"],
        refund_no=row["商户退款单号"] if is_refund else "",
        amount_cents=money.from_text(row["退款金额" if is_refund else "订单金额"]),
        at=china.from_text(row["交易时间"]),
    )
