"""Each invariant holds in a consistent shop, and turns red, naming the culprit, when one row is wrong."""

from __future__ import annotations

import pytest
from django.db import connections

from config.environment import SERVICES
from verify.tests.world import PAYABLE_CENTS

NAMES = ("I1", "I3", "I4", "I5", "I6", "I9", "I10", "I13", "I14", "I15", "C10")

#: What is broken, in which database, by which statement, who must notice, and whom the report must name.
BREAKS = [
    ("a movement is lost", "inventory", "DELETE FROM inventory_stockmovement WHERE kind = 'SOLD'", "I1", "RETRO-CLOCK"),
    (
        "units appear",
        "inventory",
        "UPDATE inventory_stockrecord SET initial = initial + 1, available = available + 1",
        "I1",
        "RETRO-CLOCK",
    ),
    (
        "a unit is sold twice",
        "inventory",
        "UPDATE inventory_stockrecord SET sold = sold + 1, available = available - 1",
        "I3",
        "2 sold, 1 in paid orders",
    ),
    (
        "a paid order's stock is given back",
        "inventory",
        "UPDATE inventory_reservation SET state = 'RELEASED' WHERE order_no = 'ORDER-PAID'",
        "I5",
        "ORDER-PAID is PAID",
    ),
    (
        "a closed order keeps its stock",
        "inventory",
        "UPDATE inventory_reservation SET state = 'HELD' WHERE order_no = 'ORDER-CLOSED'",
        "I5",
        "ORDER-CLOSED is CLOSED",
    ),
    (
        "a paid order never had stock",
        "inventory",
        "DELETE FROM inventory_reservation WHERE order_no = 'ORDER-PAID'",
        "I5",
        "nothing was ever held",
    ),
    (
        "stock is held for nobody",
        "inventory",
        "UPDATE inventory_reservation SET order_no = 'NOBODY' WHERE order_no = 'ORDER-LATE'",
        "I5",
        "NOBODY: stock is claimed for an order that does not exist",
    ),
    (
        "an order is paid without money",
        "payments",
        "DELETE FROM payments_capture WHERE trade_no = 'T-ORDER-PAID'",
        "I4",
        "ORDER-PAID (PAID): captured 0",
    ),
    (
        "an order waits for a payment that nobody can make",
        "payments",
        "UPDATE payments_payment SET status = 'CLOSED' WHERE order_no = 'ORDER-PENDING_PAYMENT'",
        "I4",
        "ORDER-PENDING_PAYMENT is PENDING_PAYMENT, its payment is CLOSED",
    ),
    (
        "a late payment is kept",
        "payments",
        "UPDATE payments_refund SET status = 'FAILED' WHERE refund_no = 'R-ORDER-LATE'",
        "I4",
        f"ORDER-LATE (CLOSED): captured {PAYABLE_CENTS} - refunded 0",
    ),
    (
        "a cent is missing",
        "payments",
        "UPDATE payments_capture SET amount_cents = amount_cents - 1 WHERE trade_no = 'T-ORDER-PAID'",
        "I4",
        "ORDER-PAID",
    ),
    (
        "a refund is counted that the gateway never made",
        "orders",
        "UPDATE orders_order SET status = 'PAID', paid_at = now() WHERE order_no = 'ORDER-CLOSED'",
        "I4",
        "ORDER-CLOSED (PAID)",
    ),
    (
        "a case says that more went back than payments gave",
        "orders",
        "UPDATE orders_refundcase SET amount_cents = amount_cents - 1",
        "I4",
        "ORDER-REFUNDED (REFUNDED)",
    ),
    (
        "a unit is given back that is still sold",
        "inventory",
        "UPDATE inventory_reservation SET returned = 0, state = 'CONSUMED' WHERE order_no = 'ORDER-REFUNDED'",
        "I5",
        "ORDER-REFUNDED is REFUNDED",
    ),
    (
        "a refund failed for good",
        "orders",
        "UPDATE orders_refundcase SET status = 'FAILED'",
        "C10",
        "1 refund cases failed",
    ),
    (
        "a receipt was never confirmed",
        "orders",
        "UPDATE orders_order SET status = 'DELIVERED', receipt_due_at = '2020-01-01' WHERE order_no = 'ORDER-PAID'",
        "C10",
        "1 delivered and overdue",
    ),
    (
        "the pay log misses an order",
        "payments",
        "DELETE FROM payments_paylogentry WHERE order_no = 'ORDER-PAID'",
        "I9",
        "in the pay log None",
    ),
    (
        "a paid order is never sent",
        "fulfillment",
        "DELETE FROM fulfillment_shipmentline WHERE shipment_id = 'ORDER-PAID'",
        "I9",
        "ORDER-PAID is PAID with 1 units, but it has no shipment",
    ),
    (
        "something is sent that nobody paid",
        "fulfillment",
        "UPDATE fulfillment_shipment SET order_no = 'ORDER-CLOSED' WHERE order_no = 'ORDER-PAID'; "
        "UPDATE fulfillment_shipmentline SET shipment_id = 'ORDER-CLOSED' WHERE shipment_id = 'ORDER-PAID'",
        "I9",
        "ORDER-CLOSED: a shipment for an order that was not paid",
    ),
    (
        "a parcel is delivered of which its order knows nothing",
        "fulfillment",
        "UPDATE fulfillment_shipment SET status = 'DELIVERED' WHERE order_no = 'ORDER-PAID'",
        "I9",
        "its shipment of 1 is DELIVERED",
    ),
    (
        "a coupon is used by two orders",
        "orders",
        "UPDATE orders_order SET coupon_no = 'C-ORDER-PAID' WHERE order_no = 'ORDER-PENDING_PAYMENT'",
        "I6",
        "C-ORDER-PAID is used by 2 orders",
    ),
    (
        "a paid order's coupon is given back",
        "coupons",
        "UPDATE coupons_coupon SET status = 'ISSUED', order_no = '' WHERE coupon_no = 'C-ORDER-PAID'",
        "I6",
        "ORDER-PAID is PAID, so C-ORDER-PAID must be REDEEMED, but it is free",
    ),
    (
        "a closed order keeps its coupon",
        "coupons",
        "UPDATE coupons_coupon SET status = 'LOCKED', order_no = 'ORDER-CLOSED' WHERE coupon_no = 'C-ORDER-CLOSED'",
        "I6",
        "C-ORDER-CLOSED is LOCKED for ORDER-CLOSED, which does not have it",
    ),
    (
        "a coupon comes from nowhere",
        "coupons",
        'UPDATE coupons_coupontemplate SET "left" = "left" + 1',
        "I6",
        "were taken from the stock",
    ),
    (
        "a cent of the discount has no line",
        "orders",
        "UPDATE orders_orderline SET discount_cents = discount_cents - 1 WHERE order_id = 'ORDER-PAID'",
        "I13",
        "ORDER-PAID: 500 are off, but 499",
    ),
    (
        "an order costs another sum than its parts",
        "orders",
        "UPDATE orders_order SET freight_cents = freight_cents + 1 WHERE order_no = 'ORDER-PAID'",
        "I13",
        "ORDER-PAID",
    ),
    (
        "the lines take more of the balance than the order",
        "orders",
        "UPDATE orders_order SET balance_cents = balance_cents - 1 WHERE order_no = 'ORDER-PAID'",
        "I13",
        "ORDER-PAID: the balance pays",
    ),
    (
        "an entry of the balance has no other side",
        "accounts",
        "DELETE FROM accounts_balanceentry WHERE reference = 'ORDER-PAID' AND account = 'SHOP'",
        "I14",
        "1 movements are not two entries",
    ),
    (
        "a balance differs from its ledger",
        "accounts",
        "UPDATE accounts_balanceaccount SET available_cents = available_cents + 1",
        "I14",
        "by the ledger",
    ),
    (
        "a paid order's balance is given back",
        "accounts",
        "UPDATE accounts_balancehold SET state = 'RELEASED' WHERE order_no = 'ORDER-PAID'",
        "I15",
        "ORDER-PAID is PAID and takes 1000 of the balance",
    ),
    (
        "a closed order keeps its balance",
        "accounts",
        "UPDATE accounts_balancehold SET state = 'HELD' WHERE order_no = 'ORDER-CLOSED'",
        "I15",
        "ORDER-CLOSED is CLOSED",
    ),
    (
        "balance is held for nobody",
        "accounts",
        "UPDATE accounts_balancehold SET order_no = 'NOBODY' WHERE order_no = 'ORDER-CLOSED'",
        "I15",
        "NOBODY: balance is RELEASED for an order that wants none",
    ),
    (
        "points are granted twice",
        "accounts",
        "UPDATE accounts_pointsentry SET points = points * 2 WHERE order_no = 'ORDER-PAID'",
        "I9",
        "ORDER-PAID (PAID) is worth 49 points",
    ),
    (
        "points are not granted",
        "accounts",
        "DELETE FROM accounts_pointsentry WHERE order_no = 'ORDER-PAID'",
        "I9",
        "granted never",
    ),
    (
        "points are granted for nothing",
        "accounts",
        "UPDATE accounts_pointsentry SET order_no = 'ORDER-CLOSED' WHERE order_no = 'ORDER-PAID'",
        "I9",
        "ORDER-CLOSED: points for an order that was not paid",
    ),
    (
        "a refund leaves the points",
        "accounts",
        "DELETE FROM accounts_pointsentry WHERE kind = 'REVOKED'",
        "I9",
        "ORDER-REFUNDED",
    ),
    (
        "a balance differs from its entries",
        "accounts",
        "UPDATE accounts_pointsaccount SET balance = balance + 1",
        "I9",
        "1 balances differ",
    ),
    (
        "a version is missing",
        "orders",
        "DELETE FROM orders_orderevent WHERE order_id = 'ORDER-PAID' AND version = 2",
        "I10",
        "ORDER-PAID is at version 3, but has 2 events",
    ),
    (
        "an order moved without an event",
        "orders",
        "UPDATE orders_order SET version = 4 WHERE order_no = 'ORDER-PAID'",
        "I10",
        "ORDER-PAID is at version 4",
    ),
    (
        "the last event tells of another status",
        "orders",
        "UPDATE orders_orderevent SET status = 'CLOSED' WHERE order_id = 'ORDER-PAID' AND version = 3",
        "I10",
        "ORDER-PAID",
    ),
    (
        "an order is stuck",
        "orders",
        "UPDATE orders_order SET status = 'CLOSING' WHERE order_no = 'ORDER-PENDING_PAYMENT'",
        "C10",
        "1 closing",
    ),
    (
        "a timer never rang",
        "orders",
        "UPDATE orders_order SET expires_at = '2020-01-01' WHERE order_no = 'ORDER-PENDING_PAYMENT'",
        "C10",
        "1 unpaid and overdue",
    ),
    (
        "a refund was never executed",
        "payments",
        "UPDATE payments_refund SET status = 'PENDING' WHERE refund_no = 'R-ORDER-LATE'",
        "C10",
        "1 refunds pending",
    ),
]


@pytest.mark.django_db(databases=SERVICES)
@pytest.mark.usefixtures("shop")
class TestInvariant:
    @pytest.mark.parametrize("name", NAMES)
    def test_holds_in_a_consistent_shop(self, check, name):
        found = check(name)

        assert found.breaks == []
        assert found.break_count == 0

    @pytest.mark.parametrize(
        ("service", "statement", "name", "culprit"), [one[1:] for one in BREAKS], ids=[one[0] for one in BREAKS]
    )
    def test_is_seen_to_break_when(self, check, service, statement, name, culprit):
        with connections[service].cursor() as cursor:
            # The ledgers refuse changes; whoever damages them here is above their triggers.
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(statement)
            assert cursor.rowcount > 0

        found = check(name)

        assert found.break_count > 0
        assert any(culprit in line for line in found.breaks), found.breaks

    def test_counts_all_breaks_and_names_a_few(self, check):
        with connections["orders"].cursor() as cursor:
            cursor.execute("DELETE FROM orders_orderevent")
            cursor.execute(
                "INSERT INTO orders_order (order_no, buyer_id, status, version, total_cents, currency, reason, "
                "payment_no, placed_at) SELECT 'MANY-' || n, 1, 'CANCELED', 2, 1, 'CNY', '', '', now() "
                "FROM generate_series(1, 5000) n"
            )

        found = check("I10")

        assert found.break_count == 5006
        assert len(found.breaks) == 10
