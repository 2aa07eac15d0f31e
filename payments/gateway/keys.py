"""The keys of both sides: the shop's own pair, and the gateway's public key to check answers and callbacks with.

The private key is made at first use and never leaves `PAYMENT_PRIVATE_KEY` (0600); the public one is put into the
folder `PAYMENT_KEYS` as `<app_id>.pem`, where the gateway's `paysim.pem` lies too.
"""

from __future__ import annotations

import os
import threading
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings


class KeysMissing(Exception):
    """The gateway's public key is not there (yet): start the gateway first, it writes the key at its start."""


def own() -> rsa.RSAPrivateKey:
    """The shop's private key; its public half is in the keys folder when this returns."""
    return _own(Path(settings.PAYMENT_PRIVATE_KEY), Path(settings.PAYMENT_KEYS) / f"{settings.PAYMENT_APP_ID}.pem")


def gateway() -> rsa.RSAPublicKey:
    """Raises: KeysMissing."""
    path = Path(settings.PAYMENT_KEYS) / "paysim.pem"
    try:
        return _public(path, path.stat().st_mtime_ns)
    except (OSError, ValueError) as error:
        raise KeysMissing(f"no public key of the gateway at {path}: is it running?") from error


@lru_cache(maxsize=4)
def _own(path: Path, public_path: Path) -> rsa.RSAPrivateKey:
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
    if not public_path.exists() or public_path.read_bytes() != public:
        public_path.unlink(missing_ok=True)
        _write_once(public_path, public, mode=0o644)
    return key


@lru_cache(maxsize=4)
def _public(path: Path, mtime_ns: int) -> rsa.RSAPublicKey:
    key = serialization.load_pem_public_key(path.read_bytes())
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
