"""RSA2: SHA256withRSA over `key=value` of all signed fields, sorted by key and joined by `&`.

`sign` and `sign_type` are not part of the text, nor are fields without a value. The signature travels as Base64.
"""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from payments.gateway import rsa

_NOT_SIGNED = frozenset({"sign", "sign_type"})


def text_to_sign(fields: Mapping[str, str]) -> bytes:
    return "&".join(f"{key}={fields[key]}" for key in sorted(fields) if fields[key] and key not in _NOT_SIGNED).encode()


def signed(key: RSAPrivateKey, fields: Mapping[str, str]) -> dict[str, str]:
    """The fields with `sign_type` and `sign`."""
    return {**fields, "sign_type": "RSA2", "sign": rsa.sign(key, text_to_sign(fields))}
