"""Alipay's statement file: a ZIP with a CSV in GBK, lines of comment before and after it; columns are read by name.

It is money's last witness and comes over the network: every size has a limit, and what is not understood is no
statement at all, never a shorter one.
"""

from __future__ import annotations

import csv
import io
import zipfile

from common import money
from payments.gateway import china
from payments.gateway.contract import StatementLine

ARCHIVE_BYTES_MAX = 64 * 1024 * 1024
_TEXT_BYTES_MAX = 512 * 1024 * 1024
_KINDS = ("交易", "退款")


class Unreadable(Exception):
    """Not a statement, or one in a form that this reader does not know."""


def lines_of(archive: bytes) -> list[StatementLine]:
    """Raises: Unreadable."""
    try:
        return [_line(row) for row in _rows(_text_in(archive))]
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile, csv.Error) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _text_in(archive: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        [name] = [entry.filename for entry in file.infolist() if "业务明细.csv" in entry.filename]
        with file.open(name) as packed:
            content = packed.read(_TEXT_BYTES_MAX + 1)  # what the archive says of its sizes is not believed
    if len(content) > _TEXT_BYTES_MAX:
        raise ValueError(f"it unpacks to more than {_TEXT_BYTES_MAX} bytes")
    return content.decode("gbk")


def _rows(text: str) -> csv.DictReader[str]:
    return csv.DictReader((line for line in io.StringIO(text) if not line.startswith("#")), strict=True)


def _line(row: dict[str, str]) -> StatementLine:
    kind, amount = row["业务类型"].strip(), row["订单金额（元）"].strip()
    if kind not in _KINDS:
        raise ValueError(f"a line of an unknown kind: {kind[:16]!r}")
    is_refund = kind == "退款"
    if is_refund != amount.startswith("-"):
        raise ValueError(f"{amount[:16]!r} for a {kind}")
    refund_no = row["退款批次号/请求号"].strip()
    return StatementLine(
        trade_no=row["支付宝交易号"].strip(),
        order_no=row["商户订单号"].strip(),
        refund_no=refund_no if is_refund else "",
        amount_cents=money.from_text(amount.removeprefix("-")),
        at=china.from_text(row["完成时间"].strip()),
    )
