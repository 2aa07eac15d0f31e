"""Which database a model lives in: the one named after its app. Nothing joins across.

The tables of `messaging` (inbox, outcomes, parked messages) exist in every service's database, so its models have no
home of their own: whoever uses them says `using=`, and forgetting it is an error rather than a guess.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from config.environment import SERVICES

SHARED_APPS = frozenset({"messaging"})


class ServiceRouter:
    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return self._home(model._meta.app_label)

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        return self._home(model._meta.app_label)

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool:
        return one._meta.app_label == other._meta.app_label

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return app_label in SHARED_APPS or db == self._home(app_label)

    def _home(self, app_label: str) -> str | None:
        return app_label if app_label in SERVICES else None
