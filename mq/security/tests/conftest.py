"""A broker with access control and its name server, and clients that come as somebody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mq.remoting.client import RemotingClient
from mq.remoting.signature import Credentials
from mq.standalone import Standalone
from mq.testing import standalone

ADMIN = Credentials("operator", "operator-secret-1")
ORDERS = Credentials("orders-service", "orders-secret-1")
PAYMENTS = Credentials("payments-service", "payments-secret-1")
SECRETS = [one.secret_key for one in (ADMIN, ORDERS, PAYMENTS)]
ACCOUNTS = f"""\
accounts:
- accessKey: {ADMIN.access_key}
  secretKey: {ADMIN.secret_key}
  admin: true
- accessKey: {ORDERS.access_key}
  secretKey: {ORDERS.secret_key}
  whiteRemoteAddress: 127.0.0.1
  topicPerms:
  - Orders=PUB|SUB
  - OrdersOut=PUB
  groupPerms:
  - orders=SUB
- accessKey: {PAYMENTS.access_key}
  secretKey: {PAYMENTS.secret_key}
  defaultTopicPerm: PUB|SUB
  topicPerms:
  - Orders=DENY
  - OrdersOut=SUB
  groupPerms:
  - payments=SUB
"""


@pytest.fixture
async def mq(tmp_path: Path) -> AsyncIterator[Standalone]:
    accounts = tmp_path / "plain_acl.yml"
    accounts.write_text(ACCOUNTS)
    accounts.chmod(0o600)
    async with standalone(tmp_path / "store", acl=True, acl_file=accounts) as running:
        yield running


@pytest.fixture
async def come_as() -> AsyncIterator[Callable[[Credentials | None], RemotingClient]]:
    clients: list[RemotingClient] = []

    def make(credentials: Credentials | None) -> RemotingClient:
        clients.append(RemotingClient(credentials=credentials))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()
