"""Requests to the warehouse and the carrier. Every one may be made again: they are told by their references.

Whatever leaves us in doubt about what they did is `Unavailable`: no answer, a broken one, or a circuit that is open.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Literal, TypeVar

import httpx
import msgspec
from django.conf import settings

from common.breaker import CircuitBreaker, CircuitOpen

Party = Literal["warehouse", "carrier"]
BREAKERS: dict[Party, CircuitBreaker] = {"warehouse": CircuitBreaker(), "carrier": CircuitBreaker()}
_TIMEOUT_S = 3.0
_ANSWER_BYTES_MAX = 64 * 1024


class Unavailable(Exception):
    """Nobody knows whether it was done; the same request must be made again."""


class Packing(msgspec.Struct, frozen=True):
    """How far the warehouse is, and which of our wishes (see `Shipment.revision`) it follows."""

    state: Literal["PICKING", "PACKED"]
    revision: int
    ready_at_ms: int


class Parcel(msgspec.Struct, frozen=True):
    """Where a parcel is; `ready_at_ms` is when it is expected to have arrived, or to be back."""

    tracking_no: str
    state: Literal["IN_TRANSIT", "DELIVERED", "RETURNING", "RETURNED"]
    ready_at_ms: int


_Answer = TypeVar("_Answer", Packing, Parcel)


def pack(*, reference: str, revision: int, units: Mapping[str, int]) -> Packing:
    """Raises: Unavailable."""
    lines = [{"sku": sku, "quantity": quantity} for sku, quantity in sorted(units.items())]
    body = {"revision": revision, "lines": lines}
    return _call("warehouse", "PUT", f"/warehouse/orders/{reference}", Packing, body)


def fetch(*, reference: str) -> Parcel:
    """Have a parcel fetched where it is. Raises: Unavailable."""
    return _call("carrier", "PUT", f"/carrier/parcels/{reference}", Parcel)


def track(*, tracking_no: str) -> Parcel:
    """Raises: Unavailable."""
    return _call("carrier", "GET", f"/carrier/parcels/{tracking_no}", Parcel)


def recall(*, tracking_no: str) -> Parcel:
    """Have a parcel brought back that has not arrived. Raises: Unavailable."""
    return _call("carrier", "POST", f"/carrier/parcels/{tracking_no}/recall", Parcel)


def moment(ready_at_ms: int) -> datetime:
    return datetime.fromtimestamp(ready_at_ms / 1000, UTC)


def _call(
    party: Party, method: str, path: str, answer: type[_Answer], body: Mapping[str, object] | None = None
) -> _Answer:
    try:
        with BREAKERS[party].calling(httpx.HTTPError, msgspec.MsgspecError):
            response = _connections.http().request(method, path, json=body or {})
            response.raise_for_status()
            if len(response.content) > _ANSWER_BYTES_MAX:
                raise msgspec.ValidationError("the answer is too long")
            return msgspec.json.decode(response.content, type=answer)
    except CircuitOpen as error:
        raise Unavailable(f"{party}: left alone after failures in a row") from error
    except (httpx.HTTPError, msgspec.MsgspecError) as error:
        raise Unavailable(f"{party}: {type(error).__name__}: {error}") from error


class _Connections:
    """One HTTP client per process, with its kept connections, made by whichever thread calls first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._http: httpx.Client | None = None

    def http(self) -> httpx.Client:
        with self._lock:
            if self._http is None:
                kind, _, path = str(settings.SHIPSIM_URL).partition("unix://")
                self._http = httpx.Client(
                    base_url=kind or "http://shipsim",
                    transport=httpx.HTTPTransport(uds=path) if path else None,
                    timeout=_TIMEOUT_S,
                    trust_env=False,
                )
            return self._http

    def close(self) -> None:
        with self._lock:
            http, self._http = self._http, None
        if http is not None:
            http.close()


_connections = _Connections()


def close_connections() -> None:
    """End this process's connections, and forget old failures; the next call begins anew."""
    _connections.close()
    for breaker in BREAKERS.values():
        breaker.reset()
