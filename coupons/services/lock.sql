-- Lock coupons for a batch of orders, and remember it, in one statement.
-- The rows are locked already (see locking.py), and the orders were checked against them; the guard `status = 'ISSUED'`
-- makes a mistake there an error (fewer rows than asked for) instead of a coupon that is used twice.
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%(given)s::jsonb) AS given (coupon_no text, order_no text)
), locked AS (
    UPDATE coupons_coupon AS coupon SET status = 'LOCKED', order_no = given.order_no
    FROM given WHERE coupon.coupon_no = given.coupon_no AND coupon.status = 'ISSUED'
    RETURNING coupon.coupon_no, coupon.order_no
)
INSERT INTO coupons_couponmovement (coupon_id, order_no, kind, moved_at)
SELECT coupon_no, order_no, 'LOCKED', %(now)s FROM locked
RETURNING coupon_id
