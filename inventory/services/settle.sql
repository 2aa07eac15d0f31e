-- What is held for these orders (or sold to them) moves on: reservations, stock records and ledger in one statement.
-- Only reservations in `from_state` move, so the same order again moves nothing. Reservations are locked in the order
-- of orders and articles, stock rows in the order of articles, so that batches queue up instead of deadlocking.
WITH held AS (
    SELECT id, sku, quantity, order_no FROM inventory_reservation
    WHERE order_no = ANY(%(order_nos)s::text[]) AND state = %(from_state)s
    ORDER BY order_no, sku FOR UPDATE
), moved AS (
    UPDATE inventory_reservation AS reservation SET state = %(to_state)s
    FROM held WHERE reservation.id = held.id
    RETURNING reservation.order_no, reservation.sku, reservation.quantity
), sums AS (
    SELECT sku, sum(quantity) AS quantity FROM moved GROUP BY sku
), locked AS (
    SELECT sku FROM inventory_stockrecord WHERE sku IN (SELECT sku FROM sums) ORDER BY sku FOR UPDATE
), stock AS (
    UPDATE inventory_stockrecord AS stock SET
        available = stock.available + %(available)s * sums.quantity,
        reserved = stock.reserved + %(reserved)s * sums.quantity,
        sold = stock.sold + %(sold)s * sums.quantity
    FROM sums JOIN locked USING (sku) WHERE stock.sku = sums.sku
)
INSERT INTO inventory_stockmovement (order_no, sku, kind, quantity, moved_at)
SELECT order_no, sku, %(kind)s, quantity, %(now)s FROM moved
RETURNING order_no
