-- Give back what the balance had paid, all of it or a part, once per reference.
-- The ledger's unique key decides what is new; the hold's own check refuses more than it captured.
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%(given)s::jsonb) AS given (reference text, order_no text, cents bigint)
), entered AS (
    INSERT INTO accounts_balanceentry (reference, kind, account, buyer_id, cents, entered_at)
    SELECT reference, 'RETURNED', 'SHOP', buyer_id, -given.cents, %(now)s
    FROM given JOIN accounts_balancehold USING (order_no) ORDER BY reference
    ON CONFLICT (reference, kind, account) DO NOTHING
    RETURNING reference, buyer_id, -cents AS cents
), returned AS (
    SELECT order_no, sum(entered.cents) AS cents FROM entered JOIN given USING (reference) GROUP BY order_no
), locked AS (
    SELECT order_no FROM accounts_balancehold WHERE order_no IN (SELECT order_no FROM returned)
    ORDER BY order_no FOR UPDATE
), hold AS (
    UPDATE accounts_balancehold AS hold SET returned_cents = hold.returned_cents + returned.cents
    FROM returned JOIN locked USING (order_no) WHERE hold.order_no = returned.order_no
), sums AS (
    SELECT buyer_id, sum(cents) AS cents FROM entered GROUP BY buyer_id
), accounts AS (
    SELECT buyer_id FROM accounts_balanceaccount WHERE buyer_id IN (SELECT buyer_id FROM sums)
    ORDER BY buyer_id FOR UPDATE
), account AS (
    UPDATE accounts_balanceaccount AS account SET available_cents = account.available_cents + sums.cents
    FROM sums JOIN accounts USING (buyer_id) WHERE account.buyer_id = sums.buyer_id
)
INSERT INTO accounts_balanceentry (reference, kind, account, buyer_id, cents, entered_at)
SELECT reference, 'RETURNED', 'AVAILABLE', buyer_id, cents, %(now)s FROM entered
RETURNING reference
