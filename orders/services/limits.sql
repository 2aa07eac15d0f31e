-- How many open orders a buyer has, and how many units of some articles in orders that live: a row each, without an
-- article in the first.
SELECT '' AS sku, count(*) AS count FROM orders_order
WHERE buyer_id = %(buyer_id)s AND status IN ('PLACED', 'PENDING_PAYMENT', 'CLOSING')
UNION ALL
SELECT line.sku, sum(line.quantity)
FROM orders_order AS o JOIN orders_orderline AS line ON line.order_id = o.order_no
WHERE o.buyer_id = %(buyer_id)s AND o.status NOT IN ('CANCELED', 'CLOSED', 'REFUNDED')
    AND cardinality(%(skus)s::text[]) > 0 AND line.sku = ANY(%(skus)s::text[])
GROUP BY line.sku
