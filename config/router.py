"""Which database a model lives in: the one named after its app. Nothing joins across.

The tables of `messaging` (inbox, outcomes, parked messages) exist in every service's database, so its models have no
home of their own: whoever uses them says `using=`, and forgetting it is an error rather than a guess.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from config.environment import SERVICES

SHARED_APPS = frozenset({"messaging"})
#: Django's own, of the staff's pages: their tables lie with those of the buyers' accounts.
STAFF_APPS = frozenset({"admin", "auth", "contenttypes", "sessions"})


class ServiceRouter:
    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return self._home(model._meta.app_label)

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        return self._home(model._meta.app_label)

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool:
        return self._home(one._meta.app_label) == self._home(other._meta.app_label)

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return app_label in SHARED_APPS or db == self._home(app_label)

    def _home(self, app_label: str) -> str | None:
        if app_label in STAFF_APPS:
            return "accounts"
        return app_label if app_label in SERVICES else None
