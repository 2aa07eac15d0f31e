"""The JSON API under /api/: one API, a router from each service."""

from __future__ import annotations

import accounts.api
import checkout.api
import coupons.api
import inventory.api
import orders.api
import payments.api
from common.api import new_api

api = new_api()
for _service in (accounts, checkout, coupons, inventory, orders, payments):
    api.add_router("", _service.api.router)
