r"""WeChat Pay's signatures: SHA256withRSA over lines, carried in headers; and AES-256-GCM around what a callback tells.

Layout: a request signs `METHOD\nPATH?QUERY\nTIMESTAMP\nNONCE\nBODY\n`, an answer or a callback
`TIMESTAMP\nNONCE\nBODY\n`, BODY being the bytes as they travel. TIMESTAMP is in seconds. Requests carry all of it in
`Authorization: WECHATPAY2-SHA256-RSA2048 mchid="..",nonce_str="..",timestamp="..",serial_no="..",signature=".."`.
Source: pay.weixin.qq.com, "APIv3: signatures"; "callback notices: decryption".
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from paysim.errors import invalid
from paysim.keys import Keys

SCHEME = "WECHATPAY2-SHA256-RSA2048"
_NONCE_BYTES = 12
#: A signed request is good for this long, so that a recorded one cannot be sent again next week.
_FRESH_S = 300
_PART = re.compile(r'([a-z_]+)="([^"]*)"')
_PARTS = {"mchid", "nonce_str", "timestamp", "serial_no", "signature"}


def signed_headers(key: rsa.RSAPrivateKey, serial: str, body: bytes, *, now_ms: int) -> dict[str, str]:
    """The headers of an answer or a callback with this body."""
    timestamp, nonce = str(now_ms // 1000), secrets.token_hex(16)
    text = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
    signature = key.sign(text, padding.PKCS1v15(), hashes.SHA256())
    return {
        "Wechatpay-Timestamp": timestamp,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Serial": serial,
        "Wechatpay-Signature": base64.b64encode(signature).decode(),
        "Wechatpay-Signature-Type": SCHEME,
    }


def authenticate(authorization: str, method: str, target: str, body: bytes, keys: Keys, *, now_ms: int) -> str:
    """The mchid of the merchant who signed this request; `target` is path and query as they came.

    Raises: Refusal: nobody known did, or too long ago.
    """
    scheme, _, rest = authorization.partition(" ")
    pairs: list[tuple[str, str]] = _PART.findall(rest)
    parts = dict(pairs)
    if scheme != SCHEME or len(pairs) != len(parts) or set(parts) != _PARTS:
        raise invalid("SIGN_ERROR", "the Authorization header is not of this scheme")
    key = keys.merchant(parts["mchid"])
    if key is None:
        raise invalid("MCH_NOT_EXISTS", "no public key is known for this mchid")
    if not parts["timestamp"].isdigit() or abs(int(parts["timestamp"][:12]) - now_ms // 1000) > _FRESH_S:
        raise invalid("SIGN_ERROR", "the timestamp is missing or not of the last 5 minutes")
    text = f"{method}\n{target}\n{parts['timestamp']}\n{parts['nonce_str']}\n".encode() + body + b"\n"
    try:
        signature = base64.b64decode(parts["signature"], validate=True)
        key.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error) as error:
        raise invalid("SIGN_ERROR", "the signature does not fit the request") from error
    return parts["mchid"]


def sealed(api_v3_key: bytes, plain: bytes, *, associated_data: str) -> dict[str, str]:
    """`plain` as a `resource`: only who has the merchant's APIv3 key can read it, and nobody can change it."""
    nonce = secrets.token_hex(_NONCE_BYTES // 2)
    box = AESGCM(api_v3_key).encrypt(nonce.encode(), plain, associated_data.encode())
    return {
        "original_type": "transaction",
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(box).decode(),
        "associated_data": associated_data,
        "nonce": nonce,
    }
