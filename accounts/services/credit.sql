-- Put money on a balance, once per reference. Returns the reference if it is new.
WITH entered AS (
    INSERT INTO accounts_balanceentry (reference, kind, account, buyer_id, cents, entered_at)
    VALUES (%(reference)s, 'CREDITED', 'FUNDING', %(buyer_id)s, -%(cents)s, %(now)s)
    ON CONFLICT (reference, kind, account) DO NOTHING
    RETURNING reference, buyer_id
), account AS (
    INSERT INTO accounts_balanceaccount AS account (buyer_id, available_cents, held_cents)
    SELECT buyer_id, %(cents)s, 0 FROM entered
    ON CONFLICT (buyer_id) DO UPDATE SET available_cents = account.available_cents + excluded.available_cents
)
INSERT INTO accounts_balanceentry (reference, kind, account, buyer_id, cents, entered_at)
SELECT reference, 'CREDITED', 'AVAILABLE', buyer_id, %(cents)s, %(now)s FROM entered
RETURNING reference
