"""The checker: does everything add up? `manage.py verify` compares databases, broker and payment company.

It reads what the services have written with its own SQL and shares none of their code, so that a bug of theirs cannot
hide in the checker, too. One file per family: `stock`, `money`, `prices`, `balance`, `orders`, `messages`. The
invariants are listed in docs/architecture/invariants.md under the same names.
"""
