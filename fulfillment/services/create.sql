-- Shipments of a batch of paid orders and their lines; an order that has one already keeps it as it is.
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%(orders)s::jsonb)
        AS given (order_no text, buyer_id bigint, address jsonb, lines jsonb)
), created AS (
    INSERT INTO fulfillment_shipment (order_no, buyer_id, status, version, address, created_at)
    SELECT order_no, buyer_id, 'PACKING', 1, address, %(now)s FROM given ORDER BY order_no
    ON CONFLICT (order_no) DO NOTHING
    RETURNING order_no
)
INSERT INTO fulfillment_shipmentline (shipment_id, sku, quantity)
SELECT order_no, line.sku, line.quantity
FROM created JOIN given USING (order_no), jsonb_to_recordset(given.lines) AS line (sku text, quantity int)
