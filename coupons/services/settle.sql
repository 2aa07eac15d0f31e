-- The coupons of these orders move on, and their movements are remembered, in one statement.
-- Only coupons in `from_status` move, so the same order again moves nothing. Rows are locked in the order of coupons, so
-- that batches queue up instead of deadlocking. A coupon that comes back after its time, and has not done so before,
-- is good until `extend_to` (null: it is not).
WITH held AS (
    SELECT coupon_no, order_no FROM coupons_coupon
    WHERE order_no = ANY(%(order_nos)s::text[]) AND status = %(from_status)s
    ORDER BY coupon_no FOR UPDATE
), moved AS (
    UPDATE coupons_coupon AS coupon SET
        status = %(to_status)s,
        order_no = CASE %(to_status)s WHEN 'ISSUED' THEN '' ELSE coupon.order_no END,
        was_extended = coupon.was_extended OR (coupon.expires_at <= %(now)s AND %(extend_to)s::timestamptz IS NOT NULL),
        expires_at = CASE WHEN coupon.expires_at <= %(now)s AND NOT coupon.was_extended
            THEN coalesce(%(extend_to)s::timestamptz, coupon.expires_at) ELSE coupon.expires_at END
    FROM held WHERE coupon.coupon_no = held.coupon_no
    RETURNING coupon.coupon_no, held.order_no
)
INSERT INTO coupons_couponmovement (coupon_id, order_no, kind, moved_at)
SELECT coupon_no, order_no, %(kind)s, %(now)s FROM moved
RETURNING coupon_id
