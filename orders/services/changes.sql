-- Move orders on: each only if it is still in the status and version that its step was decided on (compare-and-set).
-- A step without a status notes something and is no event: the order keeps its version, so who has not agreed yet
-- (`awaiting`) is compared, too. Returns the numbers of those that moved or were noted. Rows are locked in the order of
-- their numbers, so that batches that share orders queue up instead of deadlocking.
WITH step AS (
    SELECT * FROM jsonb_to_recordset(%(steps)s::jsonb) AS step (
        order_no text, from_status text, from_version int, from_awaiting int, to_status text, tag text, awaiting int,
        reason text, reason_details jsonb, payment_no text, confirmed_at timestamptz, expires_at timestamptz,
        paid_at timestamptz, tracking_no text, shipped_at timestamptz, delivered_at timestamptz,
        receipt_due_at timestamptz, ended_at timestamptz)
), locked AS (
    SELECT o.order_no FROM orders_order AS o JOIN step USING (order_no) ORDER BY o.order_no FOR UPDATE OF o
), moved AS (
    UPDATE orders_order AS o SET
        status = coalesce(step.to_status, o.status),
        version = CASE WHEN step.to_status IS NULL THEN o.version ELSE o.version + 1 END,
        awaiting = coalesce(step.awaiting, o.awaiting),
        reason = coalesce(step.reason, o.reason),
        reason_details = coalesce(step.reason_details, o.reason_details),
        payment_no = coalesce(step.payment_no, o.payment_no),
        confirmed_at = coalesce(step.confirmed_at, o.confirmed_at),
        expires_at = coalesce(step.expires_at, o.expires_at),
        paid_at = coalesce(step.paid_at, o.paid_at),
        tracking_no = coalesce(step.tracking_no, o.tracking_no),
        shipped_at = coalesce(step.shipped_at, o.shipped_at),
        delivered_at = coalesce(step.delivered_at, o.delivered_at),
        receipt_due_at = coalesce(step.receipt_due_at, o.receipt_due_at),
        ended_at = coalesce(step.ended_at, o.ended_at)
    FROM step JOIN locked USING (order_no)
    WHERE o.order_no = step.order_no
        AND o.status = step.from_status AND o.version = step.from_version AND o.awaiting = step.from_awaiting
    RETURNING o.order_no, o.version, step.tag, o.status
), told AS (
    INSERT INTO orders_orderevent (order_id, version, tag, status, happened_at)
    SELECT order_no, version, tag, status, %(now)s FROM moved WHERE tag IS NOT NULL
)
SELECT order_no FROM moved
