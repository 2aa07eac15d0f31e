"""The other side in these tests: a merchant with a key, a place for callbacks, and the habit of checking signatures."""

from __future__ import annotations

import base64
import json
import queue
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from paysim import clock, money
from paysim.alipay import signing
from paysim.testing import PaysimProcess

APP_ID = "2021000000000042"


class Merchant:
    """Register before use: its public key lies in the keys folder."""

    def __init__(self, paysim: PaysimProcess, *, app_id: str = APP_ID, offset_file: Path | None = None) -> None:
        self.paysim = paysim
        self.app_id = app_id
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.clock = clock.Clock(offset_file)
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        paysim.keys.mkdir(parents=True, exist_ok=True)
        (paysim.keys / f"{app_id}.pem").write_bytes(public)

    @property
    def gateway_key(self) -> rsa.RSAPublicKey:
        key = serialization.load_pem_public_key((self.paysim.keys / "paysim.pem").read_bytes())
        assert isinstance(key, rsa.RSAPublicKey)
        return key

    def cashier_fields(self, order_no: str, cents: int, *, notify_url: str, expires_in: timedelta | None = None):
        content = {"out_trade_no": order_no, "total_amount": money.to_text(cents), "subject": "Retro clock"}
        if expires_in is not None:
            content["time_expire"] = clock.to_text(self.clock.now_ms() + int(expires_in.total_seconds() * 1000))
        fields = {
            "app_id": self.app_id,
            "method": "alipay.trade.page.pay",
            "timestamp": clock.to_text(self.clock.now_ms()),
            "notify_url": notify_url,
            "return_url": "http://127.0.0.1/orders/1",
            "biz_content": json.dumps(content),
        }
        return signing.sign_fields(self.key, fields)

    def cashier_url(self, order_no: str, cents: int, *, notify_url: str, expires_in: timedelta | None = None) -> str:
        fields = self.cashier_fields(order_no, cents, notify_url=notify_url, expires_in=expires_in)
        return f"/cashier?{urlencode(fields)}"

    def gateway_fields(self, method: str, content: dict[str, str], *, age: timedelta = timedelta()) -> dict[str, str]:
        timestamp = clock.to_text(self.clock.now_ms() - int(age.total_seconds() * 1000))
        fields = {"app_id": self.app_id, "method": method, "timestamp": timestamp, "biz_content": json.dumps(content)}
        return signing.sign_fields(self.key, fields)

    def call(self, method: str, **content: str) -> dict[str, object]:
        """The inner object of the gateway's answer, its signature checked."""
        return self.post(self.gateway_fields(method, content))

    def post(self, fields: dict[str, str]) -> dict[str, object]:
        response = self.paysim.http.post("/gateway.do", data=fields)
        assert response.status_code == 200, response.text
        name = next(iter(response.json()))
        raw = response.content[len(f'{{"{name}":') : response.content.rindex(b',"sign":')]
        signature = base64.b64decode(response.json()["sign"])
        self.gateway_key.verify(signature, raw, padding.PKCS1v15(), hashes.SHA256())
        node: dict[str, object] = json.loads(raw)
        return node


class Mailbox:
    """Where callbacks arrive; `answers` and `statuses` are given in their order, then 200 and `success` for ever."""

    def __init__(self) -> None:
        self.arrived: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        self.answers: queue.Queue[str] = queue.Queue()
        self.statuses: queue.Queue[int] = queue.Queue()
        box = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                try:
                    answer = box.answers.get_nowait()
                except queue.Empty:
                    answer = "success"
                try:
                    self.send_response(box.statuses.get_nowait())
                except queue.Empty:
                    self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer.encode())
                box.arrived.put((headers, body))

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/callback"

    def next(self, *, within_s: float = 5) -> dict[str, str]:
        """The form that arrived next."""
        return dict(parse_qsl(self.next_post(within_s=within_s)[1].decode(), strict_parsing=True))

    def next_post(self, *, within_s: float = 5) -> tuple[dict[str, str], bytes]:
        """Headers, their names in lower case, and body."""
        return self.arrived.get(timeout=within_s)

    def is_silent(self, *, for_s: float = 0.45) -> bool:
        """Two looks of the notifier at its book brought nothing."""
        try:
            self.arrived.get(timeout=for_s)
        except queue.Empty:
            return True
        return False

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
