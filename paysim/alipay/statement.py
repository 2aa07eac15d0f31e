"""Alipay's statement file: a ZIP with a CSV in GBK, which begins and ends with lines of comment.

The merchant asks for a link (`alipay.data.dataservice.bill.downloadurl.query`), which is good for half a minute.
Columns, of which the merchant reads by name: 支付宝交易号 (trade), 商户订单号 (order), 业务类型 (交易 or 退款),
完成时间, 订单金额（元）, negative for a refund, 退款批次号/请求号 (refund number). Numbers end with a tab, so that a
spreadsheet does not round them. Source: opendocs.alipay.com, "bill download".
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import zipfile

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from paysim import clock, money
from paysim.statement import Line

_LINK_MS = 30_000
_COLUMNS = (
    *("支付宝交易号", "商户订单号", "业务类型", "商品名称", "创建时间", "完成时间"),
    *("门店编号", "门店名称", "操作员", "终端号", "对方账户", "订单金额（元）", "商家实收（元）"),
    *("支付宝红包（元）", "集分宝（元）", "支付宝优惠（元）", "商家优惠（元）", "券核销金额（元）", "券名称"),
    *("商家红包消费金额（元）", "卡消费金额（元）", "退款批次号/请求号", "服务费（元）", "分润（元）", "备注"),
)


def archive(lines: list[Line], *, app_id: str, day: str) -> bytes:
    text = io.StringIO()
    text.write(f"#支付宝业务明细查询\r\n#账号：[{app_id}]\r\n#起始日期：[{day}]\r\n")
    text.write("#-----------------------------------------业务明细列表----------------------------------------\r\n")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows(_row(line) for line in lines)
    text.write("#-----------------------------------------业务明细列表结束------------------------------------\r\n")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"{app_id}_{day.replace('-', '')}_业务明细.csv", text.getvalue().encode("gbk", "replace"))
    return packed.getvalue()


def ticket(key: rsa.RSAPrivateKey, app_id: str, day: str, *, now_ms: int) -> str:
    """What a link carries: whose statement, of which day, until when."""
    claim = f"{app_id}.{day}.{now_ms + _LINK_MS}"
    return f"{claim}.{_seal(key, claim)}"


def redeem(key: rsa.RSAPrivateKey, text: str, *, now_ms: int) -> tuple[str, str] | None:
    """Merchant and day of a link that is still good; None for any other."""
    claim, _, seal = text.rpartition(".")
    if not seal.isascii() or not hmac.compare_digest(seal, _seal(key, claim)):
        return None
    app_id, day, until_ms = claim.split(".")
    return (app_id, day) if now_ms <= int(until_ms) else None


def _seal(key: rsa.RSAPrivateKey, claim: str) -> str:
    secret = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return hmac.digest(hashlib.sha256(secret).digest(), claim.encode(), "sha256").hex()


def _row(line: Line) -> list[str]:
    row = dict.fromkeys(_COLUMNS, "")
    is_refund = bool(line.out_request_no)
    amount = f"-{money.to_text(line.refund_cents)}" if is_refund else money.to_text(line.total_cents)
    row |= {
        "支付宝交易号": f"{line.trade_no}\t",
        "商户订单号": f"{line.out_trade_no}\t",
        "业务类型": "退款" if is_refund else "交易",
        "商品名称": line.subject,
        "创建时间": clock.to_text(line.created_at_ms),
        "完成时间": clock.to_text(line.at_ms),
        "订单金额（元）": amount,
        "商家实收（元）": amount,
        "退款批次号/请求号": f"{line.out_request_no}\t" if is_refund else "",
        "服务费（元）": "0.00",
    }
    return list(row.values())
