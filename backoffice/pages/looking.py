"""Tables to look at. Adding and deleting is nobody's; what may be changed, a page says itself."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import ModelAdmin, TabularInline
from django.db.models import Model
from django.http import HttpRequest


class _LookOnly:
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LookOnly(_LookOnly, ModelAdmin):  # type: ignore[type-arg]
    #: Tables grow to millions of rows: a page counts and orders by an index only.
    show_full_result_count = False
    list_per_page = 50
    actions_on_bottom = False

    def may(self, request: HttpRequest, action: str) -> bool:
        """Whether whoever asks has the permission, such as `change`, on this page's table."""
        name = f"{self.opts.app_label}.{action}_{self.opts.model_name}"
        return bool(request.user.has_perm(name))


class LookOnlyLines(_LookOnly, TabularInline):  # type: ignore[type-arg]
    extra = 0
    can_delete = False

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Who may see the whole may see its lines."""
        return True
