"""The carrier as the tour uses it: the switch for its faults, on the unix socket where it listens."""

from __future__ import annotations

import httpx


class Carrier:
    def __init__(self, socket: str) -> None:
        transport = httpx.HTTPTransport(uds=socket)
        self._http = httpx.Client(base_url="http://shipsim", transport=transport, timeout=10.0, trust_env=False)

    def break_down(self) -> None:
        """From now on the carrier answers nobody."""
        body = {"party": "carrier", "kind": "unavailable", "count": 10_000}
        self._http.post("/faults", json=body).raise_for_status()

    def recover(self) -> None:
        self._http.delete("/faults").raise_for_status()

    def close(self) -> None:
        self._http.close()
