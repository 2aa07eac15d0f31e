r"""WeChat Pay's signatures: SHA256withRSA over lines, carried in headers.

Layout: a request signs `METHOD\nPATH?QUERY\nTIMESTAMP\nNONCE\nBODY\n`, an answer or a callback
`TIMESTAMP\nNONCE\nBODY\n`, BODY being the bytes as they travel. `Wechatpay-Serial` names the certificate whose key made
the signature; one that we do not have, or whose time is over, signs nothing.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from payments.gateway import keys, rsa

SCHEME = "WECHATPAY2-SHA256-RSA2048"
#: What was signed longer ago than this, or in the future, is a recording.
FRESH = timedelta(minutes=5)
_TIMESTAMP = re.compile(r"[0-9]{10}", re.ASCII)
_NONCE = re.compile(r"[0-9A-Za-z]{1,64}", re.ASCII)


def authorization(method: str, target: str, body: bytes, *, mchid: str, now: datetime) -> str:
    """The Authorization header of a request to `target` (path and query)."""
    timestamp, nonce = str(int(now.timestamp())), secrets.token_hex(16)
    signature = rsa.sign(keys.own(), f"{method}\n{target}\n{timestamp}\n{nonce}\n".encode() + body + b"\n")
    return (
        f'{SCHEME} mchid="{mchid}",nonce_str="{nonce}",timestamp="{timestamp}",'
        f'serial_no="{keys.own_serial()}",signature="{signature}"'
    )


def signed_at(headers: Mapping[str, str], body: bytes, *, now: datetime) -> datetime | None:
    """When the gateway signed this body, by its headers (in lower case); None when it did not.

    Raises: KeysMissing: there is no key of the gateway at all (yet).
    """
    timestamp, nonce = headers.get("wechatpay-timestamp", ""), headers.get("wechatpay-nonce", "")
    if not _TIMESTAMP.fullmatch(timestamp) or not _NONCE.fullmatch(nonce):
        return None
    if headers.get("wechatpay-signature-type", SCHEME) != SCHEME:
        return None
    key = keys.wechat_platform(headers.get("wechatpay-serial", ""), now=now)
    text = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
    if key is None or not rsa.is_genuine(key, headers.get("wechatpay-signature", ""), text):
        return None
    return datetime.fromtimestamp(int(timestamp), UTC)
