-- Write points entries that are not there yet, and move the accounts, which are locked, by exactly what was written.
-- What an account has is balance - owed; below 0 it is a debt, of which each entry that makes or deepens it leaves a row.
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%(entries)s::jsonb)
        AS given (order_no text, reference text, buyer_id bigint, points bigint)
), entered AS (
    INSERT INTO accounts_pointsentry (order_no, reference, buyer_id, kind, points, entered_at)
    SELECT order_no, reference, buyer_id, %(kind)s, points, %(now)s FROM given ORDER BY order_no, reference
    ON CONFLICT (order_no, kind, reference) DO NOTHING
    RETURNING id, order_no, reference, buyer_id, points
), running AS (
    SELECT entered.*, account.balance - account.owed
        + sum(entered.points) OVER (PARTITION BY buyer_id ORDER BY entered.id) AS after
    FROM entered JOIN accounts_pointsaccount AS account USING (buyer_id)
), debts AS (
    INSERT INTO accounts_pointsdebt (refund_no, order_no, buyer_id, points, entered_at)
    SELECT reference, order_no, buyer_id, least(-after, -points), %(now)s
    FROM running WHERE %(kind)s = 'REVOKED' AND after < 0 AND points < 0
), sums AS (
    SELECT buyer_id, sum(points) AS points FROM entered GROUP BY buyer_id
)
UPDATE accounts_pointsaccount AS account SET
    balance = greatest(account.balance - account.owed + sums.points, 0),
    owed = greatest(account.owed - account.balance - sums.points, 0)
FROM sums WHERE account.buyer_id = sums.buyer_id
