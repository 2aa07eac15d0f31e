"""Accounts that change while a broker runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mq.client import Admin, ClientSettings
from mq.errors import ResponseError
from mq.remoting.client import RemotingClient
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.signature import Credentials
from mq.security import accounts_watch
from mq.security.accounts_file import open_accounts
from mq.security.accounts_watch import AccountsWatch
from mq.security.tests.conftest import ACCOUNTS, ADMIN, ORDERS, PAYMENTS
from mq.standalone import Standalone

SEND = {"a": "g", "b": "Orders", "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "1700000000000", "h": "0"}


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_watch, "INTERVAL_S", 0.02)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of the accounts of `mq`."""
    return tmp_path / "plain_acl.yml"


def rewrite(path: Path, text: str) -> None:
    """As a careful editor does it."""
    draft = path.with_name("draft")
    draft.write_text(text)
    draft.chmod(0o600)
    draft.replace(path)


async def send(client: RemotingClient, address: str) -> int:
    response = await client.invoke(address, RemotingCommand.request(RequestCode.SEND_MESSAGE_V2, SEND, b"hello"))
    return response.code


async def eventually(code: int, client: RemotingClient, address: str) -> None:
    async with asyncio.timeout(10):
        while await send(client, address) != code:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)


class TestARunningBroker:
    async def test_lets_in_and_shuts_out_whom_the_file_says_also_on_open_connections(
        self, mq: Standalone, path: Path, come_as: Callable[[Credentials | None], RemotingClient]
    ):
        address = mq.broker.address
        before, after = come_as(ORDERS), come_as(Credentials(ORDERS.access_key, "orders-secret-2"))
        assert (await send(before, address), await send(after, address)) == (0, 16)

        rewrite(path, ACCOUNTS.replace("orders-secret-1", "orders-secret-2"))

        await eventually(16, before, address)
        assert await send(after, address) == 0

    async def test_takes_a_right_back(
        self, mq: Standalone, path: Path, come_as: Callable[[Credentials | None], RemotingClient]
    ):
        client = come_as(ORDERS)
        await eventually(0, client, mq.broker.address)

        rewrite(path, ACCOUNTS.replace("Orders=PUB|SUB", "Orders=SUB"))

        await eventually(16, client, mq.broker.address)

    async def test_signs_its_own_registration_as_the_administrator_of_now(self, mq: Standalone, path: Path):
        """`NameServers.sign_anew` sees to it: the name server would not know the new topic."""
        rewrite(path, ACCOUNTS.replace(ADMIN.secret_key, "operator-secret-2"))
        settings = ClientSettings(credentials=Credentials(ADMIN.access_key, "operator-secret-2"))
        async with Admin(namesrv=mq.namesrv, settings=settings) as admin, asyncio.timeout(10):
            while True:
                try:
                    await admin.create_topic("NewTopic", queue_count=1)
                    break
                except ResponseError:  # of the old accounts
                    await asyncio.sleep(0.01)
            route = await admin.name_servers.route("NewTopic")

        assert route is not None
        assert [broker.broker_name for broker in route.broker_datas] == ["broker-a"]


class TestAFile:
    @pytest.fixture
    def watch(self, path: Path) -> AccountsWatch:
        rewrite(path, ACCOUNTS)
        self.accounts = open_accounts(path)
        return AccountsWatch(path, self.accounts)

    def keys(self) -> set[str]:
        return {account.access_key for account in self.accounts}

    def test_is_read_when_it_stands_still(self, watch: AccountsWatch, path: Path):
        rewrite(path, "accounts:\n- accessKey: newcomer\n  secretKey: something long\n")
        watch.look()
        assert self.keys() == {ADMIN.access_key, ORDERS.access_key, PAYMENTS.access_key}

        watch.look()

        assert self.keys() == {"newcomer"}

    def test_is_read_when_it_changed_within_a_tick_of_the_clock(self, watch: AccountsWatch, path: Path):
        status = path.stat()
        rewrite(path, ACCOUNTS.replace("orders-service", "orderz-service"))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

        watch.look()
        watch.look()

        assert "orderz-service" in self.keys()

    @pytest.mark.parametrize("text", ["accounts:\n- accessKey: x\n", "", "accounts: []"])
    def test_that_makes_no_sense_changes_nothing_and_is_reported_once(
        self, watch: AccountsWatch, path: Path, caplog: pytest.LogCaptureFixture, text: str
    ):
        rewrite(path, text)
        for _ in range(5):
            watch.look()

        assert len(self.keys()) == 3
        assert caplog.text.count("the accounts stay as they were") == 1

    def test_that_is_gone_changes_nothing_and_is_not_made_anew(self, watch: AccountsWatch, path: Path):
        path.unlink()
        for _ in range(3):
            watch.look()

        assert len(self.keys()) == 3
        assert not path.exists()
