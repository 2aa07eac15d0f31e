"""The HTTP face, on a unix socket or a port; the standard library is enough for a few parcels.

PUT  /warehouse/orders/{reference}             {"revision": 1, "lines": [...]}
PUT  /carrier/parcels/{reference}              {}
GET  /carrier/parcels/{tracking_no}
POST /carrier/parcels/{tracking_no}/recall
POST, DELETE /faults                           GET /healthz
"""

from __future__ import annotations

import json
import re
import socketserver
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from shipsim import faults
from shipsim.book import Book
from shipsim.partners import Partners, Unknown

_BODY_BYTES_MAX = 64 * 1024
_ADDRESS = re.compile(r"/(warehouse/orders|carrier/parcels)/([0-9A-Za-z_-]{1,64})(/recall)?", re.ASCII)


class BadRequest(Exception):
    """The request is not one of those above."""


class Shipping:
    """Both partners, their book and their clock."""

    def __init__(self, book: Book, partners: Partners, offset_file: Path | None) -> None:
        self._book = book
        self._partners = partners
        self._offset_file = offset_file

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """HTTP status and JSON; a fault that is armed for the party decides whether it says so.

        Raises: BadRequest.
        """
        if path == "/healthz":
            return 200, {"status": "ok"}
        if path == "/faults":
            return self._faults(method, body)
        match = _ADDRESS.fullmatch(path)
        if match is None:
            raise BadRequest("no such address")
        with self._book.transaction() as db:
            fault, argument = faults.strike(db, path.split("/")[1]) or ("", 0)
            if fault == "unavailable":
                return 503, {"error": "unavailable (a fault that was asked for)"}
            try:
                done = self._do(db, method, match, body)
            except Unknown:
                return 404, {"error": "no such parcel"}
        if fault == "slow":
            time.sleep(argument / 1000)
        return (503, {"error": "the answer is lost"}) if fault == "lost_answer" else (200, done)

    def _do(self, db: Any, method: str, match: re.Match[str], body: bytes) -> dict[str, Any]:
        area, name, recall = match.groups()
        now_ms = self._now_ms()
        if (area, method) == ("warehouse/orders", "PUT") and not recall:
            wish = _json(body)
            revision, lines = wish.get("revision"), wish.get("lines")
            if not isinstance(revision, int) or not isinstance(lines, list):
                raise BadRequest("revision is a number, lines is a list")
            return self._partners.pack(db, name, revision, lines, now_ms)
        if (area, method) == ("carrier/parcels", "PUT") and not recall:
            return self._partners.fetch(db, name, now_ms)
        if (area, method) == ("carrier/parcels", "GET") and not recall:
            return self._partners.track(db, name, now_ms)
        if (area, method) == ("carrier/parcels", "POST") and recall:
            return self._partners.recall(db, name, now_ms)
        raise BadRequest("no such method here")

    def _faults(self, method: str, body: bytes) -> tuple[int, dict[str, Any]]:
        with self._book.transaction() as db:
            if method == "POST":
                try:
                    faults.arm(db, _json(body))
                except faults.BadFault as error:
                    raise BadRequest(str(error)) from error
            elif method == "DELETE":
                faults.disarm_all(db)
        return 200, {}

    def _now_ms(self) -> int:
        """By the system's clock and the offset file that the demo moves: one big-endian i64, milliseconds."""
        offset_ms = 0
        if self._offset_file is not None and self._offset_file.exists():
            offset_ms = int.from_bytes(self._offset_file.read_bytes()[:8], "big", signed=True)
        return time.time_ns() // 1_000_000 + offset_ms


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadRequest("no JSON") from error
    if not isinstance(found, dict):
        raise BadRequest("no JSON object")
    return found


def handler_of(shipping: Shipping) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30  # seconds, for whoever opens a connection and says nothing

        def _serve(self) -> None:
            length = self.headers.get("Content-Length", "0")
            if not length.isdecimal() or int(length) > _BODY_BYTES_MAX:
                self.close_connection = True
                self._say(413, {"error": "the body is too large"})
                return
            try:
                status, found = shipping.answer(self.command, self.path, self.rfile.read(int(length)))
            except BadRequest as error:
                status, found = 400, {"error": str(error)}
            self._say(status, found)

        do_GET = do_PUT = do_POST = do_DELETE = _serve

        def _say(self, status: int, found: dict[str, Any]) -> None:
            body = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "local"  # A unix socket has no address to speak of.

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the shop logs what it asks."""

    return Handler


class UnixHTTPServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


def listen(address: str, shipping: Shipping) -> socketserver.BaseServer:
    """At `unix:PATH` or `HOST:PORT`.

    Raises: OSError: it cannot be listened on.
    """
    kind, _, rest = address.partition(":")
    if kind == "unix":
        Path(rest).unlink(missing_ok=True)
        return UnixHTTPServer(rest, handler_of(shipping))
    return ThreadingHTTPServer((kind, int(rest)), handler_of(shipping))
