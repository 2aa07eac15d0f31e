"""What broker and name server can both be told about who may come: addresses, accounts, certificates.

RocketMQ's keys; those of TLS it reads from system properties or `tls.properties`, here they stand in the same file as
all others. Ours: `aclFile`, and that they hold for the name server too.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Self

import msgspec

from mq.properties_file import ConfigError
from mq.remoting.server import ServerTls
from mq.remoting.signature import Credentials
from mq.remoting.tls import ClientAuth, TlsMode, TlsSettings, server_context
from mq.security.accounts import Accounts

#: Never shown: not by code 26, not by `-p`, not in a log.
SECRET_KEYS: Final = frozenset(
    {"innerClientAuthenticationCredentials", "tls.server.keyPassword", "tls.client.keyPassword"}
)


@dataclass(frozen=True, kw_only=True)
class SecurityConfig:
    # Loopback unless told otherwise: without credentials nobody else should reach a broker. RocketMQ binds to all.
    bind_address: Annotated[str, "bindAddress"] = "127.0.0.1"

    # Accounts
    acl: Annotated[bool, "aclEnable"] = False
    #: RocketMQ's plain_acl.yml; empty: in the store's `config/`, or beside the name server's notes.
    acl_file: Annotated[Path | None, "aclFile"] = None
    #: The account a broker registers with: `{"accessKey":"...","secretKey":"..."}`; empty: the first administrator.
    inner_credentials: Annotated[str, "innerClientAuthenticationCredentials"] = ""

    # TLS for whoever comes
    #: Empty: permissive on loopback, enforcing elsewhere, in both cases only with a certificate.
    tls_mode: Annotated[TlsMode | None, "tls.server.mode"] = None
    tls_cert_path: Annotated[Path | None, "tls.server.certPath"] = None
    tls_key_path: Annotated[Path | None, "tls.server.keyPath"] = None
    tls_key_password: Annotated[str, "tls.server.keyPassword"] = ""
    tls_client_auth: Annotated[ClientAuth, "tls.server.need.client.auth"] = ClientAuth.NONE
    tls_trust_path: Annotated[Path | None, "tls.server.trustCertPath"] = None

    # TLS towards name servers
    tls_enable: Annotated[bool, "tls.enable"] = False
    # RocketMQ's default is false: encrypted, but with anybody.
    tls_verify_server: Annotated[bool, "tls.client.authServer"] = True
    tls_client_trust_path: Annotated[Path | None, "tls.client.trustCertPath"] = None
    tls_client_cert_path: Annotated[Path | None, "tls.client.certPath"] = None
    tls_client_key_path: Annotated[Path | None, "tls.client.keyPath"] = None
    tls_client_key_password: Annotated[str, "tls.client.keyPassword"] = ""

    def __post_init__(self) -> None:
        """Raises: ConfigError: what would let in whoever comes."""
        self.check_exposure()

    @property
    def effective_tls_mode(self) -> TlsMode:
        if self.tls_mode is not None:
            return self.tls_mode
        if self.tls_cert_path is None:
            return TlsMode.DISABLED
        return TlsMode.PERMISSIVE if is_loopback(self.bind_address) else TlsMode.ENFORCING

    def check_exposure(self) -> None:
        """Refuse to be reached from other machines without accounts, or in plain text without being told so.

        Raises: ConfigError: saying what is missing.
        """
        if self.tls_mode is TlsMode.ENFORCING and self.tls_cert_path is None:
            raise ConfigError("tls.server.mode=enforcing needs tls.server.certPath and tls.server.keyPath")
        if is_loopback(self.bind_address):
            return
        if not self.acl:
            raise ConfigError(
                f"bindAddress={self.bind_address} lets other machines in, so accounts are needed: set aclEnable=true "
                "(the first start makes accounts and says where), or bind to 127.0.0.1"
            )
        if self.tls_cert_path is None and self.tls_mode is not TlsMode.DISABLED:
            raise ConfigError(
                f"bindAddress={self.bind_address} lets other machines in, and signatures can be read and repeated on "
                "the way: set tls.server.certPath and tls.server.keyPath, or say tls.server.mode=disabled if everybody "
                "on that network may read along"
            )

    def credentials(self, accounts: Accounts | None) -> Credentials | None:
        """What a broker signs its requests to name servers with.

        Raises: ConfigError: `innerClientAuthenticationCredentials` is set to something else.
        """
        if not self.inner_credentials:
            admin = accounts.first_admin if accounts else None
            return Credentials(admin.access_key, admin.secret_key) if admin else None
        try:
            inner = msgspec.json.decode(self.inner_credentials, type=_InnerCredentials)
        except msgspec.DecodeError:
            raise ConfigError(
                'innerClientAuthenticationCredentials: {"accessKey":"...","secretKey":"..."} is expected'
            ) from None
        return Credentials(inner.accessKey, inner.secretKey)

    def server_tls(self) -> ServerTls | None:
        """How to listen; None: in plain text. Raises: TlsError: certificates that cannot be used."""
        mode = self.effective_tls_mode
        if mode is TlsMode.DISABLED or self.tls_cert_path is None:
            return None
        context = server_context(
            self.tls_cert_path,
            self.tls_key_path or self.tls_cert_path,
            key_password=self.tls_key_password,
            trust_cert_path=self.tls_trust_path,
            client_auth=self.tls_client_auth,
        )
        return ServerTls(context, takes_plain=mode is TlsMode.PERMISSIVE)

    def client_tls(self) -> TlsSettings | None:
        """How to speak to name servers; None: in plain text."""
        if not self.tls_enable:
            return None
        return TlsSettings(
            self.tls_client_trust_path,
            self.tls_client_cert_path,
            self.tls_client_key_path,
            self.tls_client_key_password or None,
            verify=self.tls_verify_server,
            check_hostname=False,  # name servers are named by address; RocketMQ does not look at names either
        )

    def trusting_itself(self) -> Self:
        """For a broker whose name server lives in its own process, with its own certificate."""
        if self.effective_tls_mode is not TlsMode.ENFORCING or self.tls_enable:
            return self
        return replace(
            self,
            tls_enable=True,
            tls_client_trust_path=self.tls_cert_path,
            tls_client_cert_path=self.tls_client_cert_path or self.tls_cert_path,
            tls_client_key_path=self.tls_client_key_path or self.tls_key_path,
            tls_client_key_password=self.tls_client_key_password or self.tls_key_password,
        )


class _InnerCredentials(msgspec.Struct):
    accessKey: str
    secretKey: str


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
