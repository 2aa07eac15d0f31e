-- What is held for these orders moves on: holds, accounts and both sides of the ledger in one statement.
-- Only holds in state HELD move, so the same order again moves nothing. Holds are locked in the order of orders,
-- accounts in the order of buyers, so that batches queue up instead of deadlocking.
WITH held AS (
    SELECT order_no FROM accounts_balancehold
    WHERE order_no = ANY(%(order_nos)s::text[]) AND state = 'HELD' ORDER BY order_no FOR UPDATE
), moved AS (
    UPDATE accounts_balancehold AS hold SET state = %(to_state)s
    FROM held WHERE hold.order_no = held.order_no
    RETURNING hold.order_no, hold.buyer_id, hold.cents
), sums AS (
    SELECT buyer_id, sum(cents) AS cents FROM moved GROUP BY buyer_id
), locked AS (
    SELECT buyer_id FROM accounts_balanceaccount WHERE buyer_id IN (SELECT buyer_id FROM sums)
    ORDER BY buyer_id FOR UPDATE
), account AS (
    UPDATE accounts_balanceaccount AS account SET
        held_cents = account.held_cents - sums.cents,
        available_cents = account.available_cents + CASE %(to_account)s WHEN 'AVAILABLE' THEN sums.cents ELSE 0 END
    FROM sums JOIN locked USING (buyer_id) WHERE account.buyer_id = sums.buyer_id
)
INSERT INTO accounts_balanceentry (reference, kind, account, buyer_id, cents, entered_at)
SELECT order_no, %(to_state)s, side.account, buyer_id, side.sign * cents, %(now)s
FROM moved, (VALUES ('HELD', -1), (%(to_account)s, 1)) AS side (account, sign)
RETURNING reference
