-- Make points accounts exist, and keep them locked until the transaction ends; in the order of buyers, as everybody does.
INSERT INTO accounts_pointsaccount (buyer_id, balance)
SELECT buyer_id, 0 FROM unnest(%(buyers)s::bigint[]) AS given (buyer_id) ORDER BY buyer_id
ON CONFLICT (buyer_id) DO UPDATE SET balance = accounts_pointsaccount.balance
