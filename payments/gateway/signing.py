"""RSA2: SHA256withRSA over `key=value` of all signed fields, sorted by key and joined by `&`.

`sign` and `sign_type` are not part of the text, nor are fields without a value. The signature travels as Base64.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

_NOT_SIGNED = frozenset({"sign", "sign_type"})


def text_to_sign(fields: Mapping[str, str]) -> bytes:
    return "&".join(f"{key}={fields[key]}" for key in sorted(fields) if fields[key] and key not in _NOT_SIGNED).encode()


def signed(key: RSAPrivateKey, fields: Mapping[str, str]) -> dict[str, str]:
    """The fields with `sign_type` and `sign`."""
    signature = key.sign(text_to_sign(fields), PKCS1v15(), SHA256())
    return {**fields, "sign_type": "RSA2", "sign": base64.b64encode(signature).decode()}


def is_genuine(key: RSAPublicKey, signature: str, text: bytes) -> bool:
    """Whether the owner of `key` signed exactly `text`; junk instead of a signature is simply not genuine."""
    try:
        key.verify(base64.b64decode(signature, validate=True), text, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
