"""Addresses over HTTP: one's own, one default among them, added once per key."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from django.test import Client

from accounts.models import Address, AddressAnswer, User
from accounts.services import addresses
from accounts.tests.purse import NOON
from common import tokens
from common.testing import race

HOME = {
    "recipient": "Alice Liu 刘",
    "phone": "+86 138 0000 0000",
    "region": "CN-SH",
    "city": "Shanghai",
    "street": "1 Nanjing Road",
}
WORK = {**HOME, "street": "99 Century Avenue"}


class Buyer:
    def __init__(self, name: str) -> None:
        self.buyer_id = User.objects.create(username=name).pk
        self._client = Client(headers={"Authorization": f"Bearer {tokens.issue(self.buyer_id)}"})

    def call(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> tuple[int, Any]:
        headers = {} if key is None else {"Idempotency-Key": key}
        response = getattr(self._client, method)(
            path, json.dumps(body) if body is not None else "", content_type="application/json", headers=headers
        )
        return response.status_code, response.json() if response.content else None

    def add(self, body: Any = HOME, *, key: str = "address-1") -> str:
        status, added = self.call("post", "/api/addresses", body, key=key)
        assert status == 201, added
        address_no: str = added["address_no"]
        return address_no

    def mine(self) -> list[dict[str, Any]]:
        client_addresses: list[dict[str, Any]] = self._client.get("/api/addresses").json()["addresses"]
        return client_addresses


@pytest.fixture
def alice(db: None) -> Buyer:
    return Buyer("alice")


@pytest.mark.django_db(databases=["accounts"])
class TestAddresses:
    def test_are_listed_with_the_default_first(self, alice: Buyer):
        home, work = alice.add(key="address-1"), alice.add(WORK, key="address-2")

        assert [(one["address_no"], one["is_default"]) for one in alice.mine()] == [(home, True), (work, False)]

    def test_have_one_default(self, alice: Buyer):
        home, work = alice.add(key="address-1"), alice.add({**WORK, "is_default": True}, key="address-2")
        assert [one["address_no"] for one in alice.mine() if one["is_default"]] == [work]

        status, changed = alice.call("put", f"/api/addresses/{home}", {**HOME, "is_default": True})

        assert (status, changed["is_default"]) == (200, True)
        assert [one["address_no"] for one in alice.mine() if one["is_default"]] == [home]

    def test_pass_the_default_on_when_it_is_removed(self, alice: Buyer):
        home, work = alice.add(key="address-1"), alice.add(WORK, key="address-2")

        assert alice.call("delete", f"/api/addresses/{home}") == (200, {"addresses": alice.mine()})

        assert [(one["address_no"], one["is_default"]) for one in alice.mine()] == [(work, True)]

    def test_are_added_once_per_key(self, alice: Buyer):
        assert alice.add() == alice.add()

        status, refusal = alice.call("post", "/api/addresses", WORK, key="address-1")

        assert (status, refusal["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
        assert Address.objects.count() == 1

    def test_are_limited_in_number(self, alice: Buyer):
        for number in range(addresses.ADDRESS_COUNT_MAX):
            alice.add(key=f"address-{number}")

        status, refusal = alice.call("post", "/api/addresses", HOME, key="one-too-many")

        assert (status, refusal["code"]) == (409, "TOO_MANY_ADDRESSES")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("region", "CN-XX"),
            ("region", "US-CA"),
            ("phone", "call me"),
            ("recipient", ""),
            ("recipient", "x" * 65),
            ("street", "a\u0000b"),
            ("city", "  "),
            ("is_default", "yes"),
            ("buyer_id", 7),
        ],
    )
    def test_refuse_what_is_none_and_name_the_field(self, alice: Buyer, field: str, value: Any):
        status, refusal = alice.call("post", "/api/addresses", {**HOME, field: value}, key="address-1")

        assert (status, refusal["details"]["field"]) == (422, field)
        assert not AddressAnswer.objects.exists()


@pytest.mark.django_db(databases=["accounts"])
class TestOtherBuyers:
    def test_see_404_where_there_is_an_address(self, alice: Buyer):
        """Protects `filter(buyer_id=buyer_id)` in addresses.py."""
        home, bob = alice.add(), Buyer("bob")

        for status, refusal in (
            bob.call("put", f"/api/addresses/{home}", WORK),
            bob.call("delete", f"/api/addresses/{home}"),
            bob.call("delete", "/api/addresses/nothing"),
        ):
            assert (status, refusal["code"]) == (404, "NOT_FOUND")
        assert bob.mine() == []
        assert [one["street"] for one in alice.mine()] == [HOME["street"]]

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("get", "/api/addresses"),
            ("post", "/api/addresses"),
            ("put", "/api/addresses/A1"),
            ("delete", "/api/addresses/A1"),
            ("get", "/api/me/balance"),
        ],
    )
    def test_without_a_token_see_401(self, method: str, path: str):
        response = getattr(Client(), method)(path, content_type="application/json")

        assert (response.status_code, response.json()["code"]) == (401, "NOT_AUTHENTICATED")


@pytest.mark.django_db(databases=["accounts"], transaction=True)
class TestRaces:
    def test_twins_add_one_and_rivals_for_the_default_leave_one(self):
        """Protects the lock on the buyer in `_locked`, and the unique keys below it."""
        buyer_id = User.objects.create(username="alice").pk
        details = {**HOME, "is_default": True}

        for number in range(4):
            add = partial(addresses.add_address, buyer_id=buyer_id, details=details, now=NOON)
            answers = race([partial(add, key=f"twins-{number}")] * 3 + [partial(add, key=f"rival-{number}")])
            assert not any(isinstance(answer, Exception) for answer in answers), answers
            assert answers[0] == answers[1] == answers[2] != answers[3]

        assert Address.objects.count() == 8
        assert Address.objects.filter(is_default=True).count() == 1
