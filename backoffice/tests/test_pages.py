"""What staff sees and does by hand: by role, through the services' own functions, and with a name in the log."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from backoffice import roles
from backoffice.site import site
from backoffice.tests.conftest import Login
from config.environment import SERVICES
from inventory.models import Sku
from inventory.services import catalog
from messaging.models import InboxMessage, OperatorAction, ParkedMessage
from messaging.testing import RecordedQueue
from orders.models import OrderLine, RefundCase, RefundCaseLine
from orders.tests import book

pytestmark = pytest.mark.django_db(databases=list(SERVICES))

TABLES = [f"/admin/{model._meta.app_label}/{model._meta.model_name}/" for model in site._registry]


@pytest.fixture
def case() -> RefundCase:
    order = book.order("M1")
    OrderLine.objects.filter(order=order).update(claimed_quantity=1, claimed_cents=1250)
    case = RefundCase.objects.create(
        refund_no="R1",
        order=order,
        status=RefundCase.Status.AWAITING_APPROVAL,
        amount_cents=1250,
        requested_at=book.NOON,
    )
    RefundCaseLine.objects.create(case=case, sku="TEAPOT", quantity=1, amount_cents=1250)
    return case


def parked_message() -> None:
    ParkedMessage.objects.using("orders").create(
        group="orders-payment-events",
        key="PaymentSucceeded:M1",
        sharding_key="M1",
        topic="payment-events",
        tag="PaymentSucceeded",
        message_id="7F",
        body=b"{}",
        reason="ValueError: no amount",
    )


def act(client: Client, action: str, case: RefundCase, **more: str) -> Any:
    data = {"action": action, "_selected_action": case.refund_no, **more}
    return client.post("/admin/orders/refundcase/", data, follow=True)


class TestWhoMaySee:
    @pytest.mark.parametrize("table", [*TABLES, "/admin/parked/"])
    def test_a_table_needs_a_login_and_the_permission(self, login: Login, table: str) -> None:
        assert Client().get(table).headers["Location"].startswith("/admin/login/")
        assert login().get(table).status_code == 403

    @pytest.mark.parametrize("role", roles.ROLES)
    def test_a_role_opens_its_own_tables_and_no_other(self, login: Login, role: str) -> None:
        allowed = {name.split(".")[0] + "/" + name.split("_", 1)[1] for name in roles.ROLES[role]}
        client = login(role)

        for table in TABLES:
            label = table.removeprefix("/admin/").strip("/")
            assert client.get(table).status_code == (200 if label in allowed else 403), table

    def test_a_buyers_token_is_nobody_here(self) -> None:
        response = Client().get("/admin/", headers={"Authorization": "Bearer anything"})

        assert response.headers["Location"].startswith("/admin/login/")

    def test_nothing_is_added_or_deleted_by_hand(self, login: Login, case: RefundCase) -> None:
        client = login("support", "catalog", "finance")

        assert client.get("/admin/orders/order/add/").status_code == 403
        assert client.post("/admin/orders/order/M1/delete/", {"post": "yes"}).status_code == 403
        assert client.post("/admin/orders/order/M1/change/", {"status": "PAID"}).status_code == 403
        assert client.get("/admin/orders/order/M1/change/").status_code == 200


class TestAReturn:
    def test_that_staff_agrees_to_is_told_to_fulfillment(
        self, login: Login, case: RefundCase, queue: RecordedQueue
    ) -> None:
        act(login("support"), "agree", case)

        case.refresh_from_db()
        assert (case.status, case.decided_by) == (RefundCase.Status.AWAITING_RETURN, "support")
        assert [message.tag for message in queue.shown()] == ["ExpectReturn"]
        assert LogEntry.objects.get().change_message == "agreed"

    def test_is_not_refused_without_a_reason(self, login: Login, case: RefundCase) -> None:
        client = login("support")

        page = act(client, "say_no", case)
        case.refresh_from_db()
        assert "write a reason" in page.content.decode()
        assert case.status == RefundCase.Status.AWAITING_APPROVAL

        act(client, "say_no", case, why="opened")
        case.refresh_from_db()
        assert (case.status, case.decision) == (RefundCase.Status.REJECTED, "opened")

    def test_is_not_decided_by_who_may_only_look(self, login: Login, case: RefundCase, queue: RecordedQueue) -> None:
        act(login("finance"), "agree", case)

        case.refresh_from_db()
        assert case.status == RefundCase.Status.AWAITING_APPROVAL
        assert queue.shown() == []


class TestAnArticle:
    def test_is_changed_as_everybody_changes_it(self, login: Login, queue: RecordedQueue) -> None:
        catalog.put_sku(sku="TEAPOT", title="Teapot", price_cents=1250, on_sale=True, initial=5, now=book.NOON)
        facts = {"title": "Teapot", "price_cents": "1400", "on_sale": "on", "weight_grams": "0", "category": ""}
        management = {f"stock-{name}_FORMS": "0" for name in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")}

        login("catalog").post("/admin/inventory/sku/TEAPOT/change/", facts | management)

        known = Sku.objects.get(sku="TEAPOT")
        assert (known.price_cents, known.version) == (1400, 2)
        assert [message.tag for message in queue.shown()] == ["SkuChanged", "SkuChanged"]


class TestParked:
    def test_messages_of_every_service_are_shown(self, login: Login) -> None:
        parked_message()

        assert "PaymentSucceeded:M1" in login("operator").get("/admin/parked/").content.decode()

    def test_one_is_given_up_by_who_may_and_with_a_name(self, login: Login) -> None:
        parked_message()
        place = {"service": "orders", "group": "orders-payment-events", "sharding_key": "M1", "action": "discard"}

        assert login("support").post("/admin/parked/", place).status_code == 403
        assert ParkedMessage.objects.using("orders").exists()

        login("operator").post("/admin/parked/", place)
        assert not ParkedMessage.objects.using("orders").exists()
        deed = OperatorAction.objects.using("orders").get()
        assert (deed.by, deed.action, bytes(deed.body or b"")) == ("operator", "DISCARD", b"{}")
        entry = LogEntry.objects.get()
        assert (entry.user.get_username(), entry.change_message) == ("operator", "given up")
        assert not InboxMessage.objects.using("orders").exists()
