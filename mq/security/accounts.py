"""Accounts and what each may do, as RocketMQ's `plain_acl.yml` describes them.

What an account was not given it may not do; only `admin` may everything. An address a request comes from never stands
in for a signature. Retry and dead letter topics belong to their group: whoever may consume as the group may use them.
Source: RocketMQ PlainAccessResource, PlainPermissionManager (4.9); where that one asks less, the docs say so.
"""

from __future__ import annotations

import enum
import hmac
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from mq.message.message import DLQ_PREFIX, RETRY_PREFIX
from mq.remoting.signature import Signer


class Permission(enum.IntEnum):
    """`DENY`, `PUB`, `SUB`, `PUB|SUB` or `ANY` of the file; bits, but no enum.Flag, whose `&` takes a microsecond."""

    DENY = 0
    PUB = 4
    SUB = 8
    ANY = 12


@dataclass(frozen=True)
class Account:
    access_key: str
    secret_key: str = field(repr=False)
    admin: bool = False
    default_topic: Permission = Permission.DENY
    default_group: Permission = Permission.DENY
    topics: Mapping[str, Permission] = field(default_factory=dict)
    groups: Mapping[str, Permission] = field(default_factory=dict)

    #: What was found out about topics before, as asking anew takes a microsecond.
    publishing: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def signer(self) -> Signer:
        return Signer(self.secret_key)

    def may_publish(self, topic: str, *, reserved: bool = False) -> bool:
        """`reserved`: the topic is the broker's own, so that a default is not meant for it."""
        return self.admin or self._on_topic(topic, Permission.PUB, reserved=reserved)

    def may_subscribe(self, topic: str, *, reserved: bool = False) -> bool:
        return self.admin or self._on_topic(topic, Permission.SUB, reserved=reserved)

    def may_consume_as(self, group: str) -> bool:
        return self.admin or self.groups.get(group, self.default_group) & Permission.SUB != 0

    def _on_topic(self, topic: str, wanted: Permission, *, reserved: bool) -> bool:
        if topic.startswith((RETRY_PREFIX, DLQ_PREFIX)):
            return self.may_consume_as(topic.removeprefix(RETRY_PREFIX).removeprefix(DLQ_PREFIX))
        default = Permission.DENY if reserved else self.default_topic
        return self.topics.get(topic, default) & wanted != 0


class Accounts:
    """All accounts of a server, by access key."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._by_key = {account.access_key: account for account in accounts}
        self._by_name = {key.encode(): account for key, account in self._by_key.items()}
        # Whoever names no account is measured against a key nobody has, so that guessing names takes as long as keys.
        self._nobody: Final = Account("", secrets.token_hex())

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_key.values())

    def become(self, others: Accounts) -> None:
        """Hold these from now on, and no others."""
        self._by_key, self._by_name = others._by_key, others._by_name

    def signed_by(self, fields: Mapping[str, str], body: bytes) -> Account | None:
        """The account whose signature a request carries; None for an unknown account and a wrong signature alike."""
        account = self._by_key.get(fields.get("AccessKey", ""), self._nobody)
        return account if account.signer.is_signed(fields, body) and account is not self._nobody else None

    def signed_so(self, access_key: bytes, signature: bytes, content: bytes, body: bytes) -> Account | None:
        """The same for what a header says, as bytes; None when a closer look is needed."""
        account = self._by_name.get(access_key)
        is_so = account is not None and hmac.compare_digest(signature, account.signer.signature_of(content, body))
        return account if is_so else None

    @property
    def first_admin(self) -> Account | None:
        return next((account for account in self._by_key.values() if account.admin), None)
