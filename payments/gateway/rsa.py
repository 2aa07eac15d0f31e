"""SHA256withRSA (PKCS#1 v1.5), Base64: the one signature that both dialects use, over texts of their own."""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256


def sign(key: RSAPrivateKey, text: bytes) -> str:
    return base64.b64encode(key.sign(text, PKCS1v15(), SHA256())).decode()


def is_genuine(key: RSAPublicKey, signature: str, text: bytes) -> bool:
    """Whether the owner of `key` signed exactly `text`; junk instead of a signature is simply not genuine."""
    try:
        key.verify(base64.b64decode(signature, validate=True), text, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
