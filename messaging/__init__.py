"""Between the queue and a service's database: each message has its effect once, each event is sent if its work commits.

`events` what is said; `consumers` who listens; `transactions` events born in a request; `inbox` effects exactly once.
"""
