-- Count a refused callback in its minute; returns how many of its verdict there are now.
INSERT INTO payments_refusedcallbacks AS counted (minute, verdict, count)
VALUES (date_trunc('minute', %(now)s::timestamptz), %(verdict)s, 1)
ON CONFLICT (minute, verdict) DO UPDATE SET count = counted.count + 1
RETURNING counted.count
