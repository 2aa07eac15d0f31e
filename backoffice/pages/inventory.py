"""Articles, which the catalog's staff may change, and every movement of stock, which nobody may."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from backoffice.pages.looking import LookOnly, LookOnlyLines
from backoffice.site import site
from common.clock import now
from inventory.models import Sku, StockMovement, StockRecord
from inventory.services import catalog
from messaging.transactions import QueueUnavailable


class Stock(LookOnlyLines):
    model = StockRecord


class Facts(forms.ModelForm):  # type: ignore[type-arg]
    per_buyer_limit = forms.IntegerField(min_value=1, required=False, help_text="Empty: any number.")


@admin.register(Sku, site=site)
class SkuPage(LookOnly):
    form = Facts
    list_display = ("sku", "title", "price_cents", "on_sale", "version")
    list_filter = ("on_sale",)
    search_fields = ("sku__istartswith",)
    ordering = ("sku",)
    readonly_fields = ("sku", "version")
    inlines = (Stock,)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "change")

    def save_model(self, request: HttpRequest, obj: Sku, form: Any, change: bool) -> None:
        """As everybody changes an article: told to the others by a message, with the next version."""
        facts = {name: getattr(obj, name) for name in form.cleaned_data}
        catalog.put_sku(sku=obj.sku, initial=0, now=now(), **facts)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Without the transaction that Django puts around it: the article's message needs one of its own."""
        try:
            return self._changeform_view(  # type: ignore[attr-defined, no-any-return]
                request, object_id, form_url, extra_context
            )
        except QueueUnavailable as error:
            self.message_user(request, f"Nothing was changed: {error}", messages.ERROR)
            return HttpResponseRedirect(request.path)


@admin.register(StockMovement, site=site)
class StockMovementPage(LookOnly):
    list_display = ("sku", "kind", "quantity", "order_no", "moved_at")
    list_filter = ("kind",)
    search_fields = ("order_no__exact",)
    ordering = ("-id",)
