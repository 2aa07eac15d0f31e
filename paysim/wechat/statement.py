"""WeChat Pay's statement file: CSV in UTF-8, every value behind a backtick, and two lines of sums at the end.

The merchant asks for a link and the SHA-1 of the file (`GET /v3/bill/tradebill`), and fetches it with a signed request.
Source: pay.weixin.qq.com, "trade bill".
"""

from __future__ import annotations

import hashlib
import io

from paysim import clock, money
from paysim.statement import Line

_COLUMNS = (
    *("交易时间", "公众账号ID", "商户号", "特约商户号", "设备号", "微信订单号", "商户订单号", "用户标识"),
    *("交易类型", "交易状态", "付款银行", "货币种类", "应结订单金额", "代金券金额", "微信退款单号", "商户退款单号"),
    *("退款金额", "充值券退款金额", "退款类型", "退款状态", "商品名称", "商户数据包", "手续费", "费率"),
    *("订单金额", "申请退款金额", "费率备注"),
)
_SUMS = (
    "总交易单数",
    "应结订单总金额",
    "退款总金额",
    "充值券退款总金额",
    "手续费总金额",
    "订单总金额",
    "申请退款总金额",
)


def file(lines: list[Line], *, mchid: str) -> bytes:
    text = io.StringIO()
    text.write(",".join(_COLUMNS) + "\r\n")
    text.writelines(_joined(_row(line, mchid)) for line in lines)
    paid_cents = sum(line.total_cents for line in lines if not line.out_request_no)
    refunded_cents = sum(line.refund_cents for line in lines)
    paid, refunded = _yuan(paid_cents), _yuan(refunded_cents)
    text.write(",".join(_SUMS) + "\r\n")
    text.write(_joined([str(len(lines)), paid, refunded, "0.00", "0.00", paid, refunded]))
    return text.getvalue().encode()


def refund_id(trade_no: str, out_request_no: str) -> str:
    """WeChat Pay's own number of a refund."""
    digest = hashlib.sha256(f"{trade_no}|{out_request_no}".encode()).digest()
    return f"50{int.from_bytes(digest[:8], 'big'):020d}"


def _row(line: Line, mchid: str) -> list[str]:
    row = dict.fromkeys(_COLUMNS, "")
    is_refund = bool(line.out_request_no)
    row |= {
        "交易时间": clock.to_text(line.at_ms),
        "公众账号ID": line.sub_app_id,
        "商户号": mchid,
        "微信订单号": line.trade_no,
        "商户订单号": line.out_trade_no,
        "交易类型": "MWEB",
        "交易状态": "REFUND" if is_refund else "SUCCESS",
        "付款银行": "OTHERS",
        "货币种类": "CNY",
        "应结订单金额": "0.00" if is_refund else _yuan(line.total_cents),
        "微信退款单号": refund_id(line.trade_no, line.out_request_no) if is_refund else "0",
        "商户退款单号": line.out_request_no or "0",
        "退款金额": _yuan(line.refund_cents),
        "退款类型": "ORIGINAL" if is_refund else "",
        "退款状态": "SUCCESS" if is_refund else "",
        "商品名称": line.subject,
        "手续费": "0.00000",
        "费率": "0.60%",
        "订单金额": "0.00" if is_refund else _yuan(line.total_cents),
        "申请退款金额": _yuan(line.refund_cents),
    }
    return list(row.values())


def _yuan(cents: int) -> str:
    return money.to_text(cents)


def _joined(values: list[str]) -> str:
    """A comma inside a value would be read as the end of it, as in the real file."""
    return ",".join("`" + value.replace(",", " ").replace("\n", " ") for value in values) + "\r\n"
