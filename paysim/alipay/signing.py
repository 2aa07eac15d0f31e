"""RSA2, the signature of Alipay's dialect: SHA256withRSA (PKCS#1 v1.5) over the fields as one sorted text.

Layout: `key=value` of every field but `sign`, `sign_type` and empty ones, sorted by key, joined by `&`, in UTF-8; the
signature is Base64. Answers of the gateway are signed over the exact bytes of their inner JSON object instead.
Source: opendocs.alipay.com, "signature and verification".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from paysim.errors import invalid
from paysim.keys import Keys

_UNSIGNED = ("sign", "sign_type")


def signed_bytes(fields: Mapping[str, str]) -> bytes:
    pairs = sorted((key, value) for key, value in fields.items() if key not in _UNSIGNED and value)
    return "&".join(f"{key}={value}" for key, value in pairs).encode()


def sign(key: rsa.RSAPrivateKey, data: bytes) -> str:
    return base64.b64encode(key.sign(data, padding.PKCS1v15(), hashes.SHA256())).decode()


def sign_fields(key: rsa.RSAPrivateKey, fields: Mapping[str, str]) -> dict[str, str]:
    return {**fields, "sign_type": "RSA2", "sign": sign(key, signed_bytes(fields))}


def is_signed_by(key: rsa.RSAPublicKey, fields: Mapping[str, str]) -> bool:
    if fields.get("sign_type") != "RSA2":
        return False
    try:
        signature = base64.b64decode(fields.get("sign", ""), validate=True)
        key.verify(signature, signed_bytes(fields), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error):
        return False
    return True


def authenticate(fields: dict[str, str], keys: Keys) -> str:
    """The app_id of the merchant who signed these fields.

    Raises: Refusal: nobody known did.
    """
    key = keys.merchant(fields.get("app_id", ""))
    if key is None:
        raise invalid("isv.invalid-app-id", "no public key is known for this app_id")
    if not is_signed_by(key, fields):
        raise invalid("isv.invalid-signature", "the signature does not fit the fields")
    return fields["app_id"]
