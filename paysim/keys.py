"""Who is who: paysim's own RSA key pair, made at its first start, and the public keys of its merchants.

The private key stays in the data folder, readable by its owner only. Public keys change hands as PEM files in the keys
folder: `paysim.pem` for the shop to read, `<app_id>.pem` for each merchant that signs its requests.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

_APP_ID = re.compile(r"[0-9]{8,32}")


class Keys:
    def __init__(self, data: Path, folder: Path) -> None:
        self._folder = folder
        self.private = _own_key(data / "private.pem")
        _write(folder / "paysim.pem", _public_pem(self.private), mode=0o644)

    def merchant(self, app_id: str) -> rsa.RSAPublicKey | None:
        """The key of a merchant; None when nobody of that id has handed one in."""
        if not _APP_ID.fullmatch(app_id):  # it becomes a file name
            return None
        try:
            key = serialization.load_pem_public_key((self._folder / f"{app_id}.pem").read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return key if isinstance(key, rsa.RSAPublicKey) else None


def _own_key(path: Path) -> rsa.RSAPrivateKey:
    if not path.exists():
        made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write(path, pem, mode=0o600)
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _public_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _write(path: Path, data: bytes, *, mode: int) -> None:
    """Whole or not at all: a reader never sees half a key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
