"""The same request twice has one effect and one answer: the `Idempotency-Key` of writes over HTTP.

A service that takes keys has a table of answers (a subclass of `StoredAnswer`) and inserts the row in the transaction
of the work itself. The unique key makes twins that run at the same moment exclude each other: the second one's insert
waits for the first one's commit, fails, and finds the answer to give. A key belongs to one buyer and to one body.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from django.db import connections, models, router
from ninja import Header
from pydantic import StringConstraints

from common.errors import ShopError

#: What a view declares: 8 to 128 visible ASCII characters, chosen by the client, one per thing it wants done.
KeyHeader = Annotated[
    str, StringConstraints(min_length=8, max_length=128, pattern=r"^[!-~]+$"), Header(alias="Idempotency-Key")
]

#: A client that repeats a request after that long has it done again.
ANSWER_LIFETIME = timedelta(days=7)


class KeyReused(ShopError):
    """The key was used for another request: most likely the client forgot to make a new one."""

    code = "IDEMPOTENCY_KEY_REUSED"
    http_status = 422


class StoredAnswer(models.Model):
    """What a buyer's key was answered; `fingerprint` tells whether the same thing is asked again."""

    buyer_id = models.BigIntegerField()
    key = models.CharField(max_length=128)
    fingerprint = models.CharField(max_length=64)
    body = models.JSONField()
    answered_at = models.DateTimeField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.buyer_id} {self.key}"

    @classmethod
    def remember(cls, *, buyer_id: int, key: str, fingerprint: str, body: dict[str, Any], now: datetime) -> bool:
        """Insert the answer, if the key has none; whether this call did. A twin that runs is waited for."""
        with connections[router.db_for_write(cls)].cursor() as cursor:
            cursor.execute(
                f"""
                INSERT INTO {cls._meta.db_table} (buyer_id, key, fingerprint, body, answered_at)
                VALUES (%s, %s, %s, %s::jsonb, %s) ON CONFLICT (buyer_id, key) DO NOTHING""",
                [buyer_id, key, fingerprint, msgspec.json.encode(body).decode(), now],
            )
            return bool(cursor.rowcount == 1)

    def body_for(self, fingerprint: str) -> dict[str, Any]:
        """The answer, if it is the same request.

        Raises: KeyReused: the key came with another body before.
        """
        if self.fingerprint != fingerprint:
            raise KeyReused("This Idempotency-Key was used for a different request.", field="Idempotency-Key")
        body: dict[str, Any] = self.body
        return body


def fingerprint(request: object) -> str:
    """Of what is asked, not of how it is spelled: equal for JSON texts that mean the same."""
    return hashlib.sha256(msgspec.json.encode(request, order="deterministic")).hexdigest()
