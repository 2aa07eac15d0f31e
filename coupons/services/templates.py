"""Templates are made once and then stay: what a coupon takes off never changes under its owner."""

from __future__ import annotations

from typing import Any

from coupons.models import CouponTemplate


def put_template(*, template_no: str, stock: int, **rule: Any) -> bool:
    """Make a template with these fields of `CouponTemplate`, if there is none of this number; say whether it is new."""
    _, is_new = CouponTemplate.objects.get_or_create(
        template_no=template_no, defaults={"stock": stock, "left": stock, **rule}
    )
    return is_new
