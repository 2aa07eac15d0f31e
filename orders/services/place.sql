-- A pre-order, its lines, the first entry of its history, and the buyer's answer: all of it, or nothing when the key has
-- an answer already. A twin that runs at the same moment waits at the answer until the first one has committed.
-- Returns the order number, if the order was placed.
WITH answer AS (
    INSERT INTO orders_placinganswer (buyer_id, key, fingerprint, body, answered_at)
    VALUES (%(buyer_id)s, %(key)s, %(fingerprint)s, %(answer)s::jsonb, %(now)s)
    ON CONFLICT (buyer_id, key) DO NOTHING
    RETURNING buyer_id
), placed AS (
    INSERT INTO orders_order (order_no, buyer_id, status, version, awaiting, total_cents, freight_cents, coupon_no,
        coupon_cents, red_packet_no, red_packet_cents, balance_cents, currency, reason, payment_no, address, invoice,
        placed_at)
    SELECT %(order_no)s, buyer_id, 'PLACED', 1, %(awaiting)s, %(total_cents)s, %(freight_cents)s, %(coupon_no)s,
        %(coupon_cents)s, %(red_packet_no)s, %(red_packet_cents)s, %(balance_cents)s, %(currency)s, '', '',
        %(address)s::jsonb, %(invoice)s::jsonb, %(now)s
    FROM answer
    RETURNING order_no
), lines AS (
    INSERT INTO orders_orderline (order_id, sku, title, quantity, unit_price_cents, discount_cents, balance_cents)
    SELECT order_no, sku, title, quantity, unit_price_cents, discount_cents, balance_cents
    FROM placed, jsonb_to_recordset(%(lines)s::jsonb) AS line (
        sku text, title text, quantity int, unit_price_cents bigint, discount_cents bigint, balance_cents bigint)
)
INSERT INTO orders_orderevent (order_id, version, tag, status, happened_at)
SELECT order_no, 1, 'OrderPlaced', 'PLACED', %(now)s FROM placed
RETURNING order_id
