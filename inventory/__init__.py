"""Inventory: what can be bought, at what price, and how many are left."""
