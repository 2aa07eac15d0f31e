"""A buyer at the shop's front door: everything goes over HTTP, with a token, as any client would do it."""

from __future__ import annotations

import secrets
import time
from typing import Any

import httpx

_TIMEOUT_S = 10.0
_BUSY_S = 0.1
#: A shop that is down for longer than this does not come back by itself.
_PATIENCE_S = 60.0


class Buyer:
    """One person, one login; methods may be called from several threads."""

    def __init__(self, name: str, password: str, *, shop_url: str) -> None:
        self.name = name
        self._http = httpx.Client(base_url=f"{shop_url}/api", timeout=_TIMEOUT_S, trust_env=False)
        token = self._call("POST", "/login", json={"username": name, "password": password})["token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def products(self) -> list[dict[str, Any]]:
        return list(self._call("GET", "/products")["products"])

    def available(self, sku: str) -> int:
        [number] = [product["available"] for product in self.products() if product["sku"] == sku]
        return int(number)

    def points(self) -> int:
        return int(self._call("GET", "/me")["points"])

    def balance_cents(self) -> int:
        return int(self._call("GET", "/me")["balance_cents"])

    def grab(self, template_no: str) -> str:
        """Grab a coupon of a template; its number."""
        headers = {"Idempotency-Key": f"tour-{secrets.token_hex(8)}"}
        return str(self._call("POST", f"/coupons/templates/{template_no}/grab", headers=headers)["coupon_no"])

    def coupon_status(self, coupon_no: str) -> str:
        coupons = self._call("GET", "/coupons")["coupons"]
        return next(str(one["status"]) for one in coupons if one["coupon_no"] == coupon_no)

    def checkout(self, sku: str, quantity: int, **choices: Any) -> dict[str, Any]:
        """The confirm page."""
        return self._call("POST", "/checkout", json={"lines": [{"sku": sku, "quantity": quantity}], **choices})

    def place(self, sku: str, quantity: int, **choices: Any) -> str:
        """Place an order; the same key is used until there is an answer, so an order is never placed twice."""
        headers = {"Idempotency-Key": f"tour-{secrets.token_hex(8)}"}
        basket = {"lines": [{"sku": sku, "quantity": quantity}], **choices}
        return str(self._call("POST", "/orders", json=basket, headers=headers)["order_no"])

    def order(self, order_no: str) -> dict[str, Any]:
        return self._call("GET", f"/orders/{order_no}")

    def cancel(self, order_no: str) -> None:
        self._call("POST", f"/orders/{order_no}/cancel")

    def ask_back(self, order_no: str, sku: str, quantity: int) -> str:
        """Ask some units back; the refund's number."""
        headers = {"Idempotency-Key": f"tour-{secrets.token_hex(8)}"}
        asked = {"lines": [{"sku": sku, "quantity": quantity}], "reason": "one too many"}
        return str(self._call("POST", f"/orders/{order_no}/refunds", json=asked, headers=headers)["refund_no"])

    def refund(self, order_no: str, refund_no: str) -> dict[str, Any]:
        cases: Any = self._call("GET", f"/orders/{order_no}/refunds")
        [found] = [case for case in cases if case["refund_no"] == refund_no]
        return dict(found)

    def cashier_url(self, order_no: str) -> str:
        """The link to the cashier of an order that waits to be paid.

        Raises: httpx.HTTPStatusError: the shop refused.
        """
        return str(self._call("POST", f"/payments/{order_no}")["cashier_url"])

    def payment(self, order_no: str) -> dict[str, Any]:
        return self._call("GET", f"/payments/{order_no}")

    def wait(self, order_no: str, *statuses: str, timeout_s: float = 20.0) -> dict[str, Any]:
        """The order, once it has one of the statuses.

        Raises: TimeoutError: it has not, in time; the sentence says what it is instead.
        """
        deadline_s = time.monotonic() + timeout_s
        while (order := self.order(order_no))["status"] not in statuses:
            if time.monotonic() > deadline_s:
                wanted = " or ".join(statuses)
                raise TimeoutError(f"order {order_no} is {order['status']} after {timeout_s:.0f} s, not {wanted}")
            time.sleep(0.02)
        return order

    def close(self) -> None:
        self._http.close()

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """The answer, asking again while the shop says that it cannot right now.

        Raises: httpx.HTTPStatusError: the shop refused.
        """
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                response = self._http.request(method, path, **request)
            except httpx.TransportError:
                if time.monotonic() > deadline_s:
                    raise
            else:
                if response.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline_s:
                    answer: dict[str, Any] = response.raise_for_status().json()
                    return answer
            time.sleep(_BUSY_S)
