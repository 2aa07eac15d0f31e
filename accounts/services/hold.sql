-- Hold the balance that a batch of orders wants: accounts, holds and both sides of the ledger in one statement.
-- The accounts are locked already (see holding.py), and the orders were checked against them; the guard
-- `available_cents >= cents` makes a mistake there an error (fewer rows than asked for) instead of a debt.
WITH held AS (
    SELECT * FROM jsonb_to_recordset(%(held)s::jsonb) AS held (order_no text, buyer_id bigint, cents bigint)
), need AS (
    SELECT buyer_id, sum(cents) AS cents FROM held GROUP BY buyer_id
), account AS (
    UPDATE accounts_balanceaccount AS account
    SET available_cents = account.available_cents - need.cents, held_cents = account.held_cents + need.cents
    FROM need WHERE account.buyer_id = need.buyer_id AND account.available_cents >= need.cents
    RETURNING account.buyer_id
), hold AS (
    INSERT INTO accounts_balancehold (order_no, buyer_id, cents, state, returned_cents)
    SELECT order_no, buyer_id, cents, 'HELD', 0 FROM held JOIN account USING (buyer_id)
    RETURNING order_no, buyer_id, cents
), entries AS (
    INSERT INTO accounts_balanceentry (reference, kind, account, buyer_id, cents, entered_at)
    SELECT order_no, 'HELD', side.account, buyer_id, side.sign * cents, %(now)s
    FROM hold, (VALUES ('AVAILABLE', -1), ('HELD', 1)) AS side (account, sign)
)
SELECT order_no FROM hold
