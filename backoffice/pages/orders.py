"""Orders with their history, and the decision that a late return waits for."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest

from backoffice.pages.looking import LookOnly, LookOnlyLines
from backoffice.site import site
from common.clock import now
from common.errors import ShopError
from messaging.transactions import QueueUnavailable
from orders.models import Order, OrderEvent, OrderLine, RefundCase, RefundCaseLine
from orders.services import cases


class Lines(LookOnlyLines):
    model = OrderLine


class History(LookOnlyLines):
    model = OrderEvent
    ordering = ("version",)


@admin.register(Order, site=site)
class OrderPage(LookOnly):
    list_display = ("order_no", "status", "buyer_id", "total_cents", "placed_at", "version")
    list_filter = ("status",)
    search_fields = ("order_no__exact",)
    ordering = ("-placed_at", "-order_no")
    inlines = (Lines, History)


class CaseLines(LookOnlyLines):
    model = RefundCaseLine


class Why(ActionForm):
    why = forms.CharField(max_length=200, required=False, label="Reason, when you say no: ")


@admin.register(RefundCase, site=site)
class RefundCasePage(LookOnly):
    list_display = ("refund_no", "order_id", "status", "amount_cents", "reason", "requested_at", "decided_by")
    list_filter = ("status",)
    search_fields = ("refund_no__exact", "order__order_no__exact")
    ordering = ("-requested_at",)
    inlines = (CaseLines,)
    actions = ("agree", "say_no")
    action_form = Why

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "change")

    @admin.action(description="Agree: the buyer sends the goods back", permissions=["decide"])
    def agree(self, request: HttpRequest, chosen: QuerySet[RefundCase]) -> None:
        for case in chosen:
            self._decide(request, case, "agreed", cases.approve)

    @admin.action(description="Say no", permissions=["decide"])
    def say_no(self, request: HttpRequest, chosen: QuerySet[RefundCase]) -> None:
        why = str(request.POST.get("why", "")).strip()[:200]
        if not why:
            self.message_user(request, "The buyer has to be told why: write a reason.", messages.ERROR)
            return
        for case in chosen:
            self._decide(request, case, f"said no: {why}", cases.reject, why=why)

    def _decide(self, request: HttpRequest, case: RefundCase, done: str, decision: Any, **more: str) -> None:
        try:
            decision(refund_no=case.refund_no, by=request.user.get_username(), now=now(), **more)
        except (ShopError, QueueUnavailable) as error:
            self.message_user(request, f"{case.refund_no}: {error}", messages.ERROR)
            return
        self.log_change(request, case, done)
        self.message_user(request, f"{case.refund_no}: {done}.")
