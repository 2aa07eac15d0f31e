"""What buyers have: points and money by their ledgers, coupons; and where their parcels are."""

from __future__ import annotations

from django.contrib import admin

from accounts.models import BalanceEntry, PointsEntry
from backoffice.pages.looking import LookOnly
from backoffice.site import site
from coupons.models import Coupon, CouponTemplate
from fulfillment.models import Shipment


@admin.register(BalanceEntry, site=site)
class BalancePage(LookOnly):
    list_display = ("reference", "kind", "account", "buyer_id", "cents", "entered_at")
    list_filter = ("kind",)
    search_fields = ("reference__exact", "buyer_id__exact")
    ordering = ("-id",)


@admin.register(PointsEntry, site=site)
class PointsPage(LookOnly):
    list_display = ("order_no", "kind", "buyer_id", "points")
    list_filter = ("kind",)
    search_fields = ("order_no__exact", "buyer_id__exact")
    ordering = ("-id",)


@admin.register(CouponTemplate, site=site)
class TemplatePage(LookOnly):
    list_display = ("template_no", "title", "kind", "stock", "left", "per_buyer_limit")
    list_filter = ("kind",)


@admin.register(Coupon, site=site)
class CouponPage(LookOnly):
    list_display = ("coupon_no", "template", "buyer_id", "status", "expires_at")
    list_filter = ("status",)
    search_fields = ("coupon_no__exact", "buyer_id__exact")
    ordering = ("-coupon_no",)


@admin.register(Shipment, site=site)
class ShipmentPage(LookOnly):
    list_display = ("order_no", "status", "tracking_no", "created_at", "ended_at")
    list_filter = ("status",)
    search_fields = ("order_no__exact", "tracking_no__exact")
    ordering = ("-created_at",)
