"""Buyers at the checkout, over HTTP: with an address, and what else they have."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.test import Client

from accounts.models import User
from accounts.services import addresses, balance
from common import ids, tokens
from common.clock import now
from coupons.models import Coupon
from coupons.services import templates

HOME = {
    "recipient": "Alice Liu",
    "phone": "+86 138 0000 0000",
    "region": "CN-SH",
    "city": "Shanghai",
    "street": "1 Nanjing Road",
    "is_default": True,
}


class Buyer:
    """A browser with a buyer's token."""

    def __init__(self, name: str, *, has_address: bool = True) -> None:
        self.buyer_id: int = User.objects.create(username=name).pk
        self.client = Client(headers={"Authorization": f"Bearer {tokens.issue(self.buyer_id)}"})
        if has_address:
            addresses.add_address(buyer_id=self.buyer_id, details=HOME, key="address-1", now=now())

    def send(self, path: str, body: Any = None, *, key: str | None = "checkout-1") -> Any:
        headers = {} if key is None else {"Idempotency-Key": key}
        text = body if isinstance(body, str | bytes) else json.dumps(body)
        return self.client.post(path, text, content_type="application/json", headers=headers)

    def post(self, path: str, body: Any = None, *, key: str | None = "checkout-1") -> tuple[int, dict[str, Any]]:
        response = self.send(path, body, key=key)
        return response.status_code, json.loads(response.content)

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        response = self.client.get(path)
        return response.status_code, response.json()

    def credit(self, cents: int) -> None:
        balance.credit(reference=f"gift-{self.buyer_id}", buyer_id=self.buyer_id, cents=cents, now=now())

    def coupon(self, template_no: str, **rule: Any) -> str:
        """A coupon of this buyer's, of a template that is made for it."""
        templates.put_template(
            template_no=template_no,
            title=template_no,
            stock=9,
            per_buyer_limit=9,
            valid_for=timedelta(days=7),
            **rule,
        )
        new = Coupon.objects.create(
            coupon_no=ids.new_number(ids.COUPON, now()),
            template_id=template_no,
            buyer_id=self.buyer_id,
            issued_at=now(),
            expires_at=now() + timedelta(days=7),
        )
        return new.coupon_no
