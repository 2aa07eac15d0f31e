"""Who is who: paysim's own RSA key pairs, made at its first start, and what its merchants have handed in.

The private keys stay in the data folder, readable by their owner only. The rest changes hands in the keys folder:
`paysim.pem` (Alipay's dialect) and `wechatpay-<serial>.pem` (a certificate, WeChat Pay's) for the shop to read,
`<app_id>.pem` and `<mchid>.pem` of each merchant that signs its requests, `<mchid>.apiv3` with the 32 bytes that what
WeChat Pay's callbacks tell is encrypted with.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

_APP_ID = re.compile(r"[0-9]{8,32}", re.ASCII)
_API_V3_KEY_BYTES = 32
_CERTIFICATE_LIFETIME = timedelta(days=5 * 365)


class Keys:
    def __init__(self, data: Path, folder: Path) -> None:
        self._folder = folder
        self.private = _own_key(data / "private.pem")
        _write(folder / "paysim.pem", _public_pem(self.private), mode=0o644)
        self.wechat_private = _own_key(data / "wechat-private.pem")
        certificate = _own_certificate(data / "wechat-certificate.pem", self.wechat_private)
        self.wechat_serial = f"{certificate.serial_number:040X}"
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        _write(folder / f"wechatpay-{self.wechat_serial}.pem", pem, mode=0o644)

    def merchant(self, app_id: str) -> rsa.RSAPublicKey | None:
        """The key of a merchant; None when nobody of that id has handed one in."""
        if not _APP_ID.fullmatch(app_id):  # it becomes a file name
            return None
        try:
            key = serialization.load_pem_public_key((self._folder / f"{app_id}.pem").read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return key if isinstance(key, rsa.RSAPublicKey) else None

    def api_v3(self, mchid: str) -> bytes:
        """Raises: LookupError: this merchant has set none."""
        path = self._folder / f"{mchid}.apiv3"
        if not _APP_ID.fullmatch(mchid) or not path.is_file() or path.stat().st_size != _API_V3_KEY_BYTES:
            raise LookupError(f"merchant {mchid} has set no APIv3 key of {_API_V3_KEY_BYTES} bytes")
        return path.read_bytes()


def _own_certificate(path: Path, key: rsa.RSAPrivateKey) -> x509.Certificate:
    """Of the key, signed by itself: its serial number names the key in every signature, its end is the key's."""
    if not path.exists():
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "paysim")])
        today = datetime.now(UTC)
        builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(today - timedelta(days=1)).not_valid_after(today + _CERTIFICATE_LIFETIME)
        _write(path, builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), mode=0o644)
    return x509.load_pem_x509_certificate(path.read_bytes())


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
