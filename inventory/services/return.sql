-- Units of refunds return to the shelf: ledger, reservations and stock records in one statement.
-- The ledger's unique key (order, article, kind, refund) decides, so the same refund again moves nothing. Locks are taken
-- in the same order as in settle.sql. Returns how many rows found no sold units to return, which is none.
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%(returns)s::jsonb)
        AS given (order_no text, refund_no text, sku text, quantity int)
), sold AS (
    SELECT id, order_no, sku FROM inventory_reservation
    WHERE (order_no, sku) IN (SELECT order_no, sku FROM given) AND state IN ('CONSUMED', 'RETURNED')
    ORDER BY order_no, sku FOR UPDATE
), entered AS (
    INSERT INTO inventory_stockmovement (order_no, sku, kind, reference, quantity, moved_at)
    SELECT order_no, sku, 'RETURNED', refund_no, quantity, %(now)s
    FROM given JOIN sold USING (order_no, sku) ORDER BY order_no, sku, refund_no
    ON CONFLICT (order_no, sku, kind, reference) DO NOTHING
    RETURNING order_no, sku, quantity
), sums AS (
    SELECT order_no, sku, sum(quantity) AS quantity FROM entered GROUP BY order_no, sku
), returned AS (
    -- More than is left breaks the table's constraint, and with it the whole batch.
    UPDATE inventory_reservation AS reservation SET
        returned = reservation.returned + sums.quantity,
        state = CASE WHEN reservation.returned + sums.quantity = reservation.quantity THEN 'RETURNED' ELSE 'CONSUMED' END
    FROM sums JOIN sold USING (order_no, sku) WHERE reservation.id = sold.id
), per_sku AS (
    SELECT sku, sum(quantity) AS quantity FROM sums GROUP BY sku
), locked AS (
    SELECT sku FROM inventory_stockrecord WHERE sku IN (SELECT sku FROM per_sku) ORDER BY sku FOR UPDATE
), stock AS (
    UPDATE inventory_stockrecord AS stock
    SET sold = stock.sold - per_sku.quantity, available = stock.available + per_sku.quantity
    FROM per_sku JOIN locked USING (sku) WHERE stock.sku = per_sku.sku
)
SELECT count(*) FROM given LEFT JOIN sold USING (order_no, sku) WHERE sold.id IS NULL
