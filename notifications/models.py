"""No tables of its own: what was sent is remembered in Redis for a while (`messaging.weak`).

Its database has the tables that every service has; of those it uses the one for messages that keep failing.
"""
