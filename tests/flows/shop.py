"""A whole shop for tests: real broker, real databases, real third party, real HTTP, and a clock that tests move.

The broker and the consumers of all services run in this process on an event loop of their own; the web server and the
payment company answer on free ports. Tests play the buyers, with as many threads as they like.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import secrets
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import close_old_connections
from django.test.testcases import LiveServerThread

from accounts.services import addresses, balance, registering
from common import tokens
from common.clock import now
from config.environment import SERVICES
from coupons.services import templates
from fulfillment.partners import client as partners
from inventory.services import catalog
from messaging import topics, transactions, weak
from messaging.registry import registry
from messaging.worker import Worker
from mq.client import Client, ClientSettings
from mq.client.sync import SyncTransactionProducer
from mq.clock import OffsetFileClock, move_offset_file
from mq.testing import standalone
from orders.models import CatalogItem, Order
from payments.gateway import transport as gateway
from paysim.testing import PaysimProcess
from verify import runner
from verify.finding import Status as Verdict

PATIENCE_S = 25.0
_LOOK_EVERY_S = 0.01
#: Offsets are saved often, so that the checker soon sees that nothing is behind.
_CLIENT_SETTINGS = ClientSettings(offset_persist_s=0.2, rebalance_retry_s=0.2)


HOME = {
    "recipient": "Alice Liu",
    "phone": "+86 138 0000 0000",
    "region": "CN-SH",
    "city": "Shanghai",
    "street": "1 Nanjing Road",
    "is_default": True,
}


class Buyer:
    """One buyer at the shop's front door."""

    def __init__(self, name: str, url: str) -> None:
        self.buyer_id = registering.put_buyer(username=name, password=secrets.token_urlsafe(8))
        headers = {"Authorization": f"Bearer {tokens.issue(self.buyer_id)}"}
        self.http = httpx.Client(base_url=f"{url}/api", headers=headers, timeout=20, trust_env=False)
        addresses.add_address(buyer_id=self.buyer_id, details=HOME, key=secrets.token_hex(8), now=now())

    def place(self, **quantities: int) -> str:
        return self.place_with({}, **quantities)

    def place_with(self, choices: dict[str, Any], **quantities: int) -> str:
        """Place an order with a coupon, a balance or whatever else the checkout takes."""
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in quantities.items()]
        answer = self.http.post(
            "/orders", json={"lines": lines, **choices}, headers={"Idempotency-Key": secrets.token_hex(8)}
        )
        assert answer.status_code == 202, answer.text
        order_no: str = answer.json()["order_no"]
        return order_no

    def order(self, order_no: str) -> dict[str, Any]:
        return self._get(f"/orders/{order_no}")

    def cancel(self, order_no: str) -> httpx.Response:
        return self.http.post(f"/orders/{order_no}/cancel")

    def receive(self, order_no: str) -> httpx.Response:
        return self.http.post(f"/orders/{order_no}/receipt")

    def ask_back(self, order_no: str, **quantities: int) -> str:
        """Some units, or all that is left; the refund's number."""
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in quantities.items()]
        headers = {"Idempotency-Key": secrets.token_hex(8)}
        body = {"lines": lines} if lines else {}
        answer = self.http.post(f"/orders/{order_no}/refunds", json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        refund_no: str = answer.json()["refund_no"]
        return refund_no

    def refund(self, order_no: str, refund_no: str) -> dict[str, Any]:
        [found] = [one for one in self._get_list(f"/orders/{order_no}/refunds") if one["refund_no"] == refund_no]
        return found

    def payment(self, order_no: str) -> dict[str, Any]:
        return self._get(f"/payments/{order_no}")

    def points(self) -> int:
        return int(self._get("/me")["points"])

    def balance(self) -> tuple[int, int]:
        """Available, held."""
        me = self._get("/me")
        return me["balance_cents"], me["held_cents"]

    def credit(self, cents: int) -> None:
        balance.credit(reference=secrets.token_hex(8), buyer_id=self.buyer_id, cents=cents, now=now())

    def grab(self, template_no: str) -> str:
        headers = {"Idempotency-Key": secrets.token_hex(8)}
        grabbed = self.http.post(f"/coupons/templates/{template_no}/grab", headers=headers).raise_for_status()
        return str(grabbed.json()["coupon_no"])

    def coupon(self, coupon_no: str) -> dict[str, Any]:
        [found] = [one for one in self._get("/coupons")["coupons"] if one["coupon_no"] == coupon_no]
        return dict(found)

    def cashier_url(self, order_no: str) -> str:
        """Asked once: an order that waits to be paid can be paid."""
        return str(self.http.post(f"/payments/{order_no}").raise_for_status().json()["cashier_url"])

    def _get_list(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get(path).raise_for_status().json()
        return found

    def _get(self, path: str) -> dict[str, Any]:
        body: dict[str, Any] = self.http.get(path).raise_for_status().json()
        return body


class Shop:
    def __init__(self, *, url: str, clock_file: Path, paysim: PaysimProcess) -> None:
        self.url = url
        self.paysim = paysim
        self._clock_file = clock_file
        self._buyers: list[Buyer] = []

    def buyer(self, name: str) -> Buyer:
        self._buyers.append(Buyer(name, self.url))
        return self._buyers[-1]

    def put(self, **units: int) -> None:
        """`put(TEAPOT=3)`: three teapots at 12.50 on the shelf, and known to orders."""
        for sku, initial in units.items():
            catalog.put_sku(sku=sku, title=sku.title(), price_cents=1250, on_sale=True, initial=initial, now=now())
        until(lambda: CatalogItem.objects.filter(sku__in=units).count() == len(units))

    def offer(self, template_no: str, **rule: Any) -> None:
        """Coupons to grab; `rule` is what they take off."""
        templates.put_template(
            template_no=template_no,
            title=template_no,
            stock=1000,
            per_buyer_limit=100,
            grab_from=now(),
            grab_until=now() + timedelta(days=1),
            valid_for=timedelta(days=7),
            **rule,
        )

    def wait(self, order_no: str, *statuses: str) -> str:
        """Wait until its buyer sees the order in one of these; which one."""
        until(lambda: _status(order_no) in statuses, lambda: f"order {order_no} is {_status(order_no)}")
        return _status(order_no)

    def pay(self, cashier_url: str) -> None:
        visit = self.paysim.visit(cashier_url)
        self.paysim.press(visit["token"]).raise_for_status()

    def now(self) -> datetime:
        return now()

    def travel(self, time: timedelta) -> None:
        move_offset_file(self._clock_file, round(time.total_seconds() * 1000))

    def verify(self) -> None:
        """Let everything arrive; then all invariants hold."""
        runner.drain(PATIENCE_S)
        broken = [finding for finding in runner.run() if finding.status is not Verdict.HOLDS]
        assert not broken, "\n".join(f"{one.name} {one.status}: {one.breaks}" for one in broken)

    def close(self) -> None:
        for buyer in self._buyers:
            buyer.http.close()


def until(is_so: Callable[[], Any], complaint: Callable[[], str] = lambda: "it never became so") -> Any:
    """Look again and again until it is so; what was seen then."""
    pause = threading.Event()
    for _ in range(round(PATIENCE_S / _LOOK_EVERY_S)):
        if seen := is_so():
            return seen
        pause.wait(_LOOK_EVERY_S)
    raise AssertionError(complaint())


def _status(order_no: str) -> str:
    return Order.objects.get(order_no=order_no).shown_status


@contextmanager
def running_shop(
    root: Path, paysim: PaysimProcess, clock_file: Path, settings: Any, patch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    with _event_loop() as call, contextlib.ExitStack() as stack:
        for third_party in (gateway, partners, weak):  # An earlier test's connections go to others.
            third_party.close_connections()
            stack.callback(third_party.close_connections)
        broker = AsyncExitStack()
        settings.MQ_NAMESRV_ADDR = call(_start_broker(broker, root / "mq", clock_file))
        stack.callback(lambda: call(broker.aclose()))
        stack.enter_context(_senders(settings.MQ_NAMESRV_ADDR, patch))
        workers = call(_start_workers(settings.MQ_NAMESRV_ADDR))
        stack.callback(lambda: call(_stop_workers(workers)))
        settings.WEB_URL = stack.enter_context(_web_server())
        shop = Shop(url=settings.WEB_URL, clock_file=clock_file, paysim=paysim)
        stack.callback(shop.close)
        yield shop


@contextmanager
def _event_loop() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="broker and consumers")
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _start_broker(stack: AsyncExitStack, root: Path, clock_file: Path) -> str:
    broker = standalone(
        root, clock=OffsetFileClock(clock_file), transaction_timeout_ms=500, transaction_check_interval_ms=500
    )
    running = await stack.enter_async_context(broker)
    await topics.create(topics.of_services(SERVICES), namesrv=running.namesrv)
    return running.namesrv


async def _start_workers(namesrv: str) -> list[Worker]:
    for service in SERVICES:
        importlib.import_module(f"{service}.consumers")
    client = Client(namesrv, settings=_CLIENT_SETTINGS)
    workers = [Worker(service, registry=registry, client=client) for service in SERVICES]
    for worker in workers:
        await worker.start()
    return workers


async def _stop_workers(workers: list[Worker]) -> None:
    await asyncio.gather(*(worker.stop() for worker in workers))


@contextmanager
def _senders(namesrv: str, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Producers for this broker; those of the process would remember the address of the first one."""
    senders = {
        service: SyncTransactionProducer(
            transactions.producer_group(service),
            check=partial(transactions.check_back, using=service),
            namesrv=namesrv,
        )
        for service in SERVICES
    }
    patch.setattr(transactions, "_sender", senders.__getitem__)
    yield
    for sender in senders.values():
        sender.stop()


@contextmanager
def _web_server() -> Iterator[str]:
    server = LiveServerThread("127.0.0.1", lambda app: app)  # type: ignore[arg-type]  # no static files to serve
    server.start()
    server.is_ready.wait()
    yield f"http://127.0.0.1:{server.port}"
    server.terminate()
    close_old_connections()
