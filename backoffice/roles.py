"""Which staff may do what. A role is one of Django's groups; `view` is to look, `change` is to decide or to act."""

from __future__ import annotations

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission

#: Where Django keeps staff, their permissions and what they did.
DATABASE = "accounts"

ROLES: dict[str, tuple[str, ...]] = {
    "support": (
        "orders.view_order",
        "orders.view_refundcase",
        "orders.change_refundcase",
        "payments.view_payment",
        "payments.view_refund",
        "coupons.view_coupon",
    ),
    "finance": (
        "orders.view_order",
        "orders.view_refundcase",
        "payments.view_payment",
        "payments.view_refund",
        "accounts.view_balanceentry",
        "accounts.view_pointsentry",
    ),
    "warehouse": ("inventory.view_sku", "inventory.view_stockmovement", "fulfillment.view_shipment"),
    "catalog": (
        "inventory.view_sku",
        "inventory.change_sku",
        "coupons.view_coupontemplate",
        "coupons.view_coupon",
    ),
    "operator": ("messaging.view_parkedmessage", "messaging.change_parkedmessage"),
}


def sync() -> None:
    """Have a permission for every table, whichever database it is in, and every role with just its permissions."""
    for config in apps.get_app_configs():
        create_permissions(config, verbosity=0, using=DATABASE)
    known = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    for role, names in ROLES.items():
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.set(known[name] for name in names)
