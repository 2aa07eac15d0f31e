"""Requests to the gateways: one HTTP client per process, limits on time and size, and a rest for one that is silent."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from urllib.parse import urlsplit

import httpx
from django.conf import settings

from payments.gateway.contract import GatewayUnavailable
from payments.gateway.rest import Rest

_TIMEOUT_S = 3.0
_ANSWER_BYTES_MAX = 1024 * 1024
_rest = Rest()


def target_of(url: str) -> str:
    """Path and query of a link that an answer named.

    Whatever host it names, we go to the one we know: no answer leads us, or a buyer, to a stranger's.

    Raises: GatewayUnavailable: it is no link.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise GatewayUnavailable(f"{url[:64]!r} is no link") from error
    if not parts.path.startswith("/"):
        raise GatewayUnavailable(f"{url[:64]!r} is no link")
    return f"{parts.path}?{parts.query}"


def send(
    target: str,
    *,
    what: str,
    method: str = "POST",
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    bytes_max: int = _ANSWER_BYTES_MAX,
) -> httpx.Response:
    """One request, read no further than its limit; `what` is for the log, `target` is path and query.

    Raises: GatewayUnavailable: no whole answer.
    """
    address = str(settings.PAYMENT_GATEWAY_URL or settings.PAYSIM_URL)
    if _rest.is_resting(address):
        raise GatewayUnavailable(f"{what}: the gateway did not answer a moment ago")
    try:
        with _connections.http().stream(method, f"{address}{target}", content=content, headers=headers) as response:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > bytes_max:
                    raise GatewayUnavailable(f"{what}: an answer of more than {bytes_max} bytes")
        _rest.answered(address)
    except httpx.HTTPError as error:
        _rest.failed(address)
        raise GatewayUnavailable(f"{what}: {type(error).__name__}: {error}") from error
    return httpx.Response(response.status_code, headers=_plain(response.headers), content=bytes(body))


def _plain(headers: httpx.Headers) -> httpx.Headers:
    """Without what says how the body was packed on its way: it is unpacked by now."""
    return httpx.Headers([(name, value) for name, value in headers.multi_items() if name not in _PACKING])


_PACKING = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class _Connections:
    """One HTTP client per process, with its kept connections, made by whichever thread calls first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._http: httpx.Client | None = None

    def http(self) -> httpx.Client:
        with self._lock:  # Two first callers would otherwise make two clients, and nobody would ever close one of them.
            if self._http is None:  # The environment's proxies are not for this.
                self._http = httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False)
            return self._http

    def close(self) -> None:
        with self._lock:
            http, self._http = self._http, None
        if http is not None:
            http.close()


_connections = _Connections()


def close_connections() -> None:
    """End this process's connections to the gateways; the next call makes new ones."""
    _connections.close()
