"""The payment company as the tour uses it: the cashier's buttons, and the switch for faults."""

from __future__ import annotations

from typing import Any

import httpx


class Cashier:
    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=10.0, trust_env=False, headers={"Accept": "application/json"})

    def pay(self, cashier_url: str) -> str:
        """Open the cashier's page and press "Pay"; the trade number."""
        visit = self._http.get(cashier_url).raise_for_status().json()
        press = self._http.post("/cashier/pay", json={"token": visit["token"], "outcome": "pay"})
        return str(press.raise_for_status().json()["trade_no"])

    def fault(self, kind: str, order_no: str, **more: Any) -> None:
        self._http.post("/faults", json={"kind": kind, "out_trade_no": order_no, **more}).raise_for_status()

    def close(self) -> None:
        self._http.close()
