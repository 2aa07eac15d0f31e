-- Hold the units of a batch of orders: stock records, reservations and ledger in one statement.
-- The stock rows are locked already (see reserving.py), and the orders were checked against them; the guard
-- `available >= quantity` makes a mistake there an error (fewer rows than asked for) instead of an oversell.
WITH held AS (
    SELECT * FROM jsonb_to_recordset(%(held)s::jsonb) AS held (order_no text, sku text, quantity int)
), need AS (
    SELECT sku, sum(quantity) AS quantity FROM held GROUP BY sku
), stock AS (
    UPDATE inventory_stockrecord AS stock
    SET available = stock.available - need.quantity, reserved = stock.reserved + need.quantity
    FROM need WHERE stock.sku = need.sku AND stock.available >= need.quantity
    RETURNING stock.sku
), reservation AS (
    INSERT INTO inventory_reservation (order_no, sku, quantity, state)
    SELECT order_no, sku, quantity, 'HELD' FROM held JOIN stock USING (sku)
    RETURNING order_no, sku, quantity
)
INSERT INTO inventory_stockmovement (order_no, sku, kind, quantity, moved_at)
SELECT order_no, sku, 'RESERVED', quantity, %(now)s FROM reservation
RETURNING order_no, sku
