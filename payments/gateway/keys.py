"""The keys of both sides: the shop's own, and the gateways' public ones to check answers and callbacks with.

The private key is made at first use and never leaves `PAYMENT_PRIVATE_KEY` (0600). The rest changes hands in the folder
`PAYMENT_KEYS`: the shop's public key as `<app_id>.pem` for Alipay and `<mchid>.pem` for WeChat Pay, and
`<mchid>.apiv3`, the 32 bytes that WeChat Pay encrypts with (a real shop types them into a form); the gateways' are
`paysim.pem` and, a certificate each, `wechatpay-<serial>.pem`.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import threading
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

_SERIAL = re.compile(r"[0-9A-F]{40}", re.ASCII)
#: What WeChat Pay accepts as a key: 32 characters that can be typed.
_API_V3_KEY_BYTES = 32


class KeysMissing(Exception):
    """The gateway's public key is not there (yet): start the gateway first, it writes the key at its start."""


def own() -> rsa.RSAPrivateKey:
    """The shop's private key; what the gateways need of us is in the keys folder when this returns."""
    return _own(Path(settings.PAYMENT_PRIVATE_KEY), Path(settings.PAYMENT_KEYS), _merchants())


def own_serial() -> str:
    """What names our key in a request to WeChat Pay: the end of its fingerprint."""
    return _fingerprint(own())


def gateway() -> rsa.RSAPublicKey:
    """Alipay's. Raises: KeysMissing."""
    path = Path(settings.PAYMENT_KEYS) / "paysim.pem"
    try:
        return _public(path, path.stat().st_mtime_ns)
    except (OSError, ValueError) as error:
        raise KeysMissing(f"no public key of the gateway at {path}: is it running?") from error


def wechat_platform(serial: str, *, now: datetime) -> rsa.RSAPublicKey | None:
    """WeChat Pay's key of this serial number; None: it has none, or its certificate is not valid now.

    Raises: KeysMissing: there is none at all.
    """
    folder = Path(settings.PAYMENT_KEYS)
    if _SERIAL.fullmatch(serial):  # it becomes a file name
        path = folder / f"wechatpay-{serial}.pem"
        try:
            return _certified(path, path.stat().st_mtime_ns, now)
        except (OSError, ValueError):
            pass
    if not any(folder.glob("wechatpay-*.pem")):
        raise KeysMissing(f"no certificate of the gateway in {folder}: is it running?")
    return None


def api_v3() -> bytes:
    """The shared key that WeChat Pay's callbacks are encrypted with."""
    own()
    path = Path(settings.PAYMENT_KEYS) / f"{settings.WECHAT_MCHID}.apiv3"
    return _bytes(path, path.stat().st_mtime_ns)


def _merchants() -> tuple[str, str]:
    return settings.PAYMENT_APP_ID, settings.WECHAT_MCHID


@lru_cache(maxsize=4)
def _own(path: Path, folder: Path, merchants: tuple[str, str]) -> rsa.RSAPrivateKey:
    if not path.exists():
        made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        _write_once(
            path,
            made.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            mode=0o600,
        )
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for merchant in merchants:
        public_path = folder / f"{merchant}.pem"
        if not public_path.exists() or public_path.read_bytes() != public:
            public_path.unlink(missing_ok=True)
            _write_once(public_path, public, mode=0o644)
    secret = secrets.token_hex(_API_V3_KEY_BYTES // 2).encode()
    _write_once(folder / f"{settings.WECHAT_MCHID}.apiv3", secret, mode=0o600)
    return key


@lru_cache(maxsize=4)
def _fingerprint(key: rsa.RSAPrivateKey) -> str:
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()[:40].upper()


def _certified(path: Path, mtime_ns: int, now: datetime) -> rsa.RSAPublicKey | None:
    certificate = _certificate(path, mtime_ns)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return None
    return _rsa(certificate.public_key(), path)


@lru_cache(maxsize=8)
def _certificate(path: Path, mtime_ns: int) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


@lru_cache(maxsize=4)
def _bytes(path: Path, mtime_ns: int) -> bytes:
    return path.read_bytes()


@lru_cache(maxsize=4)
def _public(path: Path, mtime_ns: int) -> rsa.RSAPublicKey:
    return _rsa(serialization.load_pem_public_key(path.read_bytes()), path)


def _rsa(key: object, path: Path) -> rsa.RSAPublicKey:
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError(f"{path} holds no RSA key")
    return key


def _write_once(path: Path, data: bytes, *, mode: int) -> None:
    """Write a whole file unless it exists: of two threads or processes that start together, one makes the key."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(part, path)  # unlike a rename, a link never replaces
    except FileExistsError:
        pass
    finally:
        part.unlink()
