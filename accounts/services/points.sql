-- Write points entries that are not there yet, and move the balances by exactly what was written.
-- Returns the orders whose entry is new. Accounts are locked in the order of buyers.
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%(entries)s::jsonb) AS given (order_no text, buyer_id bigint, points bigint)
), entered AS (
    INSERT INTO accounts_pointsentry (order_no, buyer_id, kind, points, entered_at)
    SELECT order_no, buyer_id, %(kind)s, points, %(now)s FROM given ORDER BY order_no
    ON CONFLICT (order_no, kind) DO NOTHING
    RETURNING order_no, buyer_id, points
), balance AS (
    INSERT INTO accounts_pointsaccount AS account (buyer_id, balance)
    SELECT buyer_id, sum(points) FROM entered GROUP BY buyer_id ORDER BY buyer_id
    ON CONFLICT (buyer_id) DO UPDATE SET balance = account.balance + excluded.balance
)
SELECT order_no FROM entered
