"""Accounts: who buys, and the points they collect."""
