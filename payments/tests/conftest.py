"""A real payment company for the session; its address, and fresh keys of the shop, in the settings of every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test.testcases import LiveServerThread
from pytest_django import Settings

from payments.gateway import keys
from payments.tests.kit import Gateway, PaymentQueue
from payments.tests.pens import Pens
from payments.tests.wechat import WechatPen
from paysim.testing import PaysimProcess


@pytest.fixture(scope="session")
def paysim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaysimProcess]:
    with PaysimProcess(tmp_path_factory.mktemp("paysim")) as process:
        yield process


@pytest.fixture(autouse=True)
def _at_the_gateway(settings: Settings, paysim: PaysimProcess) -> None:
    settings.PAYSIM_URL = paysim.url
    settings.PAYMENT_KEYS = paysim.keys
    settings.PAYMENT_PRIVATE_KEY = paysim.data.parent / "shop-private.pem"
    keys.own()


@pytest.fixture
def gateway(paysim: PaysimProcess) -> Gateway:
    return Gateway(paysim)


@pytest.fixture
def web_url() -> Iterator[str]:
    """The shop behind a real port, for callbacks that come over the wire; no static files, so no handler for them."""
    server = LiveServerThread("127.0.0.1", lambda app: app)  # type: ignore[arg-type]  # anything that wraps an app
    server.start()
    server.is_ready.wait()
    yield f"http://127.0.0.1:{server.port}"
    server.terminate()


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> PaymentQueue:
    recorded = PaymentQueue()
    monkeypatch.setattr("messaging.transactions._sender", lambda service: recorded)
    return recorded


@pytest.fixture
def wechat(paysim: PaysimProcess) -> WechatPen:
    return WechatPen(paysim)


@pytest.fixture
def pens(gateway: Gateway, wechat: WechatPen) -> Pens:
    return Pens(gateway, wechat)
