"""Payments, and the money that went back."""

from __future__ import annotations

from django.contrib import admin

from backoffice.pages.looking import LookOnly, LookOnlyLines
from backoffice.site import site
from payments.models import Capture, Payment, Refund


class Captures(LookOnlyLines):
    model = Capture


@admin.register(Payment, site=site)
class PaymentPage(LookOnly):
    list_display = ("payment_no", "order_no", "status", "amount_cents", "created_at", "settled_at")
    list_filter = ("status",)
    search_fields = ("payment_no__exact", "order_no__exact")
    inlines = (Captures,)


@admin.register(Refund, site=site)
class RefundPage(LookOnly):
    list_display = ("refund_no", "capture", "amount_cents", "status")
    list_filter = ("status",)
    list_select_related = ("capture",)
    search_fields = ("refund_no__exact",)
