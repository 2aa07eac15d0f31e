from __future__ import annotations

from django.apps import AppConfig


class CouponsConfig(AppConfig):
    name = "coupons"
