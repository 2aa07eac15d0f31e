-- Entries of a batch of paid orders; an order that has one keeps it.
INSERT INTO payments_paylogentry (order_no, buyer_id, payment_no, total_cents, balance_cents, logged_at)
SELECT order_no, buyer_id, payment_no, total_cents, balance_cents, %(now)s
FROM jsonb_to_recordset(%(orders)s::jsonb) AS given (
    order_no text, buyer_id bigint, payment_no text, total_cents bigint, balance_cents bigint)
ORDER BY order_no
ON CONFLICT (order_no) DO NOTHING
