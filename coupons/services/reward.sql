-- Give coupons for paid orders, once per order and template, and take as many from the templates' stock.
-- The templates' rows are locked already, and the coupons were counted against them. Returns those that are new.
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%(given)s::jsonb) AS given (
        coupon_no text, template_no text, buyer_id bigint, granted_for text, expires_at timestamptz)
), created AS (
    INSERT INTO coupons_coupon (coupon_no, template_id, buyer_id, status, order_no, granted_for, issued_at, expires_at,
        was_extended)
    SELECT coupon_no, template_no, buyer_id, 'ISSUED', '', granted_for, %(now)s, expires_at, false
    FROM given ORDER BY granted_for
    ON CONFLICT (template_id, granted_for) DO NOTHING
    RETURNING coupon_no, template_id
), taken AS (
    SELECT template_id, count(*) AS count FROM created GROUP BY template_id
), template AS (
    UPDATE coupons_coupontemplate AS template SET "left" = template."left" - taken.count
    FROM taken WHERE template.template_no = taken.template_id
)
SELECT coupon_no FROM created
