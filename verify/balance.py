"""Balance: the ledger adds up, and what is held, captured and given back follows the orders (I14, I15)."""

from __future__ import annotations

from verify import books
from verify.finding import Check, Comparison

_MOVEMENTS = """
    SELECT count(*) FROM (
        SELECT 1 FROM accounts_balanceentry GROUP BY reference, kind HAVING sum(cents) <> 0 OR count(*) <> 2) wrong"""
_ACCOUNTS = """
    SELECT buyer_id::text, available_cents, held_cents FROM accounts_balanceaccount
    ORDER BY buyer_id::text COLLATE "C" """
_LEDGER = """
    SELECT buyer_id::text, coalesce(sum(cents) FILTER (WHERE account = 'AVAILABLE'), 0)::bigint,
        coalesce(sum(cents) FILTER (WHERE account = 'HELD'), 0)::bigint
    FROM accounts_balanceentry GROUP BY buyer_id ORDER BY buyer_id::text COLLATE "C" """
_ORDERS = """
    SELECT order_no, status, buyer_id, balance_cents, (
        SELECT coalesce(sum(refund.balance_cents), 0)::bigint FROM orders_refundcase refund
        WHERE refund.order_id = order_no AND refund.status = 'SUCCEEDED')
    FROM orders_order WHERE balance_cents > 0 ORDER BY order_no COLLATE "C" """
_HOLDS = """
    SELECT order_no, state, buyer_id, cents, returned_cents FROM accounts_balancehold ORDER BY order_no COLLATE "C" """
_STATE_OF = {"PENDING_PAYMENT": "HELD", "CLOSING": "HELD", "CLOSED": "RELEASED"}


def _ledger_adds_up() -> Comparison:
    found = Comparison({"accounts": 0, "cents available": 0, "held": 0})
    wrong_count = books.value("accounts", _MOVEMENTS)
    found.require(wrong_count == 0, f"{wrong_count} movements are not two entries that add up to nothing")
    for account, ledger in books.side_by_side(books.stream("accounts", _ACCOUNTS), books.stream("accounts", _LEDGER)):
        buyer_id, available, held = account or (*(ledger or ("",))[:1], 0, 0)
        for name, number in zip(found.numbers, (1, available, held), strict=True):
            found.count(name, number)
        found.require(min(available, held) >= 0, f"buyer {buyer_id}: {available} available, {held} held")
        entered = ledger[1:] if ledger else (0, 0)
        found.require(
            entered == (available, held),
            f"buyer {buyer_id}: {available} available and {held} held, by the ledger {entered[0]} and {entered[1]}",
        )
    return found


def _holds_follow_orders() -> Comparison:
    found = Comparison({"orders with balance": 0, "holds": 0, "cents captured": 0, "given back": 0})
    for order, hold in books.side_by_side(books.stream("orders", _ORDERS), books.stream("accounts", _HOLDS)):
        if order is None:
            assert hold is not None
            found.require(False, f"{hold[0]}: balance is {hold[1]} for an order that wants none")
            continue
        order_no, status, buyer_id, cents, returned_cents = order
        found.count("orders with balance")
        if hold is not None:
            found.count("holds")
            found.count("cents captured", hold[3] if hold[1] == "CAPTURED" else 0)
            found.count("given back", hold[4])
        if status in ("PLACED", "CANCELED"):  # the one is on its way, the other may have held balance for a moment
            is_free = hold is None or status == "PLACED" or hold[1] == "RELEASED"
            found.require(is_free, f"{order_no} is {status}, yet its balance is {hold and hold[1]}")
            continue
        expected = (_STATE_OF.get(status, "CAPTURED"), buyer_id, cents, returned_cents)
        found.require(
            hold is not None and hold[1:] == expected,
            f"{order_no} is {status} and takes {cents} of the balance, of which {returned_cents} went back, but "
            + (f"{hold[3]} are {hold[1]}, of which {hold[4]} went back" if hold else "nothing was ever held"),
        )
    return found


CHECKS = (
    Check("I14", "balances are what their entries add up to, by double entry, and never negative", _ledger_adds_up),
    Check("I15", "balance is held, captured and given back as its order ends", _holds_follow_orders),
)
