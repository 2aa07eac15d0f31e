"""Payments: what is owed, what was captured, what was given back, and what the gateway said about it."""
